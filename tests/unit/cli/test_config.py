"""`config`: profiles and secrets from the command line."""

import json
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import pytest

from rtcctl import config
from rtcctl.__main__ import main
from rtcctl.cli import new_profile
from rtcctl.cli.dev_credentials import credentials_for, credentials_of
from rtcctl.errors import AuthError, UsageError
from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.realtime.development import DEVELOPMENT_ACCOUNT_TOKEN, DEVELOPMENT_APP_SECRET, DEVELOPMENT_TURN_KEY_TOKEN
from rtcctl.realtime.profile import Profile
from rtcctl.results.event import Event, Warned

SECRET = "s3cret" * 8


class Api:
    """An API that accepts one secret."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    async def new_session(self) -> None:
        if self.profile.app_secret != SECRET:
            raise AuthError("refused", status=401)


class EnvWithApi(Env):
    """The surroundings of an operation, with that API."""

    def client(self, *, deadline_s: float | None = None):  # type: ignore[no-untyped-def,override]
        @asynccontextmanager
        async def opened() -> AsyncIterator[Api]:
            yield Api(self.profile)

        return opened()


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets go to the file: the keyring of whoever runs the tests is left alone."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as journal:
        yield journal


def _env(secret: str, journal: Journal) -> Env:
    profile = Profile(name="prod", api_base="https://rtc.example/v1", app_id="app1", app_secret=secret)
    return EnvWithApi(profile=profile, journal=journal)


async def test_a_verified_profile_is_stored(
    tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the API accepts is kept; the secret in a file that only its owner reads, and never shown."""
    result = await new_profile.verify_and_store({}, _env(SECRET, journal))
    assert result.exit_status == 0
    assert config.resolve("prod").profile.app_secret == SECRET
    path = tmp_path / "secrets.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert result.secrets[0].origin == str(path)
    assert main(["config", "show", "--origin", "--output", "json"]) == 0
    out = capsys.readouterr().out
    assert SECRET not in out
    document = json.loads(out)
    assert document["profile"] == "prod"
    assert {"name": "app_secret", "value": "set", "origin": str(path)} in document["settings"]
    assert document["profiles"][0]["used"] is True


async def test_a_refused_profile_is_not_stored(tmp_path: Path, journal: Journal) -> None:
    """A swapped or mistyped secret leaves no trace, and that is said."""
    said: list[Event] = []
    env = _env("wrong" * 8, journal)
    env.emit = said.append
    result = await new_profile.verify_and_store({}, env)
    assert result.exit_status == 4
    assert [event.text for event in said if isinstance(event, Warned)] == [f"profile {env.profile.name} was not stored"]
    assert not (tmp_path / "config.toml").exists()
    assert not (tmp_path / "secrets.toml").exists()


def test_a_profile_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """--from-env takes the whole bundle; options replace what is no secret."""
    monkeypatch.setenv("RTCCTL_APP_ID", "app1")
    monkeypatch.setenv("RTCCTL_APP_SECRET", SECRET)
    profile = new_profile.from_environment("prod", new_profile.Given(api_base="https://rtc.example/v1"))
    assert (profile.name, profile.app_id, profile.app_secret) == ("prod", "app1", SECRET)
    assert profile.api_base == "https://rtc.example/v1"


def test_env_prints_secrets_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`config env` is to be pasted into chats; `--with-secrets` is not, and is masked in a CI log first."""
    monkeypatch.setenv("RTCCTL_APP_ID", "app1")
    monkeypatch.setenv("RTCCTL_APP_SECRET", SECRET)
    assert main(["config", "env"]) == 0
    out = capsys.readouterr().out
    assert "export RTCCTL_APP_ID=app1" in out
    assert SECRET not in out
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert main(["config", "env", "--with-secrets"]) == 0
    out, err = capsys.readouterr()
    assert f"export RTCCTL_APP_SECRET={SECRET}" in out
    assert f"::add-mask::{SECRET}" in err


@pytest.mark.parametrize(
    ("whose", "names"),
    [
        ("rtcctl", ("RTCCTL_APP_ID", "RTCCTL_APP_SECRET", "RTCCTL_API_BASE", "RTCCTL_TURN_KEY_ID")),
        ("examples", ("REALTIME_SFU_APP_ID", "REALTIME_SFU_BEARER_TOKEN", "SFU_API_BASE", "TURN_KEY_ID")),
        ("meet", ("CALLS_APP_ID", "CALLS_APP_SECRET", "CALLS_API_URL", "TURN_SERVICE_ID")),
    ],
)
def test_env_in_the_words_of_other_tools(
    whose: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON is name to value; a secret that was not asked for is absent. The document has what it had."""
    for name, value in (("APP_ID", "app1"), ("APP_SECRET", SECRET), ("TURN_KEY_ID", "key"), ("TURN_KEY_TOKEN", "tok")):
        monkeypatch.setenv(f"RTCCTL_{name}", value)
    assert main(["config", "env", "--as", "json", "--names", whose, "--with-secrets"]) == 0
    given = json.loads(capsys.readouterr().out)
    assert [given[name] for name in names] == ["app1", SECRET, "https://rtc.live.cloudflare.com/v1", "key"]
    assert len(given) == 5
    assert main(["config", "env", "--as", "json", "--names", whose]) == 0
    assert list(json.loads(capsys.readouterr().out).values()).count("app1") == 1
    assert main(["config", "env", "--names", whose, "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["profile"], document["names"]) == ("rtcctl.config.env/1", "env", whose)
    assert {"name": names[1], "value": None} in document["variables"]


def test_a_secret_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`config secret set KIND --stdin` stores what it reads and says where."""
    config.add_profile("prod", app_id="app1")
    monkeypatch.setattr("sys.stdin", StringIO(f"{SECRET}\n"))
    assert main(["config", "secret", "set", "app", "--stdin"]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path / "secrets.toml") in out
    assert SECRET not in out
    assert config.resolve("prod").profile.app_secret == SECRET


def test_use_and_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`config use` chooses, `config path` tells where everything is."""
    config.add_profile("one", app_id="a")
    config.add_profile("two", app_id="b")
    assert main(["config", "use", "two"]) == 0
    assert config.resolve().profile.name == "two"
    assert main(["config", "path", "--output", "json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out[out.index("{") :])
    assert document["config"] == str(tmp_path / "config.toml")
    assert document["state"] == str(tmp_path / "state")


def test_names_of_profiles_are_kept_for_completion(state_dir: Path) -> None:
    """`config show` leaves them where shells look."""
    config.add_profile("prod", app_id="a")
    assert main(["config", "show"]) == 0
    assert (state_dir / "profiles").read_text() == "prod\nlocal\n"


def test_an_ignored_variable_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--profile takes all of it from that profile."""
    monkeypatch.setenv("RTCCTL_APP_ID", "app1")
    monkeypatch.setenv("RTCCTL_APP_SECRET", SECRET)
    assert main(["config", "show", "--profile", "local"]) == 0
    assert "ignored: RTCCTL_APP_ID, RTCCTL_APP_SECRET" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_credentials_are_fixed_on_loopback(host: str, tmp_path: Path) -> None:
    """What was pasted yesterday works today."""
    credentials = credentials_for(host, tmp_path, None)
    assert credentials.are_development
    assert credentials.app_secret == DEVELOPMENT_APP_SECRET


def test_credentials_are_made_and_kept_elsewhere(tmp_path: Path) -> None:
    """The public secrets never leave loopback; the generated ones stay the same."""
    first = credentials_for("0.0.0.0", tmp_path, None)
    assert not first.are_development
    public = (DEVELOPMENT_APP_SECRET, DEVELOPMENT_TURN_KEY_TOKEN, DEVELOPMENT_ACCOUNT_TOKEN)
    made = (first.app_secret, first.turn_key_token, first.account_token)
    assert len({*public, *made}) == 6
    assert first == credentials_for("192.0.2.1", tmp_path, None)
    assert stat.S_IMODE((tmp_path / "dev-secrets.json").stat().st_mode) == 0o600


def test_a_secret_of_the_users_for_dev(tmp_path: Path) -> None:
    """RTCCTL_DEV_SECRET is the App Secret; the TURN key token is another one made of it."""
    credentials = credentials_for("0.0.0.0", tmp_path, SECRET)
    assert credentials.app_secret == SECRET
    assert len({SECRET, credentials.turn_key_token, credentials.account_token}) == 3
    assert credentials == credentials_for("0.0.0.0", tmp_path, SECRET)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("secret", ["", "short", "with a space in it all", "ünfit" * 8])
def test_an_unfit_secret_for_dev(secret: str, tmp_path: Path) -> None:
    """An empty variable is named, not replaced by a known secret."""
    with pytest.raises(UsageError, match="RTCCTL_DEV_SECRET"):
        credentials_for("127.0.0.1", tmp_path, secret)


def test_kept_secrets_of_before_there_was_an_account(tmp_path: Path) -> None:
    """They stay what they are, and get a token of the account."""
    path = tmp_path / "dev-secrets.json"
    path.write_text('{"app_secret": "kept-app", "turn_key_token": "kept-turn"}')
    first = credentials_for("0.0.0.0", tmp_path, None)
    assert (first.app_secret, first.turn_key_token, len(first.account_token)) == ("kept-app", "kept-turn", 40)
    assert first == credentials_for("0.0.0.0", tmp_path, None)


def test_kept_secrets_that_cannot_be_read(tmp_path: Path) -> None:
    """A broken file is named."""
    (tmp_path / "dev-secrets.json").write_text("{}")
    with pytest.raises(UsageError, match=r"dev-secrets\.json"):
        credentials_for("0.0.0.0", tmp_path, None)


def test_the_public_secret_is_refused_off_loopback(tmp_path: Path) -> None:
    """Who asks for it by name is told, and not given another one."""
    with pytest.raises(UsageError, match="everybody knows"):
        credentials_for("0.0.0.0", tmp_path, DEVELOPMENT_APP_SECRET)
    assert credentials_for("::1", tmp_path, DEVELOPMENT_APP_SECRET).are_development


APPS = """
[[apps]]
id = "one"
secret = "secret-of-the-one"
name = "One"
[[apps]]
id = "two"
secret = "secret-of-the-two"
"""
KEYS = """
[[turn_keys]]
id = "key"
token = "token-of-the-key"
[[turn_keys]]
id = "other"
token = "token-of-the-other"
"""


def apps_file(folder: Path, text: str) -> Path:
    path = folder / "apps.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_apps_of_a_file(tmp_path: Path) -> None:
    """The first app and TURN key are those of `local`; none of the file's secrets is shown, all are hidden."""
    credentials = credentials_of("0.0.0.0", tmp_path / "state", None, apps_file(tmp_path, APPS + KEYS))
    assert (credentials.app_id, credentials.app_secret) == ("one", "secret-of-the-one")
    assert [(app.app_id, app.name) for app in credentials.apps] == [("one", "One"), ("two", "")]
    assert (credentials.turn_key_id, [key.key_id for key in credentials.turn_keys]) == ("key", ["key", "other"])
    assert credentials.shown_secrets == (None, None)
    assert set(credentials.hidden_secrets) == {
        "secret-of-the-one",
        "secret-of-the-two",
        "token-of-the-key",
        "token-of-the-other",
    }
    assert "secret-of" not in repr(credentials)
    assert "token-of" not in repr(credentials)
    assert credentials.account_token == credentials_for("0.0.0.0", tmp_path / "state", None).account_token


@pytest.mark.parametrize(("host", "token"), [("127.0.0.1", DEVELOPMENT_TURN_KEY_TOKEN), ("0.0.0.0", None)])
def test_apps_of_a_file_without_a_turn_key(tmp_path: Path, host: str, token: str | None) -> None:
    """The TURN key is the one that the server has without the file, and is shown as without it."""
    credentials = credentials_of(host, tmp_path, None, apps_file(tmp_path, APPS))
    without = credentials_for(host, tmp_path, None)
    assert credentials.turn_key_token == without.turn_key_token
    assert credentials.turn_key_token == token or token is None
    assert credentials.shown_secrets == (None, without.turn_key_token)
    assert not credentials.are_development


def test_development_secrets_in_a_file_stay_on_loopback(tmp_path: Path) -> None:
    """Refused elsewhere, with the entry that has it."""
    path = apps_file(tmp_path, APPS.replace("secret-of-the-two", DEVELOPMENT_APP_SECRET))
    with pytest.raises(UsageError, match=r"\[\[apps\]\] 2 \(two\) has a development secret"):
        credentials_of("0.0.0.0", tmp_path, None, path)
    assert credentials_of("127.0.0.1", tmp_path, None, path).app_id == "one"
    path = apps_file(tmp_path, APPS + KEYS.replace("token-of-the-key", DEVELOPMENT_TURN_KEY_TOKEN))
    with pytest.raises(UsageError, match=r"\[\[turn_keys\]\] 1 \(key\)"):
        credentials_of("192.0.2.1", tmp_path, None, path)


@pytest.mark.parametrize(("name", "said"), [("taken", "already has a profile taken"), ("a b", "a b")])
def test_a_name_that_cannot_be_used_is_refused_before_anything_is_asked(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody types three secrets to be told then."""
    config.add_profile("taken", app_id="app")
    assert main(["config", "add", name]) == 2
    assert said in capsys.readouterr().err
