"""One URL of a STUN or TURN server, tried the way a client would use it: from the name to relayed packets.

Each step is timed, and the first that fails ends the way; what it said is kept in the report. What that means for
whom is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rtcctl.errors import NetworkError, ParseError
from rtcctl.media.server_url import ServerUrl
from rtcctl.probe.turn.allocation import Allocation, RefusedError, UnansweredError
from rtcctl.probe.turn.link import Address, Link, connect_tcp, connect_udp, open_stream, resolve
from rtcctl.probe.turn.nat import nat_behaviour
from rtcctl.probe.turn.tls import Trust, UntrustedError, connect, open_tls
from rtcctl.probe.turn.traffic import TrafficMeter
from rtcctl.results.turn_check import Refusal, Step, Stop, UrlReport

STEP_TIMEOUT_S = 4.0
"""Of a TCP connection, a TLS handshake, a binding and an allocation each: a UDP server that is not there costs two of
them, and a check of it should not take long."""

EXPIRY_GRACE_S = 5.0
"A server may find out a little later that a credential has expired."

_RETRY_S = 1.0
_UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True)
class Credential:
    """Of a TURN server."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What all URLs of a check have in common."""

    for_s: float
    rate_hz: float
    trust: Trust
    clock: Callable[[], float]
    short_lived: Credential | None = None
    "A credential that is to be refused when it has expired, where there is one."
    expires_at: float = 0.0
    "Clock."


async def check_url(text: str, credential: Credential | None, plan: Plan) -> UrlReport:
    """Try one URL. Never raises for what a server or a network does."""
    try:
        url = ServerUrl.parse(text)
    except ParseError as exc:
        stop = Stop(Step.URL, f"{text!r} is no URL of a STUN or TURN server: {exc}")
        return UrlReport(url=text, protocol=None, host=None, port=None, is_turn=False, stop=stop)
    walk = _Walk(url, credential, plan)
    await walk.run()
    return walk.report


class _StoppedError(Exception):
    """The way ends; the report says where."""


class _Walk:
    """The way of one URL."""

    def __init__(self, url: ServerUrl, credential: Credential | None, plan: Plan) -> None:
        self._url = url
        self._credential = credential
        self._plan = plan
        self._address: Address = ()
        self.report = UrlReport(url=url.text, protocol=url.protocol, host=url.host, port=url.port, is_turn=url.is_turn)

    async def run(self) -> None:
        with suppress(_StoppedError):
            addresses = await self._resolve()
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                # Inside the group, so that what runs beside it is waited for.
                with suppress(_StoppedError):
                    sender, link = await self._reach(addresses, stack)
                    if self._url.protocol == "udp" and self.report.binding_ms is not None:
                        group.create_task(self._find_nat())
                    if self._url.is_turn:
                        await self._relay(sender, link, stack, group)

    # -- the steps -----------------------------------------------------------------------------------------------

    async def _resolve(self) -> tuple[Address, ...]:
        asked_at = self._plan.clock()
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                addresses = await resolve(self._url)
        except TimeoutError:
            raise self._stop(Step.DNS, f"the name {self._url.host} was not resolved in {STEP_TIMEOUT_S:g} s") from None
        except NetworkError as error:
            raise self._stop(Step.DNS, error.message) from None
        self._note(addresses=tuple(str(address[0]) for address in addresses), dns_ms=self._since(asked_at))
        return addresses

    async def _reach(self, addresses: tuple[Address, ...], stack: AsyncExitStack) -> tuple[Allocation, Link]:
        """The first address that answers, as clients have it; all together may take no longer than one."""
        give_up_at = self._plan.clock() + STEP_TIMEOUT_S
        for position, address in enumerate(addresses):
            is_last = position == len(addresses) - 1
            patience_s = max(0.0, give_up_at - self._plan.clock()) / (len(addresses) - position)
            self._address = address
            self._note(address=str(address[0]), stop=None)
            try:
                link = await self._open(address, patience_s)
            except _StoppedError:
                # Where somebody is there, another address will hardly have another certificate.
                if is_last or (self.report.stop is not None and self.report.stop.step is Step.TLS):
                    raise
                continue
            sender = await stack.enter_async_context(self._allocation(link))
            if await self._bind(sender, link, patience_s, is_last=is_last) or is_last:
                return sender, link
        raise AssertionError("a name has an address")

    async def _open(self, address: Address, patience_s: float) -> Link:
        protocol, plan = self._url.protocol, self._plan
        asked_at = plan.clock()
        try:
            if protocol == "udp":
                return await connect_udp(address)
            sock = await connect_tcp(address, patience_s)
            self._note(connect_ms=self._since(asked_at))
            if protocol == "tcp":
                return await open_stream(sock, self._url.host, None, patience_s)
            connected_at = plan.clock()
            link, report = await open_tls(sock, address, self._url.host, plan.trust, timeout_s=STEP_TIMEOUT_S)
        except UntrustedError as error:
            self._note(tls=error.report)
            raise self._stop(Step.TLS, error.message) from None
        except NetworkError as error:
            raise self._stop(Step(error.phase), error.message) from None
        self._note(tls=report, tls_ms=self._since(connected_at))
        return link

    async def _bind(self, allocation: Allocation, link: Link, patience_s: float, *, is_last: bool) -> bool:
        """Whether a binding request is answered: for a STUN URL all there is; a TURN server may leave it unanswered."""
        try:
            mapped, rtt_s = await allocation.binding(patience_s)
        except NetworkError as error:
            if is_last and (not self._url.is_turn or allocation.error is not None):
                raise self._unanswered(Step.BINDING, error, link) from None
            return False
        self._note(binding_ms=rtt_s * 1000, mapped_address=None if mapped is None else _text(mapped))
        return True

    async def _find_nat(self) -> None:
        with suppress(TimeoutError, OSError):
            self._note(nat=await nat_behaviour(self._address))

    async def _relay(self, sender: Allocation, link: Link, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        if self._credential is None:
            raise self._stop(Step.ALLOCATE, "there is no username and credential for it")
        asked_at = self._plan.clock()
        try:
            allocated = await sender.allocate(STEP_TIMEOUT_S)
        except NetworkError as error:
            raise self._unanswered(Step.ALLOCATE, error, link) from None
        self._note(
            allocate_ms=self._since(asked_at),
            relayed_address=_text(allocated.relayed),
            lifetime_s=allocated.lifetime_s,
            software=sender.software or None,
        )
        group.create_task(self._try_wrong_password())
        fresh = group.create_task(self._is_good(self._plan.short_lived))
        meter = TrafficMeter(self._plan.rate_hz, clock=self._plan.clock)
        try:
            receiver = self._allocation(await self._another_link(), take=meter.received)
            await stack.enter_async_context(receiver)
            await receiver.allocate(STEP_TIMEOUT_S)
            bound_at = self._plan.clock()
            await receiver.bind(sender.relayed, STEP_TIMEOUT_S)
            await sender.bind(receiver.relayed, STEP_TIMEOUT_S)
        except NetworkError as error:
            raise self._stop(Step.CHANNEL, error.message, error) from None
        self._note(channel_ms=self._since(bound_at) / 2)
        traffic = await meter.run(sender, receiver.relayed, self._plan.for_s)
        self._note(traffic=traffic)
        broken = sender.error or receiver.error
        if broken is not None:
            raise self._stop(Step.TRAFFIC, broken.message, broken)
        if await fresh:
            self._note(expired=await self._expired())

    async def _try_wrong_password(self) -> None:
        assert self._credential is not None
        wrong = replace(self._credential, password=f"{self._credential.password}x")
        self._note(wrong_password=await self._refusal(wrong))

    async def _is_good(self, credential: Credential | None) -> bool:
        """Whether it is granted an allocation: only then it means something that it is refused later."""
        return credential is not None and await self._refusal(credential) is Refusal.ACCEPTED

    async def _expired(self) -> Refusal:
        """Once it is refused, it was; accepted is what is accepted still after the grace."""
        assert self._plan.short_lived is not None
        await asyncio.sleep(max(0.0, self._plan.expires_at - self._plan.clock()))
        give_up_at = self._plan.clock() + EXPIRY_GRACE_S
        while (refusal := await self._refusal(self._plan.short_lived)) is Refusal.ACCEPTED:
            if self._plan.clock() >= give_up_at:
                break
            await asyncio.sleep(_RETRY_S)
        return refusal

    async def _refusal(self, credential: Credential) -> Refusal:
        """What becomes of an allocation with a credential that is no good; a silent server tells nothing."""
        try:
            link = await self._another_link()
        except NetworkError:
            return Refusal.NOT_TESTED
        async with self._allocation(link, credential) as allocation:
            try:
                await allocation.allocate(STEP_TIMEOUT_S)
            except RefusedError as error:
                return Refusal.REFUSED if error.code == _UNAUTHENTICATED else Refusal.NOT_TESTED
            except NetworkError:
                return Refusal.NOT_TESTED
        return Refusal.ACCEPTED

    # -- what they share -----------------------------------------------------------------------------------------

    async def _another_link(self) -> Link:
        """As the first one."""
        return await connect(self._url, self._address, self._plan.trust, timeout_s=STEP_TIMEOUT_S)

    def _allocation(
        self,
        link: Link,
        credential: Credential | None = None,
        take: Callable[[bytes, tuple[str, int]], None] = lambda data, peer: None,
    ) -> Allocation:
        used = credential or self._credential or Credential("", "")
        return Allocation(link, used.username, used.password, take, clock=self._plan.clock)

    def _note(self, **figures: Any) -> None:
        self.report = replace(self.report, **figures)

    def _since(self, at: float) -> float:
        return (self._plan.clock() - at) * 1000

    def _unanswered(self, step: Step, error: NetworkError, link: Link) -> _StoppedError:
        if isinstance(link.last_error, ConnectionRefusedError):
            return self._stop(step, f"nothing listens on port {self._url.port}: the port is closed")
        return self._stop(step, error.message, error)

    def _stop(self, step: Step, message: str, error: NetworkError | None = None) -> _StoppedError:
        code = error.code if isinstance(error, RefusedError) else None
        self._note(stop=Stop(step, message, code, is_silence=isinstance(error, UnansweredError)))
        return _StoppedError()


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
