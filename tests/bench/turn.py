"""How long does an allocation take at a TURN server, beside aioice's own client?

    python -m tests.bench turn [--rounds N] [--allocations N]

A coturn of loopback, over UDP, TCP and TLS: from nothing to a relayed address, which is connecting, the challenge, and
the allocation. The two clients take turns, so that both meet the same machine. `at most 1.20` is the promise.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from statistics import median

from aioice import turn as aioice_turn
from aioice.stun import TransactionFailed

from rtcctl.errors import NetworkError
from rtcctl.media.server_url import Protocol, ServerUrl
from rtcctl.probe.turn.allocation import Allocation
from rtcctl.probe.turn.link import connect_tcp, connect_udp, open_stream, resolve
from tests.support.coturn import TurnServer, coturn

AT_MOST = 1.20
PROTOCOLS: tuple[Protocol, ...] = ("udp", "tcp", "tls")


async def ours(server: TurnServer, protocol: Protocol, tls: ssl.SSLContext) -> float:
    """Milliseconds."""
    url = ServerUrl.parse(server.url(protocol))
    started = time.perf_counter()
    (address,) = await resolve(url)
    if protocol == "udp":
        link = await connect_udp(address)
    else:
        link = await open_stream(await connect_tcp(address), url.host, tls if protocol == "tls" else None)
    async with Allocation(link, server.username, server.password, lambda data, peer: None) as allocation:
        await allocation.allocate(5)
        return (time.perf_counter() - started) * 1000


async def aioices(server: TurnServer, protocol: Protocol, tls: ssl.SSLContext) -> float:
    """Milliseconds."""
    port = server.tls_port if protocol == "tls" else server.port
    started = time.perf_counter()
    transport, _ = await aioice_turn.create_turn_endpoint(
        asyncio.DatagramProtocol,
        server_addr=(server.hosts[0], port),
        username=server.username,
        password=server.password,
        ssl=tls if protocol == "tls" else False,
        transport="udp" if protocol == "udp" else "tcp",
    )
    took = (time.perf_counter() - started) * 1000
    transport.close()
    await asyncio.sleep(0.01)
    return took


Client = Callable[[TurnServer, Protocol, ssl.SSLContext], Awaitable[float]]


async def compared(rounds: int, allocations: int) -> bool:
    """Print a row per protocol; whether all are within the promise."""
    is_good = True
    async with coturn() as server:
        tls = ssl.create_default_context(cafile=server.authority)
        for protocol in PROTOCOLS:
            samples: dict[Client, list[float]] = {ours: [], aioices: []}
            for _ in range(rounds):
                for client, times in samples.items():
                    for _ in range(allocations):
                        # A port that the kernel gives again within a second is one that coturn still knows (437).
                        with suppress(NetworkError, TransactionFailed):
                            times.append(await client(server, protocol, tls))
            mine, other = median(samples[ours]), median(samples[aioices])
            ratio = mine / other
            is_good &= ratio <= AT_MOST
            verdict = "held" if ratio <= AT_MOST else "BROKEN"
            print(
                f"{protocol}  ours {mine:5.2f} ms  aioice {other:5.2f} ms  ratio {ratio:4.2f} of {AT_MOST}  {verdict}"
            )
    return is_good


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench turn", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--allocations", type=int, default=10)
    options = parser.parse_args(arguments)
    return 0 if asyncio.run(compared(options.rounds, options.allocations)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
