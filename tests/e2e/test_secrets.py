"""No secret in any output but those of commands whose purpose it is to hand one out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcctl.realtime.development import DEVELOPMENT_TURN_KEY_ID
from tests.support.command import Home

APP_SECRET = "app-secret-7f3a9c51d2e84b60"
TURN_TOKEN = "turn-token-91be44d07c2a4f1e"
ACCOUNT_TOKEN = "account-token-5d20c8e6b93f"


COMMANDS = (
    ("smoke", "--for=500ms"),
    ("smoke", "--for=500ms", "--output=json", "--verbose"),
    ("session", "create", "--verbose"),
    ("session", "create", "--curl"),
    ("session", "get", "nobody", "--verbose"),
    ("session", "list"),
    ("track", "publish", "--name=mic", "--for=500ms", "--output=jsonl", "--verbose"),
    ("track", "subscribe", "nobody/mic", "--wait=100ms"),
    ("turn", "creds", "--curl"),
    ("turn", "list"),
    ("turn", "revoke", "nobody", "--yes", "--verbose"),
    ("turn", "revoke", "--custom-identifier=alice", "--curl"),
    ("turn", "revoke", "--custom-identifier=alice", "--output=json", "--verbose"),
    ("turn", "refresh", "turn.json", "--curl"),
    ("config", "show", "--origin"),
    ("config", "check"),
    ("config", "env"),
    ("api", "GET", "sessions/nobody"),
    ("fault", "set", "sessions/new=503,times=1", "loss=1%", "--verbose"),
    ("fault", "ledger", "--output=json"),
)


@pytest.mark.parametrize("accepted", [True, False])
def test_secrets_are_nowhere(home: Home, accepted: bool):
    """Accepted or refused, stdout, stderr, the journal and every file of state hold none of them."""
    environment = {
        "RTCCTL_APP_SECRET": APP_SECRET,
        "RTCCTL_TURN_KEY_ID": DEVELOPMENT_TURN_KEY_ID,
        "RTCCTL_TURN_KEY_TOKEN": TURN_TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": "account",
        "CLOUDFLARE_API_TOKEN": ACCOUNT_TOKEN,
        "CLOUDFLARE_BASE_URL": "http://127.0.0.1:1/client/v4",
    }
    # The server's own secret is made the one we look for, so that an accepted secret is looked for too.
    home.environment["RTCCTL_DEV_SECRET"] = APP_SECRET if accepted else "another-secret-0123456789abcdef"
    ledger = home.folder / "ledger.json"
    with home.dev("--ledger", str(ledger)) as server:
        environment |= {"RTCCTL_API_BASE": server.ready["base_url"], "RTCCTL_APP_ID": server.ready["app_id"]}
        announced = {path for path in home.state.rglob("*") if path.is_file()}
        said = {" ".join(command): home.run(*command, environment=environment) for command in COMMANDS}
    assert said["session create --verbose"].status == (0 if accepted else 4)
    texts = {name: done.stdout + done.stderr for name, done in said.items()}
    for path in home.state.rglob("*"):
        if path.is_file() and path not in announced:
            texts[str(path)] = path.read_bytes().decode("latin-1")
    texts["the ledger"] = ledger.read_text("utf-8")
    assert '"requests": [{' in texts["the ledger"]
    found = [
        (secret[:10], name)
        for secret in (APP_SECRET, TURN_TOKEN, ACCOUNT_TOKEN)
        for name, text in texts.items()
        if secret in text
    ]
    assert not found


def test_config_env_hands_secrets_out_only_when_asked(home: Home):
    """`config env --with-secrets` is one of the commands whose purpose it is."""
    environment = {
        "RTCCTL_API_BASE": "https://rtc.live.cloudflare.com/v1",
        "RTCCTL_APP_ID": "app",
        "RTCCTL_APP_SECRET": APP_SECRET,
    }
    assert APP_SECRET not in home.run("config", "env", environment=environment).stdout
    assert APP_SECRET in home.run("config", "env", "--with-secrets", environment=environment).stdout


def test_state_files_are_private(home: Home):
    """What the server writes for the profile `local` can be read by its owner alone."""
    with home.dev():
        (announced,) = (home.state / "dev").glob("*.json")
        assert announced.stat().st_mode & 0o077 == 0
        assert Path(home.state / "dev").stat().st_mode & 0o077 == 0
