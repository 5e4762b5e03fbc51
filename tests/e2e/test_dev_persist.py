"""`rtcctl dev --persist FILE`: apps and TURN keys outlive the server."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from rtcctl.cli.dev_credentials import keep
from rtcctl.ops.dev import AppSecret
from rtcctl.realtime.development import DEVELOPMENT_APP_ID, DEVELOPMENT_APP_SECRET
from tests.support.command import Home

SECRET = "secret-of-another-0123"
APPS = f'[[apps]]\nid = "mine"\nsecret = "{SECRET}"\n'


def kept(home: Home, text: str | None = None, mode: int = 0o600) -> Path:
    path = home.folder / "kept.toml"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    return path


def test_the_file_is_made_with_the_usual_credentials(home: Home):
    """Private, and read by --apps too; its secrets are shown nowhere else."""
    path = kept(home)
    with home.dev("--persist", "kept.toml") as server:
        assert path.stat().st_mode & 0o777 == 0o600
        assert (server.ready["app_id"], server.ready["app_secret"]) == (DEVELOPMENT_APP_ID, None)
        assert server.ready["apps_file"] == "kept.toml"
        assert home.run("session", "create").status == 0
    written = path.read_text()
    assert tomllib.loads(written)["apps"] == [{"id": DEVELOPMENT_APP_ID, "secret": DEVELOPMENT_APP_SECRET}]
    for option in ("--apps", "--persist"):
        with home.dev(option, "kept.toml"):
            assert home.run("session", "create").status == 0
    assert path.read_text() == written


def test_what_was_added_is_there_in_the_next_run(home: Home):
    """As the running server adds it."""
    path = kept(home, f"# my apps\n{APPS}")
    keep(path, AppSecret("two", f"{SECRET}2"))
    assert path.read_text().startswith("# my apps\n")
    with home.dev("--persist", "kept.toml") as server:
        assert [app["app_id"] for app in server.ready["apps"]] == ["mine", "two"]


@pytest.mark.parametrize(("option", "stays"), [("--persist", True), ("--apps", False)])
def test_what_is_added_while_it_runs_is_kept(home: Home, option: str, stays: bool):
    """By the command as it is, whoever adds it; only in a file of --persist."""
    path = kept(home, APPS)
    program = f"""
import sys
from rtcctl.__main__ import main
from rtcctl.server.registry import App, TurnKey
from rtcctl.server.server import RealtimeServer

wait_closed = RealtimeServer.wait_closed

async def add_and_wait(server):
    server.registry.add_app(App("two", "{SECRET}2"))
    server.registry.add_turn_key(TurnKey("key", "{SECRET}3"))
    await wait_closed(server)

RealtimeServer.wait_closed = add_and_wait
sys.exit(main())
"""
    with home.dev(option, "kept.toml", program=(sys.executable, "-c", program)) as server:
        assert server.stop() == 0
    there = tomllib.loads(path.read_text())
    assert [app["id"] for app in there["apps"]] == (["mine", "two"] if stays else ["mine"])
    assert [key["id"] for key in there.get("turn_keys", [])] == (["key"] if stays else [])


@pytest.mark.parametrize("option", ["--persist", "--apps"])
def test_a_secret_that_is_ignored_is_named(home: Home, option: str):
    """What the file has goes before RTCCTL_DEV_SECRET; where both say the same, there is nothing to say."""
    kept(home, APPS)
    for secret, said in ((f"{SECRET}-other", 1), (SECRET, 0)):
        done = home.run(
            "dev", "--port", "0", option, "kept.toml", "--", "true", environment={"RTCCTL_DEV_SECRET": secret}
        )
        assert done.status == 0
        assert done.stderr.count("warning: RTCCTL_DEV_SECRET is ignored: kept.toml has the secrets") == said
        assert SECRET not in done.stderr


def test_a_secret_of_the_users_is_what_the_file_begins_with(home: Home):
    """Nothing is ignored when the file is made."""
    done = home.run(
        "dev", "--port", "0", "--persist", "kept.toml", "--", "true", environment={"RTCCTL_DEV_SECRET": SECRET}
    )
    assert (done.status, "warning" in done.stderr) == (0, False)
    assert tomllib.loads(kept(home).read_text())["apps"][0]["secret"] == SECRET


def test_a_command_has_the_first_app(home: Home):
    """From the file, in the second run as in the first."""
    code = ("--", sys.executable, "-c", "import os; print(os.environ['RTCCTL_APP_ID'])")
    for _ in range(2):
        done = home.run("dev", "--port", "0", "--persist", "kept.toml", *code)
        assert (done.status, done.stdout) == (0, f"{DEVELOPMENT_APP_ID}\n")


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("nonsense", 0o600, "kept.toml is not TOML"),
        ("", 0o600, "kept.toml is empty"),
        ("[[apps]]\nid = 1\n", 0o600, "kept.toml: [[apps]] 1"),
        (APPS, 0o644, "kept.toml holds secrets and can be read by others"),
    ],
)
def test_a_file_that_cannot_be_used_is_2_and_stays(home: Home, text: str, mode: int, said: str):
    """What is wrong and what to do; not a byte of it is changed."""
    path = kept(home, text, mode)
    done = home.run("dev", "--port", "0", "--persist", "kept.toml")
    assert (done.status, done.stdout) == (2, "")
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert (path.read_text(), path.stat().st_mode & 0o777) == (text, mode)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--persist", "kept.toml", "--apps", "kept.toml"), "--apps and --persist"),
        (("--persist", "file/kept.toml"), "cannot be"),
        (("--persist", "folder"), "folder is a folder, not a file"),
        (("--persist", ""), "--persist names no file"),
        (("--persist", "/dev/null"), "/dev/null is a device, not a file"),
        (("--persist", "loop"), "loop cannot be written: Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_is_2(home: Home, arguments: tuple[str, ...], said: str):
    """Two files of apps, a folder that is none, and whatever else is no file: what it is, and no hint that harms."""
    (home.folder / "file").write_text("")
    (home.folder / "folder").mkdir()
    (home.folder / "loop").symlink_to("loop")
    done = home.run("dev", "--port", "0", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert said in done.stderr
    assert "chmod" not in done.stderr


def test_development_secrets_stay_on_loopback(home: Home):
    """A file made on loopback is not served elsewhere; one that is made elsewhere has secrets of its own."""
    with home.dev("--persist", "kept.toml"):
        pass
    done = home.run("dev", "--port", "0", "--host", "0.0.0.0", "--persist", "kept.toml")
    assert done.status == 2
    assert "development secret" in done.stderr
    with home.dev("--host", "0.0.0.0", "--persist", "elsewhere.toml"):
        (app,) = tomllib.loads((home.folder / "elsewhere.toml").read_text())["apps"]
        assert app["secret"] != DEVELOPMENT_APP_SECRET
