"""Limits of requests, and their waits (Realtime docs: Limits).

Those of pulls are in `test_items.py`, the times after which tracks and sessions end in `test_timers.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import httpx
import pytest

from tests.contract.cases import all_pass
from tests.contract.lean import lean, remote, speaker, ssrc_of
from tests.contract.refusals import GONE, NOT_READY, TOO_LARGE, TOO_MANY_REQUESTS
from tests.contract.subject import Subject, subject

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

        async def is_refused(answering: Awaitable[httpx.Response], after_s: float) -> None:
            started = time.monotonic()
            service.check_refused(await answering, NOT_READY)
            assert 0.8 * after_s <= time.monotonic() - started < wait_s + 3

        async def is_held() -> None:
            async with asyncio.TaskGroup() as group:
                held = group.create_task(late.new_tracks([remote(alice, "mic")]))
                done, _ = await asyncio.wait([held], timeout=0.3 * wait_s)
                assert not done
                await late.connect()
            document = held.result()
            await late.accept(document["sessionDescription"])
            await late.receives(ssrc_of(document), 1)

        track, unused = remote(alice, "mic"), await service.new_session()
        await all_pass(
            {
                "never": is_refused(service.tracks_new(never.session_id, tracks=[track]), wait_s),
                # Nothing can connect a session that has exchanged nothing.
                "new": is_refused(service.tracks_update(unused, track | {"mid": "0"}), 0),
                "late": is_held(),
            }
        )


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
