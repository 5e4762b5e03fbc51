"""Targets of the media core: packets, descriptions, payloads."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from rtcctl.errors import ParseError
from rtcctl.media.assembly import HELD_PACKETS, FrameAssembler
from rtcctl.media.depacketization import joiner
from rtcctl.media.frame_flow import FrameFlow
from rtcctl.media.frame_start import starts_frame
from rtcctl.media.ice import IceLiteAgent
from rtcctl.media.ice_controlling import IceControllingAgent
from rtcctl.media.keyframe import starts_key_frame
from rtcctl.media.opus import OpusPacket, with_padding
from rtcctl.media.picture_id import locate
from rtcctl.media.picture_size import picture_size
from rtcctl.media.reception import ReceptionStatistics
from rtcctl.media.rewrite import payload_offset
from rtcctl.media.rtcp import GenericNack, compound, parse_compound
from rtcctl.media.rtp import RtpHeader, build_packet
from rtcctl.media.sctp import check_packet
from rtcctl.media.sdp import SessionDescription
from rtcctl.media.sendtime import find, with_room
from rtcctl.media.server_url import ServerUrl
from rtcctl.media.stun import Attribute, Message, MessageClass
from rtcctl.media.turn import Framing, State, TurnClient
from rtcctl.probe.sources.streams import Ivf, OggOpus, Wav
from tests.fuzz.target import STEPS_S, records, text

CODECS = ("opus", "VP8", "VP9", "H264", "H265", "AV1")
PEER = ("192.0.2.1", 4000)


def stun(data: bytes) -> None:
    """Every reader of a message that parses; what is parsed is written back as it came."""
    message = Message.parse(data)
    assert bytes(message) == data
    _ = message.username, message.error_code, message.error_reason, message.unknown_attributes()
    for kind in Attribute:
        message.xor_address(kind)
        message.plain_address(kind)
    message.check_integrity(b"password")


def ice(data: bytes) -> None:
    """Both agents, whose peer knows the password where a flag says so."""
    now, numbers = 0.0, count(1)
    lite = IceLiteAgent("lite", "p" * 24)
    controlling = IceControllingAgent(
        "ctrl", "p" * 24, tie_breaker=5, new_transaction_id=lambda: next(numbers).to_bytes(12)
    )
    controlling.set_remote("peer", "q" * 24, [PEER, ("2001:db8::1", 5)], now)
    for flags, datagram in records(data):
        now += STEPS_S[flags >> 2 & 7]
        addr = (PEER[0], 4000 + (flags >> 5))
        for agent in (lite, controlling):
            try:
                message = Message.parse(datagram)
                if flags & 1:
                    is_answer = message.message_class in (MessageClass.SUCCESS, MessageClass.ERROR)
                    username = b"" if is_answer else agent.ufrag.encode() + b":peer"
                    key = ("q" if is_answer else "p") * 24
                    message = sealed(message, username, key.encode())
                agent.receive_message(message, addr, now)
            except ParseError:
                pass
            agent.handle_timer(now)
            _ = list(agent.datagrams_to_send(now))
            while agent.next_event() is not None:
                pass
            assert agent.get_timer() is None or agent.get_timer() >= now
            assert len(agent.addresses) <= 64


def sealed(message: Message, username: bytes, key: bytes) -> Message:
    """The message as somebody who knows the password would send it."""
    unsealed = {k: v for k, v in message.attributes.items() if k not in _SEALS}
    if username:
        unsealed = {Attribute.USERNAME: username} | unsealed | {Attribute.USERNAME: username}
    return Message(message.method, message.message_class, message.transaction_id, unsealed).with_integrity(key)


_SEALS = (Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT)


def turn(data: bytes) -> None:
    """A server that knows who we are, where a flag says so; its answers may be to what we asked last."""
    now, numbers = 0.0, count(1)
    is_reliable = data[:1] == b"\x01"
    client = TurnClient("user", "pass", is_reliable=is_reliable, new_transaction_id=lambda: next(numbers).to_bytes(12))
    client.allocate(now)
    asked = client.datagrams_to_send(now)
    for flags, datagram in records(data[1:]):
        now += STEPS_S[flags >> 2 & 7]
        if flags & 1 and len(datagram) >= 20 and datagram[0] < 4:
            if asked:
                datagram = datagram[:8] + asked[-1][8:20] + datagram[20:]
            if flags & 2:
                try:
                    datagram = bytes(sealed(Message.parse(datagram), b"", client._key))
                except ParseError:
                    continue
        client.receive_datagram(datagram, now)
        if flags & 0x20:
            client.bind(PEER, now)
        client.handle_timer(now)
        asked = client.datagrams_to_send(now) or asked
        while client.next_event() is not None:
            pass
        if client.is_bound(PEER):
            client.data_for(PEER, b"hello")
        assert client.get_timer() is None or client.state is not State.NEW
    client.release(now)


def turn_stream(data: bytes) -> None:
    """Pieces of any size; nothing is kept that is not needed."""
    framing = Framing()
    fed = 0
    for _, piece in records(data):
        fed += len(piece)
        for frame in framing.receive(piece):
            fed -= len(frame)
    assert fed >= 0


def rtp(data: bytes) -> None:
    """What parses is built again from its fields, and means the same."""
    header = RtpHeader.parse(data)
    assert payload_offset(data, 0, len(data)) == header.header_size
    built = build_packet(
        data[header.header_size : len(data) - header.padding_size],
        payload_type=header.payload_type,
        sequence_number=header.sequence_number,
        rtp_timestamp=header.rtp_timestamp,
        ssrc=header.ssrc,
        marker=header.marker,
        csrcs=header.csrcs,
        extensions=header.extensions,
        padding_size=header.padding_size,
    )
    again = RtpHeader.parse(built)
    assert again.extensions == header.extensions
    assert replace(again, **_AS_WRITTEN) == replace(header, **_AS_WRITTEN)


_AS_WRITTEN: dict[str, Any] = {"extensions": {}, "extension_profile": 0, "header_size": 12}
"What of a header depends on how it is written."


def rtcp(data: bytes) -> None:
    """What parses is written, and parsed again as the same; a NACK may say the same in other words."""
    packets = parse_compound(data)
    again = parse_compound(compound(*packets))
    for before, after in zip(packets, again, strict=True):
        if isinstance(before, GenericNack) and isinstance(after, GenericNack):
            assert set(before.sequence_numbers) == set(after.sequence_numbers)
        else:
            assert before == after


def sctp_shape(data: bytes) -> None:
    check_packet(data)


def sdp(data: bytes) -> None:
    """What parses is written, and parsed again as the same."""
    described = SessionDescription.parse(text(data))
    assert SessionDescription.parse(str(described)) == described


def server_url(data: bytes) -> None:
    """What parses is parsed again as the same."""
    url = ServerUrl.parse(text(data))
    assert ServerUrl.parse(str(url)) == url


def opus(data: bytes) -> None:
    """Padding changes no frame."""
    packet = OpusPacket.parse(data)
    padded = OpusPacket.parse(with_padding(data, b"stamp"))
    assert padded.frames == packet.frames
    assert padded.padding == b"stamp"


def payloads(data: bytes) -> None:
    """Every reader of one payload, for every codec; and the first record is the first payload of a frame."""
    parts = [payload for _, payload in records(data)]
    for codec in CODECS:
        for payload in parts:
            picture_size(codec, payload)
            find(codec, payload, True)
            with_room(codec, payload)
            for test in (starts_frame(codec), starts_key_frame(codec)):
                if test is not None:
                    test(payload, 0, len(payload))
            if (look := locate(codec)) is not None:
                look(payload, 0, len(payload))
        if codec != "H265":
            joiner(codec)(parts)


def assembly(data: bytes) -> None:
    """Packets in any order: the frames come in theirs, nothing is counted twice, and not more is held than may be."""
    codec = CODECS[data[0] % 4 if data else 0]
    assembler, flow, reception = FrameAssembler(codec), FrameFlow(), ReceptionStatistics(90_000)
    sequence, timestamp, now, given_out = 1000, 0, 0.0, -1
    for flags, payload in records(data[1:]):
        sequence = max(0, sequence + (1, 2, 0, -1, 50, -70, 5000, 65)[flags & 7])
        timestamp += 3000 * (flags >> 3 & 1)
        now += 0.033 * (flags >> 3 & 1)
        reception.receive(sequence & 0xFFFF, timestamp, len(payload), now)
        flow.receive(sequence, timestamp, bool(flags & 16), bool(flags & 32), now, bool(flags & 64))
        for frame in assembler.receive(sequence, timestamp, bool(flags & 16), payload):
            assert frame.first_sequence > given_out
            given_out = frame.last_sequence
        assert len(assembler._packets) <= HELD_PACKETS + 1
    flow.totals(now)
    counted = reception.totals(now, is_final=True)
    assert (counted.packets_lost or 0) >= 0


def streams(data: bytes) -> None:
    """What comes on stdin in a container, whole and in pieces: the same packets. The first byte says which one."""
    kind = (OggOpus, Ivf, Wav)[data[0] % 3 if data else 0]

    def fed(size: int) -> tuple[list[object], bool]:
        reader, packets = kind(), list[object]()
        try:
            for at in range(1, len(data), size):
                packets += reader.feed(data[at : at + size])
            if isinstance(reader, OggOpus | Ivf):
                reader.finish()
        except ParseError:
            return packets, False
        return packets, True

    whole, in_pieces = fed(1 << 20), fed(max(1, len(data) // 50))
    assert whole[1] == in_pieces[1]
    assert not whole[1] or whole[0] == in_pieces[0]
