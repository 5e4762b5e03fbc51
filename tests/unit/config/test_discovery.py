"""Running embedded servers announce themselves; `local` is the newest whose process lives."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rtcctl import config
from rtcctl.errors import UsageError
from rtcctl.process import start_mark
from rtcctl.results.dev import ServerReady
from tests.unit.config.conftest import User

GONE = 2**22 + 1
"Above the largest pid that Linux gives out."


def ready(pid: int = 0, port: int = 4711) -> ServerReady:
    return ServerReady(
        base_url=f"http://127.0.0.1:{port}/v1",
        app_id="app",
        app_secret="secret-of-the-server",
        account_id="account",
        account_token="secret-of-the-account",
        account_api_base="http://127.0.0.1:9999/client/v4",
        turn_key_id="key",
        turn_key_token="token-of-the-server",
        pid=pid or os.getpid(),
        media_addresses=(),
        development_credentials=False,
        environment=(),
    )


def test_local_is_the_running_server(user: User):
    """Its address and credentials, as long as it runs."""
    with config.announce_server(user.state, ready()) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        resolution = user.resolve()
        profile = resolution.profile
        assert (profile.name, profile.api_base, profile.is_embedded) == ("local", "http://127.0.0.1:4711/v1", True)
        assert (profile.app_id, profile.app_secret) == ("app", "secret-of-the-server")
        assert (profile.turn_key_id, profile.turn_key_token) == ("key", "token-of-the-server")
        assert (profile.account_id, profile.account_token) == ("account", "secret-of-the-account")
        assert profile.account_api_base == "http://127.0.0.1:9999/client/v4"
        assert resolution.origins["app_secret"] == str(path)
        assert "secret-of" not in repr(config.running_servers(user.state))
    assert not path.exists()
    assert user.resolve().profile.api_base == "http://127.0.0.1:8610/v1"


def test_secrets_that_the_announcement_does_not_show(user: User):
    """The profile `local` has them all the same."""
    hidden = replace(ready(), app_secret=None, turn_key_token=None)
    with config.announce_server(user.state, hidden, app_secret="of-a-file", turn_key_token="of-it-too"):
        profile = user.resolve().profile
        assert (profile.app_secret, profile.turn_key_token) == ("of-a-file", "of-it-too")


def test_a_running_server_changes_no_other_profile(user: User):
    """Only `local` looks for one."""
    with config.announce_server(user.state, ready()):
        resolution = user.resolve(RTCCTL_APP_ID="a", RTCCTL_APP_SECRET="b")
        assert resolution.profile.api_base == "https://rtc.live.cloudflare.com/v1"


def test_the_newest_is_taken(user: User):
    """By the time of its file."""
    with config.announce_server(user.state, ready()) as path:
        other = path.with_name("1.json")
        other.write_text(path.read_text().replace("4711", "4712"))
        os.utime(path, (1000, 1000))
        os.utime(other, (2000, 2000))
        assert [server.base_url[-7:-3] for server in config.running_servers(user.state)] == ["4712", "4711"]
        os.utime(other, (500, 500))
        assert user.resolve().profile.api_base == "http://127.0.0.1:4711/v1"


def test_the_dead_are_not_taken_and_cleared_away(user: User):
    """SIGKILL leaves a file behind; the next server removes it."""
    with config.announce_server(user.state, ready()) as path:
        data = json.loads(path.read_text())
    dead = user.state / "dev" / f"{GONE}.json"
    dead.write_text(json.dumps({**data, "pid": GONE}))
    assert config.running_servers(user.state) == ()
    with config.announce_server(user.state, ready()):
        assert not dead.exists()


@pytest.mark.skipif(not start_mark(os.getpid()), reason="needs /proc")
def test_another_process_with_the_same_pid_is_not_it(user: User):
    """Pids come round again."""
    with config.announce_server(user.state, ready()) as path:
        data = json.loads(path.read_text())
        path.write_text(json.dumps({**data, "process": "another boot:1"}))
        assert config.running_servers(user.state) == ()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"pid": "x"}', "null", '{"base_url": 1, "pid": []}', "[" * 100_000),
        '{"base_url": "", "app_id": "", "app_secret": "", "turn_key_id": "", "turn_key_token": "", "pid": 1e999}',
    ],
)
def test_what_cannot_be_read_is_not_running(user: User, text: str):
    """Nor is it an error: it may be half of an older version's."""
    folder = user.state / "dev"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(text)
    (folder / "2.json").mkdir()
    assert config.running_servers(user.state) == ()


def test_no_folder_no_server(tmp_path: Path):
    """A fresh machine."""
    assert config.running_servers(tmp_path / "none") == ()


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path):
    """Its name is longer than any may be: no server, and no bug."""
    assert config.running_servers(tmp_path / ("x" * 300)) == ()


def test_a_state_folder_that_cannot_be_written_is_named(user: User):
    """A file is in the way."""
    user.state.write_text("")
    with pytest.raises(UsageError, match="cannot be written"), config.announce_server(user.state, ready()):
        pass


def test_a_file_that_is_gone_already_is_no_error(user: User):
    """Somebody tidied up while the server ran."""
    with config.announce_server(user.state, ready()) as path:
        path.unlink()
