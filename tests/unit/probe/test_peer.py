"""Covers rtcctl/probe/peer.py: two peers over a wire in memory, whose ledger both ends must agree with."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from rtcctl.errors import ApiError, UsageError
from rtcctl.media.rtcp import Goodbye, ReceiverReport, SenderReport, SourceDescription, parse_compound
from rtcctl.media.rtcp_feedback import GenericNack
from rtcctl.media.rtp import RtpHeader, build_packet
from tests.support.wire import Clip, Wire, clock, run

RTX = 97


def is_media(packet: bytes) -> bool:
    return RtpHeader.parse(packet).payload_type != RTX


def test_loss_is_that_of_the_ledger_and_rtx_repairs_it():
    """Every packet that the wire lost is lost, once; what was asked for again came, and the frames are whole."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip())
            await wire.negotiate()
            chance = random.Random(7)
            lost: list[int] = []

            def lose(packet: bytes) -> bool:
                is_lost = is_media(packet) and len(wire.ends[0].sent_rtp) > 5 and chance.random() < 0.1
                if is_lost:
                    lost.append(RtpHeader.parse(packet).sequence_number)
                return is_lost

            wire.ends[0].lose = lose
            await asyncio.sleep(10)
            wire.ends[0].lose = lambda packet: False
            await asyncio.sleep(1)
            now = clock()
            (sender,), (receiver,) = wire.alice.senders, wire.bob.receivers
            sent, received = sender.statistics(now), receiver.statistics(now)
            assert len(lost) > 50
            assert received.packets_lost == received.packets_recovered == len(lost)
            in_flight = received.packets_received
            assert in_flight <= sent.packets_sent <= in_flight + 3
            assert received.frames_received in (sent.frames_sent, (sent.frames_sent or 0) - 1)
            assert sent.packets_retransmitted == len(lost)
            assert sent.nacks_received == received.nacks_sent
            assert sent.nacks_received
            assert wire.bob.unrouted_packets == 0

    run(work())


def test_nothing_is_asked_for_twice_within_a_round_trip():
    """What is asked for again before it can have come arrives twice, and that is no duplicate of the network's."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip())
            await wire.negotiate()
            for end in wire.ends:
                end.delay_s = lambda packet: 0.25
            wire.bob.round_trip_measured(255.0)
            wire.ends[0].lose = lambda packet: is_media(packet) and RtpHeader.parse(packet).sequence_number % 20 == 0
            await asyncio.sleep(5)
            wire.ends[0].lose = lambda packet: False
            await asyncio.sleep(1)
            received = wire.bob.receivers[0].statistics(clock())
            assert received.packets_recovered == received.packets_lost
            assert received.packets_lost
            assert wire.alice.senders[0].statistics(clock()).packets_retransmitted == received.packets_lost

    run(work())


def test_a_nack_is_counted_by_who_got_it():
    """What was asked for again was asked for: no 0 that nobody measured."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip())
            await wire.negotiate()
            await asyncio.sleep(0.5)
            (sender,) = wire.alice.senders
            number = RtpHeader.parse(wire.ends[0].sent_rtp[2]).sequence_number
            wire.ends[0].rtcp(bytes(GenericNack(1, sender.encodings[0].ssrc, (number,))))
            assert sender.statistics(clock()).nacks_received == 1
            assert sender.interval(clock()).nacks_received == 1
            assert sender.interval(clock()).nacks_received == 0

    run(work())


def test_who_comes_late_gets_a_key_frame():
    """A PLI goes up, a key frame comes down."""

    async def work() -> None:
        async with Wire() as wire:
            clip = Clip()
            wire.alice.add_sender(clip)
            await wire.negotiate()
            wire.ends[0].lose = lambda packet: len(wire.ends[0].sent_rtp) < 10
            await asyncio.sleep(2)
            received = wire.bob.receivers[0].statistics(clock())
            assert clip.keys_wanted == received.plis_sent == 1
            assert received.key_frames_received == 1
            assert wire.alice.senders[0].statistics(clock()).plis_received == 1

    run(work())


def test_the_rtx_of_several_pictures_finds_its_m_section():
    """By the SSRC that the description names: not every sender repeats the MID on what it sends again."""

    async def work() -> None:
        async with Wire() as wire:
            senders = [wire.alice.add_sender(Clip(frames=150)) for _ in range(2)]

            def without_mid(sdp: str) -> str:
                return re.sub(r"a=extmap:.*sdes:mid\r\n", "", sdp)

            await wire.negotiate(without_mid)
            await asyncio.sleep(0.5)
            wire.ends[0].lose = lambda packet: is_media(packet) and RtpHeader.parse(packet).sequence_number % 10 == 0
            await asyncio.sleep(3.5)
            wire.ends[0].lose = lambda packet: False
            await asyncio.sleep(2)
            for sender, receiver in zip(senders, wire.bob.receivers, strict=True):
                received = receiver.statistics(clock())
                assert received.packets_lost
                assert received.packets_recovered == received.packets_lost
                assert sender.statistics(clock()).frames_sent == received.frames_received == 150
            assert wire.bob.unrouted_packets == 0

    run(work())


def test_a_renegotiation_forgets_no_stream_that_goes_on():
    """A sender names its m-section in the first packets only; another track must not cost the first one its route."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip())

            def without_ssrcs(sdp: str) -> str:
                return re.sub(r"a=ssrc.*\r\n", "", sdp)

            await wire.negotiate(without_ssrcs)
            await asyncio.sleep(1)
            (first,) = wire.alice.senders
            first.encodings[0]._extensions = b""  # as libwebrtc does once the other end has reported
            before = wire.bob.receivers[0].statistics(clock()).packets_received
            wire.alice.add_sender(Clip())
            await wire.negotiate(without_ssrcs)
            first.encodings[0]._extensions = b""
            await asyncio.sleep(2)
            received = wire.bob.receivers[0].statistics(clock())
            assert received.packets_received > before + 100
            assert received.packets_lost == 0
            assert wire.bob.unrouted_packets == 0

    run(work())


def test_padding_is_no_hole():
    """Packets of nothing but padding have arrived: nobody asks for them, and the pictures around them are whole."""

    async def work() -> None:
        async with Wire(verify=True) as wire:
            sender = wire.alice.add_sender(Clip(size=500))
            await wire.negotiate()
            encoding = sender.encodings[0]
            send = encoding.send

            def padded(frame: Any) -> None:
                send(frame)
                number = encoding._sequence_number
                encoding._sequence_number = number + 1 & 0xFFFF
                timestamp = encoding._sent_timestamp
                wire.ends[0].send_rtp(
                    build_packet(
                        b"",
                        payload_type=96,
                        sequence_number=number,
                        rtp_timestamp=timestamp,
                        ssrc=encoding.ssrc,
                        padding_size=200,
                    )
                )

            encoding.send = padded  # type: ignore[method-assign]
            await asyncio.sleep(3)
            (receiver,) = wire.bob.receivers
            received = receiver.statistics(clock())
            assert received.nacks_sent == 0
            assert received.packets_lost == 0
            assert (received.frames_received or 0) >= 88
            assert receiver._stream.content._assembler.frames_incomplete == 0  # type: ignore[union-attr]
            await receiver.drain()

    run(work())


def test_a_stream_that_restarts_is_still_repaired():
    """Its numbers begin anew below the old ones (RFC 3550 appendix A.1), and a hole in them is asked for."""

    async def work() -> None:
        async with Wire(verify=True) as wire:
            sender = wire.alice.add_sender(Clip())
            await wire.negotiate()
            encoding = sender.encodings[0]
            encoding._sequence_number = 50_000
            await asyncio.sleep(1)
            encoding._sequence_number = 30_000
            await asyncio.sleep(1)
            wire.ends[0].lose = lambda packet: is_media(packet) and RtpHeader.parse(packet).sequence_number == 30_120
            await asyncio.sleep(2)
            received = wire.bob.receivers[0].statistics(clock())
            assert received.packets_recovered == 1
            assert received.nacks_sent == 1
            assert (received.frames_received or 0) >= (sender.statistics(clock()).frames_sent or 0) - 2
            content = wire.bob.receivers[0]._stream.content  # type: ignore[union-attr]
            assert content._assembler.frames_incomplete <= 2  # type: ignore[union-attr]
            assert not content._assembler._is_fresh  # type: ignore[union-attr]

    run(work())


@pytest.mark.parametrize("is_congestion_reported", [False, True])
def test_malformed_packets_are_none(is_congestion_reported: bool):
    """Padding longer than the packet, or none that is said; an extension past the end: not received, nothing raised."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))

            def change(sdp: str) -> str:
                uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
                return re.sub(r"(a=extmap:1 )", rf"a=extmap:9 {uri}\r\n\1", sdp) if is_congestion_reported else sdp

            await wire.negotiate(change)
            await asyncio.sleep(1)
            wire.ends[0].lose = lambda packet: True
            await asyncio.sleep(0.1)
            (receiver,) = wire.bob.receivers
            before = receiver.statistics(clock())
            header = RtpHeader.parse(wire.ends[0].sent_rtp[-1])
            good = build_packet(
                bytes(160),
                payload_type=0,
                sequence_number=header.sequence_number + 5 & 0xFFFF,
                rtp_timestamp=header.rtp_timestamp,
                ssrc=header.ssrc,
            )
            bad = [bytes([good[0] | 0x20]) + good[1:-1] + bytes([count]) for count in (0, 161, 165, 172, 173, 255)]
            bad += [bytes([good[0] | 0x10]) + good[1:12] + b"\xbe\xde\xff\xff" + good[16:], bytes([0x8F]) + good[1:14]]
            bad += [bytes([good[0] | 0x30]) + good[1:12] + b"\xbe\xde\x00\x01abc\x01"[:4]]
            for packet in bad:
                wire.ends[1].rtp(packet)
            after = receiver.statistics(clock())
            assert (after.packets_received, after.bytes_received) == (before.packets_received, before.bytes_received)
            assert after.packets_lost == 0
            for data in (b"", b"\x80", b"\x80\xc8\xff\xff", b"\xa0\xc9\x00\x00", b"\x81\xc8\x00\x00"):
                wire.ends[1].rtcp(data)
            wire.ends[1].rtp(good)
            assert receiver.statistics(clock()).packets_received == before.packets_received + 1

    run(work())


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_raises_nothing(seed: int):
    """A transport ends when its listener raises, so nothing that a packet says may do that."""

    async def work() -> None:
        chance = random.Random(seed)
        async with Wire(verify=seed % 2 == 1) as wire:
            wire.alice.add_sender(Clip())
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            await wire.negotiate()
            await asyncio.sleep(1)
            known = list(wire.ends[0].sent_rtp)
            reports = [*wire.ends[0].sent_rtcp, *wire.ends[1].sent_rtcp]
            for turn in range(3000):
                packet = bytearray(chance.choice(known))
                for _ in range(chance.choice((0, 1, 2, 5))):
                    packet[chance.choice((0, 1, 2, 3, 4, 5, 8, 12, 13, 20, 21, 22, len(packet) - 1))] = (
                        chance.randrange(256)
                    )
                packet[0] = packet[0] & 0x3F | 0x80
                wire.ends[1].rtp(bytes(packet[: chance.choice((12, 13, 24, 30, len(packet), len(packet)))]))
                data = bytearray(chance.choice(reports))
                data[chance.randrange(len(data))] = chance.randrange(256)
                wire.ends[turn % 2].rtcp(bytes(data))
                if turn % 50 == 0:
                    await asyncio.sleep(0.02)
                    for receiver in wire.bob.receivers:
                        receiver.interval(clock())
            assert len(wire.bob._routes) <= 2000

    run(work())


def test_strange_streams_take_no_memory():
    """However many SSRCs a sender thinks of."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            await wire.negotiate()
            await asyncio.sleep(0.2)
            for ssrc in range(5000):
                wire.ends[1].rtp(
                    build_packet(
                        b"x", payload_type=0, sequence_number=1, rtp_timestamp=1, ssrc=ssrc, extensions={1: b"0"}
                    )
                )
            assert len(wire.bob._routes) < 2000

    run(work())


def test_a_late_packet_of_the_track_before_is_not_the_first_of_the_next():
    """A re-used m-section: what was on its way when its description changed belongs to nobody."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            await wire.negotiate()
            await asyncio.sleep(1)
            (receiver,) = wire.bob.receivers
            late = wire.ends[0].sent_rtp[-1]
            wire.ends[0].lose = lambda packet: True
            await asyncio.sleep(0.1)
            await wire.negotiate(lambda sdp: re.sub(r"a=ssrc.*\r\n", "", sdp.replace("a=sendonly", "a=inactive")))
            assert receiver.is_free
            assert receiver.first_packet_at is None
            wire.ends[1].rtp(late)
            assert receiver.first_packet_at is None
            ssrc = wire.alice.senders[0].encodings[0].ssrc
            await wire.negotiate(lambda sdp: sdp.replace(f"a=ssrc:{ssrc}", "a=ssrc:77"))
            wire.ends[1].rtp(late)
            assert receiver.first_packet_at is None
            new = build_packet(b"x", payload_type=0, sequence_number=9, rtp_timestamp=1, ssrc=77)
            wire.ends[1].rtp(new)
            assert receiver.first_packet_at is not None
            assert receiver.statistics(clock()).packets_received == 1

    run(work())


# --- reports


def test_each_report_fits_a_datagram_and_names_its_sources():
    """Many tracks: a report first in each compound, a CNAME for each source (RFC 3550 §6.1), and below the MTU."""

    async def work() -> None:
        async with Wire() as wire:
            for _ in range(70):
                wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            await wire.negotiate()
            await asyncio.sleep(3)
            for end in wire.ends:
                assert end.sent_rtcp
                for data in end.sent_rtcp:
                    assert len(data) <= 1200
                    packets = parse_compound(data)
                    assert isinstance(packets[0], SenderReport | ReceiverReport)
                    named = {s for p in packets if isinstance(p, SourceDescription) for s in p.cnames}
                    assert {p.ssrc for p in packets if isinstance(p, SenderReport | ReceiverReport)} <= named
            blocks = {
                block.ssrc
                for data in wire.ends[1].sent_rtcp
                for packet in parse_compound(data)
                if isinstance(packet, ReceiverReport)
                for block in packet.reports
            }
            assert blocks == {encoding.ssrc for sender in wire.alice.senders for encoding in sender.encodings}

    run(work())


def test_the_other_end_reports_what_was_lost_on_the_way_up():
    """Receiver reports give loss, as it stands before repair."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            await wire.negotiate()
            await asyncio.sleep(0.5)
            wire.ends[0].lose = lambda packet: RtpHeader.parse(packet).sequence_number % 10 == 0
            await asyncio.sleep(10)
            sent = wire.alice.senders[0].statistics(clock())
            received = wire.bob.receivers[0].statistics(clock())
            assert received.packets_lost
            assert sent.packets_lost == pytest.approx(received.packets_lost, abs=8)
            assert sent.packets_lost
            assert sent.fraction_lost == pytest.approx(0.1, abs=0.02)

    run(work())


# --- negotiation


def test_an_answer_that_refuses_one_of_several_tracks_is_an_error():
    """A track that the SFU does not take is not published: it must not look like a machine that is too slow."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip())
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            offer = await wire.alice.create_offer()
            answer = await wire.bob.answer(offer)
            refused = re.sub(r"m=audio 9", "m=audio 0", answer)
            await wire.alice.set_answer(refused)
            first, second = wire.alice.senders
            first.require_accepted()
            with pytest.raises(ApiError, match="mid 1"):
                second.require_accepted()

    run(work())


def test_a_layer_that_is_paused_is_not_sent():
    """`~` in the answer's simulcast (RFC 8853 §5.1); when all are, nothing is published."""

    async def work(streams: str) -> tuple[str, ...]:
        from rtcctl.probe.sender import Layer

        async with Wire() as wire:
            sender = wire.alice.add_sender(Layer(Clip(), "f"), Layer(Clip(size=500), "q"))
            answer = await wire.bob.answer(await wire.alice.create_offer())
            await wire.alice.set_answer(
                answer.replace(
                    "a=recvonly\r\n", f"a=recvonly\r\na=rid:f recv\r\na=rid:q recv\r\na=simulcast:recv {streams}\r\n"
                )
            )
            await asyncio.sleep(0.5)
            sender.require_accepted()
            return tuple(layer.rid for layer in sender.statistics(clock()).layers if layer.packets_sent)

    assert run(work("f;q")) == ("f", "q")
    assert run(work("~f;q")) == ("q",)
    with pytest.raises(ApiError):
        run(work("~f;~q"))


def test_an_offer_that_nobody_answered_is_taken_back():
    """The API refused it; then the SFU offers, and its m-sections are those of the session (RFC 8829 §4.1.10.2)."""

    async def work() -> None:
        async with Wire() as wire:
            wire.bob.add_receiver("video")
            await wire.bob.create_offer()
            wire.alice.add_sender(Clip("audio", rate_hz=50, size=160))
            await wire.negotiate()
            await asyncio.sleep(0.5)
            assert wire.bob.receiver("0").kind == "audio"
            assert wire.bob.receiver("0").statistics(clock()).packets_received
            offer = await wire.bob.create_offer()
            assert re.findall(r"a=mid:(\S+)", offer) == ["0", "1"]

    run(work())


# --- the end


async def cancelled(work: Any) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_closed_peer_has_said_goodbye_and_is_quiet():
    """BYE for each source, sources closed, and no timer that goes on: not even by what arrives while it closes."""

    async def work() -> None:
        wire = Wire()
        clip = Clip()
        sender = wire.alice.add_sender(clip)
        await wire.negotiate()
        await asyncio.sleep(1)
        wire.ends[1].closing_s = 0.5
        closing = asyncio.ensure_future(wire.bob.close())
        await asyncio.sleep(0.4)
        await closing
        await wire.alice.close()
        await wire.alice.close()
        last = parse_compound(wire.ends[0].sent_rtcp[-1])
        assert isinstance(last[0], ReceiverReport)
        assert any(isinstance(p, Goodbye) and p.ssrcs == (sender.encodings[0].ssrc,) for p in last)
        assert clip.closed
        scheduled = [h for h in asyncio.get_running_loop()._scheduled if not h.cancelled()]  # type: ignore[attr-defined]
        assert not [h for h in scheduled if "_handle_timer" in repr(h)]

    run(work())


def test_closing_that_is_cancelled_lets_go_of_everything():
    """The second Ctrl-C comes while the first one closes."""

    async def work() -> None:
        wire = Wire()
        clip = Clip()
        wire.alice.add_sender(clip)
        await wire.negotiate()
        await asyncio.sleep(0.1)
        wire.ends[0].closing_s = 100.0
        await cancelled(wire.alice.close())
        assert wire.ends[0].closed
        assert clip.closed
        assert wire.alice._ended.is_set()
        await wire.bob.close()

    run(work())


def test_a_source_that_ended_before_its_end_is_said():
    """A damaged file is the user's to mend, and no end like any other."""

    async def work() -> None:
        async with Wire() as wire:
            wire.alice.add_sender(Clip(frames=10, problem="Invalid data found"))
            await wire.negotiate()
            await asyncio.sleep(1)
            with pytest.raises(UsageError, match=r"clip of video.*Invalid data found"):
                wire.alice.have_sources_ended  # noqa: B018

    run(work())


def test_a_peer_that_never_negotiated_is_closed_with_its_sources():
    """The API said no before there was an offer."""

    async def work() -> None:
        wire, clip = Wire(), Clip()
        wire.alice.add_sender(clip)
        await wire.alice.close()
        assert clip.closed == 1
        await wire.bob.close()

    run(work())


def test_frames_that_this_machine_did_not_decode_are_its_own():
    """What is missing then says nothing about the network."""

    async def work() -> None:
        async with Wire(verify=True) as wire:
            wire.alice.add_sender(Clip(size=500))
            await wire.negotiate()
            await asyncio.sleep(0.2)
            (receiver,) = wire.bob.receivers
            assert receiver.saturated(clock()) is None
            receiver._stream.content.sink._queue_frames = 0  # type: ignore[union-attr]
            await asyncio.sleep(0.5)
            assert "faster than it decodes" in (receiver.saturated(clock()) or "")
            await receiver.drain()

    run(work())
