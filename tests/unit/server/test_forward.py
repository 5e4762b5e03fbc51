"""Forwarding: what subscribers get. Lean peers on loopback."""

from __future__ import annotations

import asyncio
import time

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import AUDIO_LEVEL, MID
from rtcctl.media.rtcp import GenericNack, ReceiverReport
from rtcctl.server.dtls_transport import ConnectionState
from tests.support.data_path import OPUS, members, settle, until


def with_payload_type(number, name="opus", clock_rate_hz=48000, channels=2):
    return Codec(name, number, clock_rate_hz, channels)


async def test_packet_as_forwarded():
    """Payload, marker, padding and timing stay; SSRC, payload type and extensions are the subscriber's."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = publisher.publish(extensions={MID: 4, AUDIO_LEVEL: 1})
        outgoing = subscriber.subscribe(incoming, codecs=(with_payload_type(96),), extensions={AUDIO_LEVEL: 9})
        publisher.peer.send_rtp(
            b"payload", 5, 960, extensions={4: b"0", 1: b"\x80"}, csrcs=(1, 2), padding_size=3, marker=True
        )
        publisher.peer.send_rtp(b"second", 6, 1920)
        await until(lambda: len(subscriber.packets) == 2)
        first, second = subscriber.headers
        assert first.ssrc == second.ssrc == outgoing.ssrc != publisher.peer.ssrc
        assert first.payload_type == 96
        assert (first.extensions, second.extensions) == ({9: b"\x80"}, {})
        assert (first.csrcs, first.marker, first.padding_size) == ((), True, 3)
        assert (first.rtp_timestamp, second.rtp_timestamp) == (960, 1920)
        assert second.sequence_number == first.sequence_number + 1
        assert subscriber.payloads == [b"payload", b"second"]
        assert outgoing.statistics.packets_sent == 2
        assert (await gathered.connect()).connection.state is ConnectionState.CONNECTED


async def test_nothing_before_the_answer():
    """A subscription starts with `negotiate`, at the live edge."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = publisher.publish()
        track = subscriber.connection.sender(mid="0", kind="audio", like=incoming)
        track.subscribe(incoming)
        publisher.peer.send_rtp(b"early", 1, 1)
        await until(lambda: incoming.last_packet_at)
        assert track.statistics.packets_sent == 0
        track.negotiate(OPUS, {})
        publisher.peer.send_rtp(b"live", 2, 2)
        await until(lambda: subscriber.payloads == [b"live"])


async def test_negotiated_before_connected():
    """A subscription of a session that connects later starts when it does."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), gathered.join()
        incoming = publisher.publish()
        subscriber.subscribe(incoming)
        publisher.peer.send_rtp(b"early", 1, 1)
        await until(lambda: incoming.last_packet_at)
        await subscriber.connect()
        publisher.peer.send_rtp(b"live", 2, 2)
        await until(lambda: subscriber.payloads == [b"live"])


async def test_many_subscribers_of_different_kinds():
    """Each subscriber gets every packet once, whatever group it is in."""
    async with members() as gathered:
        publisher = await gathered.connect()
        incoming = publisher.publish(extensions={AUDIO_LEVEL: 3})
        everybody = [await gathered.connect() for _ in range(12)]
        for i, member in enumerate(everybody):
            extensions = {AUDIO_LEVEL: i % 3} if i % 3 else {}
            member.subscribe(incoming, codecs=(with_payload_type(96 + i % 2),), extensions=extensions)
        for number in range(30):
            publisher.peer.send_rtp(b"%d" % number, number, number, extensions={3: b"!"})
        for i, member in enumerate(everybody):
            await until(lambda member=member: len(member.packets) == 30)
            assert member.payloads == [b"%d" % number for number in range(30)]
            assert {h.payload_type for h in member.headers} == {96 + i % 2}
            assert {tuple(h.extensions.items()) for h in member.headers} == {((i % 3, b"!"),) if i % 3 else ()}


async def test_mids_of_one_group():
    """Subscriptions that differ in their mid alone share a header; each gets its own mid, in retransmissions too."""
    async with members() as gathered:
        publisher = await gathered.connect()
        incoming = publisher.publish(extensions={AUDIO_LEVEL: 3})
        mids = ["0", "7", "12", "a-mid-that-is-far-longer-than-sixteen-bytes"]
        everybody = [await gathered.connect() for _ in mids]
        tracks = [
            member.subscribe(incoming, mid=mid, extensions={MID: 4, AUDIO_LEVEL: 5})
            for member, mid in zip(everybody, mids, strict=True)
        ]
        for number in range(3):
            publisher.peer.send_rtp(b"%d" % number, number, number, extensions={3: b"!"} if number else {})
        assert len(incoming.layers[""].groups) == 3
        for member, mid, track in zip(everybody, mids, tracks, strict=True):
            await until(lambda member=member: len(member.packets) == 3)
            assert [h.extensions for h in member.headers] == [{4: mid.encode()}] + 2 * [{4: mid.encode(), 5: b"!"}]
            sent = []
            member.connection.udp.put_protected = lambda packet, size, targets, sent=sent: sent.append(packet)
            track.retransmit([member.headers[1].sequence_number], time.monotonic())
            del member.connection.udp.put_protected
            assert sent == [member.packets[1]]


async def test_same_track_twice():
    """Pulled a second time, beside the first or after it, a track has a fresh SSRC."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = publisher.publish()
        first, second = subscriber.subscribe(incoming), subscriber.subscribe(incoming)
        second.close()
        third = subscriber.subscribe(incoming)
        assert len({first.ssrc, second.ssrc, third.ssrc}) == 3
        publisher.peer.send_rtp(b"x", 1, 1)
        await until(lambda: {h.ssrc for h in subscriber.headers} == {first.ssrc, third.ssrc})


async def test_payload_types_not_negotiated():
    """What a subscriber did not negotiate is not sent, and its sequence numbers have no gap for it."""
    both = (*OPUS, with_payload_type(0, "PCMU", 8000, 1))
    async with members() as gathered:
        publisher, one, other = [await gathered.connect() for _ in range(3)]
        incoming = publisher.publish(codecs=both)
        one.subscribe(incoming)
        other.subscribe(incoming, codecs=both)
        for number in range(20):
            publisher.peer.send_rtp(b"%d" % number, 100 + number, 0, payload_type=0 if number % 5 == 4 else 111)
        await until(lambda: len(other.packets) == 20)
        assert one.payloads == [b"%d" % n for n in range(20) if n % 5 != 4]
        numbers = [h.sequence_number for h in one.headers]
        assert numbers == list(range(numbers[0], numbers[0] + 16))


async def test_nack_is_answered():
    """Lost packets are sent again, the same bytes; unknown ones and those from before the subscription are not."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = publisher.publish()
        publisher.peer.send_rtp(b"before", 1, 1)
        await until(lambda: incoming.last_packet_at)
        outgoing = subscriber.subscribe(incoming)
        raw = []
        receive = subscriber.peer.receive
        subscriber.peer.receive = lambda data: (raw.append(data) if 128 <= data[0] < 192 else None, receive(data))
        for number in range(2, 10):
            publisher.peer.send_rtp(b"%d" % number, number, number)
        await until(lambda: len(subscriber.packets) == 8)
        first = subscriber.headers[0].sequence_number
        count = len(raw)
        wanted = (first - 1, first, first + 3, first + 100, first + 3)
        subscriber.peer.send_rtcp(
            ReceiverReport(1), GenericNack(1, outgoing.ssrc, tuple(n & 0xFFFF for n in wanted)), GenericNack(1, 2, (3,))
        )
        await until(lambda: outgoing.statistics.packets_retransmitted >= 2)
        await settle()
        again = [data for data in raw[count:] if not 192 <= data[1] <= 223]
        assert set(again) == {raw[0], raw[3]}


async def test_nack_flood():
    """A subscriber cannot have packets sent to it without bound."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        outgoing = subscriber.subscribe(publisher.publish())
        for number in range(50):
            publisher.peer.send_rtp(b"x" * 1000, number, number)
        await until(lambda: len(subscriber.packets) == 50)
        numbers = tuple(h.sequence_number for h in subscriber.headers)
        for _ in range(30):
            subscriber.peer.send_rtcp(ReceiverReport(1), GenericNack(1, outgoing.ssrc, numbers))
        await settle()
        assert outgoing.statistics.packets_retransmitted <= 2 * 64


async def test_nack_across_a_changed_payload_type():
    """After the header changed, what went before is repeated under the old one: a number means one packet for ever."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        outgoing = subscriber.subscribe(publisher.publish())
        publisher.peer.send_rtp(b"old", 1, 1)
        await until(lambda: subscriber.payloads == [b"old"])
        outgoing.negotiate((with_payload_type(100),), {})
        publisher.peer.send_rtp(b"new", 2, 2)
        await until(lambda: subscriber.payloads == [b"old", b"new"])
        old, new = subscriber.headers
        assert (old.payload_type, new.payload_type) == (111, 100)
        assert new.sequence_number == old.sequence_number + 1
        outgoing.retransmit([old.sequence_number, new.sequence_number], time.monotonic())
        assert outgoing.statistics.packets_retransmitted == 2
        outgoing.negotiate((with_payload_type(0, "PCMU", 8000, 1),), {})
        publisher.peer.send_rtp(b"nobody's", 3, 3)
        await settle()
        assert outgoing.statistics.packets_sent == 2
        assert subscriber.payloads == [b"old", b"new"]  # those sent again were dropped as replays


async def test_publisher_changes_its_ssrc():
    """Another SSRC on the m-section takes over once the first is silent; subscribers see one stream."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        incoming = publisher.publish()
        subscriber.subscribe(incoming)
        for number in range(3):
            publisher.peer.send_rtp(b"a%d" % number, 500 + number, 960 * number)
        publisher.peer.send_rtp(b"too early", 7, 7, ssrc=99, extensions={4: b"0"})
        await until(lambda: len(subscriber.packets) == 3)
        await asyncio.sleep(0.25)
        for number in range(3):
            publisher.peer.send_rtp(b"b%d" % number, 9000 + number, 960 * number, ssrc=99, extensions={4: b"0"})
        await until(lambda: len(subscriber.packets) == 6)
        headers = subscriber.headers
        assert len({h.ssrc for h in headers}) == 1
        first = headers[0].sequence_number
        assert [h.sequence_number for h in headers] == list(range(first, first + 6))
        assert 0.2 * 48000 < headers[3].rtp_timestamp - headers[2].rtp_timestamp < 2 * 48000
        assert incoming.layers[""].ssrc == 99


async def test_subscription_near_the_wrap():
    """A late subscriber's numbers start far from the end of the cycle, so that losing the first ones hurts nobody."""
    async with members() as gathered:
        publisher, early, late = [await gathered.connect() for _ in range(3)]
        incoming = publisher.publish()
        early.subscribe(incoming)
        number = 0
        publisher.peer.send_rtp(b"x", number, 0)
        await until(lambda: early.packets)
        for _ in range(8):  # jumps, as a source may make them
            number += 8191
            publisher.peer.send_rtp(b"x", number, 0)
            await asyncio.sleep(0.002)
        await until(lambda: len(early.packets) == 9)
        assert early.headers[-1].sequence_number > 0xC000
        late.subscribe(incoming)
        for i in range(20):
            publisher.peer.send_rtp(b"%d" % i, number + 1 + i, 0)
        await until(lambda: len(late.packets) == 20)
        assert late.headers[0].sequence_number < 0xC000
        assert late.payloads == early.payloads[-20:]


async def test_wait_media():
    """Waiting ends with the first packet, with the end of the track, or in vain; and a silent track has no media."""
    skew = 0.0
    async with members(clock=lambda: time.monotonic() + skew) as gathered:
        publisher = await gathered.connect()
        incoming = publisher.publish()
        assert not await incoming.wait_media(0.01)
        waiting = asyncio.gather(incoming.wait_media(5), incoming.wait_media(5))
        await asyncio.sleep(0)
        publisher.peer.send_rtp(b"x", 1, 1)
        assert await waiting == [True, True]
        assert await incoming.wait_media(0)
        skew = 3.0
        assert not incoming.has_media(time.monotonic() + skew)
        assert not await incoming.wait_media(0.01)
        closing = asyncio.ensure_future(incoming.wait_media(5))
        await asyncio.sleep(0)
        incoming.close()
        assert not await closing
        assert not await incoming.wait_media(5)


async def test_close():
    """Ending a track ends its subscriptions; ending a session ends both kinds, and others get packets on."""
    async with members() as gathered:
        publisher, one, other = [await gathered.connect() for _ in range(3)]
        incoming = publisher.publish()
        tracks = [one.subscribe(incoming), other.subscribe(incoming)]
        one.connection.close()
        assert tracks[0].is_closed
        assert incoming.subscriptions == [tracks[1]]
        publisher.peer.send_rtp(b"x", 1, 1)
        await until(lambda: other.packets)
        assert not one.packets
        tracks[1].negotiate(OPUS, {})
        publisher.connection.close()
        assert incoming.is_closed
        assert tracks[1].source is None
        assert incoming.subscriptions == []
        tracks[1].negotiate(OPUS, {})
        tracks[1].retransmit([1], 0.0)
        tracks[1].close()
        tracks[1].close()
        incoming.close()
        assert other.connection.state is ConnectionState.CONNECTED
        assert tracks[1].statistics.packets_sent == 1
