"""Limits and timeouts (Realtime docs: Limits). Those of pulls are in `test_items.py`."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.contract.cases import all_pass
from tests.contract.channels import local, member, open_channel
from tests.contract.channels import remote as remote_channel
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.refusals import GONE, NOT_READY, TOO_LARGE, TOO_MANY_REQUESTS
from tests.contract.stream import are_contiguous
from tests.contract.subject import Subject, subject
from tests.contract.victim import victim
from tests.support.data_path import until

# --- requests


async def burst(service: Subject, session_id: str, count: int) -> list[httpx.Response]:
    """So many requests at once, written to one connection: an HTTP client might be slower than the limit."""
    url = httpx.URL(f"{service.base_url}/apps/{service.app_id}/sessions/{session_id}")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"GET {url.path} HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {service.app_secret}\r\n\r\n"
    writer.write(head.encode() * count)
    answers = []
    for _ in range(count):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
        answers.append(httpx.Response(int(status.split()[1]), headers=headers, content=body))
    writer.close()
    await writer.wait_closed()
    return answers


async def test_the_rate_limit() -> None:
    """More than 50 requests per second on one session: 429; other sessions have their own count, and it passes."""
    async with subject() as service:
        if not service.quirks.limits_are_tested:
            pytest.skip("a real account is not run into its limits")
        session_id, other = await service.new_session(), await service.new_session()
        answers = await burst(service, session_id, 200)
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 50
        assert set(statuses[:50]) == {200}
        refused = next(answer for answer in answers if answer.status_code == 429)
        service.check_refused(refused, TOO_MANY_REQUESTS)
        assert int(refused.headers["retry-after"]) >= 1
        assert (await service.get(other)).status_code == 200
        async with asyncio.timeout(10):
            while (await service.get(session_id)).status_code == 429:  # noqa: ASYNC110 (the service is asked)
                await asyncio.sleep(0.1)


async def test_the_body_limit() -> None:
    """More than 1 MiB: 413 `payload_too_large`, told from a body that is wrong otherwise."""
    async with subject() as service:
        if not service.quirks.limits_are_tested:
            pytest.skip("the limit of the service is not known")
        path = f"/sessions/{await service.new_session()}"
        for method, operation in (("POST", "tracks/new"), ("PUT", "renegotiate")):
            answer = await service.call(method, f"{path}/{operation}", content=b" " * ((1 << 20) + 1))
            service.check_refused(answer, TOO_LARGE)
            answer = await service.call(method, f"{path}/{operation}", content=b" " * (1 << 20))
            service.check_error(answer, 400, "decoding_error")


# --- waiting for the transport


async def test_the_wait_for_connectivity() -> None:
    """An operation waits up to 5 s: 425 at their end, and not before; 200 when the session connects in that time."""
    async with subject() as service, lean(service) as never, lean(service) as late, speaker(service, "mic") as alice:
        wait_s = 5 * service.quirks.time_scale
        for client in (never, late):
            client.add()
            await client.publish("own", connects=False)

        async def is_refused() -> None:
            started = time.monotonic()
            answer = await service.tracks_new(never.session_id, tracks=[remote(alice, "mic")])
            service.check_refused(answer, NOT_READY)
            assert 0.8 * wait_s < time.monotonic() - started < wait_s + 3

        async def is_held() -> None:
            async with asyncio.TaskGroup() as group:
                held = group.create_task(late.new_tracks([remote(alice, "mic")]))
                done, _ = await asyncio.wait([held], timeout=0.3 * wait_s)
                assert not done
                await late.connect()
            document = held.result()
            await late.accept(document["sessionDescription"])
            await late.receives(ssrc_of(document), 1)

        await all_pass({"never": is_refused(), "late": is_held()})


# --- silence


async def test_the_collection_of_silent_tracks() -> None:
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
            while (now := await states(alice)) == dict.fromkeys(expected, "active"):  # noqa: ASYNC110 (likewise)
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


async def test_sessions_that_are_not_used() -> None:
    """One is gone when its time is over: never used, its offer unanswered, its answer never followed, fallen silent."""
    async with subject(unused_s=0.8, disconnected_s=1.6) as service:
        if not service.quirks.limits_are_tested:
            pytest.skip("takes minutes")

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


async def test_a_request_that_is_held_when_its_session_ends() -> None:
    """It is answered with 410, at once."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add()
        await alice.publish("silent")
        bob.add()
        await bob.publish("own")

        async with asyncio.TaskGroup() as group:
            asked = group.create_task(service.tracks_new(bob.session_id, tracks=[remote(alice, "silent")]))
            await asyncio.wait([asked], timeout=2 * service.quirks.time_scale)
            bob.leave()
        if service.quirks.follows_assumptions:
            service.check_refused(asked.result(), GONE)


async def test_a_client_that_is_killed() -> None:
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
