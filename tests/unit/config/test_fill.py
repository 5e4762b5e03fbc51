"""A profile of the user's file gets its first app or TURN key, without losing one that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcctl.config.profiles import fill, require_free
from rtcctl.errors import UsageError
from tests.unit.config.conftest import MemoryKeyring, User

SECRET = "s3cret-7f3a9c51d2e84b60"
EMPTY = "# mine\n[profiles.p] # about p\naccount_id = 'c'\n\n[profiles.q]\napp_id = 'q'\n"
KINDS = pytest.mark.parametrize(
    ("kind", "setting", "secret"), [("app", "app_id", "app_secret"), ("turn", "turn_key_id", "turn_key_token")]
)


def give(user: User, profile: str, kind: str) -> str:
    return fill(profile, kind, "new", SECRET, environ=user.environ, cwd=user.project)


def free(user: User, profile: str, kind: str) -> None:
    require_free(profile, kind, environ=user.environ, cwd=user.project)


@KINDS
def test_the_profile_has_it_then(user: User, os_keyring: MemoryKeyring, kind: str, setting: str, secret: str):
    """Id and secret; everything else of the file stays, comments too."""
    user.has(EMPTY)
    free(user, "p", kind)
    assert give(user, "p", kind) == "keyring"
    profile = user.resolve("p").profile
    assert (getattr(profile, setting), getattr(profile, secret)) == ("new", SECRET)
    assert user.config.read_text() == EMPTY.replace("about p\n", f'about p\n{setting} = "new"\n')
    assert list(os_keyring.kept.values()) == [SECRET]


def test_without_a_keyring_the_secret_goes_to_the_private_file(user: User):
    """As `config secret set` puts it there."""
    user.has(EMPTY)
    assert give(user, "p", "turn") == str(user.config.with_name("secrets.toml"))
    assert user.resolve("p").profile.turn_key_token == SECRET


def test_a_table_in_one_line_is_written_anew(user: User):
    """What it says stays."""
    user.has("[profiles]\np = { account_id = 'c' }\n")
    give(user, "p", "app")
    profile = user.resolve("p").profile
    assert (profile.account_id, profile.app_id) == ("c", "new")


@KINDS
@pytest.mark.parametrize("has", ["id", "secret", "stored"])
def test_what_a_profile_has_is_not_replaced(user: User, has: str, kind: str, setting: str, secret: str):
    """Its secret could not be brought back."""
    line = {"id": f"{setting} = 'x'", "secret": f"{secret} = '{SECRET}'", "stored": ""}[has]
    user.has(f"[profiles.p]\n{line}\n")
    if has == "stored":
        from rtcctl import config

        config.store_secret("p", kind, SECRET, environ=user.environ, cwd=user.project)
    before = user.config.read_text()
    for act in (free, give):
        with pytest.raises(UsageError, match="already") as caught:
            act(user, "p", kind)
        assert "--secret-to FILE" in caught.value.hint
    assert user.config.read_text() == before


@pytest.mark.parametrize(
    ("profile", "said"), [("local", "is not of"), ("env", "is not of"), ("team", "is not of"), ("x", "no profile 'x'")]
)
def test_whose_profile_it_must_be(user: User, profile: str, said: str):
    """The project's file is shared, and `local` and `env` are none."""
    user.has(EMPTY)
    user.is_in_project_with("[profiles.team]\naccount_id = 'c'\n")
    with pytest.raises(UsageError, match=said):
        free(user, profile, "turn")


@pytest.mark.parametrize("where", ["config", "secrets"])
def test_what_cannot_be_written_is_found_before(
    user: User, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is tried: permissions alone do not tell."""
    import tempfile

    from rtcctl.config import folders

    user.has(EMPTY)
    tried: list[Path] = []

    class Full:
        @staticmethod
        def TemporaryFile(dir: Path):  # noqa: A002, N802 (as tempfile's)
            tried.append(dir)
            if len(tried) == (1 if where == "config" else 2):
                raise OSError(30, "Read-only file system")
            return tempfile.TemporaryFile(dir=tmp_path)

    monkeypatch.setattr(folders, "tempfile", Full)
    with pytest.raises(UsageError, match=f"{where}.toml cannot be written: Read-only"):
        free(user, "p", "turn")
