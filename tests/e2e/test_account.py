"""`rtcctl app …` and `rtcctl turn key …` against `rtcctl dev`; where secrets go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from rtcctl.media.server_url import ServerUrl
from rtcctl.probe.turn.allocation import Allocation, RefusedError
from rtcctl.probe.turn.link import connect_udp
from rtcctl.realtime.development import DEVELOPMENT_APP_ID, DEVELOPMENT_TURN_KEY_ID
from tests.support.command import RTCCTL, Finished, Home
from tests.support.requirements import require, slow

NOUNS = pytest.mark.parametrize("noun", [pytest.param(("app",), marks=slow), ("turn", "key")], ids=" ".join)
"Both are one code; apps are made and used by the other tests, too."
FILE_KEYRING = """
import json, os
import keyring.backend

class Keyring(keyring.backend.KeyringBackend):
    priority = 5
    path = os.environ["TEST_KEYRING"]

    def kept(self):
        return json.load(open(self.path)) if os.path.exists(self.path) else {}

    def get_password(self, service, username):
        return self.kept().get(f"{service} {username}")

    def set_password(self, service, username, password):
        kept = {**self.kept(), f"{service} {username}": password}
        with open(self.path, "w") as file:
            json.dump(kept, file)
"""


def with_profile(home: Home, ready: dict, name: str = "mine") -> None:
    """A profile of the user's with an account and nothing else."""
    home.config.write_text(
        f"# mine\nprofile = '{name}'\n\n[profiles.{name}]\napi_base = '{ready['base_url']}'\n"
        f"account_id = '{ready['account_id']}'\naccount_api_base = '{ready['account_api_base']}'\n"
    )
    done = home.run("config", "secret", "set", "account", "--stdin", stdin=ready["account_token"])
    assert done.status == 0, done.stderr


def with_keyring(home: Home) -> Path:
    (home.folder / "file_keyring.py").write_text(FILE_KEYRING)
    path = home.folder / "keyring.json"
    home.environment |= {"PYTHON_KEYRING_BACKEND": "file_keyring.Keyring", "TEST_KEYRING": str(path)}
    home.environment["PYTHONPATH"] = f"{home.folder}:{home.environment.get('PYTHONPATH', '')}"
    return path


def names(home: Home, *noun: str) -> list[str]:
    document = home.run(*noun, "list", "--output", "json").document
    return [item["name"] for item in document["apps" if noun == ("app",) else "turn_keys"]]


def check_silent(done: Finished, secret: str) -> None:
    assert secret
    assert secret not in done.stdout + done.stderr


@NOUNS
def test_the_five_verbs(home: Home, noun: tuple[str, ...]):
    """Made, listed, shown, renamed and, when that is confirmed, deleted."""
    with home.dev() as server:
        made = home.run(*noun, "create", "one", "--output", "json").document
        assert (made["name"], len(made["id"]), len(made["secret"]), made["stored_in"]) == ("one", 32, 64, None)
        assert made["target"]["api_base"] == server.ready["account_api_base"]
        uid = made["id"]
        assert names(home, *noun) == ["", "one"]
        shown = home.run(*noun, "get", uid)
        assert uid in shown.stdout
        check_silent(shown, made["secret"])
        assert home.run(*noun, "update", uid, "two", "--output", "json").document["name"] == "two"
        lines = home.run(*noun, "list", "--output", "csv").stdout.splitlines()
        assert lines[0] == "id,name,created_at,modified_at"
        assert lines[2].startswith(f"{uid},two,")
        asked = home.run(*noun, "delete", uid)
        assert (asked.status, asked.stdout) == (2, "")
        assert f"{uid} (two)" in asked.stderr
        assert "--yes" in asked.stderr
        assert names(home, *noun) == ["", "two"]
        assert home.run(*noun, "delete", uid, "--yes", "--output", "jsonl").status == 0
        assert names(home, *noun) == [""]
        for verb in ("get", "delete"):
            gone = home.run(*noun, verb, uid, "--output", "json")
            assert (gone.status, gone.stdout) == (5, "")
            assert '"code": "7003"' in gone.stderr


def test_a_session_in_a_new_app(home: Home):
    """By its id and secret; deleting the app ends it. The profile's own app is named before it is deleted."""
    with home.dev() as server:
        made = home.run("app", "create", "mine", "--output", "json").document
        environment = {
            "RTCCTL_API_BASE": server.ready["base_url"],
            "RTCCTL_APP_ID": made["id"],
            "RTCCTL_APP_SECRET": made["secret"],
        }
        created = home.run("session", "create", "--output", "json", environment=environment)
        session_id = created.document["session_id"]
        assert home.run("session", "get", session_id, environment=environment).status == 0
        assert home.run("session", "get", session_id).status == 5
        assert home.run("app", "delete", made["id"], "--yes").status == 0
        assert home.run("session", "get", session_id, environment=environment).status == 5
        assert "which profile local uses" in home.run("app", "delete", DEVELOPMENT_APP_ID).stderr
        assert "which profile local uses" in home.run("turn", "key", "delete", DEVELOPMENT_TURN_KEY_ID).stderr


def test_credentials_of_a_new_turn_key(home: Home):
    """The key relays as any other; when it is deleted its credentials end, and those of another key live on."""
    require("turnserver", why="credentials relay through coturn")
    with home.dev() as server:
        made = home.run("turn", "key", "create", "relay", "--output", "json").document
        own = dict(server.ready["environment"]) | {
            "RTCCTL_TURN_KEY_ID": made["id"],
            "RTCCTL_TURN_KEY_TOKEN": made["secret"],
        }
        creds = home.run("turn", "creds", "--output", "json", environment=own).document
        others = home.run("turn", "creds", "--output", "json").document
        assert creds["relays"] is True
        assert asyncio.run(allocates(creds))
        assert home.run("turn", "key", "delete", made["id"], "--yes").status == 0
        assert not asyncio.run(allocates(creds))
        assert asyncio.run(allocates(others))
        assert home.run("turn", "creds", environment=own).status == 5


async def allocates(creds: dict) -> bool:
    """Whether the TURN server takes the credentials, over UDP."""
    relay = next(entry for entry in creds["ice_servers"] if entry["username"])
    url = ServerUrl.parse(next(url for url in relay["urls"] if url.endswith("udp")))
    link = await connect_udp((url.host, url.port))
    async with Allocation(link, relay["username"], relay["credential"], take=lambda *_: None) as allocation:
        try:
            await allocation.allocate(5)
        except RefusedError:
            return False
        return True


@NOUNS
def test_stored_in_a_file(home: Home, noun: tuple[str, ...]):
    """0600, one line, and nowhere else; the lines that are printed use it. A file that is there is not written over."""
    path = home.folder / "the secret"
    with home.dev() as server:
        done = home.run(*noun, "create", "one", "--secret-to", "the secret", "--output", "json", "--verbose")
        made = done.document
        assert (made["secret"], made["stored_in"]) == (None, "the secret")
        secret = path.read_text()
        assert (len(secret), secret[-1], path.stat().st_mode & 0o777) == (65, "\n", 0o600)
        check_silent(done, secret.strip())
        shell = "; ".join([*made["usage"], "env"])
        printed = dict(line.partition("=")[::2] for line in _shell(home, shell).splitlines())
        variables = [line.split()[1].partition("=")[0] for line in made["usage"]]
        # With the base, or the secret would be sent to Cloudflare.
        assert [printed[name] for name in variables] == [server.ready["base_url"], made["id"], secret.strip()]
        for place, said in (
            ("the secret", "not written over"),
            (".", "not written over"),
            ("no/such/folder", "cannot be written"),
            ("", "no place"),
            ("-", "no place"),
        ):
            refused = home.run(*noun, "create", "two", "--secret-to", place)
            assert (refused.status, refused.stdout) == (2, ""), place
            assert said in refused.stderr
        assert path.read_text() == secret
        assert names(home, *noun) == ["", "one"]
        with_profile(home, server.ready)
        kind = "app" if noun == ("app",) else "turn"
        with path.open("rb") as stdin:
            stored = home.run("config", "secret", "set", kind, "--stdin", stdin=stdin)
        assert stored.status == 0, stored.stderr


def _shell(home: Home, script: str) -> str:
    return subprocess.run(["sh", "-c", script], cwd=home.folder, capture_output=True, text=True, check=True).stdout


def test_no_file_is_left_when_nothing_was_made(home: Home):
    """The service said no, or is not there."""
    with home.dev() as server:
        environment = {
            "RTCCTL_ACCOUNT_ID": server.ready["account_id"],
            "RTCCTL_ACCOUNT_TOKEN": "wrong-token-0123456789",
            "RTCCTL_ACCOUNT_API_BASE": server.ready["account_api_base"],
        }
        refused = home.run("app", "create", "one", "--secret-to", "kept", environment=environment)
    assert refused.status == 4
    assert "account API token" in refused.stderr
    assert home.run("app", "create", "one", "--secret-to", "kept").status == 6
    assert not (home.folder / "kept").exists()


def test_a_secret_that_cannot_be_stored_is_printed(home: Home):
    """Nobody shows it again, so it is not lost: on a full disk (here, no file may grow) it comes out, with a status."""
    with home.dev() as server:
        script = 'ulimit -f 0; exec "$0" app create one --secret-to kept --output json'
        done = subprocess.run(
            ["sh", "-c", script, str(RTCCTL)],
            cwd=home.folder,
            env=home.environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        made = json.loads(done.stdout)
        assert (done.returncode, made["exit_status"], made["stored_in"]) == (2, 2, None), done.stderr
        assert "could not be stored, so it is printed" in made["failure"]["message"]
        environment = {
            "RTCCTL_API_BASE": server.ready["base_url"],
            "RTCCTL_APP_ID": made["id"],
            "RTCCTL_APP_SECRET": made["secret"],
        }
        assert home.run("session", "create", environment=environment).status == 0
    assert not (home.folder / "kept").exists()


def test_an_app_whose_secret_could_not_be_printed(home: Home):
    """It is there: who tries again is told to look first."""
    with home.dev():
        done = subprocess.run(
            ["sh", "-c", 'exec "$0" app create lost >/dev/full', str(RTCCTL)],
            env=home.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "`rtcctl app list`" in done.stderr) == (2, True), done.stderr
        assert names(home, "app") == ["", "lost"]


@pytest.mark.parametrize("has_keyring", [True, pytest.param(False, marks=slow)])
def test_a_profile_gets_its_turn_key_and_app(home: Home, has_keyring: bool):
    """`--secret-to keyring`: id and secret are the profile's, which uses them at once; nothing is printed."""
    keyring = with_keyring(home) if has_keyring else None
    with home.dev() as server:
        with_profile(home, server.ready)
        said = []
        for noun in (("app",), ("turn", "key")):
            done = home.run(*noun, "create", "mine", "--secret-to", "keyring", "--output", "json", "-v")
            assert done.status == 0, done.stderr
            assert done.document["secret"] is None
            assert done.document["stored_in"] == ("keyring" if has_keyring else str(home.folder / "secrets.toml"))
            said.append(done)
        written = tomllib.loads(home.config.read_text())["profiles"]["mine"]
        assert [written["app_id"], written["turn_key_id"]] == [done.document["id"] for done in said]
        assert home.config.read_text().startswith("# mine\n")
        created = home.run("session", "create", "--output", "json").document
        assert (created["target"]["profile"], created["target"]["app_id"]) == ("mine", written["app_id"])
        assert home.run("turn", "creds").status == 0
        accepted = home.run("config", "check", "--output", "json").document["secrets"]
        assert [row["accepted"] for row in accepted] == [True, True, True]
        text = (keyring or home.folder / "secrets.toml").read_text()
        values = {word.strip('"{},') for word in text.split()} - {server.ready["account_token"]}
        secrets = [value for value in values if len(value) == 64]
        assert len(secrets) == 2
        for secret in secrets:
            assert secret not in home.config.read_text()
            for done in said:
                check_silent(done, secret)
        # A second one would take the place of the first, whose secret nobody could bring back.
        again = home.run("turn", "key", "create", "more", "--secret-to", "keyring")
        assert (again.status, again.stdout) == (2, "")
        assert "has a TURN key already" in again.stderr
        assert names(home, "turn", "key") == ["", "mine"]


def test_local_keeps_no_secrets(home: Home):
    """Nothing is made for a profile that cannot keep it."""
    with home.dev():
        done = home.run("turn", "key", "create", "one", "--secret-to", "keyring")
        assert (done.status, done.stdout) == (2, "")
        assert "--secret-to FILE" in done.stderr
        assert names(home, "turn", "key") == [""]


def test_a_new_secret_is_masked_in_the_log_of_a_job(home: Home):
    """Under GitHub Actions, before it is printed."""
    with home.dev():
        done = home.run("app", "create", "one", "--output", "json", environment={"GITHUB_ACTIONS": "true"})
    assert f"::add-mask::{done.document['secret']}" in done.stderr


@NOUNS
def test_curl(home: Home, noun: tuple[str, ...]):
    """Each verb prints its call, with the token as a variable; nothing is made, and no file either."""
    with home.dev() as server:
        for verb, *arguments in (
            ("list",),
            ("create", "one", "--secret-to", "kept"),
            ("get", "x"),
            ("update", "x", "one"),
            ("delete", "x"),
        ):
            done = home.run(*noun, verb, *arguments, "--curl")
            assert done.status == 0
            assert f"{server.ready['account_api_base']}/accounts/" in done.stdout
            assert '"Authorization: Bearer $RTCCTL_ACCOUNT_TOKEN"' in done.stdout
            check_silent(done, server.ready["account_token"])
        assert not (home.folder / "kept").exists()
        assert names(home, *noun) == [""]


def test_what_is_made_and_deleted_is_kept(home: Home):
    """`dev --persist`: names, dates and secrets are those of before; what was deleted stays away."""
    with home.dev("--persist", "kept.toml"):
        stays = home.run("app", "create", "stays", "--output", "json").document
        goes = home.run("app", "create", "goes", "--output", "json").document
        key = home.run("turn", "key", "create", "key", "--output", "json").document
        assert home.run("app", "update", stays["id"], "renamed").status == 0
        for noun, uid in ((("app",), goes["id"]), (("turn", "key"), DEVELOPMENT_TURN_KEY_ID)):
            assert home.run(*noun, "delete", uid, "--yes").status == 0
        assert home.run("app", "update", DEVELOPMENT_APP_ID, "first").status == 0
        before = [home.run(*noun, "list", "--output", "csv").stdout for noun in (("app",), ("turn", "key"))]
    with home.dev("--persist", "kept.toml") as server:
        assert [home.run(*noun, "list", "--output", "csv").stdout for noun in (("app",), ("turn", "key"))] == before
        assert names(home, "app") == ["first", "renamed"]
        assert server.ready["turn_key_id"] == key["id"]
        environment = {
            "RTCCTL_API_BASE": server.ready["base_url"],
            "RTCCTL_APP_ID": stays["id"],
            "RTCCTL_APP_SECRET": stays["secret"],
        }
        assert home.run("session", "create", environment=environment).status == 0
        for app_id in (stays["id"], DEVELOPMENT_APP_ID):
            assert home.run("app", "delete", app_id, "--yes").status == 0
        assert home.run("turn", "key", "delete", key["id"], "--yes").status == 0
        assert home.run("app", "list", "--output", "json").document["apps"] == []
    with home.dev("--persist", "kept.toml") as server:
        assert (server.ready["app_id"], server.ready["turn_key_id"]) == (DEVELOPMENT_APP_ID, "")
        assert home.run("session", "create").status == 0
        assert names(home, "turn", "key") == []
        assert "no TURN key" in home.run("turn", "creds").stderr
    # What is run against it has no empty variables.
    around = home.run("dev", "--port", "0", "--persist", "kept.toml", "--", str(RTCCTL), "session", "create")
    assert around.status == 0, around.stderr
