"""The TURN client (RFC 8656, RFC 8489 §9.2) against a scripted server, and on the bytes of aioice's."""

from __future__ import annotations

import itertools
import random
import struct

import aioice.stun
import aioice.turn
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.stun import Attribute, Message, MessageClass, Method, mapped_address_value
from rtcctl.media.turn import (
    CHANNEL_REFRESH_S,
    FIRST_CHANNEL,
    LAST_CHANNEL,
    Allocated,
    ChannelBound,
    DataReceived,
    Framing,
    Refused,
    State,
    TimedOut,
    TurnClient,
    long_term_key,
)
from tests.support.turn_server import MAPPED, OTHER_PEER, PASSWORD, PEER, RELAYED, USERNAME, Exchange

SENT_AT = (0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)
"Seconds after the first; RFC 8489 §6.2.1."
GIVEN_UP_AT = 39.5


def client(*, is_reliable: bool = False, password: str = PASSWORD, username: str = USERNAME) -> TurnClient:
    draw = random.Random(1)
    return TurnClient(username, password, is_reliable=is_reliable, new_transaction_id=lambda: draw.randbytes(12))


def exchange(**options: object) -> Exchange:
    return Exchange(client(**options))  # type: ignore[arg-type]


def allocated(**options: object) -> Exchange:
    whole = exchange(**options)
    assert whole.allocate() == [Allocated(RELAYED, MAPPED, 600)]
    return whole


def bound(*peers: tuple[str, int], **options: object) -> Exchange:
    whole = allocated(**options)
    for peer in peers:
        whole.client.bind(peer, whole.now)
        assert whole.run() == [ChannelBound(peer)]
    return whole


def data_indication(peer: tuple[str, int], data: bytes) -> bytes:
    transaction_id = bytes(12)
    attributes = {Attribute.XOR_PEER_ADDRESS: mapped_address_value(*peer, transaction_id), Attribute.DATA: data}
    return bytes(Message(Method.DATA, MessageClass.INDICATION, transaction_id, attributes))


def is_silent(whole: Exchange) -> bool:
    """Nothing is sent, nothing said, and nothing due."""
    return not whole.drain() and not whole.events() and whole.client.get_timer() is None


# -- allocating --------------------------------------------------------------------------------------------------------


def test_allocate_is_asked_without_credentials_and_then_with_them():
    """The server's realm and nonce go into the second request, which is for UDP and sealed with the password's key."""
    whole = exchange()
    assert is_silent(whole)
    assert whole.allocate() == [Allocated(RELAYED, MAPPED, 600)]
    first, second = whole.script.requests
    assert Attribute.USERNAME not in first.attributes
    assert Attribute.MESSAGE_INTEGRITY not in first.attributes
    assert first.transaction_id != second.transaction_id
    assert second.check_integrity(whole.script.key)
    for request in (first, second):
        assert request.attributes[Attribute.REQUESTED_TRANSPORT] == b"\x11\0\0\0"
        assert request.attributes[Attribute.LIFETIME] == (600).to_bytes(4)
    assert (whole.client.state, whole.client.relayed, whole.client.mapped) == (State.ALLOCATED, RELAYED, MAPPED)
    assert (whole.client.realm, whole.client.software) == ("example.org", "script")


def test_allocate_twice_is_one_request():
    """Whether it has been answered or not."""
    whole = exchange()
    whole.client.allocate(whole.now)
    whole.client.allocate(whole.now)
    assert len(whole.drain()) == 1
    whole = allocated()
    assert whole.allocate() == []
    assert len(whole.script.requests) == 2


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "mallory"}])
def test_the_second_401_is_the_servers_verdict(wrong: dict[str, str]):
    """A wrong password, or a user that is unknown, is refused once, and it is over."""
    whole = exchange(**wrong)
    assert whole.allocate() == [Refused(Method.ALLOCATE, 401, "no")]
    assert len(whole.script.requests) == 2
    assert whole.client.state is State.ENDED
    assert is_silent(whole)


@pytest.mark.parametrize("given", [{}, {Attribute.NONCE: b"n"}, {Attribute.REALM: b"r"}])
def test_a_first_401_without_realm_or_nonce_is_a_verdict(given: dict[int, bytes]):
    """There is nothing to be tried with."""
    whole = exchange()
    whole.client.allocate(whole.now)
    (data,) = whole.drain()
    request = Message.parse(data)
    answer = Message(
        Method.ALLOCATE, MessageClass.ERROR, request.transaction_id, {Attribute.ERROR_CODE: b"\0\0\4\1"} | given
    )
    whole.client.receive_datagram(bytes(answer), whole.now)
    assert whole.events() == [Refused(Method.ALLOCATE, 401, "")]


def test_a_stale_nonce_is_replaced():
    """438 brings a new nonce, with which the request is made again: of any method, at any time."""
    whole = allocated()
    whole.script.nonce = b"nonce-1"
    whole.client.bind(PEER, whole.now)
    assert whole.run() == [ChannelBound(PEER)]
    stale, fresh = whole.script.requests[2:]
    assert stale.transaction_id != fresh.transaction_id
    assert fresh.attributes[Attribute.NONCE] == b"nonce-1"
    # An XORed address is bound to its transaction.
    assert stale.xor_address(Attribute.XOR_PEER_ADDRESS) == fresh.xor_address(Attribute.XOR_PEER_ADDRESS) == PEER
    whole.script.nonce = b"nonce-2"
    whole.wait_for_timer()
    assert whole.run() == []
    assert whole.script.requests[-1].attributes[Attribute.NONCE] == b"nonce-2"


def test_a_stale_nonce_may_come_without_a_realm():
    """The realm that is known stays."""
    whole = allocated()
    whole.script.nonce = b"nonce-1"

    def stale(request: Message) -> Message:
        attributes = {Attribute.ERROR_CODE: b"\0\0\4\x26", Attribute.NONCE: b"nonce-1"}
        return Message(request.method, MessageClass.ERROR, request.transaction_id, attributes)

    whole.script.next_answers = [stale]
    whole.client.bind(PEER, whole.now)
    assert whole.run() == [ChannelBound(PEER)]


def test_a_nonce_that_is_stale_twice_in_a_row_is_the_end():
    """A server that never accepts a nonce is not asked for ever."""
    whole = exchange()
    whole.script.next_answers = [whole.script.refuse(438), whole.script.refuse(438)]
    assert whole.allocate() == [Refused(Method.ALLOCATE, 438, "no")]
    assert len(whole.script.requests) == 3


def test_another_server_is_named():
    """300 is an end with the address of the alternate server, which is not XORed."""
    whole = exchange()
    alternate = b"\0\1" + (3479).to_bytes(2) + bytes([192, 0, 2, 99])
    whole.script.next_answers = [whole.script.refuse(300, "Try", {Attribute.ALTERNATE_SERVER: alternate})]
    assert whole.allocate() == [Refused(Method.ALLOCATE, 300, "Try", alternate=("192.0.2.99", 3479))]
    assert whole.client.state is State.ENDED


@pytest.mark.parametrize(
    ("code", "reason"), [(486, "Allocation Quota Reached"), (508, "Insufficient Capacity"), (403, "Forbidden")]
)
def test_a_refusal_is_told_in_the_servers_words(code: int, reason: str):
    """Code and reason; nothing is tried again."""
    whole = exchange()
    whole.script.next_answers = [whole.script.refuse(code, reason)]
    assert whole.allocate() == [Refused(Method.ALLOCATE, code, reason)]
    assert is_silent(whole)


def test_a_success_without_our_integrity_is_nobodys_word():
    """Without one, or with one under another key, it is as if nothing had come: the request is repeated."""
    whole = exchange()

    def unsealed(request: Message) -> Message:
        sealed = whole.script.accept()(request)
        attributes = {kind: v for kind, v in sealed.attributes.items() if kind != Attribute.MESSAGE_INTEGRITY}
        attributes.pop(Attribute.FINGERPRINT)
        return Message(request.method, MessageClass.SUCCESS, request.transaction_id, attributes)

    whole.script.next_answers = [unsealed, whole.script.accept(key=b"another")]
    assert whole.allocate() == []
    assert whole.client.state is State.ALLOCATING
    whole.wait_for_timer()
    assert whole.run() == []
    whole.wait_for_timer()
    assert whole.run() == [Allocated(RELAYED, MAPPED, 600)]


def test_a_server_that_asks_for_nothing():
    """Who grants the first request has no key to seal the answer with: an open relay, which is to be found out."""
    whole = exchange()
    whole.client.allocate(whole.now)
    (data,) = whole.drain()
    whole.client.receive_datagram(bytes(whole.script.accept(key=b"")(Message.parse(data))), whole.now)
    (event,) = whole.events()
    assert isinstance(event, Allocated)


@pytest.mark.parametrize("missing", [Attribute.XOR_RELAYED_ADDRESS, Attribute.LIFETIME])
def test_a_success_without_what_belongs_in_it_is_a_refusal(missing: Attribute):
    """Without relayed address or lifetime there is no allocation that could be used."""
    whole = exchange()

    def lacking(request: Message) -> Message:
        attributes = dict(whole.script.accept()(request).attributes)
        for kind in (missing, Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT):
            del attributes[kind]
        return whole.script.accept(attributes)(request)

    whole.script.next_answers = [lacking]
    (refused,) = whole.allocate()
    assert isinstance(refused, Refused)
    assert (refused.code, "relayed address or no lifetime" in refused.reason) == (500, True)
    assert whole.client.state is State.ENDED


@pytest.mark.parametrize("change", ["transaction", "method", "no code"])
def test_answers_to_what_was_not_asked_are_dropped(change: str):
    """Another transaction, another method, or an error that says none."""
    whole = exchange()
    whole.client.allocate(whole.now)
    (data,) = whole.drain()
    request = Message.parse(data)
    answer = Message(
        Method.REFRESH if change == "method" else Method.ALLOCATE,
        MessageClass.ERROR,
        bytes(12) if change == "transaction" else request.transaction_id,
        {} if change == "no code" else {Attribute.ERROR_CODE: b"\0\0\4\3"},
    )
    whole.client.receive_datagram(bytes(answer), whole.now)
    assert whole.events() == []
    assert whole.run() == []
    assert whole.client.state is State.ALLOCATING


# -- time --------------------------------------------------------------------------------------------------------------


def test_over_udp_a_request_is_repeated_and_given_up():
    """Seven transmissions of the same bytes, the last wait being 16 times the first: 39.5 s in all."""
    whole = exchange()
    started = whole.now
    whole.client.allocate(whole.now)
    sent = [(whole.now - started, whole.drain())]
    while whole.client.get_timer() is not None:
        at = whole.wait_for_timer() - started
        sent.append((at, whole.drain()))
    assert tuple(at for at, _ in sent) == (*SENT_AT, GIVEN_UP_AT)
    assert all(data == sent[0][1] for _, data in sent[:-1])
    assert sent[-1][1] == []
    assert whole.events() == [TimedOut(Method.ALLOCATE)]
    assert whole.client.state is State.ENDED


def test_over_a_stream_a_request_is_sent_once():
    """It is given up at the same time."""
    whole = exchange(is_reliable=True)
    started = whole.now
    whole.client.allocate(whole.now)
    assert len(whole.drain()) == 1
    assert whole.wait_for_timer() - started == GIVEN_UP_AT
    assert whole.drain() == []
    assert whole.events() == [TimedOut(Method.ALLOCATE)]
    assert whole.client.get_timer() is None


def test_a_timer_that_is_early_does_nothing():
    """Nothing is due, so nothing is sent; the timer stays."""
    whole = bound(PEER)
    due = whole.client.get_timer()
    whole.client.handle_timer(due - 0.001)
    assert whole.drain() == []
    assert whole.client.get_timer() == due
    whole = exchange()
    whole.client.allocate(whole.now)
    whole.drain()
    whole.client.handle_timer(whole.now + 0.499)
    assert whole.drain() == []


def test_the_allocation_is_refreshed_at_five_sixths_of_its_lifetime():
    """Of what the server granted, again and again."""
    whole = exchange()
    whole.script.lifetime_s = 60
    whole.allocate()
    for number in (1, 2, 3):
        assert whole.wait_for_timer() == 100 + number * 50
        assert whole.run() == []
        refresh = whole.script.requests[-1]
        assert (refresh.method, refresh.attributes[Attribute.LIFETIME]) == (Method.REFRESH, (600).to_bytes(4))


def test_a_refresh_that_is_refused_is_the_end():
    """437, for example, when the server has been started anew: nothing can be sent after that."""
    whole = bound(PEER)
    whole.wait_for_timer()
    whole.run()  # the channel, which is due before
    whole.now = 100 + 500
    whole.client.handle_timer(whole.now)
    whole.script.next_answers = [whole.script.refuse(437, "Mismatch")] * 2
    assert whole.run()[0] == Refused(Method.REFRESH, 437, "Mismatch")
    assert whole.client.state is State.ENDED
    assert not whole.client.is_bound(PEER)
    assert is_silent(whole)


@pytest.mark.parametrize("given", [{}, {Attribute.LIFETIME: bytes(4)}])
def test_a_refresh_without_a_lifetime_is_the_end(given: dict[int, bytes]):
    """What is granted for no time is no allocation, and not to be asked for again and again."""
    whole = allocated()
    whole.script.next_answers = [whole.script.accept(given)] * 2
    whole.wait_for_timer()
    assert whole.run() == [Refused(Method.REFRESH, 500, "the answer names no lifetime")]
    assert whole.client.state is State.ENDED
    assert is_silent(whole)


def test_a_refresh_that_is_not_answered_is_the_end():
    """The allocation cannot be relied on any more."""
    whole = allocated()
    assert whole.wait_for_timer() == 600
    while whole.client.get_timer() is not None:
        whole.drain()
        whole.wait_for_timer()
    assert whole.now == 600 + GIVEN_UP_AT
    assert whole.events() == [TimedOut(Method.REFRESH)]
    assert whole.client.state is State.ENDED


def test_all_that_is_due_at_the_end_ends_with_it():
    """An end in the middle of what is due together, with a request that would have to be repeated behind it."""
    whole = allocated()
    whole.now = 600
    whole.client.handle_timer(whole.now)
    whole.client.bind(PEER, whole.now)
    whole.drain()
    whole.client.handle_timer(whole.now)
    for _ in range(7):
        whole.drain()
        whole.wait_for_timer()
    assert whole.events() == [TimedOut(Method.REFRESH)]
    assert is_silent(whole)


def test_a_channel_is_bound_anew_every_four_minutes():
    """With the same number, before the permission under it ends; data can be sent all the while."""
    whole = bound(PEER)
    first = whole.script.requests[-1]
    for number in (1, 2):
        assert whole.wait_for_timer() == 100 + number * CHANNEL_REFRESH_S
        assert whole.client.is_bound(PEER)
        assert whole.run() == []
        again = whole.script.requests[-1]
        assert again.method == Method.CHANNEL_BIND
        assert again.attributes[Attribute.CHANNEL_NUMBER] == first.attributes[Attribute.CHANNEL_NUMBER]
        assert again.xor_address(Attribute.XOR_PEER_ADDRESS) == PEER


def test_a_channel_that_is_refused_later_is_no_more():
    """Nothing can be sent to its peer, and what comes on it is nobody's; it is not bound anew."""
    whole = bound(PEER)
    whole.script.next_answers = [whole.script.refuse(403, "Forbidden IP")]
    whole.wait_for_timer()
    assert whole.run() == [Refused(Method.CHANNEL_BIND, 403, "Forbidden IP", PEER)]
    assert not whole.client.is_bound(PEER)
    whole.client.receive_datagram(b"\x40\x00\x00\x03abc", whole.now)
    whole.client.receive_datagram(data_indication(PEER, b"abc"), whole.now)
    assert whole.events() == []
    assert whole.client.get_timer() == 100 + 500


def test_the_timer_is_the_nearest_of_all():
    """A refresh, a channel, a request that was not answered."""
    whole = allocated()
    assert whole.client.get_timer() == 100 + 500
    whole.now = 390.0
    whole.client.bind(PEER, whole.now)
    whole.run()
    assert whole.client.get_timer() == 100 + 500
    whole.client.bind(OTHER_PEER, whole.now)
    whole.drain()
    assert whole.client.get_timer() == 390.5


# -- channels ----------------------------------------------------------------------------------------------------------


def bound_numbers(whole: Exchange) -> list[int]:
    """Channels that were asked for, one for each request."""
    return [
        struct.unpack_from("!H", request.attributes[Attribute.CHANNEL_NUMBER])[0]
        for request in whole.script.requests
        if request.method == Method.CHANNEL_BIND
    ]


def test_a_channel_number_is_of_one_peer_for_good():
    """A peer that was refused keeps its number, and no other gets it: the server may hold the pair still."""
    whole = allocated()
    whole.script.next_answers = [whole.script.refuse(403, "Forbidden IP")]
    whole.client.bind(PEER, whole.now)
    assert whole.run() == [Refused(Method.CHANNEL_BIND, 403, "Forbidden IP", PEER)]
    assert not whole.client.is_bound(PEER)
    assert whole.client.state is State.ALLOCATED
    for peer in (OTHER_PEER, PEER):
        whole.client.bind(peer, whole.now)
        assert whole.run() == [ChannelBound(peer)]
    assert bound_numbers(whole) == [FIRST_CHANNEL, FIRST_CHANNEL + 1, FIRST_CHANNEL]


def test_all_channels_of_the_range_can_be_used():
    """4096 peers; another one is refused, since a peer may come from as many ports as it likes."""
    whole = allocated()
    for number in range(LAST_CHANNEL - FIRST_CHANNEL + 1):
        whole.client.bind(("203.0.113.9", 1 + number), whole.now)
    assert len(whole.run()) == 4096
    assert (bound_numbers(whole)[0], bound_numbers(whole)[-1]) == (FIRST_CHANNEL, LAST_CHANNEL)
    whole.client.bind(OTHER_PEER, whole.now)
    assert whole.run() == [Refused(Method.CHANNEL_BIND, 508, "there are no more channel numbers", OTHER_PEER)]


def test_binding_twice_or_too_early_asks_nothing():
    """Only an allocation has channels, and a peer has one."""
    whole = exchange()
    whole.client.bind(PEER, whole.now)
    assert is_silent(whole)
    whole = bound(PEER)
    whole.client.bind(PEER, whole.now)
    assert whole.drain() == []


def test_a_bind_that_is_not_answered_is_about_its_peer_alone():
    """The allocation and the other channel go on."""
    whole = bound(OTHER_PEER)
    whole.script.next_answers = [lambda request: None] * 7
    whole.client.bind(PEER, whole.now)
    events = whole.run()
    while not events:
        whole.wait_for_timer()
        events += whole.run()
    assert events == [TimedOut(Method.CHANNEL_BIND, PEER)]
    assert whole.now == 100 + GIVEN_UP_AT
    assert whole.client.is_bound(OTHER_PEER)


# -- data --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(9))
def test_channel_data_is_padded_over_a_stream_alone(size: int):
    """Four bytes of header whose length does not count the padding (RFC 8656 §12.4, §12.5)."""
    data = bytes(range(1, 1 + size))
    header = struct.pack("!HH", FIRST_CHANNEL, size)
    assert bound(PEER).client.data_for(PEER, data) == header + data
    padded = bound(PEER, is_reliable=True).client.data_for(PEER, memoryview(data))
    assert padded == header + data + bytes(-size % 4)
    assert len(padded) % 4 == 0


def test_data_of_a_peer():
    """As channel data, with padding behind it or without, and as an indication."""
    whole = bound(PEER, OTHER_PEER)
    for data in (
        b"\x40\x00\x00\x03abc",
        b"\x40\x00\x00\x03abc\0",
        data_indication(PEER, b"abc"),
        bytearray(b"\x40\x00\x00\x03abc"),
    ):
        whole.client.receive_datagram(data, whole.now)
        assert whole.events() == [DataReceived(PEER, b"abc")]
    whole.client.receive_datagram(b"\x40\x01\x00\x00", whole.now)
    whole.client.receive_datagram(data_indication(OTHER_PEER, b""), whole.now)
    assert whole.events() == [DataReceived(OTHER_PEER, b"")] * 2


def test_data_of_another_port_of_a_peer():
    """A permission is of an address (RFC 8656 §9): behind a NAT a peer may come from a port that nobody has named."""
    whole = bound(PEER)
    prflx = PEER[0], PEER[1] + 1
    whole.client.receive_datagram(data_indication(prflx, b"abc"), whole.now)
    assert whole.events() == [DataReceived(prflx, b"abc")]
    whole.client.bind(prflx, whole.now)
    assert whole.run() == [ChannelBound(prflx)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x40\x01\x00\x03abc",  # a channel that nobody has
        b"\x40\x00\x00\x04abc",  # shorter than it says
        b"\x40\x00\x00",
        b"",
        b"\x80" + bytes(30),  # RTP, for example
        data_indication(OTHER_PEER, b"abc"),  # a peer that we have not asked for
        bytes(Message(Method.DATA, MessageClass.INDICATION, bytes(12), {Attribute.DATA: b"abc"})),
        data_indication(PEER, b"abc")[:-1],
    ],
)
def test_data_that_is_nobodys_is_dropped(data: bytes):
    """No event, and nothing changes."""
    whole = bound(PEER)
    due = whole.client.get_timer()
    whole.client.receive_datagram(data, whole.now)
    assert whole.events() == []
    assert whole.drain() == []
    assert whole.client.get_timer() == due


def test_data_of_a_channel_that_is_not_bound_yet_is_dropped():
    """Before the server has said so, the number is nobody's."""
    whole = allocated()
    whole.client.bind(PEER, whole.now)
    whole.client.receive_datagram(b"\x40\x00\x00\x03abc", whole.now)
    assert whole.events() == []


# -- the end -----------------------------------------------------------------------------------------------------------


def test_release_gives_the_allocation_back():
    """A refresh with lifetime 0, sent once, whatever else was under way; then silence."""
    whole = bound(PEER)
    whole.client.bind(OTHER_PEER, whole.now)
    whole.drain()
    whole.client.release(whole.now)
    (data,) = whole.drain()
    request = Message.parse(data)
    assert request.method == Method.REFRESH
    assert request.attributes[Attribute.LIFETIME] == bytes(4)
    assert request.check_integrity(whole.script.key)
    assert is_silent(whole)


def test_release_before_there_is_an_allocation_sends_nothing():
    """There is nothing to give back."""
    whole = exchange()
    whole.client.release(whole.now)
    assert is_silent(whole)
    whole.client.allocate(whole.now)
    assert is_silent(whole)
    whole = exchange()
    whole.client.allocate(whole.now)
    whole.drain()
    whole.client.release(whole.now)
    assert is_silent(whole)


def test_after_the_end_nothing_happens():
    """Whatever comes, whatever is asked, whatever time it is."""
    whole = bound(PEER)
    whole.client.bind(OTHER_PEER, whole.now)
    (asked,) = whole.drain()
    whole.client.release(whole.now)
    (released,) = whole.drain()
    for request in (Message.parse(asked), Message.parse(released)):
        for answer in (whole.script.accept(), whole.script.refuse(438), whole.script.refuse(401)):
            whole.client.receive_datagram(bytes(answer(request) or b""), whole.now)
    for data in (b"\x40\x00\x00\x03abc", data_indication(PEER, b"abc")):
        whole.client.receive_datagram(data, whole.now)
    whole.client.allocate(whole.now)
    whole.client.bind(PEER, whole.now)
    whole.client.release(whole.now)
    whole.client.handle_timer(whole.now + 10_000)
    assert not whole.client.is_bound(PEER)
    assert whole.client.state is State.ENDED
    assert is_silent(whole)


# -- streams -----------------------------------------------------------------------------------------------------------

FRAMES = (
    b"\x40\x00\x00\x05hello",
    bytes(Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).with_fingerprint()),
    b"\x40\x01\x00\x00",
    b"\x4f\xff\x00\x04four",
)
STREAM = b"".join(frame + bytes(-len(frame) % 4) for frame in FRAMES)


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_stream_may_be_cut_anywhere(cut: int):
    """The frames are the same, and come as soon as they are complete."""
    framing = Framing()
    frames = framing.receive(STREAM[:cut]) + framing.receive(STREAM[cut:])
    assert frames == list(FRAMES)


def test_a_stream_may_come_byte_by_byte():
    """Also from a buffer that is used again."""
    framing = Framing()
    frames = [frame for byte in STREAM for frame in framing.receive(memoryview(bytes([byte])))]
    assert frames == list(FRAMES)


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\x03\x01\x00\x02",
        b"220 mail.example.org ESMTP",
        b"\0\0\x12\x04\0\0\0",
        b"\x80" + bytes(11),
        b"\4\0\0\0\x21\x12\xa4\x42",
    ],
)
def test_a_stream_that_is_something_else_is_a_parse_error(data: bytes):
    """It says where, counted from the beginning of the stream."""
    framing = Framing()
    assert len(framing.receive(STREAM)) == len(FRAMES)
    with pytest.raises(ParseError, match="STUN message or channel data") as caught:
        framing.receive(data)
    assert caught.value.offset == len(STREAM)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_any_stream_is_frames_or_a_parse_error(stream: bytes, cuts: list[int]):
    """However it is cut, the same frames come before the same error, and nothing else is raised."""

    def read(cuts: list[int]) -> tuple[list[bytes], int | None]:
        framing, frames = Framing(), list[bytes]()
        edges = [0, *sorted(cuts), len(stream)]
        try:
            for start, end in itertools.pairwise(edges):
                frames += framing.receive(stream[start:end])
        except ParseError as error:
            return frames, error.offset
        return frames, None

    whole, offset = read([])
    frames, cut_offset = read(cuts)
    assert cut_offset == offset
    # A piece that ends in an error takes the frames along that were complete in it.
    assert frames[: len(whole)] == whole


# -- anything at all ---------------------------------------------------------------------------------------------------


def forged(method: int, kind: int, transaction_id: bytes, attributes: dict[int, bytes]) -> bytes:
    return bytes(Message(method, MessageClass(kind), transaction_id, attributes))


anything = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=40).map(lambda tail: b"\x40\x00" + tail),
    st.builds(
        forged,
        st.sampled_from(Method),
        st.integers(0, 3),
        st.just(b"") | st.binary(min_size=12, max_size=12),
        st.dictionaries(
            st.sampled_from([a for a in Attribute if a not in (Attribute.FINGERPRINT, Attribute.MESSAGE_INTEGRITY)]),
            st.binary(max_size=24),
            max_size=4,
        ),
    ),
)


@given(st.lists(anything, max_size=5))
def test_strangers_change_nothing(datagrams: list[bytes]):
    """Any bytes raise nothing and change nothing, even in an answer's clothes: only data of bound channels comes."""
    whole = bound(PEER)
    whole.client.bind(OTHER_PEER, whole.now)
    (asked,) = whole.drain()
    transaction_id = Message.parse(asked).transaction_id
    due = whole.client.get_timer()
    for data in datagrams:
        # The worst stranger knows the transaction; without the key he can only say no, which nobody seals.
        if len(data) >= 20 and data[:2] == b"\x01\x09":
            data = data[:8] + transaction_id + data[20:]
        whole.client.receive_datagram(data, whole.now)
        assert all(isinstance(event, DataReceived) for event in whole.events())
    assert (whole.client.state, whole.client.relayed, whole.client.mapped) == (State.ALLOCATED, RELAYED, MAPPED)
    assert whole.client.is_bound(PEER)
    assert not whole.client.is_bound(OTHER_PEER)
    assert whole.client.get_timer() == due
    assert whole.drain() == []


# -- aioice ------------------------------------------------------------------------------------------------------------


def test_aioice_reads_our_requests():
    """Methods, attributes and integrity are those that an independent implementation expects."""
    whole = bound(PEER)
    _, allocate, bind = whole.script.requests
    key = aioice.turn.make_integrity_key(USERNAME, "example.org", PASSWORD)
    assert key == long_term_key(USERNAME, "example.org", PASSWORD)
    read = aioice.stun.parse_message(bytes(allocate))
    assert read.check_message_integrity(key)
    assert read.message_method == aioice.stun.Method.ALLOCATE
    assert read.attributes["REQUESTED-TRANSPORT"] == aioice.turn.UDP_TRANSPORT
    assert read.attributes["LIFETIME"] == 600
    assert (read.attributes["USERNAME"], read.attributes["REALM"]) == (USERNAME, "example.org")
    read = aioice.stun.parse_message(bytes(bind))
    assert read.check_message_integrity(key)
    assert read.message_method == aioice.stun.Method.CHANNEL_BIND
    assert read.attributes["CHANNEL-NUMBER"] == FIRST_CHANNEL
    assert read.attributes["XOR-PEER-ADDRESS"] == PEER


def test_we_read_the_answers_that_aioice_writes():
    """An allocation from a challenge and a success of its making."""
    turn = client()
    turn.allocate(0.0)
    key = aioice.turn.make_integrity_key(USERNAME, "example.org", PASSWORD)
    for number in (1, 2):
        (data,) = turn.datagrams_to_send(0.0)
        request = aioice.stun.parse_message(data)
        answer = aioice.stun.Message(
            message_method=request.message_method,
            message_class=aioice.stun.Class.ERROR if number == 1 else aioice.stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        if number == 1:
            answer.attributes["ERROR-CODE"] = (401, "Unauthorized")
            answer.attributes["NONCE"] = b"abcdef"
            answer.attributes["REALM"] = "example.org"
        else:
            answer.attributes["LIFETIME"] = 300
            answer.attributes["XOR-MAPPED-ADDRESS"] = MAPPED
            answer.attributes["XOR-RELAYED-ADDRESS"] = OTHER_PEER
            answer.add_message_integrity(key)
            answer.add_fingerprint()
        turn.receive_datagram(bytes(answer), 0.0)
    assert turn.next_event() == Allocated(OTHER_PEER, MAPPED, 300)


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_our_streams_are_cut_as_aioice_cuts_them(payloads: list[bytes]):
    """Channel data that we pad for a stream comes out of its reader as we have put it in, and out of ours."""
    turn = bound(PEER, is_reliable=True).client
    stream = b"".join(turn.data_for(PEER, payload) for payload in payloads)
    seen: list[bytes] = []

    class Reader(aioice.turn.TurnStreamMixin):
        class transport:  # noqa: N801 - its name there
            @staticmethod
            def get_extra_info(name: str) -> None: ...

        def datagram_received(self, data: bytes, addr: object) -> None:
            seen.append(data[4 : 4 + int.from_bytes(data[2:4])])

    Reader().data_received(stream)
    assert seen == payloads
    assert [frame[4:] for frame in Framing().receive(stream)] == payloads
