"""Video and simulcast on the data path: key frames, layers, retransmission, congestion feedback. Lean peers."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import ABS_SEND_TIME, MID, REPAIRED_RID, RID, TRANSPORT_CC, VIDEO_ORIENTATION
from rtcctl.media.rtcp import ReceiverReport, ReportBlock
from rtcctl.media.rtcp_feedback import (
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimatedMaxBitrate,
)
from rtcctl.media.rtcp_transport_cc import TransportFeedback
from rtcctl.media.simulcast import LayerPreference
from rtcctl.server.incoming import IncomingTrack
from tests.support.data_path import OPUS, Member, members, settle, until

FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
VP8 = (Codec("VP8", 96, 90000, 1, "", FEEDBACK), Codec("rtx", 97, 90000, 1, "apt=96"))
SUBSCRIBER_VP8 = (Codec("VP8", 106, 90000, 1, "", FEEDBACK), Codec("rtx", 107, 90000, 1, "apt=106"))
KEY, DELTA = b"\x10\x00", b"\x10\x01"
"VP8: the first packet of a key frame, and of another (RFC 7741 §4.2, §4.3)."
EXTENSIONS = {MID: 4, RID: 10, REPAIRED_RID: 11, TRANSPORT_CC: 3}


def video(member: Member, **overrides: object) -> IncomingTrack:
    """A published track without simulcast."""
    values = {"kind": "video", "codecs": VP8, "extensions": EXTENSIONS, "repaired_by": {member.peer.ssrc: 77}}
    return member.publish(**values | overrides)


def simulcast(member: Member, **overrides: object) -> IncomingTrack:
    return video(member, **{"ssrcs": (), "repaired_by": {}, "rids": ("f", "h", "q")} | overrides)


class Encoding:
    """One simulcast encoding of a publisher, at 30 frames a second of one packet each."""

    def __init__(self, member: Member, rid: str, ssrc: int, start: int = 100, timestamp: int = 5000) -> None:
        self.member, self.rid, self.ssrc = member, rid, ssrc
        self.number, self.timestamp = start, timestamp

    def send(self, payload: bytes = DELTA, *, lost: bool = False) -> None:
        content = payload + self.rid.encode() + b"%d" % self.number
        if not lost:
            self.member.peer.send_rtp(
                content,
                self.number,
                self.timestamp,
                ssrc=self.ssrc,
                payload_type=96,
                marker=True,
                extensions={4: b"0", 10: self.rid.encode()},
            )
        self.number += 1
        self.timestamp += 3000


def rids_of(member: Member) -> str:
    """Which encoding each packet received was from."""
    return "".join(chr(payload[2]) for payload in member.payloads)


def requests(member: Member) -> list[int]:
    """The SSRCs that key frames were asked of."""
    return [packet.media_ssrc for packet in member.rtcp if isinstance(packet, PictureLossIndication)]


async def test_a_late_subscriber_gets_a_key_frame_at_once():
    """The publisher is asked when the subscription starts, and when the subscriber asks; within the hold-off once."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher)
        publisher.peer.send_rtp(DELTA, 1, 1, payload_type=96)
        await until(lambda: incoming.last_packet_at)
        assert requests(publisher) == []
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8)
        await until(lambda: requests(publisher) == [publisher.peer.ssrc])
        publisher.peer.send_rtp(KEY, 2, 2, payload_type=96)
        await until(lambda: subscriber.payloads == [KEY])
        for _ in range(5):
            subscriber.peer.send_rtcp(ReceiverReport(1), PictureLossIndication(1, outgoing.ssrc))
            subscriber.peer.send_rtcp(ReceiverReport(1), FullIntraRequest(1, ((outgoing.ssrc, 1), (9, 1))))
        await settle()
        assert len(requests(publisher)) == 1
        await until(lambda: len(requests(publisher)) == 2)
        assert subscriber.headers[0].payload_type == 106


async def test_a_key_frame_that_does_not_come_is_asked_for_again():
    """The request is repeated until a key frame starts."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher)
        publisher.peer.send_rtp(DELTA, 1, 1, payload_type=96)
        await until(lambda: incoming.last_packet_at)
        subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8)
        await until(lambda: len(requests(publisher)) >= 3)
        publisher.peer.send_rtp(KEY, 2, 2, payload_type=96)
        await until(lambda: subscriber.payloads)
        count = len(requests(publisher))
        await asyncio.sleep(1.0)
        assert len(requests(publisher)) <= count + 1


async def test_rtx_from_the_publisher_repairs():
    """A lost packet that comes as RTX is forwarded under its own number; RTX of one that is there is not."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher)
        subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8)
        for number in (5, 6, 8):
            publisher.peer.send_rtp(DELTA + b"%d" % number, number, number, payload_type=96)
        await until(lambda: any(isinstance(packet, GenericNack) for packet in publisher.rtcp))
        for i, number in enumerate((7, 7, 6)):
            payload = number.to_bytes(2, "big") + DELTA + b"%d" % number
            publisher.peer.send_rtp(payload, 900 + i, number, payload_type=97, ssrc=77, marker=True)
        publisher.peer.send_rtp(b"", 903, 0, payload_type=97, ssrc=77, padding_size=100)
        await until(lambda: len(subscriber.packets) == 4)
        await settle()
        assert subscriber.payloads == [DELTA + n for n in (b"5", b"6", b"8", b"7")]
        first = subscriber.headers[0].sequence_number
        assert [h.sequence_number - first for h in subscriber.headers] == [0, 1, 3, 2]
        assert {h.payload_type for h in subscriber.headers} == {106}
        assert subscriber.headers[3].marker
        reception = incoming.layers[""].reception.totals(time.monotonic())
        assert (reception.packets_lost, reception.packets_recovered) == (1, 1)


async def test_padding_on_the_rtx_stream_is_nothing():
    """Its zeros are no number of an original: shortly before the wrap they would name a packet that is to come."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        subscriber.subscribe(video(publisher), codecs=SUBSCRIBER_VP8)
        publisher.peer.send_rtp(DELTA, 65000, 1, payload_type=96)
        for i, padding_size in enumerate((224, 1, 255)):
            publisher.peer.send_rtp(b"", 900 + i, 0, payload_type=97, ssrc=77, padding_size=padding_size)
        publisher.peer.send_rtp(b"\0", 903, 0, payload_type=97, ssrc=77, padding_size=200)
        publisher.peer.send_rtp(DELTA, 65001, 1, payload_type=96)
        await until(lambda: len(subscriber.packets) == 2)
        await settle()
        assert subscriber.payloads == [DELTA, DELTA]


async def test_a_packet_that_comes_after_its_retransmission():
    """One number, one packet: the original, late after all, would be another, since each says when it was sent."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, extensions={ABS_SEND_TIME: 1})
        for number in (5, 7):
            publisher.peer.send_rtp(DELTA, number, number, payload_type=96)
        publisher.peer.send_rtp(b"\0\6" + DELTA, 900, 6, payload_type=97, ssrc=77)
        await until(lambda: len(subscriber.packets) == 3)
        publisher.peer.send_rtp(DELTA, 6, 6, payload_type=96)
        publisher.peer.send_rtp(DELTA, 8, 8, payload_type=96)
        await until(lambda: len(subscriber.packets) == 4)
        assert outgoing.packets_sent == 4


async def test_nack_is_answered_with_rtx():
    """To a subscriber that agreed to RTX: on its own SSRC, with numbers of its own and the original's in front."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, extensions={ABS_SEND_TIME: 2})
        for number in range(5):
            publisher.peer.send_rtp(DELTA + b"%d" % number, number, number * 10, payload_type=96, marker=True)
        await until(lambda: len(subscriber.packets) == 5)
        wanted = [subscriber.headers[i].sequence_number for i in (1, 3)]
        for _ in range(2):
            subscriber.peer.send_rtcp(ReceiverReport(1), GenericNack(1, outgoing.ssrc, tuple(wanted)))
        await until(lambda: len(subscriber.packets) == 9)
        again, payloads = subscriber.headers[5:], subscriber.payloads[5:]
        assert {(h.ssrc, h.payload_type, h.marker) for h in again} == {(outgoing.rtx_ssrc, 107, True)}
        start = again[0].sequence_number
        assert [(h.sequence_number - start) & 0xFFFF for h in again] == [0, 1, 2, 3]
        assert [h.rtp_timestamp for h in again] == [10, 30, 10, 30]
        assert payloads == 2 * [
            number.to_bytes(2, "big") + DELTA + text for number, text in zip(wanted, (b"1", b"3"), strict=True)
        ]
        assert all(len(h.extensions[2]) == 3 for h in again)
        assert outgoing.statistics.packets_retransmitted == 4


async def test_extensions_of_video():
    """What the publisher says of a picture is passed on, and each packet says when it left."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher, extensions=EXTENSIONS | {VIDEO_ORIENTATION: 5})
        subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, extensions={ABS_SEND_TIME: 1, VIDEO_ORIENTATION: 14})
        publisher.peer.send_rtp(KEY, 1, 1, payload_type=96, extensions={4: b"0", 3: b"\0\1", 5: b"\2"})
        await until(lambda: subscriber.packets)
        await asyncio.sleep(0.1)
        publisher.peer.send_rtp(DELTA, 2, 2, payload_type=96, extensions={3: b"\0\2"})
        await until(lambda: len(subscriber.packets) == 2)
        first, second = subscriber.headers
        assert first.extensions.keys() == {1, 14}
        assert first.extensions[14] == b"\2"
        assert second.extensions.keys() == {1}
        passed = int.from_bytes(second.extensions[1]) - int.from_bytes(first.extensions[1]) & 0xFFFFFF
        assert 0.09 < passed / 2**18 < 5


async def test_congestion_feedback():
    """Every packet that carries a number of the transport is reported with its arrival, whatever track it is of."""
    async with members() as gathered:
        publisher = await gathered.connect()
        video(publisher)
        for number in (65534, 65535, 0, 1, 3):
            publisher.peer.send_rtp(
                DELTA, number, 1, payload_type=96, extensions={3: number.to_bytes(2, "big"), 4: b"0"}
            )
        publisher.peer.send_rtp(b"\0\1", 1, 1, payload_type=97, ssrc=77, extensions={3: (4).to_bytes(2, "big")})

        def numbers() -> list[int]:
            feedback = [packet for packet in publisher.rtcp if isinstance(packet, TransportFeedback)]
            return [number for packet in feedback for number, _ in packet.received]

        await until(lambda: len(numbers()) == 6)
        assert numbers() == [65534, 65535, 0, 1, 3, 4]


async def test_simulcast_switches_at_key_frames_without_a_gap():
    """q, then f, then h: each from its own key frame on; one SSRC, numbers without a gap, timestamps that grow."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        encodings = [
            Encoding(publisher, "q", 1, 65000, 7),
            Encoding(publisher, "h", 2, 20, 0xFFFFFF00),
            Encoding(publisher, "f", 3, 40000, 1 << 31),
        ]

        def frame(payload: bytes = DELTA) -> None:
            for encoding in encodings:
                encoding.send(payload)

        frame(KEY)
        await until(lambda: incoming.layers["f"].last_packet_at)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=LayerPreference("q"))
        for wanted in "qfh":
            outgoing.prefer(LayerPreference(wanted))
            for _ in range(3):
                frame()
            await settle()
            frame(KEY)
            for _ in range(3):
                frame()
            await settle()
        received = rids_of(subscriber)
        assert received == "q" * 11 + "f" * 7 + "h" * 4  # the key frame of q comes before that of f
        numbers = [h.sequence_number for h in subscriber.headers]
        assert [(n - numbers[0]) & 0xFFFF for n in numbers] == list(range(len(numbers)))
        timestamps = [h.rtp_timestamp for h in subscriber.headers]
        steps = [(b - a) & 0xFFFFFFFF for a, b in pairwise(timestamps)]
        assert all(0 < step < 90_000 for step in steps)
        assert {h.ssrc for h in subscriber.headers} == {outgoing.ssrc}
        starts = [payload[:2] for payload in subscriber.payloads]
        assert (starts[11], starts[18]) == (KEY, KEY)
        assert outgoing.rid == "h"


async def test_picture_numbers_go_on():
    """VP8's numbers inside the payload advance by one picture across a switch, and retransmissions repeat them."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        quarter, full = Encoding(publisher, "q", 1), Encoding(publisher, "f", 3)

        def picture(number: int, tl0: int, is_key: bool) -> bytes:
            return b"\x90\xc0" + (0x8000 | number).to_bytes(2) + bytes((tl0, 0 if is_key else 1))

        quarter.send(picture(100, 5, True))
        await until(lambda: incoming.layers["q"].last_packet_at)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=LayerPreference("q"))
        quarter.send(picture(101, 6, False))
        await until(lambda: subscriber.packets)
        outgoing.prefer(LayerPreference("f"))
        full.send(picture(0x7FFF, 77, True))
        full.send(picture(0, 78, False))
        await until(lambda: len(subscriber.packets) == 3)
        assert [payload[:5] for payload in subscriber.payloads] == [
            picture(101, 6, False)[:5],
            picture(102, 7, True)[:5],
            picture(103, 8, False)[:5],
        ]
        number = subscriber.headers[2].sequence_number
        subscriber.peer.send_rtcp(ReceiverReport(1), GenericNack(1, outgoing.ssrc, (number,)))
        await until(lambda: len(subscriber.packets) == 4)
        assert subscriber.payloads[3] == number.to_bytes(2) + subscriber.payloads[2]


async def test_a_pinned_layer_that_stops_is_waited_for():
    """`preferredRid` alone permits no other layer; the present one goes on until the wanted one is there."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        quarter, full = Encoding(publisher, "q", 1), Encoding(publisher, "f", 3)
        quarter.send(KEY)
        await until(lambda: incoming.layers["q"].last_packet_at)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=LayerPreference("q"))
        quarter.send()
        await until(lambda: subscriber.packets)
        outgoing.prefer(LayerPreference("f"))
        quarter.send()
        await until(lambda: len(subscriber.packets) == 2)
        full.send(KEY)
        full.send()
        quarter.send()
        await until(lambda: rids_of(subscriber) == "qqff")
        await settle()
        assert rids_of(subscriber) == "qqff"


async def test_nack_across_a_switch():
    """Packets of the layer before are still sent again, each under the number that it had."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        quarter, full = Encoding(publisher, "q", 1), Encoding(publisher, "f", 3)
        quarter.send(KEY)
        await until(lambda: incoming.layers["q"].last_packet_at)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=LayerPreference("q"))
        for _ in range(3):
            quarter.send()
        await until(lambda: len(subscriber.packets) == 3)
        outgoing.prefer(LayerPreference("f"))
        full.send(KEY)
        full.send()
        await until(lambda: rids_of(subscriber) == "qqqff")
        first = subscriber.headers[0].sequence_number
        numbers = tuple((first + i) & 0xFFFF for i in (-1, 1, 2, 3, 4, 5))
        originals = dict(zip((h.sequence_number for h in subscriber.headers), subscriber.payloads, strict=True))
        subscriber.peer.send_rtcp(ReceiverReport(1), GenericNack(1, outgoing.ssrc, numbers))
        await until(lambda: len(subscriber.packets) == 9)
        for payload in subscriber.payloads[5:]:
            assert payload[2:] == originals[int.from_bytes(payload[:2])]


async def test_a_key_frame_whose_start_comes_late():
    """The start of the key frame was lost and comes as RTX: the switch happens there, and what followed is repaired."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        quarter, full = Encoding(publisher, "q", 1), Encoding(publisher, "f", 3)
        quarter.send(KEY)
        full.send()
        await until(lambda: incoming.layers["f"].last_packet_at)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=LayerPreference("q"))
        quarter.send()
        await until(lambda: subscriber.packets)
        outgoing.prefer(LayerPreference("f"))
        start = full.number
        full.send(KEY, lost=True)
        full.send()
        await until(lambda: any(isinstance(packet, GenericNack) for packet in publisher.rtcp))
        publisher.peer.send_rtp(
            start.to_bytes(2, "big") + KEY + b"f%d" % start,
            1,
            full.timestamp - 6000,
            ssrc=30,
            payload_type=97,
            extensions={4: b"0", 11: b"f"},
        )
        full.send()
        await until(lambda: rids_of(subscriber) == "qff")
        numbers = [h.sequence_number for h in subscriber.headers]
        assert [n - numbers[0] for n in numbers] == [0, 1, 3]
        subscriber.peer.send_rtcp(ReceiverReport(1), GenericNack(1, outgoing.ssrc, (numbers[0] + 2,)))
        await until(lambda: len(subscriber.packets) == 4)
        assert subscriber.payloads[-1] == (numbers[0] + 2).to_bytes(2, "big") + DELTA + b"f%d" % (start + 1)


async def test_stepping_down_on_loss_and_back():
    """With `priorityOrdering`, one that reports heavy loss gets the next layer, and later the better one again."""
    skew = 0.0
    async with members(clock=lambda: time.monotonic() + skew) as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher, rids=("a", "b"))
        best, worse = Encoding(publisher, "a", 1), Encoding(publisher, "b", 2)
        best.send(KEY)
        worse.send(KEY)
        await until(lambda: incoming.layers["b"].last_packet_at)
        preference = LayerPreference("a", priority_ordering="asciibetical")
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=preference)

        async def report(fraction_q8: int, wanted: str) -> None:
            nonlocal skew
            while outgoing.rid != wanted:
                subscriber.peer.send_receiver_report(ReportBlock(outgoing.ssrc, fraction_q8, 0, 0, 0))
                publisher.peer.check()
                subscriber.peer.check()
                best.send(KEY)
                worse.send(KEY)
                skew += 0.3
                await asyncio.sleep(0.06)

        async with asyncio.timeout(20):
            await report(0, "a")
            await report(64, "b")
            await report(0, "a")


async def test_estimate_too_low():
    """REMB below what the layer needs is a reason to step down, too."""
    skew = 0.0
    async with members(clock=lambda: time.monotonic() + skew) as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher, rids=("a", "b"))
        best, worse = Encoding(publisher, "a", 1), Encoding(publisher, "b", 2)
        best.send(KEY)
        worse.send(KEY)
        await until(lambda: incoming.layers["b"].last_packet_at)
        preference = LayerPreference("a", priority_ordering="asciibetical")
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=preference)
        async with asyncio.timeout(20):
            while outgoing.rid != "b":
                estimate = ReceiverEstimatedMaxBitrate(1, 2000, (outgoing.ssrc, 5))
                subscriber.peer.send_rtcp(ReceiverReport(1), estimate)
                for _ in range(5):
                    best.send(KEY + bytes(900))
                worse.send(KEY)
                publisher.peer.check()
                subscriber.peer.check()
                skew += 0.2
                await asyncio.sleep(0.06)


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_another_source_on_the_same_m_section(kind: str):
    """One SSRC, numbers without a gap, timestamps that grow by the time that has passed; video from a key frame on."""
    async with members() as gathered:
        alice, bob, subscriber = [await gathered.connect() for _ in range(3)]
        codecs, payload_type = (OPUS, 111) if kind == "audio" else (VP8, 96)
        sources = [m.publish(kind=kind, codecs=codecs, extensions={}) for m in (alice, bob)]
        outgoing = subscriber.subscribe(sources[0], codecs=codecs)
        for number in range(3):
            alice.peer.send_rtp(DELTA + b"a", number, 1000 + number, payload_type=payload_type)
        await until(lambda: len(subscriber.packets) == 3)
        await asyncio.sleep(0.1)
        outgoing.subscribe(sources[1])
        assert not outgoing.has_media
        if kind == "video":
            bob.peer.send_rtp(DELTA + b"b", 499, 8, payload_type=payload_type)
        bob.peer.send_rtp(KEY + b"b", 500, 9, payload_type=payload_type)
        bob.peer.send_rtp(DELTA + b"b", 501, 10, payload_type=payload_type)
        alice.peer.send_rtp(DELTA + b"a", 3, 1003, payload_type=payload_type)
        await until(lambda: len(subscriber.packets) == 5)
        await settle()
        assert rids_of(subscriber) == "aaabb"
        headers = subscriber.headers
        assert {h.ssrc for h in headers} == {outgoing.ssrc}
        assert [h.sequence_number - headers[0].sequence_number for h in headers] == list(range(5))
        rate_hz = codecs[0].clock_rate_hz
        assert 0.1 * rate_hz < headers[3].rtp_timestamp - headers[2].rtp_timestamp < 3 * rate_hz
        assert headers[4].rtp_timestamp - headers[3].rtp_timestamp == 1
        assert outgoing.has_media
        outgoing.unsubscribe()
        outgoing.subscribe(sources[0])
        alice.peer.send_rtp(KEY + b"a", 4, 1004, payload_type=payload_type)
        await until(lambda: len(subscriber.packets) == 6)
        assert subscriber.headers[5].sequence_number == headers[4].sequence_number + 1


async def test_a_publisher_that_renumbers():
    """A re-offer gives the codecs and SSRC other numbers; the subscriber sees nothing of it."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = video(publisher)
        subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8)
        publisher.peer.send_rtp(KEY, 1, 1, payload_type=96)
        await until(lambda: subscriber.packets)
        renumbered = (Codec("VP8", 45, 90000, 1, "", FEEDBACK), Codec("rtx", 46, 90000, 1, "apt=45"))
        incoming.update(publisher.parameters(kind="video", codecs=renumbered, extensions={MID: 9}))
        publisher.peer.send_rtp(DELTA, 2, 2, payload_type=45)
        await until(lambda: len(subscriber.packets) == 2)
        first, second = subscriber.headers
        assert second.payload_type == first.payload_type == 106
        assert second.sequence_number == first.sequence_number + 1


async def test_encodings_that_an_exchange_changes():
    """Those that are gone are forgotten; whoever had one gets what there is now, from a key frame on."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        quarter, full = Encoding(publisher, "q", 1), Encoding(publisher, "f", 3)
        quarter.send(KEY)
        full.send(KEY)
        await until(lambda: incoming.layers["f"].last_packet_at and incoming.layers["q"].last_packet_at)
        preference = LayerPreference("q", rid_not_available="asciibetical")
        subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=preference)
        quarter.send()
        await until(lambda: rids_of(subscriber) == "q")
        parameters = {"kind": "video", "codecs": VP8, "extensions": EXTENSIONS}
        for rids, ssrcs in ((("f", "h"), ()), ((), (5,)), (("x",), ()), (("f",), ())):
            incoming.update(publisher.parameters(**parameters, rids=rids, ssrcs=ssrcs))
            assert incoming.layers.keys() == set(rids or ("",))
        quarter.send()
        async with asyncio.timeout(5):
            while len(subscriber.packets) < 3:
                full.send(KEY)
                await asyncio.sleep(0.01)
        assert rids_of(subscriber)[:3] == "qff"
        numbers = [h.sequence_number for h in subscriber.headers]
        assert numbers[:3] == list(range(numbers[0], numbers[0] + 3))
        assert publisher.connection._incoming.by_ssrc.keys() == {3}


async def test_lip_sync_of_layers():
    """Sender reports relate the encodings' clocks, so that a switch keeps the timeline whatever the encoders' delay."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = simulcast(publisher)
        quarter, full = Encoding(publisher, "q", 1, 1, 1000), Encoding(publisher, "f", 3, 1, 2_000_000)
        wallclock = time.time()
        for encoding in (quarter, full):
            encoding.send(KEY)
        await until(lambda: incoming.layers["f"].last_packet_at)
        publisher.peer.ssrc = 1
        publisher.peer.send_sender_report(wallclock, 1000, 1, 1)
        publisher.peer.ssrc = 3
        publisher.peer.send_sender_report(wallclock, 2_000_000, 1, 1)
        await until(lambda: incoming.layers["f"].has_sender_report)
        outgoing = subscriber.subscribe(incoming, codecs=SUBSCRIBER_VP8, preference=LayerPreference("q"))
        quarter.send()
        await until(lambda: subscriber.packets)
        outgoing.prefer(LayerPreference("f"))
        await asyncio.sleep(0.05)  # the encoder of f is late
        full.send()
        full.send(KEY)
        await until(lambda: rids_of(subscriber) == "qf")
        first, second = subscriber.headers
        assert second.rtp_timestamp - first.rtp_timestamp == 3000
