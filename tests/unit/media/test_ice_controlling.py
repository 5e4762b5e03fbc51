"""The controlling agent (RFC 8445, RFC 7675), mostly against the lite agent over a simulated link."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import aioice.stun
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rtcctl.media.ice import (
    Address,
    AddressExpired,
    AddressVerified,
    CredentialsRetired,
    IceAgent,
    IceLiteAgent,
    RemoteAddressSelected,
)
from rtcctl.media.ice_controlling import IceControllingAgent
from rtcctl.media.stun import Attribute, Message, MessageClass, Method

HERE = ("192.0.2.1", 1000)
THERE = ("192.0.2.2", 2000)
ELSEWHERE = ("192.0.2.3", 3000)
PASSWORD, PEER_PASSWORD = "p" * 24, "q" * 24


def controlling(
    ufrag: str = "ours", pwd: str = PASSWORD, *, tie_breaker: int = 7, seed: int = 1, **options: Any
) -> IceControllingAgent:
    draw = random.Random(seed)
    return IceControllingAgent(
        ufrag, pwd, tie_breaker=tie_breaker, new_transaction_id=lambda: draw.randbytes(12), **options
    )


def events(agent: IceAgent) -> list[object]:
    return list(iter(agent.next_event, None))


def sent(agent: IceAgent) -> list[tuple[Message, Address]]:
    return [(Message.parse(data), addr) for data, addr in agent.datagrams_to_send(0)]


def success(request: Message, *, pwd: str = PEER_PASSWORD) -> Message:
    """An answer without the mapped address, for which we have no use."""
    return Message(Method.BINDING, MessageClass.SUCCESS, request.transaction_id).with_integrity(pwd.encode())


class Link:
    """Agents at addresses, time, and datagrams under way. An address may belong to nobody."""

    def __init__(self, seed: int = 1, *, loss: float = 0.0) -> None:
        self.now = 10.0
        self.loss = loss
        self.delay_s: dict[Address, float] = {}
        self.agents: dict[Address, IceAgent] = {}
        self.history: list[tuple[float, Address, Address, Message]] = []
        "When, from, to, what: also of what was lost."
        self._random = random.Random(seed)
        self._under_way: list[tuple[float, int, bytes, Address, Address]] = []
        self._order = itertools.count()

    def add(self, agent: IceAgent, *addresses: Address) -> None:
        for addr in addresses:
            self.agents[addr] = agent

    def drain(self, source: Address | None = None) -> None:
        """`source`: the address that was just reached, from which it answers."""
        for here, agent in self.agents.items():
            if source is not None and self.agents[source] is agent:
                here = source
            for data, to in agent.datagrams_to_send(self.now):
                self.history.append((self.now, here, to, Message.parse(data)))
                if self._random.random() >= self.loss:
                    at = self.now + self.delay_s.get(to, 0.01) + self.delay_s.get(here, 0.01)
                    heapq.heappush(self._under_way, (at, next(self._order), data, here, to))

    def run(self, for_s: float, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + for_s
        self.drain()
        while not until():
            timers = [timer for agent in set(self.agents.values()) if (timer := agent.get_timer()) is not None]
            self.now = max(min([end, *timers, *(at for at, *_ in self._under_way[:1])]), self.now)
            if self.now >= end:
                return
            for agent in set(self.agents.values()):
                agent.handle_timer(self.now)
            self.drain()
            while self._under_way and self._under_way[0][0] <= self.now:
                _, _, data, source, to = heapq.heappop(self._under_way)
                if to in self.agents:
                    self.agents[to].receive_datagram(data, source, self.now)
                    self.drain(to)

    def requests(self, to: Address) -> list[tuple[float, Message]]:
        return [(at, m) for at, _, addr, m in self.history if addr == to and m.message_class is MessageClass.REQUEST]


def connected(link: Link, **options: Any) -> tuple[IceControllingAgent, IceLiteAgent]:
    ours, server = controlling(**options), IceLiteAgent("theirs", PEER_PASSWORD)
    link.add(ours, HERE)
    link.add(server, THERE)
    ours.set_remote("theirs", PEER_PASSWORD, [THERE], link.now)
    link.run(1)
    assert ours.selected == THERE
    assert events(ours) == [AddressVerified(THERE), RemoteAddressSelected(THERE)]
    assert events(server) == [AddressVerified(HERE), RemoteAddressSelected(HERE)]
    return ours, server


def test_check_and_nomination():
    """A check is answered, the address is verified and selected, and a second request tells the server so."""
    link = Link()
    connected(link)
    (_, check), (_, nomination) = link.requests(THERE)
    assert check.username == nomination.username == "theirs:ours"
    assert Attribute.USE_CANDIDATE not in check.attributes
    assert Attribute.USE_CANDIDATE in nomination.attributes
    assert check.attributes[Attribute.ICE_CONTROLLING] == (7).to_bytes(8)
    assert len(link.history) == 4


def test_aioice_reads_the_check():
    """The independent witness finds the same attributes."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [THERE], 0)
    ((data, _),) = agent.datagrams_to_send(0)
    message = aioice.stun.parse_message(data)
    assert message.message_class is aioice.stun.Class.REQUEST
    assert message.attributes["USERNAME"] == "theirs:ours"
    assert message.attributes["ICE-CONTROLLING"] == 7
    assert message.attributes["PRIORITY"] == 1862270975


def test_candidates_are_paced_and_repeated():
    """One new check each 50 ms in the order given; each again after 0.5, 1, 2 … s, seven times in all, then no more."""
    link = Link()
    link.add(controlling(), HERE)
    link.agents[HERE].set_remote("theirs", PEER_PASSWORD, [THERE, ELSEWHERE], link.now)
    link.run(100)
    for candidate, start in ((THERE, 10), (ELSEWHERE, 10.05)):
        requests = link.requests(candidate)
        assert [at for at, _ in requests] == pytest.approx([start + s for s in (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)])
        assert len({message.transaction_id for _, message in requests}) == 1
    assert link.agents[HERE].get_timer() is None


def test_first_answer_is_selected():
    """The candidate that answers first wins, whatever the order; the checks of the others end."""
    link = Link()
    link.delay_s[ELSEWHERE] = 0.2
    ours, server = controlling(), IceLiteAgent("theirs", PEER_PASSWORD)
    link.add(ours, HERE)
    link.add(server, THERE, ELSEWHERE)
    ours.set_remote("theirs", PEER_PASSWORD, [("192.0.2.9", 9), ELSEWHERE, THERE], link.now)
    link.run(3)
    assert ours.selected == THERE
    assert ours.addresses == (THERE,)
    assert len(link.requests(("192.0.2.9", 9))) == 1


@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.3, 0.5]))
def test_loss(seed, loss):
    """Half of the packets may be lost: the server has the nomination in half a minute, nearly always."""
    link = Link(seed, loss=loss)
    ours, server = controlling(), IceLiteAgent("theirs", PEER_PASSWORD)
    link.add(ours, HERE)
    link.add(server, THERE)
    ours.set_remote("theirs", PEER_PASSWORD, [THERE], link.now)
    link.run(60, until=lambda: ours.selected is not None and server.selected is not None)
    # Seven requests, of which each gets through and is answered with (1 - loss)²: 13 % of them fail at half.
    if ours.selected is None:
        assert len(link.requests(THERE)) == 7
    else:
        assert (ours.selected, server.selected) == (THERE, HERE)
    assert all(isinstance(event, AddressVerified | RemoteAddressSelected) for event in events(ours))


def test_consent_is_renewed():
    """A request every 4 to 4.8 s, each a new transaction with the nomination, keeps the peer's consent."""
    link = Link()
    ours, _ = connected(link)
    link.history.clear()
    link.run(300)
    assert ours.selected == THERE
    assert events(ours) == []
    times = [at for at, _ in link.requests(THERE)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(3.99 < gap < 4.81 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.3
    assert len({message.transaction_id for _, message in link.requests(THERE)}) == len(times)
    assert all(Attribute.USE_CANDIDATE in message.attributes for _, message in link.requests(THERE))


def test_consent_as_often_as_wanted():
    """A measuring agent asks sooner and more often; at the same times with the same random numbers."""
    link = Link()
    connected(link, consent_s=(1.6, 2.4), first_consent_s=0.25)
    link.run(100)
    times = [at for at, _ in link.requests(THERE)]
    assert times[2] - times[1] == pytest.approx(0.25)
    gaps = [after - before for before, after in itertools.pairwise(times[2:])]
    assert all(1.59 < gap < 2.41 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.4


def test_round_trips():
    """Each request for consent that is answered is a round trip, and no other request; the newest eight are kept."""
    link = Link()
    ours, server = connected(link)
    assert not ours.round_trips_s
    link.run(4)
    assert list(ours.round_trips_s) == pytest.approx([0.04])
    assert ours.round_trips_s.popleft() == pytest.approx(0.04)
    link.delay_s[THERE] = 0.3
    del link.agents[THERE]
    link.run(12)
    assert not ours.round_trips_s
    link.add(server, THERE)
    link.run(100)
    assert list(ours.round_trips_s) == pytest.approx([0.62] * 8)


def test_late_answers_are_consent():
    """On a path whose round trip is longer than the time between two requests consent is never lost; and it is told."""
    link = Link()
    ours, _ = connected(link)
    link.delay_s[THERE] = 4.0
    link.run(120)
    assert ours.selected == THERE
    assert events(ours) == []
    assert list(ours.round_trips_s) == pytest.approx([8.02] * 8)


def test_consent_is_lost_and_found():
    """After 30 s without an answer nothing may be sent there; checks go on, and the server may come back."""
    link = Link()
    ours, server = connected(link)
    del link.agents[THERE]
    link.run(27)
    assert ours.selected == THERE
    link.run(8)
    assert ours.selected is None
    assert events(ours) == [AddressExpired(THERE)]
    assert ours.addresses == ()
    link.add(server, THERE)
    link.run(10)
    assert ours.selected == THERE
    assert events(ours) == [AddressVerified(THERE), RemoteAddressSelected(THERE)]


@pytest.mark.parametrize(
    ("answer", "addr"),
    [
        (lambda request: success(request, pwd=PASSWORD), THERE),
        (success, ELSEWHERE),
        (lambda request: Message(Method.BINDING, MessageClass.SUCCESS, request.transaction_id), THERE),
        (lambda request: success(Message(Method.BINDING, MessageClass.REQUEST, bytes(12))), THERE),
        (lambda request: Message(Method.BINDING, MessageClass.INDICATION, request.transaction_id), THERE),
        (lambda request: Message(0x003, MessageClass.SUCCESS, request.transaction_id), THERE),
        (
            lambda request: Message(
                Method.BINDING, MessageClass.ERROR, request.transaction_id, {Attribute.ERROR_CODE: b"\0\0\4\1"}
            ).with_fingerprint(),
            THERE,
        ),
    ],
)
def test_forged_answers(answer, addr):
    """An answer verifies nothing unless transaction, address and integrity are right; the check goes on."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [THERE], 0)
    ((request, _),) = sent(agent)
    assert not agent.receive_datagram(bytes(answer(request)), addr, 0.1)
    assert (agent.selected, events(agent), sent(agent)) == (None, [], [])
    assert agent.is_mine(request.transaction_id)
    assert agent.receive_message(Message.parse(bytes(success(request))), THERE, 0.2)
    assert agent.selected == THERE
    assert not agent.is_mine(request.transaction_id)


def test_server_that_learns_of_us_late():
    """An error does not end a check: a server may hear of our credentials after our first request."""
    link = Link()
    ours = controlling()
    link.add(ours, HERE)
    link.add(IceLiteAgent("unknown", PEER_PASSWORD), THERE)
    ours.set_remote("theirs", PEER_PASSWORD, [THERE], link.now)
    link.run(1)
    assert ours.selected is None
    link.add(IceLiteAgent("theirs", PEER_PASSWORD), THERE)
    link.run(1)
    assert ours.selected == THERE


def test_authenticated_error_is_heard():
    """An error under the peer's password is from the peer, and leaves the check as it is."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [THERE], 0)
    ((request, _),) = sent(agent)
    error = Message(Method.BINDING, MessageClass.ERROR, request.transaction_id, {Attribute.ERROR_CODE: b"\0\0\5\0"})
    assert agent.receive_message(error.with_integrity(PEER_PASSWORD.encode()), THERE, 0.1)
    assert agent.is_mine(request.transaction_id)
    assert agent.selected is None


def test_ipv6_addresses():
    """Candidates are written as sockets write them; events have the address as the socket had it."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [("2001:DB8:0::1", 5), ("2001:db8::1", 5)], 0)
    ((request, addr),) = sent(agent)
    assert addr == ("2001:db8::1", 5)
    came_from = ("2001:db8::1", 5, 0, 0)
    assert agent.receive_message(success(request), came_from, 0.1)
    assert agent.selected == came_from
    assert events(agent) == [AddressVerified(came_from), RemoteAddressSelected(came_from)]
    ((nomination, to),) = sent(agent)
    assert to == came_from
    assert Attribute.USE_CANDIDATE in nomination.attributes


def test_candidates_that_are_none():
    """Names, senseless ports and more than sixteen are left out."""
    link = Link()
    link.add(controlling(), HERE)
    odd = [("b0a5c1d2.local", 5), ("", 5), ("192.0.2.2", 0), ("192.0.2.2", 65536), ("192.0.2.2", -1)]
    many = [("198.51.100.7", port) for port in range(1, 100)]
    link.agents[HERE].set_remote("theirs", PEER_PASSWORD, [*odd, *many], link.now)
    link.run(5)
    link.agents[HERE].set_remote("theirs", PEER_PASSWORD, many, link.now)
    link.run(5)
    assert {to for _, _, to, _ in link.history} == set(many[:16])


def test_candidates_that_come_later():
    """A description repeated with more candidates adds them; once one is selected it changes nothing."""
    link = Link()
    ours = controlling()
    link.add(ours, HERE)
    link.add(IceLiteAgent("theirs", PEER_PASSWORD), THERE)
    assert ours.get_timer() is None
    ours.set_remote("theirs", PEER_PASSWORD, [ELSEWHERE], link.now)
    link.run(0.3)
    ours.set_remote("theirs", PEER_PASSWORD, [ELSEWHERE, THERE], link.now)
    link.run(0.3)
    assert ours.selected == THERE
    ours.set_remote("theirs", PEER_PASSWORD, [("192.0.2.77", 7)], link.now)
    link.run(3)
    assert link.requests(("192.0.2.77", 7)) == []


def test_restart():
    """Media goes on to the selected address until the new credentials are answered; then the old ones are void."""
    link = Link()
    ours, server = connected(link)
    assert ours.restart("fresh", "r" * 24) is None
    server.restart("renewed", "s" * 24)
    assert ours.ufrags == ("fresh", "ours")
    assert ours.selected == THERE
    link.run(6)
    assert len(link.requests(THERE)) == 2
    ours.set_remote("renewed", "s" * 24, [THERE], link.now)
    link.run(1)
    assert link.requests(THERE)[-1][1].username == "renewed:fresh"
    assert (ours.selected, server.selected) == (THERE, HERE)
    assert events(ours) == [CredentialsRetired("ours")]
    assert ours.ufrags == ("fresh",)
    link.run(100)
    assert ours.selected == THERE


def test_restart_to_another_address():
    """The new candidates count, not the old ones."""
    link = Link()
    ours, _ = connected(link)
    ours.restart("fresh", "r" * 24)
    del link.agents[THERE]
    link.add(IceLiteAgent("renewed", "s" * 24), ELSEWHERE)
    ours.set_remote("renewed", "s" * 24, [ELSEWHERE], link.now)
    link.run(1)
    assert ours.selected == ELSEWHERE
    assert events(ours)[-1] == RemoteAddressSelected(ELSEWHERE)


def test_restart_that_nobody_takes_up():
    """Consent is lost then too, and there is nothing left to check."""
    link = Link()
    ours, _ = connected(link)
    ours.restart("fresh", "r" * 24)
    link.run(40)
    assert ours.selected is None
    assert ours.get_timer() is None
    assert events(ours) == [AddressExpired(THERE)]


def test_forget():
    """When the selected address has become somebody else's, the other candidates are tried."""
    link = Link()
    ours, server = controlling(), IceLiteAgent("theirs", PEER_PASSWORD)
    link.add(ours, HERE)
    link.add(server, THERE, ELSEWHERE)
    ours.set_remote("theirs", PEER_PASSWORD, [THERE, ELSEWHERE], link.now)
    link.run(1)
    assert not ours.forget(ELSEWHERE)
    assert ours.forget(THERE)
    assert ours.selected is None
    link.run(1)
    assert ours.selected == ELSEWHERE


# -- full agents -----------------------------------------------------------------------------------------------------


def check(*, tie_breaker: int = 0, role: str = "controlled", nominate: bool = False) -> Message:
    attributes = {
        Attribute.USERNAME: b"ours:theirs",
        Attribute.PRIORITY: bytes(4),
        Attribute[f"ICE_{role.upper()}"]: tie_breaker.to_bytes(8),
    }
    if nominate:
        attributes[Attribute.USE_CANDIDATE] = b""
    return Message(Method.BINDING, MessageClass.REQUEST, bytes(12), attributes).with_integrity(PASSWORD.encode())


def test_full_agent_is_answered_and_checked():
    """A request verifies where it came from, and is checked in turn; its sender is not selected by that alone."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [], 0)
    assert agent.receive_message(check(), THERE, 1)
    assert agent.receive_message(check(), THERE, 1.01)
    (first, _), (triggered, addr), (second, _) = sent(agent)
    assert first.message_class is second.message_class is MessageClass.SUCCESS
    assert addr == THERE
    assert events(agent) == [AddressVerified(THERE)]
    assert agent.selected is None
    agent.receive_message(success(triggered), THERE, 1.1)
    assert agent.selected == THERE


def test_full_agent_that_checks_before_its_description_comes():
    """Its address is checked as soon as we know its password, candidates first."""
    link = Link()
    agent = controlling()
    link.add(agent, HERE)
    agent.receive_message(check(), THERE, link.now)
    link.run(1)
    assert [message.message_class for *_, message in link.history] == [MessageClass.SUCCESS]
    agent.set_remote("theirs", PEER_PASSWORD, [ELSEWHERE], link.now)
    link.run(0.2)
    assert [to for *_, to, _ in link.history] == [THERE, ELSEWHERE, THERE]


def test_triggered_checks_are_bounded_and_not_doubled():
    """Whoever asks from many ports does not make us ask at all of them; a candidate that asks first is asked once."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [ELSEWHERE, THERE], 0)
    agent.receive_message(check(), THERE, 0.01)
    agent.handle_timer(0.05)
    assert [to for message, to in sent(agent) if message.message_class is MessageClass.REQUEST] == [ELSEWHERE, THERE]
    assert agent.get_timer() == 0.5
    for port in range(100):
        agent.receive_message(check(), ("198.51.100.7", 1 + port), 0.1)
    assert len([m for m, _ in sent(agent) if m.message_class is MessageClass.REQUEST]) == 14


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32), st.sampled_from([0.0, 0.2]))
def test_two_agents_that_both_believe_to_be_controlling(one, other, seed, loss):
    """The greater tie-breaker controls, the other follows (§7.3.1.1), and both select the other's address."""
    assume(one != other)
    link = Link(seed, loss=loss)
    ours = controlling(tie_breaker=one, seed=1)
    theirs = controlling("theirs", PEER_PASSWORD, tie_breaker=other, seed=2)
    link.add(ours, HERE)
    link.add(theirs, THERE)
    ours.set_remote("theirs", PEER_PASSWORD, [THERE], link.now)
    theirs.set_remote("ours", PASSWORD, [HERE], link.now)
    link.run(25)
    if not loss:
        assert (ours.selected, theirs.selected) == (THERE, HERE)
    if ours.selected and theirs.selected:
        assert (ours.is_controlling, theirs.is_controlling) == (one > other, other > one)


def test_controlled_side_follows_nominations():
    """After a conflict lost, the peer's nomination moves our selection, and we nominate nothing."""
    agent = controlling(tie_breaker=5)
    agent.set_remote("theirs", PEER_PASSWORD, [THERE], 0)
    sent(agent)
    assert agent.receive_message(check(role="controlling", tie_breaker=6, nominate=True), ELSEWHERE, 1)
    assert not agent.is_controlling
    assert agent.selected == ELSEWHERE
    (answer, _), (request, to) = sent(agent)
    assert answer.message_class is MessageClass.SUCCESS
    assert to == ELSEWHERE
    assert Attribute.ICE_CONTROLLED in request.attributes
    assert Attribute.USE_CANDIDATE not in request.attributes
    assert agent.receive_message(check(role="controlling", tie_breaker=6, nominate=True), ELSEWHERE, 2)
    assert len(sent(agent)) == 1


def test_conflict_won_by_the_controlled_side():
    """Who was controlled and has the greater tie-breaker takes control when its peer is controlled too."""
    agent = controlling(tie_breaker=5)
    agent.set_remote("theirs", PEER_PASSWORD, [THERE], 0)
    agent.receive_message(check(role="controlling", tie_breaker=6), THERE, 1)
    assert not agent.is_controlling
    sent(agent)
    agent.receive_message(check(role="controlled", tie_breaker=6), THERE, 2)
    assert not agent.is_controlling
    ((answer, _),) = sent(agent)
    assert answer.error_code == 487
    agent.receive_message(check(role="controlled", tie_breaker=4), THERE, 2)
    assert agent.is_controlling


def test_lite_agent_has_no_timer():
    """A connection may treat both agents alike."""
    agent = IceLiteAgent("ours", PASSWORD)
    agent.handle_timer(5)
    assert agent.get_timer() is None


@given(st.binary(max_size=120), st.booleans())
def test_noise(noise, is_answer):
    """Attributes of any kind in an authenticated message change no more than they may."""
    agent = controlling()
    agent.set_remote("theirs", PEER_PASSWORD, [THERE], 0)
    ((request, _),) = sent(agent)
    attributes = {Attribute.ICE_CONTROLLING: noise, Attribute.ERROR_CODE: noise, Attribute.USERNAME: b"ours:x"}
    kind = MessageClass.ERROR if is_answer else MessageClass.REQUEST
    message = Message(Method.BINDING, kind, request.transaction_id, attributes)
    agent.receive_message(message.with_integrity((PEER_PASSWORD if is_answer else PASSWORD).encode()), THERE, 1)
    assert agent.selected is None
