"""coturn's console, as the supervisor speaks to it."""

from __future__ import annotations

import asyncio

import pytest

from rtcctl.server import coturn


class Wire(asyncio.Transport):
    """What is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.lines.append(bytes(data).decode().strip())

    def is_closing(self) -> bool:
        return False


async def test_all_sessions_of_a_user_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists so many at most, so it is asked again until it lists none."""
    monkeypatch.setattr(coturn, "_NEXT_LOOK_S", 0.0)
    monkeypatch.setattr(coturn, "_SECOND_LOOK_S", 1000.0)
    wire, console = Wire(), coturn._Console("secret")
    console.connection_made(wire)
    console.data_received(b"Enter password: ")
    console.data_received(b"> ")
    console.end("bob")
    console.data_received(b" 1) id=001, user <bob>:\r\n 2) id=002, user <bob>:\r\n> ")
    console.data_received(b"> ")
    console.data_received(b"> ")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    console.data_received(b" 1) id=003, user <bob>:\r\n> ")
    console.data_received(b"> ")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    console.data_received(b"Total sessions: 0\r\n> ")
    await asyncio.sleep(0)
    assert wire.lines == ["secret", "ps bob", "cs 001", "cs 002", "ps bob", "cs 003", "ps bob"]
