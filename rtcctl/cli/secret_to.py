"""`--secret-to keyring|FILE`: where a secret goes that a command has just been given, and that nobody shows again.

Whether it can go there is found out before there is one.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rtcctl.errors import UsageError
from rtcctl.realtime.profile import CLOUDFLARE_API_BASE

if TYPE_CHECKING:
    from rtcctl.ops.account import Store

KEYRING = "keyring"


class Kind(NamedTuple):
    """A kind of secret: as profiles call it, its two variables, and a command that uses it."""

    name: str
    id_variable: str
    secret_variable: str
    command: str


APP = Kind("app", "RTCCTL_APP_ID", "RTCCTL_APP_SECRET", "rtcctl session create")
TURN = Kind("turn", "RTCCTL_TURN_KEY_ID", "RTCCTL_TURN_KEY_TOKEN", "rtcctl turn creds")


def store_of(place: str | None, kind: Kind, profile: str) -> Callable[[], AbstractContextManager[Store]] | None:
    """What `--secret-to PLACE` means; without it, `None`. Raises `UsageError`."""
    if place is None:
        return None
    if place == KEYRING:
        return lambda: _in_profile(kind, profile)
    if place in ("", "-"):
        # A variable that is not set must not put the secret into a log.
        raise UsageError(
            f"--secret-to {place!r} is no place for a secret.",
            hint="keyring, or a file; without --secret-to it is printed.",
        )
    return lambda: _in_file(kind, Path(place))


@dataclass(frozen=True, slots=True)
class _ProfileStore:
    kind: Kind
    profile: str

    def put(self, identifier: str, secret: str, api_base: str) -> tuple[str, tuple[str, ...]]:
        from rtcctl.config.profiles import fill

        origin = fill(self.profile, self.kind.name, identifier, secret)
        return origin, (f"{self.kind.command} --profile {shlex.quote(self.profile)}",)


@contextmanager
def _in_profile(kind: Kind, profile: str) -> Iterator[Store]:
    from rtcctl.config.profiles import require_free

    require_free(profile, kind.name)
    yield _ProfileStore(kind, profile)


@dataclass(slots=True)
class _FileStore:
    kind: Kind
    path: Path
    descriptor: int
    is_used: bool = False

    def put(self, identifier: str, secret: str, api_base: str) -> tuple[str, tuple[str, ...]]:
        try:
            with open(self.descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.write(f"{secret}\n")
                file.flush()
                os.fsync(self.descriptor)
            if not os.path.samestat(os.fstat(self.descriptor), os.lstat(self.path)):
                raise UsageError(f"{self.path} is another file by now.")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}.") from error
        except ValueError:
            raise UsageError(f"{self.path} cannot hold a secret that is no Unicode text.") from None
        self.is_used = True
        # Without it, what is of another Realtime would be sent to Cloudflare.
        elsewhere = () if api_base == CLOUDFLARE_API_BASE else (f"export RTCCTL_API_BASE={shlex.quote(api_base)}",)
        return str(self.path), (
            *elsewhere,
            f"export {self.kind.id_variable}={shlex.quote(identifier)}",
            f'export {self.kind.secret_variable}="$(cat {shlex.quote(str(self.path))})"',
        )


@contextmanager
def _in_file(kind: Kind, path: Path) -> Iterator[Store]:
    """The file is made first, so that nobody else makes it, and removed when nothing was put into it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"--secret-to {path}: there is something of that name, which is not written over.",
            hint="Choose another file.",
        ) from None
    except OSError as error:
        raise UsageError(f"--secret-to {path} cannot be written: {error.strerror}.") from error
    store = _FileStore(kind, path, descriptor)
    try:
        yield store
    finally:
        with suppress(FileNotFoundError):
            if not store.is_used and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                path.unlink()
        os.close(descriptor)
