"""Profiles and their secrets against a running server."""

from __future__ import annotations

from tests.support.command import Home


def rows(document: dict) -> dict[str, dict]:
    return {row["kind"]: row for row in document["secrets"]}


def test_check_says_what_each_secret_allows(home: Home):
    """One row per secret: where it came from, that it is accepted, and what for."""
    with home.dev():
        done = home.run("config", "check", "--output", "json")
    assert done.status == 0, done.stderr
    secrets = rows(done.document)
    assert [secrets[kind]["accepted"] for kind in ("app", "turn", "account")] == [True, True, True]
    assert "sessions" in secrets["app"]["allows"]
    assert "dev" in secrets["app"]["origin"]


def test_check_recognises_swapped_secrets(home: Home):
    """An App Secret where the TURN key token belongs, and the reverse: each is named for what it is."""
    with home.dev() as server:
        environment = {
            **dict(server.ready["environment"]),
            "RTCCTL_APP_SECRET": server.ready["turn_key_token"],
            "RTCCTL_TURN_KEY_TOKEN": server.ready["app_secret"],
        }
        done = home.run("config", "check", "--output", "json", environment=environment)
    assert done.status == 4, done.stderr
    secrets = rows(done.document)
    assert secrets["app"]["accepted"] is False
    assert "TURN key token" in secrets["app"]["detail"]
    assert secrets["turn"]["accepted"] is False
    assert "App Secret" in secrets["turn"]["detail"]


def test_add_verifies_and_stores_and_use_chooses(home: Home):
    """A profile taken from the environment works afterwards without it; a refused secret is not stored."""
    with home.dev() as server:
        environment = dict(server.ready["environment"])
        refused = home.run(
            "config",
            "add",
            "staging",
            "--from-env",
            environment={**environment, "RTCCTL_APP_SECRET": "wrong-secret-1234"},
        )
        assert refused.status == 4, refused.stdout + refused.stderr
        assert home.run("session", "create", "--profile", "staging").status == 2
        added = home.run("config", "add", "staging", "--from-env", environment=environment)
        assert added.status == 0, added.stderr
        assert server.ready["app_secret"] not in added.stdout + home.config.read_text()
        created = home.run("session", "create", "--profile", "staging", "--output", "json")
        assert created.document["target"]["profile"] == "staging"
        assert "profile staging is used from now on" in added.stderr
        # What was verified is what is used: the account's base, too.
        assert home.run("app", "list", "--profile", "staging").status == 0
        assert home.run("config", "use", "staging").status == 0
        assert home.run("session", "create", "--output", "json").document["target"]["profile"] == "staging"
    for path in home.folder.rglob("secrets.toml"):
        assert path.stat().st_mode & 0o077 == 0


def test_secret_set_takes_it_from_stdin(home: Home):
    """A secret is replaced without ever being an argument."""
    with home.dev() as server:
        environment = dict(server.ready["environment"])
        assert home.run("config", "add", "staging", "--from-env", environment=environment).status == 0
        assert (
            home.run(
                "config", "secret", "set", "app", "--profile", "staging", "--stdin", stdin="other-secret-9876\n"
            ).status
            == 0
        )
        assert home.run("session", "create", "--profile", "staging").status == 4
        secret = server.ready["app_secret"]
        assert (
            home.run("config", "secret", "set", "app", "--profile", "staging", "--stdin", stdin=f"{secret}\n").status
            == 0
        )
        assert home.run("session", "create", "--profile", "staging").status == 0
