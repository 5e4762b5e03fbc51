"""The ICE-lite agent (RFC 8445)."""

from __future__ import annotations

import pytest

from rtcctl.errors import ParseError
from rtcctl.media.ice import (
    AddressExpired,
    AddressVerified,
    CredentialsRetired,
    IceLiteAgent,
    RemoteAddressSelected,
)
from rtcctl.media.stun import Attribute, Message, MessageClass, Method

HERE = ("192.0.2.1", 1000)
THERE = ("192.0.2.2", 2000)
PASSWORD = "p" * 24


def check(agent=None, *, password=PASSWORD, nominate=False, username="ours:theirs", **attributes):
    values = {Attribute.USERNAME: username.encode(), Attribute.PRIORITY: bytes(4), Attribute.ICE_CONTROLLING: bytes(8)}
    values |= {Attribute[name.upper()]: value for name, value in attributes.items()}
    if nominate:
        values[Attribute.USE_CANDIDATE] = b""
    return Message(Method.BINDING, MessageClass.REQUEST, bytes(12), values).with_integrity(password.encode())


def events(agent):
    return list(iter(agent.next_event, None))


def answer(agent):
    ((data, addr),) = agent.datagrams_to_send(0)
    return Message.parse(data), addr


@pytest.fixture
def agent():
    return IceLiteAgent("ours", PASSWORD)


def test_first_check_verifies_and_selects(agent):
    """A check with our credentials is answered where it came from, and media may go there."""
    assert agent.receive_datagram(bytes(check()), HERE, 0)
    response, addr = answer(agent)
    assert addr == HERE
    assert response.message_class is MessageClass.SUCCESS
    assert response.mapped_address == HERE
    assert response.check_integrity(PASSWORD.encode())
    assert response.has_fingerprint
    assert events(agent) == [AddressVerified(HERE), RemoteAddressSelected(HERE)]
    assert agent.selected == HERE


def test_nomination_moves_the_selection(agent):
    """The latest nomination wins; a check without one only verifies."""
    agent.receive_message(check(), HERE, 0)
    agent.receive_message(check(), THERE, 1)
    assert agent.selected == HERE
    agent.receive_message(check(nominate=True), THERE, 2)
    assert agent.selected == THERE
    assert events(agent)[-1] == RemoteAddressSelected(THERE)
    assert set(agent.addresses) == {HERE, THERE}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (check(password="wrong"), 401),
        (check(username="other:theirs"), 401),
        (Message(Method.BINDING, MessageClass.REQUEST, bytes(12), {Attribute.USERNAME: b"ours:x"}), 400),
        (Message(Method.BINDING, MessageClass.REQUEST, bytes(12)), 400),
    ],
)
def test_unauthenticated_requests_change_nothing(agent, message, code):
    """Without our password a request gets an error, smaller than itself, and no address is verified."""
    assert not agent.receive_message(message, HERE, 0)
    response, _ = answer(agent)
    assert response.error_code == code
    assert len(bytes(response)) <= max(len(bytes(message)), 64)
    assert events(agent) == []
    assert agent.selected is None


def test_role_conflict(agent):
    """A peer that believes to be controlled is told to switch (§7.3.1.1)."""
    assert agent.receive_message(check(ice_controlled=bytes(8)), HERE, 0)
    response, _ = answer(agent)
    assert response.error_code == 487
    assert response.check_integrity(PASSWORD.encode())
    assert agent.selected is None


def test_unknown_attribute(agent):
    """An attribute that must be understood and is not is named in a 420."""
    message = Message(
        Method.BINDING, MessageClass.REQUEST, bytes(12), {Attribute.USERNAME: b"ours:theirs", 0x7001: b""}
    ).with_integrity(PASSWORD.encode())
    agent.receive_message(message, HERE, 0)
    response, _ = answer(agent)
    assert response.error_code == 420
    assert response.attributes[Attribute.UNKNOWN_ATTRIBUTES] == b"\x70\x01"


@pytest.mark.parametrize("kind", [MessageClass.INDICATION, MessageClass.SUCCESS, MessageClass.ERROR])
def test_only_requests_are_answered(agent, kind):
    """Responses to requests we never sent and indications are ignored."""
    message = Message(Method.BINDING, kind, bytes(12)).with_integrity(PASSWORD.encode())
    assert not agent.receive_message(message, HERE, 0)
    assert list(agent.datagrams_to_send(0)) == []


def test_restart(agent):
    """Old credentials hold until the new ones are taken up; then they are void."""
    agent.receive_message(check(nominate=True), HERE, 0)
    assert agent.restart("fresh", "q" * 24) is None
    assert agent.ufrags == ("fresh", "ours")
    assert agent.receive_message(check(), HERE, 1)
    assert agent.receive_message(check(username="fresh:x", password="q" * 24, nominate=True), THERE, 2)
    assert CredentialsRetired("ours") in events(agent)
    assert agent.selected == THERE
    assert agent.ufrags == ("fresh",)
    assert not agent.receive_message(check(), HERE, 3)


def test_restart_before_the_last_was_taken_up(agent):
    """The credentials nobody used are dropped; those in use stay."""
    agent.restart("second", "q" * 24)
    assert agent.restart("third", "r" * 24) == "second"
    assert agent.ufrags == ("third", "ours")


def test_addresses_are_bounded(agent):
    """A peer that checks from many ports keeps the newest, and always the one in use."""
    agent.receive_message(check(nominate=True), HERE, 0)
    for port in range(100):
        agent.receive_message(check(), ("192.0.2.9", port), 1 + port)
    assert len(agent.addresses) == 16
    assert HERE in agent.addresses
    assert AddressExpired(("192.0.2.9", 0)) in events(agent)


def test_forget(agent):
    """An address that became somebody else's is used no more, until it is verified again."""
    agent.receive_message(check(), HERE, 0)
    assert not agent.forget(THERE)
    assert agent.forget(HERE)
    assert agent.selected is None
    agent.receive_message(check(), HERE, 1)
    assert agent.selected == HERE


def test_garbage(agent):
    """What is no STUN is the sender's error."""
    with pytest.raises(ParseError):
        agent.receive_datagram(b"garbage", HERE, 0)
