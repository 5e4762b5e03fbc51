"""Headers rewritten in place, and the numbers that go into them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.rewrite import (
    HEADROOM,
    HeaderTemplate,
    Numbering,
    StreamNumbering,
    payload_offset,
    read_extensions,
    start_offset,
)
from rtcctl.media.rtp import RtpHeader, build_packet
from tests.unit.media.test_rtp import SAMPLE, fields

ids = st.integers(0, 14) | st.integers(0, 255)


@given(
    st.binary(max_size=60),
    fields,
    st.dictionaries(st.integers(1, 255), st.integers(1, 255)),
    ids,
    ids,
    st.binary(min_size=1, max_size=20) | st.binary(min_size=1, max_size=255),
)
def test_rewritten_packet(payload, values, forwarded, time_id, mid_id, mid):
    """The payload stays, padding and marker too, and the extensions that are forwarded, under the other side's ids."""
    mid_id = 0 if mid_id == time_id else mid_id
    # Two elements under one id would be no table.
    forwarded = {of: to for to, of in {to: of for of, to in forwarded.items()}.items() if to not in (time_id, mid_id)}
    packet = build_packet(payload, **values)
    buffer = bytearray(HEADROOM) + packet
    payload_at = payload_offset(buffer, HEADROOM, len(buffer))
    elements = read_extensions(buffer, HEADROOM, payload_at) if packet[0] & 0x10 else {}
    template = HeaderTemplate(42, forwarded, time_id or None, mid_id or None, mid)
    arguments = packet[0], packet[1] & 0x80 | 96, 5, 6, elements, 65.25
    start = template.write(buffer, payload_at, *arguments)
    assert start >= 0
    header = RtpHeader.parse(buffer[start:])
    assert (header.ssrc, header.payload_type, header.sequence_number, header.rtp_timestamp) == (42, 96, 5, 6)
    assert header.marker == values["marker"]
    expected = {to: values["extensions"][of] for of, to in forwarded.items() if of in values["extensions"]}
    if time_id:
        expected[time_id] = (int(1.25 * 2**18)).to_bytes(3)
    if mid_id:
        expected[mid_id] = mid
        at = template.mid_offset(buffer, start)
        assert buffer[at : at + len(mid)] == mid
    assert header.extensions == expected
    assert header.csrcs == ()
    assert header.padding_size == values["padding_size"]
    assert bytes(buffer[start + header.header_size : len(buffer) - header.padding_size]) == payload
    assert template.header(*arguments) == buffer[start:payload_at]


@given(st.integers(0, len(SAMPLE)), st.binary(max_size=60))
def test_payload_offset_of_noise(cut, noise):
    """Where the payload begins agrees with the full parser wherever that reads the packet."""
    packet = SAMPLE[:cut] + noise
    try:
        at = payload_offset(b"xx" + packet, 2, 2 + len(packet))
    except ParseError:
        with pytest.raises(ParseError):
            RtpHeader.parse(packet)
        return
    assert 14 <= at <= 2 + len(packet)
    # The full parser reads on, into the extension's elements and the padding.
    with suppress(ParseError):
        assert RtpHeader.parse(packet).header_size == at - 2


def test_equal_templates():
    """Templates that write the same bytes are equal."""
    assert HeaderTemplate(1, {3: 4}) == HeaderTemplate(1, {3: 4})
    assert hash(HeaderTemplate(1)) == hash(HeaderTemplate(1, {}))
    assert HeaderTemplate(1) != HeaderTemplate(1, {3: 4})
    assert HeaderTemplate(1) != HeaderTemplate(1, None, 3)
    assert HeaderTemplate(1, None, 3, 4, b"0") == HeaderTemplate(1, None, 3, 4, b"7")
    assert HeaderTemplate(1, None, 3, 4, b"0") != HeaderTemplate(1, None, 3, 4, b"10")
    assert HeaderTemplate(1) != HeaderTemplate(2)
    assert HeaderTemplate(1) != 1


def test_numbers_go_on_across_sources():
    """After a change of source the next packet follows the highest, and time goes on."""
    numbering = StreamNumbering(48000)
    first = numbering.number(65534, 1000, 0.0)
    assert first is not None
    assert numbering.number(65535, 1960, 0.02) == (first[0] + 1, 1960)
    assert numbering.number(0, 2920, 0.04) == (first[0] + 2, 2920)
    numbering.switch()
    assert numbering.number(777, 5, 0.14) == (first[0] + 3, 2920 + 4800)
    assert numbering.number(778, 965, 0.16) == (first[0] + 4, 2920 + 4800 + 960)
    assert numbering.number(776, 0, 0.16) is None, "its number has been given out"
    assert numbering.timestamp_at(0.18) == 2920 + 4800 + 960 + 960
    assert (5 + numbering.timestamp_offset) & 0xFFFFFFFF == 2920 + 4800


def test_sources_that_change_at_once_never_share_a_timestamp():
    """Even without time between, the timestamp moves."""
    numbering = StreamNumbering(48000)
    numbering.number(1, 100, 0.0)
    numbering.switch()
    assert numbering.number(9, 100, 0.0) == (numbering.highest, 101)


def test_timestamps_go_on_across_the_wrap():
    """A source that begins after the clock has wrapped is as late as it is, not one unit."""
    numbering = StreamNumbering(48000)
    numbering.number(1, 0xFFFF_FFF0, 0.0)
    numbering.switch()
    assert numbering.number(9, 100, 1.0) == (numbering.highest, 48_000 - 16)


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-70_000, 70_000) | st.integers(-3, 3) | st.none(), max_size=80))
def test_no_number_is_given_out_twice(sequence_number, steps):
    """Whatever sources repeat, and whenever they change (None), no two packets get the same number."""
    numbering = StreamNumbering(48000)
    given_out: set[int] = set()
    for step in steps:
        if step is None:
            numbering.switch()
            continue
        sequence_number += step
        numbered = numbering.number(sequence_number & 0xFFFF, 0, 0.0)
        if numbered is not None:
            assert numbered[0] not in given_out
            given_out.add(numbered[0])
    assert max(given_out, default=-1) == numbering.highest


def test_what_is_late_gets_its_number_once():
    """In its place; a second time it gets none."""
    numbering = StreamNumbering(48000)
    first = numbering.number(500, 0, 0.0)
    assert first is not None
    assert numbering.number(500, 0, 0.0) is None
    assert numbering.number(503, 0, 0.0) == (first[0] + 3, 0)
    assert numbering.number(502, 0, 0.0) == (first[0] + 2, 0)
    assert numbering.number(502, 0, 0.0) is None
    assert numbering.number(503 + 1022, 0, 0.0) == (first[0] + 3 + 1022, 0)
    assert numbering.number(502, 0, 0.0) is None
    assert numbering.number(504, 0, 0.0) == (first[0] + 4, 0)


def test_a_source_that_counts_anew():
    """Its numbers are further back than SRTP allows under one key: a new association, and a new source."""
    numbering = StreamNumbering(48000)
    first = numbering.number(20_000, 960, 0.0)
    assert first is not None
    assert numbering.number(10_000, 7, 0.5) == (first[0] + 1, 960 + 24_000)
    assert numbering.number(10_001, 967, 0.52) == (first[0] + 2, 960 + 24_960)


@given(st.integers(0, 0xFFFF), st.permutations(range(12)))
def test_reordering_keeps_distances(start, order):
    """Packets that overtake each other keep their numbers relative to each other."""
    numbering = StreamNumbering(48000)
    numbers = {i: numbering.number((start + i) & 0xFFFF, 0, 0.0) for i in order}
    base = numbers[0]
    assert base is not None
    assert all(number is not None and number[0] - base[0] == i for i, number in numbers.items())
    assert base[0] > 0


def test_skipped_packets_leave_no_gap():
    """A group that does not get a packet goes on with the next number; what came late for it is not sent."""
    numbering = Numbering(0, 10)
    numbering.skip(10, 10)
    assert (numbering.offset, numbering.lowest) == (-1, 11)
    numbering.skip(12, 13)
    assert (numbering.offset, numbering.lowest) == (-1, 11), "13 is out already: 12 stays a gap"
    numbering.skip(5, 5)
    assert (numbering.offset, numbering.lowest) == (-1, 11)


def test_closing_a_gap():
    """The next number follows the highest; what comes late for the gap is not sent."""
    numbering = Numbering(-5, 100)
    numbering.highest_out = 120
    assert numbering.close_gap(70_000) == 121
    assert (70_000 + numbering.offset, numbering.lowest) == (121, 70_000)


@given(st.integers(0, 1 << 20))
def test_subscriptions_start_away_from_the_wrap(extended):
    """The first number of a subscription is far from the end of the cycle."""
    assert (extended + start_offset(extended)) & 0xFFFF < 0xC000
