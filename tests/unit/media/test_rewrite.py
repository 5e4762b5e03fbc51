"""Headers rewritten in place, and the numbers that go into them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.rewrite import HEADROOM, HeaderTemplate, Numbering, StreamNumbering, payload_offset, start_offset
from rtcctl.media.rtp import RtpHeader, build_packet
from tests.unit.media.test_rtp import SAMPLE, fields


@given(st.binary(max_size=60), fields, st.binary(min_size=1, max_size=255))
def test_rewritten_packet(payload, values, mid):
    """The payload stays, padding and marker too; everything else of the publisher's header is gone."""
    packet = build_packet(payload, **values)
    buffer = bytearray(HEADROOM) + packet
    payload_at = payload_offset(buffer, HEADROOM, len(buffer))
    template = HeaderTemplate(42, {3: mid})
    start = template.write(buffer, payload_at, packet[0], packet[1] & 0x80 | 96, 5, 6)
    header = RtpHeader.parse(buffer[start:])
    assert (header.ssrc, header.payload_type, header.sequence_number, header.rtp_timestamp) == (42, 96, 5, 6)
    assert header.marker == values["marker"]
    assert header.extensions == {3: mid}
    assert header.csrcs == ()
    assert header.header_size == template.header_size
    assert header.padding_size == values["padding_size"]
    assert bytes(buffer[start + header.header_size : len(buffer) - header.padding_size]) == payload


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
    assert HeaderTemplate(1, {3: b"a"}) == HeaderTemplate(1, {3: b"a"})
    assert hash(HeaderTemplate(1, {})) == hash(HeaderTemplate(1, {}))
    assert HeaderTemplate(1, {}) != HeaderTemplate(1, {3: b"a"})
    assert HeaderTemplate(1, {}) != HeaderTemplate(2, {})
    assert HeaderTemplate(1, {}) != 1


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


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)), min_size=1, max_size=60)
)
def test_no_number_is_given_out_twice(packets):
    """Whatever sources do, as long as no source repeats a number, no two packets get the same one."""
    numbering = StreamNumbering(48000)
    given_out: set[int] = set()
    highest_of: dict[int, int] = {}
    current = None
    for time, (source, step, timestamp) in enumerate(packets):
        # SRTP lets a source repeat nothing; numbers that only grow are the simplest such source.
        number = highest_of.get(source, step) + 1 + step % 100
        highest_of[source] = number
        if current is not None and source != current:
            numbering.switch()
            highest_of = {source: number}
        current = source
        numbered = numbering.number(number & 0xFFFF, timestamp, time / 50)
        assert numbered is not None
        assert numbered[0] not in given_out
        assert numbered[0] == numbering.highest
        given_out.add(numbered[0])


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


@given(st.integers(0, 1 << 20))
def test_subscriptions_start_away_from_the_wrap(extended):
    """The first number of a subscription is far from the end of the cycle."""
    assert (extended + start_offset(extended)) & 0xFFFF < 0xC000
