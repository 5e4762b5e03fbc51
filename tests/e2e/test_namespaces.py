"""Loss by a second truth, which shares nothing with us: the kernel drops packets between two hosts, and counts them."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

from tests.support.command import RTCCTL, Home, Running, drain
from tests.support.namespaces import NEAR, Dropping, two_hosts

OPUS = 111


def interrupted(command: Running) -> dict[str, Any]:
    """The result of a command that is stopped."""
    assert command.stop(signal.SIGINT) == 130, command.stderr
    *_, last = drain(command)
    summary: dict[str, Any] = json.loads(last)
    return summary


def test_loss_is_what_the_kernel_has_dropped(home: Home):
    """Out of a publisher's host and into a subscriber's: `packets_lost` is nftables' own count, to the packet."""
    with (
        two_hosts() as (near, far),
        home.dev("--host", NEAR, program=(*near.enter, str(RTCCTL))) as server,
        home.running(
            "track",
            "publish",
            "--name",
            "mic",
            "--interval",
            "200ms",
            "--output",
            "jsonl",
            program=(*far.enter, str(RTCCTL)),
        ) as publisher,
    ):
        assert server.ready["base_url"].startswith(f"http://{NEAR}:")
        track = f"{publisher.event('published')['session_id']}/mic"
        arguments = ("track", "subscribe", track, "--for", "60s", "--max-loss", "100%", "--output", "jsonl")
        with home.running(*arguments, program=(*far.enter, str(RTCCTL))) as subscriber:
            up, down = Dropping(near, OPUS), Dropping(far, OPUS)
            subscriber.event("first_packet")
            up.start("mod 10 < 2")
            down.start("mod 10 < 2")
            time.sleep(1)  # the faults themselves
            dropped_up, dropped_down = up.stop(), down.stop()
            reported = 0
            while reported < dropped_up:  # the server says each second what it has received
                reported += publisher.event("interval")["sent"]["packets_lost"] or 0
            heard = interrupted(subscriber)
        sent = interrupted(publisher)["sent"]
    assert dropped_up > 0
    assert dropped_down > 0
    assert heard["packets_lost"] == heard["packets_lost_rfc3550"] == dropped_up + dropped_down
    assert sent["packets_lost"] == dropped_up
