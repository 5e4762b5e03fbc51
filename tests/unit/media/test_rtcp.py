"""RTCP: round trips, malformed input, and agreement with aiortc on the same bytes."""

import pytest
from aiortc import rtp as aiortc
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.rtcp import (
    FullIntraRequest,
    GenericNack,
    Goodbye,
    Packet,
    PictureLossIndication,
    ReceiverEstimatedMaxBitrate,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceChunk,
    SourceDescription,
    TransportFeedback,
    Unknown,
    compound,
    parse_compound,
)

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
WORDS = st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4])
BLOCKS = st.builds(ReportBlock, U32, U8, st.integers(-0x80_0000, 0x7F_FFFF), U32, U32, U32, U32)
REPORTS = st.lists(BLOCKS, max_size=31).map(tuple)
SENDER_REPORTS = st.builds(SenderReport, U32, U64, U32, U32, U32, REPORTS)
RECEIVER_REPORTS = st.builds(ReceiverReport, U32, REPORTS)
ITEMS = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=4).map(tuple)
DESCRIPTIONS = st.lists(st.builds(SourceChunk, U32, ITEMS), max_size=31).map(lambda c: SourceDescription(tuple(c)))
GOODBYES = st.builds(Goodbye, st.lists(U32, max_size=31).map(tuple), st.binary(max_size=255))
NACKS = st.builds(GenericNack, U32, U32, st.sets(U16, max_size=60).map(lambda numbers: tuple(sorted(numbers))))
PLIS = st.builds(PictureLossIndication, U32, U32)
FIRS = st.builds(FullIntraRequest, U32, st.lists(st.tuples(U32, U8), min_size=1, max_size=9).map(tuple))
BITRATES = st.builds(lambda mantissa, exponent: mantissa << exponent, st.integers(0, (1 << 18) - 1), st.integers(0, 63))
REMBS = st.builds(ReceiverEstimatedMaxBitrate, U32, BITRATES, st.lists(U32, max_size=9).map(tuple))
UNKNOWN = st.builds(Unknown, st.sampled_from((192, 195, 204, 207)), st.integers(0, 31), WORDS) | st.builds(
    Unknown, st.sampled_from((205, 206)), st.sampled_from((2, 3, 5, 14, 31)), WORDS
)


@st.composite
def transport_feedbacks(draw: st.DrawFn) -> TransportFeedback:
    base = draw(U16)
    gaps = draw(st.lists(st.sampled_from((0, 0, 0, 1, 5, 13, 14, 300, 9000)), max_size=40))
    deltas = draw(st.lists(st.integers(0, 300) | st.integers(-0x8000, 0x7FFF), min_size=len(gaps), max_size=len(gaps)))
    received, offset, ticks = [], 0, 0
    for gap, delta in zip(gaps, deltas, strict=True):
        offset, ticks = offset + gap, ticks + delta
        if offset > 60_000:
            break
        received.append((base + offset & 0xFFFF, ticks))
        offset += 1
    lost = draw(st.integers(0 if received else 1, 5000))
    reference_time = draw(st.integers(0, 0xFF_FFFF))
    return TransportFeedback(draw(U32), draw(U32), base, offset + lost, reference_time, draw(U8), tuple(received))


FEEDBACK = NACKS | PLIS | FIRS | REMBS | transport_feedbacks()
PACKETS = SENDER_REPORTS | RECEIVER_REPORTS | DESCRIPTIONS | GOODBYES | FEEDBACK | UNKNOWN

BLOCK = ReportBlock(0x1234_5678, 12, -3, 0x0001_0002, 77, 0xB705_2000, 0x0005_4000)


@given(st.lists(PACKETS, min_size=1, max_size=5))
def test_round_trip(packets: list[Packet]):
    """A compound of any packets is read as it was written."""
    data = compound(*packets)
    assert parse_compound(data) == packets
    assert parse_compound(memoryview(bytearray(data))) == packets


@given(
    st.builds(SenderReport, U32, U64, U32, U32, U32, REPORTS, WORDS) | st.builds(ReceiverReport, U32, REPORTS, WORDS)
)
def test_profile_extensions_survive(report: Packet):
    """What a profile adds to a report is kept (RFC 3550 §6.4.3)."""
    assert parse_compound(bytes(report)) == [report]


@given(st.lists(PACKETS, max_size=3), st.binary(min_size=1, max_size=80))
def test_noise_after_a_valid_prefix(packets: list[Packet], noise: bytes):
    """Noise gives packets or a `ParseError` whose offset lies within the datagram."""
    data = compound(*packets) + noise
    offset = 0
    try:
        parse_compound(data)
    except ParseError as error:
        offset = error.offset
    assert 0 <= offset <= len(data)


@given(st.lists(PACKETS, min_size=1, max_size=3), st.data())
def test_flipped_bytes(packets: list[Packet], data: st.DataObject):
    """A datagram with bytes overwritten gives packets or a `ParseError`; what was read can be written again."""
    damaged = bytearray(compound(*packets))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(U8)
    try:
        parsed = parse_compound(damaged)
    except ParseError:
        return
    assert parse_compound(compound(*parsed)) == parsed


@given(st.lists(PACKETS, min_size=1, max_size=3), st.data())
def test_truncated(packets: list[Packet], data: st.DataObject):
    """A truncated datagram is read up to a packet's end, or refused."""
    whole = compound(*packets)
    cut = whole[: data.draw(st.integers(1, len(whole)))]
    try:
        parsed = parse_compound(cut)
    except ParseError:
        return
    assert parsed == packets[: len(parsed)]


@pytest.mark.parametrize(
    ("data", "expected", "offset"),
    [
        (b"", "an RTCP packet", 0),
        (b"\x80\xc8\x00", "an RTCP header", 0),
        (b"\x40\xcb\x00\x00", "RTCP version 2", 0),
        (b"\x80\xcb\x00\x01", "8 bytes of RTCP", 0),
        (b"\x81\xcb\x00\x00", "an SSRC", 4),
        (b"\x80\xcb\x00\x01\x09abc", "a reason of 9 bytes", 5),
        (b"\x80\xc8\x00\x01abcd", "24 bytes of sender information", 4),
        (b"\x81\xc9\x00\x01abcd", "a report block", 8),
        (b"\x81\xca\x00\x02abcd\x01\x02ab", "a null byte", 12),
        (b"\x81\xca\x00\x02abcd\x01\x09ab", "a source description item of 9 bytes", 10),
        (b"\x81\xca\x00\x02abcd\x01\x01a\x01", "the length of a source description item", 12),
        (b"\x81\xcd\x00\x01abcd", "an SSRC", 8),
        (b"\xa0\xcb\x00\x01abc\x04\x80\xcb\x00\x00", "padding on the last packet only", 0),
        (b"\xa0\xcb\x00\x01abc\x00", "the size of the padding", 7),
        (b"\xa0\xcb\x00\x01abc\x08", "the size of the padding", 7),
        (b"\xa0\xcb\x00\x01abc\x03", "the size of the padding", 7),
        (b"\xa0\xcb\x00\x00", "the size of the padding", 3),
        (b"\x84\xce\x00\x02abcdefgh", "one or more entries of 8 bytes", 12),
        (b"\x84\xce\x00\x03abcdefghijkl", "one or more entries of 8 bytes", 12),
        (b"\x8f\xce\x00\x03abcdefghREMB", "REMB, a count and a bitrate", 12),
        (b"\x8f\xce\x00\x04abcdefghREMB\x01\x00\x00\x01", "1 SSRCs", 20),
        (b"\x8f\xce\x00\x05abcdefghREMB\x00\x00\x00\x01abcd", "0 SSRCs", 20),
        (b"\x8f\xcd\x00\x03abcdefgh\x00\x01\x00\x01", "8 bytes of base, count and reference time", 12),
        (b"\x8f\xcd\x00\x04abcdefgh\x00\x01\x00\x00\x00\x00\x00\x00", "the status of one packet or more", 14),
        (b"\x8f\xcd\x00\x04abcdefgh\x00\x01\x00\x01\x00\x00\x00\x00", "a chunk for 1 more packets", 20),
        (b"\x8f\xcd\x00\x05abcdefgh\x00\x01\x00\x01\x00\x00\x00\x00\x60\x01ab", "not reserved", 20),
        (b"\x8f\xcd\x00\x05abcdefgh\x00\x01\x00\x03\x00\x00\x00\x00\x20\x03ab", "delta of 1 bytes", 24),
        (b"\x8f\xcd\x00\x05abcdefgh\x00\x01\x00\x02\x00\x00\x00\x00\x40\x02ab", "delta of 2 bytes", 24),
    ],
)
def test_malformed(data: bytes, expected: str, offset: int):
    """Each way to be wrong is told, with its place."""
    with pytest.raises(ParseError, match=expected) as caught:
        parse_compound(data)
    assert caught.value.offset == offset


def test_offset_in_a_compound():
    """The offset of an error counts from the start of the datagram."""
    first = bytes(ReceiverReport(1))
    with pytest.raises(ParseError) as caught:
        parse_compound(first + b"\x81\xcb\x00\x00")
    assert caught.value.offset == len(first) + 4


def test_padding_is_removed():
    """The last packet may be padded (RFC 3550 §6.4.1)."""
    assert parse_compound(b"\xa1\xcb\x00\x02\x00\x00\x00\x07\x00\x00\x00\x04") == [Goodbye((7,))]


def test_cname():
    """A source description of WebRTC is one CNAME."""
    description = SourceDescription.of(5, "üser")
    assert parse_compound(bytes(description))[0] == description
    assert description.cnames == {5: "üser"}
    assert SourceDescription((SourceChunk(5, ((2, b"name"),)),)).cnames == {}


def test_nack_words():
    """A packet id and sixteen more share a word, across the wrap too."""
    nack = GenericNack(1, 2, (0xFFFF, 0, 15, 16))
    data = bytes(nack)
    assert data[12:] == bytes.fromhex("ffff8001 00100000")
    assert parse_compound(data) == [nack]


def test_nack_in_any_order():
    """Numbers out of order cost words, not numbers."""
    parsed = parse_compound(bytes(GenericNack(1, 2, (9, 3, 9, 4))))[0]
    assert isinstance(parsed, GenericNack)
    assert set(parsed.sequence_numbers) == {3, 4, 9}


def test_remb_is_rounded_down():
    """The wire has 18 bits and a power of two: a receiver must not be sent more than it said."""
    parsed = parse_compound(bytes(ReceiverEstimatedMaxBitrate(1, 8_927_168 + 31, (2,))))
    assert parsed == [ReceiverEstimatedMaxBitrate(1, 8_927_168, (2,))]


def test_other_application_layer_feedback():
    """What is not REMB is kept for whoever knows it (RFC 4585 §6.4)."""
    for body in (b"", b"abcdefgh", b"abcdefghXEMB\x01\x00\x00\x01"):
        data = bytes(Unknown(206, 15, body))
        assert parse_compound(data) == [Unknown(206, 15, body)]


def test_transport_feedback_on_the_wire():
    """Each form of a chunk and of a delta stands where the draft has it."""
    received = ((0xFFFE, 4), (0xFFFF, 300), (1, 290), (18, 290), (19, 291), (21, 293))
    feedback = TransportFeedback(0x01020304, 0x05060708, 0xFFFE, 136, 0xABCDEF, 0x42, received)
    data = bytes(feedback)
    assert data.hex(" ", 2).split(" ") == [
        *("8fcd", "0008", "0102", "0304", "0506", "0708"),
        *("fffe", "0088", "abcd", "ef42"),
        *("d880", "8001"),  # 7 packets of two bits each: 1 2 0 2 0 0 0; 14 of one bit: 13 times 0, 1
        *("a800", "0065"),  # 14 of one bit: 1 0 1, 11 times 0; a run of 101 that did not come
        *("0401", "28ff", "f600", "0102"),  # +4, +296, -10, 0, +1, +2
    ]  # fmt: skip
    assert parse_compound(data) == [feedback]


@pytest.mark.parametrize(
    ("chunks", "count", "statuses"),
    [
        ("2003", 3, "111"),
        ("0002 2001", 3, "001"),
        ("d57f", 3, "111"),  # and four reserved ones
        ("d555", 7, "1111111"),
        ("bfff", 14, "1" * 14),
        ("3fff", 5, "1" * 5),
        ("0000 0000 2001", 1, "1"),
        ("d800", 2, "12"),
    ],
)
def test_transport_feedback_of_others(chunks: str, count: int, statuses: str):
    """A writer may choose any chunks; what they say beyond the last packet is nothing."""
    deltas = b"".join((b"", b"\x05", b"\x00\x05")[int(status)] for status in statuses)
    body = bytes.fromhex("0000000100000002 0007") + count.to_bytes(2) + bytes(4) + bytes.fromhex(chunks) + deltas
    body += bytes(-len(body) % 4)
    (parsed,) = parse_compound(bytes(Unknown(205, 15, body)))
    assert isinstance(parsed, TransportFeedback)
    assert parsed.packet_count == count
    numbers = [7 + i for i, status in enumerate(statuses) if status != "0"]
    assert parsed.received == tuple((number, 5 * (i + 1)) for i, number in enumerate(numbers))


def test_transport_feedback_padded_as_libwebrtc_does():
    """libwebrtc sets the padding bit for less than a word, and for packets that are not the last."""
    padded = bytearray(bytes(TransportFeedback(1, 2, 7, 2, 0, 0, ((7, 1),))))
    assert padded[-1] == 0
    padded[0] |= 0x20
    padded[-1] = 1
    assert parse_compound(padded + padded) == [TransportFeedback(1, 2, 7, 2, 0, 0, ((7, 1),))] * 2
    padded[-1] = 200
    with pytest.raises(ParseError, match="the size of the padding"):
        parse_compound(padded)


def test_transport_feedback_about_nothing_is_small():
    """That 65,535 packets did not come is said with few bytes, and read without making a list of them."""
    feedback = TransportFeedback(1, 2, 9, 0xFFFF, 3, 4, ())
    assert len(bytes(feedback)) == 20 + 2 * 9 + 2
    assert parse_compound(bytes(feedback) * 60) == [feedback] * 60


def test_negative_loss():
    """Duplicates can make the cumulative loss negative; 24 bits carry the sign."""
    assert ReportBlock.parse(bytes(BLOCK)) == BLOCK
    with pytest.raises(ParseError):
        ReportBlock.parse(bytes(BLOCK)[:-1])


# -- aiortc, the independent witness ---------------------------------------------------------------------------------


def same_block(ours: ReportBlock, theirs: aiortc.RtcpReceiverInfo) -> bool:
    return ours == ReportBlock(
        theirs.ssrc,
        theirs.fraction_lost,
        theirs.packets_lost,
        theirs.highest_sequence,
        theirs.jitter,
        theirs.lsr,
        theirs.dlsr,
    )


@given(SENDER_REPORTS, RECEIVER_REPORTS)
def test_aiortc_reads_our_reports(sender: SenderReport, receiver: ReceiverReport):
    """aiortc finds the same fields, and writes the same bytes."""
    data = compound(sender, receiver)
    their_sr, their_rr = aiortc.RtcpPacket.parse(data)
    assert isinstance(their_sr, aiortc.RtcpSrPacket)
    assert isinstance(their_rr, aiortc.RtcpRrPacket)
    info = their_sr.sender_info
    assert (their_sr.ssrc, info.ntp_timestamp, info.rtp_timestamp, info.packet_count, info.octet_count) == (
        sender.ssrc,
        sender.ntp_timestamp,
        sender.rtp_timestamp,
        sender.packet_count,
        sender.octet_count,
    )
    assert all(map(same_block, sender.reports, their_sr.reports))
    assert all(map(same_block, receiver.reports, their_rr.reports))
    assert bytes(their_sr) + bytes(their_rr) == data


@given(NACKS.filter(lambda nack: nack.sequence_numbers != ()), PLIS, st.lists(U32, max_size=31))
def test_aiortc_reads_our_feedback(nack: GenericNack, pli: PictureLossIndication, ssrcs: list[int]):
    """NACK, PLI and BYE are the same bytes in both."""
    data = compound(nack, pli, Goodbye(tuple(ssrcs)))
    theirs = aiortc.RtcpPacket.parse(data)
    assert theirs == [
        aiortc.RtcpRtpfbPacket(1, nack.sender_ssrc, nack.media_ssrc, list(nack.sequence_numbers)),
        aiortc.RtcpPsfbPacket(1, pli.sender_ssrc, pli.media_ssrc),
        aiortc.RtcpByePacket(ssrcs),
    ]
    assert b"".join(map(bytes, theirs)) == data


@given(FIRS, REMBS)
def test_aiortc_reads_our_fir_and_remb(fir: FullIntraRequest, remb: ReceiverEstimatedMaxBitrate):
    """FIR and REMB are the payload-specific feedback that aiortc finds."""
    their_fir, their_remb = aiortc.RtcpPacket.parse(compound(fir, remb))
    assert isinstance(their_fir, aiortc.RtcpPsfbPacket)
    assert isinstance(their_remb, aiortc.RtcpPsfbPacket)
    assert (their_fir.fmt, their_fir.ssrc, their_fir.media_ssrc) == (4, fir.sender_ssrc, 0)
    assert their_remb.fmt == 15
    assert aiortc.unpack_remb_fci(their_remb.fci) == (remb.bitrate_bps, list(remb.ssrcs))
    assert parse_compound(bytes(their_remb)) == [remb]


@given(st.integers(0, 10**12), st.lists(U32, max_size=9))
def test_remb_of_aiortc(bitrate_bps: int, ssrcs: list[int]):
    """We read the bitrate that aiortc writes, within the precision of the wire."""
    theirs = aiortc.RtcpPsfbPacket(15, 1, 0, aiortc.pack_remb_fci(bitrate_bps, ssrcs))
    (ours,) = parse_compound(bytes(theirs))
    assert isinstance(ours, ReceiverEstimatedMaxBitrate)
    assert ours.ssrcs == tuple(ssrcs)
    assert bitrate_bps * (1 - 2**-17) <= ours.bitrate_bps <= bitrate_bps


@given(U32, st.binary(max_size=255))
def test_source_descriptions_of_aiortc(ssrc: int, cname: bytes):
    """Each reads the other's CNAME; aiortc ends its chunk with up to a word too many."""
    ours = SourceDescription((SourceChunk(ssrc, ((1, cname),)),))
    theirs = aiortc.RtcpSdesPacket([aiortc.RtcpSourceInfo(ssrc, [(1, cname)])])
    assert parse_compound(bytes(theirs)) == [ours]
    assert aiortc.RtcpPacket.parse(bytes(ours)) == [theirs]
