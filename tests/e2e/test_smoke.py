"""`rtcctl smoke`, the main job, as a stranger runs it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.support.command import RTCCTL, Home, drain
from tests.support.requirements import require, require_lonely_host

WITHOUT_TURN = set() if shutil.which("turnserver") else {"turn"}
"What is skipped where there is no coturn."
CHECKS = [
    "api",
    "turn",
    "session",
    "publish",
    "subscribe",
    "content",
    "loss",
    "jitter",
    "rtt",
    "latency",
    "video",
    "simulcast",
    "data-channel",
    "cleanup",
]


def by_name(document: dict) -> dict[str, dict]:
    return {check["name"]: check for check in document["checks"]}


def test_smoke_with_no_configuration_passes_on_its_own_server(home: Home):
    """Nothing configured, nothing running: it says that it starts a server, and every check passes."""
    done = home.run("smoke", "--for", "2s")
    assert done.status == 0, done.stdout + done.stderr
    assert "embedded" in done.stdout
    for name in CHECKS:
        assert name in done.stdout
    assert "failed" not in done.stdout
    assert "rtcctl" in done.stdout.strip().splitlines()[-1]


def test_smoke_json_is_one_document_with_true_figures(home: Home):
    """Every check has a verdict; what was measured is there, and nothing is lost on loopback."""
    done = home.run("smoke", "--for", "2s", "--output", "json")
    assert done.status == 0, done.stdout + done.stderr
    document = done.document
    assert document["schema"] == "rtcctl.smoke/1"
    assert document["target"]["embedded"] is True
    assert list(by_name(document)) == CHECKS
    assert {name for name, check in by_name(document).items() if check["status"] != "passed"} <= WITHOUT_TURN
    subscribe = document["subscribe"]
    assert subscribe["packets_lost"] == 0
    assert 80 <= subscribe["packets_received"] <= 130
    assert subscribe["tone_hz"] == pytest.approx(document["publish"]["tone_hz"], rel=0.01)
    assert 0 < subscribe["latency_ms"]["p50"] < 50
    publish = document["publish"]
    assert publish["sent"]["fraction_lost"] == 0
    assert publish["source"] == f"tone {publish['tone_hz']:g} Hz"
    assert publish["candidate_type"] == "host"
    assert by_name(document)["video"]["observed"] > 10
    assert 0 < by_name(document)["simulcast"]["observed"] < 2000
    assert 0 < by_name(document)["data-channel"]["observed"] < 500


def test_smoke_reports_for_ci(home: Home, tmp_path: Path):
    """JUnit, Markdown, JSON and Prometheus reports are written besides the table."""
    done = home.run(
        "smoke",
        "--for=1s",
        f"--report=junit:{tmp_path / 'smoke.xml'}",
        f"--report=markdown:{tmp_path / 'smoke.md'}",
        f"--report=json:{tmp_path / 'smoke.json'}",
        f"--report=prometheus:{tmp_path / 'smoke.prom'}",
    )
    assert done.status == 0, done.stdout + done.stderr
    cases = ElementTree.parse(tmp_path / "smoke.xml").getroot().iter("testcase")
    assert [case.get("name") for case in cases] == CHECKS
    assert "| content" in (tmp_path / "smoke.md").read_text()
    assert json.loads((tmp_path / "smoke.json").read_text())["schema"] == "rtcctl.smoke/1"
    assert "rtcctl_" in (tmp_path / "smoke.prom").read_text()


def test_smoke_only_and_skip(home: Home):
    """`--only` shows the named checks, `--skip` leaves them out; an unknown name is a usage error."""
    only = home.run("smoke", "--for=1s", "--only", "content,loss", "--output", "json")
    assert list(by_name(only.document)) == ["content", "loss"]
    skip = home.run("smoke", "--for=1s", "--skip", "latency", "--skip", "rtt", "--output", "json")
    assert list(by_name(skip.document)) == [c for c in CHECKS if c not in ("latency", "rtt")]
    for names, said in (("sound", "sound"), ("", "--only: an empty name"), ("api,,loss", "--only: an empty name")):
        wrong = home.run("smoke", "--only", names)
        assert wrong.status == 2
        assert said in wrong.stderr


def test_smoke_of_the_api_and_turn_runs_no_media(home: Home):
    """Nothing is published and nothing waited for when nothing of it is to be judged."""
    require("turnserver", why="the check of TURN is to pass")
    document = home.run("smoke", "--for", "60s", "--only", "api,turn", "--output", "json", timeout_s=30).document
    assert [(check["name"], check["status"]) for check in document["checks"]] == [("api", "passed"), ("turn", "passed")]
    assert (document["publish"], document["subscribe"]) == (None, None)


def test_a_layer_that_had_no_time_to_change_has_not_failed(home: Home):
    """A run that is interrupted before skips the check."""
    with home.running("smoke", "--for", "30s", "--output", "jsonl") as command:
        while command.event("check")["name"] != "data-channel":
            pass
        assert command.stop(signal.SIGINT) == 130
        checks = {check["name"]: check["status"] for check in json.loads(drain(command)[-1])["checks"]}
    assert checks["simulcast"] == "skipped"


def test_smoke_fails_a_limit_with_3(home: Home):
    """A limit nothing can meet: measured and not good enough is exit status 3, with a verdict."""
    done = home.run("smoke", "--for=1s", "--max-latency", "p50=0.000001ms", "--output", "json")
    assert done.status == 3, done.stdout + done.stderr
    assert by_name(done.document)["latency"]["status"] == "failed"
    assert "latency" in done.document["verdict"]


def test_smoke_with_a_wrong_secret_is_4(home: Home):
    """Credentials that the service refuses: exit status 4, the JSON complete, the secret nowhere."""
    with home.dev() as server:
        environment = {
            "RTCCTL_API_BASE": server.ready["base_url"],
            "RTCCTL_APP_ID": server.ready["app_id"],
            "RTCCTL_APP_SECRET": "not-the-secret-at-all",
        }
        done = home.run("smoke", "--output", "json", environment=environment)
    assert done.status == 4
    assert by_name(done.document)["api"]["status"] == "failed"
    assert by_name(done.document)["session"]["status"] == "skipped"
    assert "not-the-secret-at-all" not in done.stdout + done.stderr


def test_smoke_with_nobody_listening_is_6(home: Home):
    """A configured API that does not answer is an error, never a reason to pass on the embedded server."""
    environment = {
        "RTCCTL_API_BASE": "http://127.0.0.1:1/v1",
        "RTCCTL_APP_ID": "app",
        "RTCCTL_APP_SECRET": "secret-of-nobody",
    }
    done = home.run("smoke", environment=environment)
    assert done.status == 6, done.stdout + done.stderr


@pytest.mark.parametrize("variable", ["RTCCTL_APP_SECRET", "RTCCTL_APP_ID", "CLOUDFLARE_API_TOKEN"])
def test_smoke_with_an_empty_variable_is_2(home: Home, variable: str):
    """A CI job whose secret is missing must not pass on the embedded server."""
    done = home.run("smoke", environment={variable: ""})
    assert done.status == 2
    assert variable in done.stderr


def test_smoke_needs_no_network_but_loopback(home: Home):
    """In a namespace with nothing but loopback, everything still passes."""
    require_lonely_host()
    command = f"ip link set lo up && exec {RTCCTL} smoke --for 1s --output json"
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", command],
        capture_output=True,
        text=True,
        env=home.environment,
        cwd=home.folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert {name for name, check in by_name(document).items() if check["status"] != "passed"} <= WITHOUT_TURN
