"""Times after which tracks and sessions end (Realtime docs: Limits), all of them waited for at the same time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from tests.contract.cases import all_pass
from tests.contract.channels import local, member, open_channel
from tests.contract.channels import remote as remote_channel
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.stream import are_contiguous
from tests.contract.subject import subject
from tests.contract.test_states import OK, check, check_row
from tests.contract.victim import victim
from tests.support.data_path import until


async def test_times() -> None:
    """Each of the cases below, with a service of its own."""
    cases = (
        collection_of_silent_tracks,
        sessions_that_are_not_used,
        a_session_that_is_disconnected,
        a_client_that_is_killed,
    )
    await all_pass({case.__name__: case() for case in cases})


async def collection_of_silent_tracks() -> None:
    """A track without packets ends after 30 s, whether it has ever had some or not; others of its session do not."""
    async with subject() as service, lean(service) as alice, lean(service) as bob, member(service) as carol:
        published = await open_channel(carol, local())
        subscribed = await open_channel(carol, remote_channel(carol))
        for _ in range(3):
            alice.add()
        await alice.publish("sending", "silenced", "never")
        began = time.monotonic()
        alice.speak("0", "1")
        pulled = await bob.pull(alice, "silenced")
        await bob.receives(ssrc_of(pulled))
        alice.speak("0")
        window_s = 30 * service.quirks.time_scale
        expected = {"sending": "active", "silenced": "inactive", "never": "inactive"}

        async def states(client: Lean) -> dict[str, str]:
            tracks = (await service.get(client.session_id)).json()["tracks"]
            return {track["trackName"]: track["status"] for track in tracks}

        async with asyncio.timeout(window_s + 15):
            while (now := await states(alice)) == dict.fromkeys(expected, "active"):  # noqa: ASYNC110 (the service is asked)
                await asyncio.sleep(0.05)
            assert time.monotonic() - began > 0.9 * window_s
            while now != expected:
                await asyncio.sleep(0.05)
                # Collected ones may not be listed any more.
                now = dict.fromkeys(("silenced", "never"), "inactive") | await states(alice)
        assert (await states(bob))["silenced"] == "inactive"
        document = await bob.new_tracks([remote(alice, name) for name in expected])
        assert [item.get("errorCode") for item in document["tracks"]] == [None, *["not_found_track_error"] * 2]
        # A session without media lives as long as it is connected, and its data channels are no tracks.
        await published.send("x")
        await subscribed.receives("x")


async def sessions_that_are_not_used() -> None:
    """One is gone when its time is over: never used, its offer unanswered, its answer never followed, fallen silent."""
    async with subject(unused_s=0.8, disconnected_s=1.6) as service:
        if not service.quirks.limits_are_tested:
            return  # that takes minutes

        async def expires(session_id: str, after_s: float) -> None:
            assert after_s - 0.5 < await service.until_gone(session_id) < after_s + 3

        async def unused() -> None:
            await expires(await service.new_session(), 0.8)

        async def unanswered() -> None:
            async with lean(service) as client:
                tracks = [{"location": "local", "trackName": "mic", "kind": "audio"}]
                await client.new_tracks(tracks)
                await expires(client.session_id, 0.8)

        async def not_followed() -> None:
            async with lean(service) as client:
                client.add()
                await client.publish("mic", connects=False)
                await expires(client.session_id, 1.6)

        async def silent() -> None:
            async with lean(service) as client:
                client.add()
                await client.publish("mic")
                client.vanish()
                await expires(client.session_id, 1.6)

        async def closed() -> None:
            async with lean(service) as client:
                client.add()
                await client.publish("mic")
                client.leave()
                assert await service.until_gone(client.session_id) < 1.6

        async def alive() -> None:
            async with speaker(service, "mic") as client:
                await asyncio.sleep(2.2)
                assert (await service.get(client.session_id)).status_code == 200

        await all_pass({case.__name__: case() for case in (unused, unanswered, not_followed, silent, closed, alive)})


async def a_session_that_is_disconnected() -> None:
    """Its row of the table of states; a session whose client comes back within its window goes on."""
    async with subject() as service, speaker(service, "mic") as publisher, AsyncExitStack() as stack:
        client = (await check_row("disconnected", service, publisher, stack))[-1]
        await client.lean.come_back()
        check(service, await client.update(), OK)
        await client.lean.receives(client.lean.packets[-1][0].ssrc)


async def a_client_that_is_killed() -> None:
    """By SIGKILL: its session is gone when its window is over, and the others never notice.

    Their packets flow without a loss, and what they had pulled from it is inactive.
    """
    window_s = 2.0
    async with subject(disconnected_s=window_s) as service, speaker(service, "mic") as alice, lean(service) as bob:
        ssrc = ssrc_of(await bob.pull(alice, "mic"))
        await bob.receives(ssrc)
        with victim(service, alice.session_id, "mic") as process:
            assert process.stdout is not None
            session_id = (await asyncio.to_thread(process.stdout.readline)).strip()
            document = await bob.pull(session_id, "tone")
            await bob.receives(ssrc_of(document))
            process.kill()
            killed = time.monotonic()
            await service.until_gone(session_id)
            if service.quirks.limits_are_tested:
                assert window_s - 0.1 < time.monotonic() - killed < window_s + 3
        last = list(alice.streams["0"].sent.values())[-1]
        await until(lambda: last in bob.payloads(ssrc), 15)
        assert are_contiguous(bob.headers(ssrc))
        payloads, sent = bob.payloads(ssrc), list(alice.streams["0"].sent.values())
        begin = sent.index(payloads[0])
        assert payloads == sent[begin : begin + len(payloads)]
        states = (await service.get(bob.session_id)).json()["tracks"]
        assert {track["sessionId"]: track["status"] for track in states} == {
            alice.session_id: "active",
            session_id: "inactive",
        }
        assert (await service.get(alice.session_id)).status_code == 200
        failed = await bob.new_tracks([remote(session_id, "tone")])
        service.check_item(failed["tracks"][0], "not_found_track_error")
