"""A user's files of their own, and no keyring but one that a test asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.null
import pytest

from rtcctl import config


@dataclass
class User:
    """Folders and environment of one user."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        (self.project / ".git").mkdir(parents=True)
        self.config = self.folder / "config" / "config.toml"
        self.state = self.folder / "state"
        self.environ |= {"RTCCTL_CONFIG": str(self.config), "RTCCTL_STATE_DIR": str(self.state)}

    def resolve(self, name: str | None = None, **variables: str) -> config.Resolution:
        return config.resolve(name, environ={**self.environ, **variables}, cwd=self.project)

    def has(self, text: str, *, mode: int = 0o600) -> Path:
        """The user's file."""
        self.config.parent.mkdir(exist_ok=True)
        return write(self.config, text, mode)

    def is_in_project_with(self, text: str, *, mode: int = 0o644) -> Path:
        """The project's file."""
        return write(self.project / "rtcctl.toml", text, mode)


def write(path: Path, text: str, mode: int) -> Path:
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that lasts as long as a test."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(autouse=True)
def _no_keyring() -> Iterator[None]:
    """Never the real user's."""
    before = keyring.core._keyring_backend
    keyring.set_keyring(keyring.backends.null.Keyring())
    yield
    keyring.core._keyring_backend = before


@pytest.fixture
def os_keyring() -> MemoryKeyring:
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    return backend
