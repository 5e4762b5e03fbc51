"""Relays of one peer at a real coturn: opened together, whatever becomes of each."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing
from typing import Any

import pytest

from rtcctl.media.server_url import ServerUrl
from rtcctl.probe.turn.relay import Relays, RelaySettings, TurnServer
from tests.support.coturn import PASSWORD, USERNAME, coturn


def settings(*urls: str) -> RelaySettings:
    return RelaySettings(tuple(TurnServer(ServerUrl.parse(url), USERNAME, PASSWORD) for url in urls))


def taken() -> socket.socket:
    """A UDP port of loopback whose owner never answers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_several_that_do_not_answer_are_given_up_in_the_same_moment():
    """Each with its reason, and the one that relays is used."""
    async with coturn() as server:
        with ExitStack() as stack:
            silent = [f"turn:127.0.0.1:{stack.enter_context(closing(taken())).getsockname()[1]}" for _ in range(3)]
            async with Relays(settings(*silent, server.url("udp"))) as relays:
                async with asyncio.timeout(3):
                    await relays.open(lambda relay, data, addr: None)
                assert [relay.url.text for relay in relays.opened] == [server.url("udp")]
                assert {url: error.message for url, error in relays.failures.items()} == dict.fromkeys(
                    (ServerUrl.parse(url).text for url in silent), "it did not answer in time"
                )


async def test_an_address_where_nobody_listens_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """A name with two addresses, the first of which is closed: the second relays within the grace after another URL."""
    real = socket.getaddrinfo

    def lookup(host: str, *arguments: Any, **options: Any) -> list[Any]:
        hosts = ("127.0.0.9", "127.0.0.1") if host == "turn.example" else (host,)
        return [info for host in hosts for info in real(host, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    async with coturn() as server:
        urls = (f"turn:turn.example:{server.port}", server.url("tcp"))
        async with Relays(settings(*urls)) as relays:
            await relays.open(lambda relay, data, addr: None)
            assert relays.failures == {}
            assert [relay.url.text for relay in relays.opened] == list(urls)
