"""Is the reported one-way latency true? A relay holds each packet for a known time, and the report must say so.

    python -m tests.bench latency [--for SECONDS] [--hold MS]

A publisher and a subscriber speak through an embedded server in a process of its own; a relay with a ledger stands in
the subscriber's way. What is reported with a hold, less the ledger's actual hold, less what is reported without one,
should be nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from rtcctl.journal import Journal
from rtcctl.ops import media
from rtcctl.ops.env import Env
from rtcctl.ops.session import new_session
from rtcctl.ops.sources import Outgoing
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.realtime.profile import Profile
from rtcctl.results.result import Percentiles
from tests.support.command import Home
from tests.support.relay import relay


async def measured(env: Env, server: tuple[str, int], *, hold_s: float, for_s: float) -> tuple[Percentiles, float]:
    """Reported latency in ms, and the median of the holds in the ledger in ms."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(env.client(deadline_s=for_s + 30))
        publisher = await stack.enter_async_context(media.open_peer(env))
        subscriber = await stack.enter_async_context(media.open_peer(env))
        publishing = await new_session(client, env)
        await media.publish(client, env, publisher, publishing, Outgoing.of("tone", ToneSource(440.0)))
        between = await stack.enter_async_context(relay(server, hold_s=hold_s))
        pulling = await new_session(client, env)
        _, mid, offer = await media.pull(client, env, pulling, media.remote_track(publishing, "tone"), wait_s=5)
        await client.renegotiate(pulling, await subscriber.answer(between.through(offer)))
        await media.wait_connected(subscriber, env, pulling)
        receiver = subscriber.receiver(mid)
        await receiver.wait_first_packet(5)
        await media.watch(subscriber, for_s, what="the subscriber", session_id=pulling)
        latency = receiver.statistics(env.clock()).latency_ms
        assert latency is not None
        return latency, median(entry.held_s for entry in between.ledger) * 1000


async def compare(profile: Profile, server: tuple[str, int], folder: Path, *, hold_s: float, for_s: float) -> None:
    env = Env(profile=profile, journal=Journal.open(folder))
    try:
        baseline, _ = await measured(env, server, hold_s=0.0, for_s=for_s)
        held, hold_ms = await measured(env, server, hold_s=hold_s, for_s=for_s)
    finally:
        env.journal.close()
    error_ms = held.p50 - hold_ms - baseline.p50
    print(f"{'one-way latency':28} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}")
    for name, row in (("without a hold", baseline), (f"held {hold_s * 1000:.0f} ms", held)):
        print(f"{name:28} {row.p50:8.2f} {row.p95:8.2f} {row.p99:8.2f}")
    print(f"ledger's actual hold, p50: {hold_ms:.2f} ms")
    print(f"reported - hold - baseline: {error_ms:+.2f} ms   (at least ±2, aim ±1)")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench latency", description=__doc__.splitlines()[0])
    parser.add_argument("--for", dest="for_s", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--hold", dest="hold_ms", type=float, default=40.0, metavar="MS")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder)).dev() as server:
        ready = server.ready
        host, port = ready["media_addresses"][0].rsplit(":", 1)
        profile = Profile(
            name="bench",
            api_base=ready["base_url"],
            app_id=ready["app_id"],
            app_secret=ready["app_secret"],
            is_embedded=True,
        )
        asyncio.run(
            compare(
                profile,
                (host, int(port)),
                Path(folder) / "bench",
                hold_s=options.hold_ms / 1000,
                for_s=options.for_s,
            )
        )
    return 0
