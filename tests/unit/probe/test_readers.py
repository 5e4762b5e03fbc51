"""Many sockets watched as one."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket

import pytest

from rtcctl.probe import readers
from rtcctl.probe.readers import readers_of


@pytest.fixture(params=["epoll", "without epoll"], autouse=True)
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "epoll":
        monkeypatch.delattr(select, "epoll", raising=False)
    elif not hasattr(select, "epoll"):
        pytest.skip("no epoll here")


async def test_who_has_something_is_read():
    """Again and again while there is more, until it is removed; then nothing is kept."""
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(100)]
        for end in (end for pair in pairs for end in pair):
            stack.enter_context(end)
        received: list[tuple[int, bytes]] = []
        all_read = asyncio.Event()

        def read(number: int) -> None:
            received.append((number, pairs[number][0].recv(100)))
            if len(received) == 200:
                all_read.set()

        watching = readers_of(asyncio.get_running_loop())
        for number, (ours, theirs) in enumerate(pairs):
            watching.add(ours, lambda number=number: read(number))
            theirs.send(b"one")
            theirs.send(b"two")
        async with asyncio.timeout(10):
            await all_read.wait()
        assert sorted(received) == sorted((number, data) for number in range(100) for data in (b"one", b"two"))
        for ours, theirs in pairs:
            watching.remove(ours)
            watching.remove(ours)
            theirs.send(b"three")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(received) == 200
        assert not readers._READERS


async def test_one_that_another_closes_is_not_read():
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        for end in (end for pair in pairs for end in pair):
            stack.enter_context(end)
        watching = readers_of(asyncio.get_running_loop())
        calls = []
        is_read = asyncio.Event()

        def read(number: int) -> None:
            calls.append(number)
            is_read.set()
            for ours, _ in pairs:
                watching.remove(ours)
                ours.close()

        for number, (ours, theirs) in enumerate(pairs):
            watching.add(ours, lambda number=number: read(number))
            theirs.send(b"one")
        async with asyncio.timeout(10):
            await is_read.wait()
        await asyncio.sleep(0)
        assert len(calls) == 1
