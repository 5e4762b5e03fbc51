"""Whether a TURN server still takes a credential: allocate, until it does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from rtcctl.errors import NetworkError, ParseError
from rtcctl.media.server_url import ServerUrl
from rtcctl.realtime.profile import Profile
from rtcctl.results.turn import IceServer

VERIFY_DEADLINE_S = 60.0
"For a revocation to reach the servers: the service says `shortly after`."

ALLOCATE_TIMEOUT_S = 3.0

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 1.0
"Between two allocations."

UNAUTHENTICATED = 401
"RFC 8489 §18.4: what a server says of a user name or password that it does not know (any more)."


async def is_taken(server: IceServer, profile: Profile) -> bool:
    """Allocate by the first URL that answers, UDP before TCP before TLS; false when the server refuses the credential.

    Raises `NetworkError` when none answers, or refuses for another reason.
    """
    from rtcctl.probe.turn.allocation import Allocation, RefusedError
    from rtcctl.probe.turn.link import resolve
    from rtcctl.probe.turn.tls import Trust, connect

    trust = Trust(profile.ca_file)
    failure = NetworkError("There is no TURN URL that could be tried.", phase="turn")
    for url in in_order(server.urls):
        try:
            for address in await resolve(url):
                try:
                    link = await connect(url, address, trust, timeout_s=ALLOCATE_TIMEOUT_S)
                    async with Allocation(link, server.username or "", server.credential or "", _ignore) as allocation:
                        await allocation.allocate(ALLOCATE_TIMEOUT_S)
                    return True
                except RefusedError as error:
                    if error.code == UNAUTHENTICATED:
                        return False
                    failure = error
                except NetworkError as error:
                    failure = error
        except NetworkError as error:
            failure = error
    raise failure


async def refused_after(
    is_taken: Callable[[], Awaitable[bool]],
    since: float,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    deadline_s: float = VERIFY_DEADLINE_S,
) -> float | None:
    """Seconds from `since` until `is_taken` is false; `None` when it has not been within the deadline.

    A server that does not answer has not refused.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        with suppress(NetworkError):
            if not await is_taken():
                return clock() - since
        if clock() - since + pause_s > deadline_s:
            return None
        await sleep(pause_s)
        pause_s = min(MAX_PAUSE_S, pause_s * 1.5)


def in_order(urls: Sequence[str]) -> tuple[ServerUrl, ...]:
    """The TURN URLs, cheapest transport first; port 53, which some networks redirect, last of all."""
    parsed = []
    for text in urls:
        with suppress(ParseError):
            parsed.append(ServerUrl.parse(text))
    order = ("udp", "tcp", "tls")
    return tuple(sorted((u for u in parsed if u.is_turn), key=lambda u: (u.is_port_53, order.index(u.protocol))))


def _ignore(_data: bytes, _peer: object) -> None:
    """Nobody sends to it."""
