"""A gate never lies: media that is blocked, a machine that is too slow, a run that is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from tests.support.command import RTCCTL, Home, drain
from tests.support.requirements import require, require_lonely_host

BLOCKED = """
set -e
ip link set lo up
nft add table ip test
nft add chain ip test output '{ type filter hook output priority 0; }'
%(rtcctl)s dev --port 8610 --output jsonl > ready &
server=$!
trap 'kill $server; wait $server || true' EXIT
while ! grep -q server_ready ready; do kill -0 $server; sleep 0.05; done
# RTP and RTCP only (RFC 7983: first byte 128 to 191), so that ICE and DTLS go through.
nft add rule ip test output udp %(port)s 8610 @th,64,2 2 drop
set +e
%(rtcctl)s smoke --for 1s --output json
status=$?
exit $status
"""


def smoke_behind(home: Home, port: str) -> subprocess.CompletedProcess[str]:
    """`smoke` in a network of its own where packets from (`sport`) or to (`dport`) the server's media are dropped."""
    require_lonely_host()
    require("nft", why="drops packets in the kernel")
    return subprocess.run(
        ["unshare", "-rn", "sh", "-c", BLOCKED % {"rtcctl": RTCCTL, "port": port}],
        capture_output=True,
        text=True,
        env=home.environment,
        cwd=home.folder,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("port", ["sport", "dport"])
def test_media_that_is_blocked_is_3(home: Home, port: str):
    """Signalling, ICE and DTLS are fine, and no RTP passes, up or down: exit status 3, and never "loss 0 %"."""
    done = smoke_behind(home, port)
    assert done.returncode == 3, done.stdout + done.stderr
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["session"]["status"] == "passed"
    assert checks["subscribe"]["status"] == "failed"
    assert checks["loss"]["status"] == "skipped"
    assert checks["loss"]["observed"] is None
    assert checks["cleanup"]["status"] == "passed"
    assert "signalling is fine" in document["verdict"]
    assert document["next_commands"]


def test_a_machine_that_stands_still_is_8(home: Home):
    """A process that got no CPU for two seconds cannot blame the network: inconclusive."""
    with home.running("smoke", "--for", "4s", "--output", "json", "--verbose") as smoke:
        smoke.says("measuring")
        smoke.process.send_signal(signal.SIGSTOP)
        time.sleep(2)  # the fault itself
        smoke.process.send_signal(signal.SIGCONT)
        assert smoke.wait() == 8, smoke.stderr
        document = json.loads("".join(drain(smoke)))
    assert "could not measure" in document["verdict"]
    assert "inconclusive" in {check["status"] for check in document["checks"]}
    assert "failed" not in {check["status"] for check in document["checks"]}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["creating a session", "connecting", "measuring"])
def test_an_interrupted_smoke_still_reports(home: Home, stage: str, number: int, status: int):
    """Whenever it is stopped: the sessions are cleaned up, the document is complete and says so."""
    with (
        home.dev(),
        home.running("smoke", "--for", "20s", "--output", "json", "--verbose") as smoke,
    ):
        smoke.says(stage)
        started = time.monotonic()
        assert smoke.stop(number) == status, smoke.stderr
        assert time.monotonic() - started < 5
        document = json.loads("".join(drain(smoke)))
        assert document["interrupted"] is True
        assert document["exit_status"] == status
        for session_id in document["session_ids"]:
            done = home.run("track", "list", session_id, "--output", "json")
            assert done.status == 5 or not [t for t in done.document["tracks"] if t["status"] == "active"]
