"""Opus packets: taken apart, padded, and decoded alike with and without padding."""

from __future__ import annotations

import math
from array import array

import pytest
from av import AudioFrame, CodecContext
from av.packet import Packet
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.opus import MAX_FRAME_BYTES, OpusPacket, Toc, duration_ms, padding_of, with_padding

MAX_FRAMES = {2.5: 48, 5.0: 24, 10.0: 12, 20.0: 6, 40.0: 3, 60.0: 2}
SIZES = st.sampled_from((0, 1, 2, 251, 252, 253, 254, 255, 256, 1000, MAX_FRAME_BYTES)) | st.integers(
    0, MAX_FRAME_BYTES
)


def frame_size(size: int) -> bytes:
    """RFC 6716 §3.2.1."""
    return bytes((size,)) if size < 252 else bytes((252 + size % 4, (size - 252 - size % 4) // 4))


@st.composite
def packets(draw: st.DrawFn) -> tuple[bytes, OpusPacket]:
    """A packet of any code, written from RFC 6716 §3.2, and what it must be read as."""
    toc = Toc(draw(st.integers(0, 31)), draw(st.booleans()), draw(st.integers(0, 3)))
    head = bytes((toc.configuration << 3 | toc.is_stereo << 2 | toc.code,))
    if toc.code == 0:
        frame = bytes(draw(SIZES))
        return head + frame, OpusPacket(toc, (frame,))
    if toc.code == 1:
        frame = b"\x01" * draw(SIZES)
        return head + frame + frame, OpusPacket(toc, (frame, frame))
    if toc.code == 2:
        first, second = b"\x01" * draw(SIZES), b"\x02" * draw(SIZES)
        return head + frame_size(len(first)) + first + second, OpusPacket(toc, (first, second))
    count = draw(st.integers(1, MAX_FRAMES[toc.frame_ms]))
    is_vbr, padding = draw(st.booleans()), draw(st.binary(max_size=600))
    sizes = draw(st.lists(SIZES, min_size=count, max_size=count)) if is_vbr else [draw(SIZES)] * count
    frames = tuple(bytes((i,)) * size for i, size in enumerate(sizes))
    is_padded = bool(padding) or draw(st.booleans())
    data = head + bytes((is_vbr << 7 | is_padded << 6 | count,))
    if is_padded:
        data += b"\xff" * (len(padding) // 254) + bytes((len(padding) % 254,))
    if is_vbr:
        data += b"".join(map(frame_size, sizes[:-1]))
    return data + b"".join(frames) + padding, OpusPacket(toc, frames, padding)


PACKETS = packets()


@given(PACKETS)
def test_parse(sample: tuple[bytes, OpusPacket]):
    """A packet of any code and size is taken apart into its frames and padding."""
    data, expected = sample
    parsed = OpusPacket.parse(data)
    assert parsed == expected
    assert duration_ms(data) == len(expected.frames) * expected.toc.frame_ms <= 120
    assert padding_of(data) == expected.padding


@given(PACKETS, st.binary(max_size=1200))
def test_padding_round_trip(sample: tuple[bytes, OpusPacket], padding: bytes):
    """What is put into the padding is at the end and comes out again; the frames stay, and padding is replaced."""
    data, expected = sample
    padded = with_padding(data, padding)
    parsed = OpusPacket.parse(padded)
    assert parsed.padding == padding_of(padded) == padding
    assert padded.endswith(padding)
    assert parsed.frames == expected.frames
    assert parsed.toc == Toc(expected.toc.configuration, expected.toc.is_stereo, 3)
    assert with_padding(padded, b"") == with_padding(data, b"")


@given(st.binary(max_size=40) | PACKETS.flatmap(lambda s: st.integers(0, len(s[0])).map(lambda cut: s[0][:cut])))
def test_malformed_input(data: bytes):
    """Noise and truncated packets are read, or refused with a place inside of them."""
    offset = 0
    try:
        OpusPacket.parse(with_padding(data, b"x" * 24))
    except ParseError as error:
        offset = error.offset
    assert 0 <= offset <= len(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "an Opus packet"),
        (b"\xf9abc", "2 frames of equal size"),
        (b"\xfa", "the size of a frame"),
        (b"\xfa\xfc", "the size of a frame"),
        (b"\xfa\x09ab", "frames of at most"),
        (b"\xf8" + bytes(MAX_FRAME_BYTES + 1), "frames of at most"),
        (b"\xfb", "a frame count byte"),
        (b"\xfb\x00", "one frame or more"),
        (b"\xfb\x07" + bytes(7), "one frame or more, of 120 ms"),
        (b"\xfb\x41", "the size of the padding"),
        (b"\xfb\x41\xff", "the size of the padding"),
        (b"\xfb\x41\x05abc", "5 bytes of padding"),
        (b"\xfb\x02abc", "2 frames of equal size"),
        (b"\xfb\x83\x01\x01a", "frames of at most"),
    ],
)
def test_malformed(data: bytes, expected: str):
    """Each rule of RFC 6716 §3.4 that is broken is told."""
    with pytest.raises(ParseError, match=expected):
        padding_of(data)


@pytest.mark.parametrize(
    ("first", "mode", "frame_ms"),
    [
        (0, "silk", 10),
        (11 << 3, "silk", 60),
        (12 << 3, "hybrid", 10),
        (15 << 3, "hybrid", 20),
        (16 << 3, "celt", 2.5),
        (0xFC, "celt", 20),
    ],
)
def test_table_of_contents(first: int, mode: str, frame_ms: float):
    """Mode and frame size follow from the configuration (RFC 6716 §3.1)."""
    toc = Toc.parse(bytes((first,)))
    assert (toc.mode, toc.frame_ms) == (mode, frame_ms)
    assert toc.is_stereo == bool(first & 4)


# -- decoders ignore padding -----------------------------------------------------------------------------------------


def encoded(frame_duration_ms: int, *, bit_rate: int = 32_000, application: str = "audio") -> list[bytes]:
    """Half a second of a rising chord in Opus."""
    encoder = CodecContext.create("libopus", "w")
    encoder.format, encoder.layout, encoder.sample_rate, encoder.bit_rate = "s16", "mono", 48_000, bit_rate
    encoder.options = {"frame_duration": str(frame_duration_ms), "application": application, "vbr": "off"}
    encoder.open()
    size = encoder.frame_size
    result = []
    for start in range(0, 24_000, size):
        frame = AudioFrame(format="s16", layout="mono", samples=size)
        frame.sample_rate, frame.pts = 48_000, start
        wave = (9000 * math.sin(n * n * 1e-6) + 3000 * math.sin(n * 0.1) for n in range(start, start + size))
        frame.planes[0].update(array("h", map(int, wave)).tobytes())
        result += [bytes(packet) for packet in encoder.encode(frame)]
    return result


def decoded(decoder_name: str, opus_packets: list[bytes]) -> list[bytes]:
    decoder = CodecContext.create(decoder_name, "r")
    decoder.layout, decoder.sample_rate = "mono", 48_000
    return [
        bytes(frame.planes[0])[: frame.samples * frame.format.bytes]
        for data in opus_packets
        for frame in decoder.decode(Packet(data))
    ]


def with_code(code: int, opus_packets: list[bytes]) -> list[bytes]:
    """Packets of one frame laid out as code 0, or pairs of them as another code."""
    frames = [OpusPacket.parse(data).frames[0] for data in opus_packets]
    heads = [data[0] & 0xFC | code for data in opus_packets]
    if code == 0:
        return [bytes((head,)) + frame for head, frame in zip(heads, frames, strict=True)]
    pairs = list(zip(heads[::2], frames[::2], frames[1::2], strict=False))
    if code == 1:
        return [bytes((head,)) + a + b for head, a, b in pairs if len(a) == len(b)]
    count = b"" if code == 2 else b"\x82"
    return [bytes((head,)) + count + frame_size(len(a)) + a + b for head, a, b in pairs]


@pytest.mark.parametrize("decoder", ["libopus", "opus"])
@pytest.mark.parametrize("code", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [24, 300])
def test_decoders_ignore_padding(decoder: str, code: int, size: int):
    """libopus and FFmpeg's decoder give the same samples, bit for bit, with and without padding."""
    plain = with_code(code, encoded(20))
    assert len(plain) >= 5
    padded = [with_padding(data, bytes(range(1, 25)) * (size // 24) + b"\xff" * (size % 24)) for data in plain]
    sound = decoded(decoder, plain)
    assert any(map(any, sound))
    assert decoded(decoder, padded) == sound


@pytest.mark.parametrize(
    ("frame_duration_ms", "bit_rate", "application"),
    [(60, 64_000, "audio"), (120, 32_000, "audio"), (40, 12_000, "voip"), (10, 16_000, "voip")],
)
def test_packets_of_libopus(frame_duration_ms: int, bit_rate: int, application: str):
    """What libopus itself packs, SILK and several frames included, keeps its sound and its duration."""
    plain = encoded(frame_duration_ms, bit_rate=bit_rate, application=application)
    padded = [with_padding(data, b"\xa5" * 24) for data in plain]
    assert {duration_ms(data) for data in plain + padded} == {frame_duration_ms}
    assert decoded("libopus", padded) == decoded("libopus", plain)
