"""Two hundred subscriptions that come and go, with loss: what grows, what is left, and whether the figures are true.

A minute and a half; half an hour with RTCCTL_SLOW=1.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection
from pathlib import Path
from random import Random

import pytest

from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.probe.lag import LoopMonitor
from rtcctl.realtime.profile import Profile
from tests.support.command import Home
from tests.support.crowd import Crowd, Ended, kill_commands
from tests.support.soak import Holdings, SoakedServer, soaked_server
from tests.support.soaked_server import LIMITS, lag, objects

logger = logging.getLogger(__name__)

PUBLISHERS, LISTENERS = 50, 4
WITNESSES = (0, 17, 34)
LOSS = 0.02
FAULT = f"loss={LOSS:.0%},direction=down,seed=7"
CHURN_PER_S = 3.0
"Things that happen: the mean subscription lasts less than a minute."
IS_LONG = bool(os.environ.get("RTCCTL_SLOW"))
DURATION_S, PACKET_S = (1800.0, 0.02) if IS_LONG else (88.0, 0.06)
"Of a packet. With 20 ms both processes take most of a core; with 60 ms the machine may have other work besides."
CLOSING_S = 5.0
WARM_S, WINDOW_S = (300.0, 120.0) if IS_LONG else (35.0, 14.0)
"The first window begins so long after all have come: the ledger and the caches are full, and as many go as come."
GROWTH = 1.05
CHANCE = 20
"""Sessions and routes more than before: of the peers that vanish those of the newest fifteen seconds are there, and
aiortc's have several routes each until they have settled on one. A leak would be three a second."""
KEPT = {"rtcctl.media.ledger.PacketRow", "rtcctl.server.faults.ledger.RequestRow"}
"What the server is to keep when all is over: its ledger …"
MADE_ONCE = {"rtcctl.transport.dtls.Certificate"}
"… and a process of lean peers: its certificate."


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
@pytest.mark.timeout(DURATION_S + 60)
@pytest.mark.beside
async def test_nothing_grows_and_the_figures_stay_true(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """Fifty publishers with four subscribers each, who close, vanish, are killed, replaced and pulled again: memory
    stays as it is, so do tasks, sockets, sessions and routes, nothing is left of those who went, and what each
    subscription reports as lost is what the ledger says was dropped, to the packet."""
    for talkative in ("aioice", "httpx"):
        caplog.set_level(logging.WARNING, talkative)  # pytest keeps what they say, and with it those that they name
    started_at = asyncio.get_running_loop().time()
    async with soaked_server(FAULT) as server, LoopMonitor() as monitor:
        watched = Holdings(server, started_at)
        before, peers_before = await server.ask(objects=True), objects()
        held_before = await watched.now()
        ended, killed, came_at = await soaked(home, server, watched, started_at + DURATION_S - CLOSING_S)
        await server.ask(advance=LIMITS.disconnected_s)
        held_after = await watched.now()
        after, peers_after = await server.ask(objects=True), objects()
        late = f"event loops were late: of the peers {lag(monitor)}, of the server {(await server.ask())['lag']}"

    warm_s, end_s = came_at - started_at + WARM_S, DURATION_S - CLOSING_S
    assert warm_s + WINDOW_S < end_s - WINDOW_S, f"it took {came_at - started_at:.0f} s until all had come; {late}"
    first, last = watched.between(warm_s, warm_s + WINDOW_S), watched.between(end_s - WINDOW_S, end_s)
    logger.info("%s", report(first, last, ended, killed, late))
    untrue = [one for one in ended if not one.is_true]
    assert not untrue, f"{len(untrue)} of {len(ended)} subscriptions report another loss than the ledger; {late}"
    dead = [one for one in ended if one.state != "connected"]
    assert not dead, f"{len(dead)} of {len(ended)} subscriptions had lost their connection; {late}"
    assert {(one.by, one.transport) for one in ended} >= {(by, "lean") for by in ("close", "vanish", "pull again")}
    assert "replace" in {one.by for one in ended}
    assert "aiortc" in {one.transport for one in ended}
    assert sum(one.lost or 0 for one in ended) / sum(one.received for one in ended) == pytest.approx(LOSS, rel=0.25)
    assert killed
    for name, count in first.items():
        limit = count * GROWTH if name.endswith("KiB") else count + CHANCE
        assert last[name] <= limit, f"{name} has grown from {count} to {last[name]}; {late}"
    assert last["server: bugs"] == 0
    memories = {"server: KiB", "peers: KiB"}
    assert {n: c for n, c in held_after.items() if n not in memories} == {
        n: c for n, c in held_before.items() if n not in memories
    }
    assert not grown(before, after, but=KEPT)
    assert not grown(peers_before, peers_after, but=MADE_ONCE)


async def soaked(home: Home, server: SoakedServer, watched: Holdings, until: float) -> tuple[list[Ended], int, float]:
    """Let them come, go, and all leave.

    What each subscription reported, how many commands were killed, and by the loop's time when all had come.
    """
    profile = Profile(name="test", **server.ready)  # type: ignore[arg-type]
    with Journal.open(home.state) as journal:
        env = Env(profile=profile, journal=journal)
        async with env.client() as client:
            crowd = Crowd(server, env, client, Random(7), witnesses=WITNESSES, packet_s=PACKET_S)
            async with asyncio.TaskGroup() as group:
                group.create_task(watched.watch(until))
                group.create_task(crowd.watch(until))
                killing = group.create_task(kill_commands(home, server, until, every_s=25))
                await crowd.come(PUBLISHERS, LISTENERS)
                came_at = asyncio.get_running_loop().time()
                for _ in range(2):
                    group.create_task(crowd.churn(until, per_s=CHURN_PER_S / 2))
            await crowd.leave()
    return crowd.ended, killing.result(), came_at


def grown(before: dict[str, int], after: dict[str, int], *, but: Collection[str]) -> dict[str, int]:
    """What there is more of, and how much."""
    more = {name: count - before.get(name, 0) for name, count in after.items() if name not in but}
    return {name: count for name, count in more.items() if count > 0}


def report(first: dict[str, float], last: dict[str, float], ended: list[Ended], killed: int, late: str) -> str:
    """What a reader of the log wants to know."""
    lines = [f"{name:28} {first[name]:>10,.0f} → {last[name]:>10,.0f}" for name in first]
    lost, absent = sum(one.lost or 0 for one in ended), sum(one.absent for one in ended)
    lines.append(
        f"{len(ended)} subscriptions ended, {sum(one.received for one in ended):,} packets received, {lost} lost"
    )
    lines.append(f"{absent} packets never came to the server; {killed} commands were killed")
    return "\n".join(["", *lines, late])
