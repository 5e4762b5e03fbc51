"""Many sockets watched as one."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable

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


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, pytest.param("uvloop", id="uvloop")])
def test_a_burst_is_read_at_once_but_not_without_end(factory: Callable[[], asyncio.AbstractEventLoop] | str):
    """In one turn of the loop with epoll, one by one without; others get their turn when it is long."""
    if isinstance(factory, str):
        factory = pytest.importorskip(factory).new_event_loop
    at_once = readers._BATCH if hasattr(select, "epoll") else 1
    count = 3 * at_once
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    ours.bind(("127.0.0.1", 0))
    theirs.connect(ours.getsockname())

    async def test() -> None:
        received: list[bytes] = []
        turns: list[int] = []
        watching = readers_of(asyncio.get_running_loop())
        loop = asyncio.get_running_loop()
        all_read = asyncio.Event()

        def read() -> None:
            if not received or len(received) % at_once == 0:
                loop.call_soon(lambda: turns.append(len(received)))
            received.append(ours.recv(100))
            if len(received) == count:
                all_read.set()

        for _ in range(count):
            theirs.send(b"x")
        watching.add(ours, read)
        async with asyncio.timeout(10):
            await all_read.wait()
        await asyncio.sleep(0)
        assert turns == [at_once, 2 * at_once, count]
        assert received == [b"x"] * count
        watching.remove(ours)

    with ours, theirs, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(test())
    assert not readers._READERS
