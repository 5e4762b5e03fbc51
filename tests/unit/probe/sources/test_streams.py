"""Covers rtcctl/probe/sources/streams.py."""

from __future__ import annotations

import contextlib
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.probe.sources.streams import Ivf, OggOpus, Wav

HEAD = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00"


def page(packets: list[bytes], *, flags: int = 0, serial: int = 1, is_last_whole: bool = True) -> bytes:
    """An Ogg page (RFC 3533 §6)."""
    sizes: list[int] = []
    for number, packet in enumerate(packets):
        sizes += [255] * (len(packet) // 255)
        if is_last_whole or number < len(packets) - 1:
            sizes.append(len(packet) % 255)
    body = b"".join(packets)
    return struct.pack("<4sBBQIIIB", b"OggS", 0, flags, 0, serial, 0, 0, len(sizes)) + bytes(sizes) + body


def ogg(packets: list[bytes]) -> bytes:
    return page([HEAD], flags=2) + page([b"OpusTags"]) + b"".join(page([packet]) for packet in packets)


def ivf(frames: list[bytes]) -> bytes:
    header = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", 64, 48, 30, 1, len(frames), 0)
    return header + b"".join(struct.pack("<IQ", len(frame), n + 7) + frame for n, frame in enumerate(frames))


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(at % (len(data) + 1) for at in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.binary(min_size=1, max_size=700), max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_pieces_do_not_matter(packets: list[bytes], cuts: list[int]):
    """However the bytes are cut, the same packets come out."""
    reader = OggOpus()
    got = [packet.data for piece in cut(ogg(packets), cuts) for packet in reader.feed(piece)]
    reader.finish()
    assert (got, reader.head) == (packets, HEAD)
    frames = Ivf()
    coded = [packet for piece in cut(ivf(packets), cuts) for packet in frames.feed(piece)]
    frames.finish()
    assert [packet.data for packet in coded] == packets
    assert [packet.at_s for packet in coded] == [n * frames.unit_s for n in range(len(packets))]


@given(st.integers(0, 300), st.binary(max_size=100))
def test_noise_is_a_parse_error_or_nothing(at: int, noise: bytes):
    """A stream that is right until there and noise from there on raises nothing but ParseError."""
    for reader, data in ((OggOpus(), ogg([bytes(90)] * 3)), (Ivf(), ivf([bytes(90)] * 3))):
        with contextlib.suppress(ParseError):
            reader.feed(data[:at] + noise)
            reader.finish()
    with contextlib.suppress(ParseError):
        Wav().feed((b"RIFF\0\0\0\0WAVEfmt " + bytes(20))[:at] + noise)


def test_packets_across_pages():
    """A packet may begin in one page and end in the next."""
    packet = bytes(range(256)) * 3
    data = page([HEAD], flags=2) + page([b"OpusTags"])
    data += page([packet[:510]], is_last_whole=False) + page([packet[510:], b"next"], flags=1)
    assert [packet.data for packet in OggOpus().feed(data)] == [packet, b"next"]


def test_one_stream_after_the_other():
    """Internet radio begins a new stream with each title; streams of other codecs are passed over."""
    data = page([b"\x80theora"], flags=2, serial=9) + ogg([b"one"]) + page([b"video"], serial=9)
    data += page([b"two"], flags=4) + page([HEAD], flags=2, serial=2) + page([b"OpusTags"], serial=2)
    data += page([b"three"], serial=2)
    assert [packet.data for packet in OggOpus().feed(data)] == [b"one", b"two", b"three"]


def test_what_is_not_opus_is_named():
    """The first stream says what it is."""
    reader = OggOpus()
    assert reader.feed(page([b"\x01vorbis" + bytes(20)], flags=2)) == []
    assert reader.other == "vorbis"


def test_wave_of_many_chunks():
    """Chunks that nobody needs are passed over, of odd size too."""
    chunk = b"LIST\x03\0\0\0abc\0"
    form = b"fmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 2, 44_100, 176_400, 4, 16)
    wav = Wav()
    data = b"RIFF\xff\xff\xff\xffWAVE" + chunk + form + chunk + b"data\xff\xff\xff\xffsamples"
    assert b"".join(wav.feed(bytes([byte])) for byte in data) == b"samples"
    assert (wav.channels, wav.sample_rate_hz, wav.bits) == (2, 44_100, 16)


@pytest.mark.parametrize("size", [0, 1 << 30])
def test_ivf_frames_of_impossible_size(size: int):
    """A damaged size does not make us wait for a gigabyte."""
    with pytest.raises(ParseError):
        Ivf().feed(ivf([]) + struct.pack("<IQ", size, 0))
