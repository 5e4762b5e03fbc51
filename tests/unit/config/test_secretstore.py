"""Stored secrets: in the keyring or a 0600 file, and only for the place they were stored for."""

from __future__ import annotations

import keyring
import keyring.errors
import pytest

from rtcctl import config
from rtcctl.errors import UsageError
from tests.unit.config.conftest import MemoryKeyring, User, write

SECRET = "s3cret-7f3a9c51d2e84b60"


def store(user: User, profile: str, kind: str, secret: str = SECRET) -> str:
    return config.store_secret(profile, kind, secret, environ=user.environ, cwd=user.project)


@pytest.fixture
def prod(user: User) -> User:
    config.add_profile("prod", app_id="a", turn_key_id="k", account_id="c", environ=user.environ)
    return user


@pytest.mark.parametrize(
    ("kind", "setting"), [("app", "app_secret"), ("turn", "turn_key_token"), ("account", "account_token")]
)
def test_without_a_keyring_it_goes_to_a_private_file(prod: User, kind: str, setting: str):
    """0600, and found again."""
    path = prod.config.with_name("secrets.toml")
    assert store(prod, "prod", kind, f" {SECRET}\n") == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    resolution = prod.resolve("prod")
    assert getattr(resolution.profile, setting) == SECRET
    assert resolution.origins[setting] == str(path)
    assert SECRET not in prod.config.read_text()


def test_with_a_keyring_it_goes_there(prod: User, os_keyring: MemoryKeyring):
    """And into no file."""
    assert store(prod, "prod", "app") == "keyring"
    assert os_keyring.kept == {("rtcctl", "prod/app"): SECRET}
    assert SECRET not in prod.config.with_name("secrets.toml").read_text()
    resolution = prod.resolve("prod")
    assert resolution.profile.app_secret == SECRET
    assert resolution.origins["app_secret"] == "keyring"


def test_kinds_and_profiles_are_kept_apart(prod: User, os_keyring: MemoryKeyring):
    """One more does not lose the others."""
    config.add_profile("staging", app_id="b", environ=prod.environ)
    store(prod, "prod", "app", "one")
    store(prod, "prod", "turn", "two")
    store(prod, "staging", "app", "three")
    store(prod, "prod", "app", "four")
    profile = prod.resolve("prod").profile
    assert (profile.app_secret, profile.turn_key_token) == ("four", "two")
    assert prod.resolve("staging").profile.app_secret == "three"


def test_a_keyring_that_loses_what_it_is_given_is_not_trusted(prod: User, monkeypatch: pytest.MonkeyPatch):
    """Then the file."""

    class Forgetful(MemoryKeyring):
        def get_password(self, service: str, username: str) -> str | None:
            return None

    keyring.set_keyring(Forgetful())
    assert store(prod, "prod", "app").endswith("secrets.toml")
    assert prod.resolve("prod").profile.app_secret == SECRET


class Locked(MemoryKeyring):
    error: Exception = keyring.errors.KeyringLocked("locked")

    def get_password(self, service: str, username: str) -> str | None:
        raise self.error

    def set_password(self, service: str, username: str, password: str) -> None:
        raise self.error


class BackendError(Exception):
    """Of a backend's own, as jeepney's DBusErrorResponse is one."""


@pytest.mark.parametrize("error", [Locked.error, BackendError("no reply")], ids=lambda error: type(error).__name__)
def test_a_locked_keyring_sends_new_secrets_to_the_file(prod: User, error: Exception, monkeypatch: pytest.MonkeyPatch):
    """Storing works without it, whatever it raises."""
    monkeypatch.setattr(Locked, "error", error)
    keyring.set_keyring(Locked())
    assert store(prod, "prod", "app").endswith("secrets.toml")


@pytest.mark.parametrize("later", ["locked", "gone", "empty"])
def test_a_keyring_that_cannot_be_read_is_an_error(prod: User, os_keyring: MemoryKeyring, later: str):
    """Not a request without a secret."""
    store(prod, "prod", "app")
    if later == "locked":
        keyring.set_keyring(Locked())
    elif later == "gone":
        keyring.set_keyring(keyring.backends.null.Keyring())
    else:
        os_keyring.kept.clear()
    with pytest.raises(UsageError, match="is in the OS keyring, but cannot be read") as caught:
        prod.resolve("prod")
    assert "secret set app" in caught.value.hint
    assert prod.resolve("local").profile.name == "local"


# --- where it is sent


def test_a_stored_secret_is_not_sent_to_another_host(user: User):
    """A project's file that gives a profile another host gets nothing."""
    user.is_in_project_with('[profiles.team]\napp_id = "a"')
    store(user, "team", "app")
    assert user.resolve("team").profile.app_secret == SECRET
    user.is_in_project_with('[profiles.team]\napp_id = "a"\napi_base = "https://evil.example/v1"')
    with pytest.raises(UsageError, match=r"evil\.example.* is not sent there") as caught:
        user.resolve("team")
    assert "secret set app" in caught.value.hint
    assert SECRET not in caught.value.message


def test_an_account_token_belongs_to_the_account_api(user: User):
    """Another API base of the app does not concern it, another one of the account does."""
    user.is_in_project_with('[profiles.team]\naccount_id = "c"')
    store(user, "team", "account")
    user.is_in_project_with('[profiles.team]\naccount_id = "c"\napi_base = "https://other.example/v1"')
    assert user.resolve("team").profile.account_token == SECRET
    user.is_in_project_with('[profiles.team]\naccount_id = "c"\naccount_api_base = "https://other.example/v4"')
    with pytest.raises(UsageError, match="is not sent there"):
        user.resolve("team")


# --- mistakes


@pytest.mark.parametrize("secret", ["", " \n", "two words", "schlüssel", "a\x00b"])
def test_what_is_no_secret_is_not_stored(prod: User, secret: str):
    """And not shown."""
    with pytest.raises(UsageError) as caught:
        store(prod, "prod", "app", secret)
    assert not secret.strip() or secret not in caught.value.message


@pytest.mark.parametrize(
    ("profile", "kind", "said"),
    [
        ("prod", "password", "no kind of secret"),
        ("nobody", "app", "no profile 'nobody'"),
        ("local", "app", "keeps no secrets"),
        ("env", "app", "keeps no secrets"),
    ],
)
def test_only_known_profiles_have_known_secrets(prod: User, profile: str, kind: str, said: str):
    """Each mistake is named."""
    with pytest.raises(UsageError, match=said):
        store(prod, profile, kind)


def test_a_secret_in_the_users_file_is_changed_there(user: User):
    """Two places for one secret would be a riddle."""
    user.has('[profiles.p]\napp_id = "a"\napp_secret = "s"')
    with pytest.raises(UsageError, match="itself holds this secret"):
        store(user, "p", "app")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[prod.pasword]\napi_base = 'x'", "prod.pasword is no kind"),
        ("[prod.app]\nsecret = 'x'", "prod.app.api_base"),
        ("prod = 1", "prod"),
        ("[", "is not TOML"),
    ],
)
def test_a_wrong_file_is_named(prod: User, text: str, said: str):
    """It may have been edited."""
    write(prod.config.with_name("secrets.toml"), text, 0o600)
    with pytest.raises(UsageError, match=said):
        prod.resolve("prod")


def test_a_file_that_others_can_read_is_refused(prod: User):
    """The reason is its mode."""
    store(prod, "prod", "app")
    prod.config.with_name("secrets.toml").chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        prod.resolve("prod")


def test_a_folder_in_the_way_is_named(prod: User):
    """Reading it fails first."""
    prod.config.with_name("secrets.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        store(prod, "prod", "app")


def test_what_cannot_be_written_is_named(prod: User, monkeypatch: pytest.MonkeyPatch):
    """A full disk, for one."""
    from rtcctl.config import secretstore

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secretstore, "write_private", full)
    with pytest.raises(UsageError, match="No space left"):
        store(prod, "prod", "app")
