"""SCTP: packets of real stacks pass, and what could harm an implementation does not."""

import struct

import pytest
from aiortc import rtcsctptransport as aiortc
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.sctp import ChunkType, check_packet

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
PARAMETERS = st.lists(st.tuples(U16, st.binary(max_size=20)), max_size=4)
GAPS = st.lists(st.integers(1, 0xFFFF), unique=True, max_size=20).map(
    lambda ends: list(zip(*[iter(sorted(ends))] * 2, strict=False))
)


def packet(*chunks: bytes) -> bytes:
    return bytes(12) + b"".join(chunks)


def chunk(kind: int, value: bytes, *, length: int | None = None) -> bytes:
    size = len(value) + 4 if length is None else length
    return struct.pack("!BBH", kind, 0, size) + value + bytes(-len(value) % 4)


@st.composite
def aiortc_chunks(draw: st.DrawFn) -> aiortc.Chunk:
    """A chunk as aiortc writes it."""
    made = draw(st.sampled_from(aiortc.CHUNK_CLASSES))()
    if isinstance(made, aiortc.BaseInitChunk):
        made.initiate_tag, made.initial_tsn, made.params = draw(U32), draw(U32), draw(PARAMETERS)
    elif isinstance(made, aiortc.SackChunk):
        made.cumulative_tsn, made.gaps, made.duplicates = draw(U32), draw(GAPS), draw(st.lists(U32, max_size=4))
    elif isinstance(made, aiortc.DataChunk):
        made.tsn, made.user_data = draw(U32), draw(st.binary(min_size=1, max_size=60))
    elif isinstance(made, aiortc.ForwardTsnChunk):
        made.streams = draw(st.lists(st.tuples(U16, U16), max_size=5))
    elif isinstance(made, aiortc.ReconfigChunk):
        streams = draw(st.lists(U16, max_size=9))
        made.params = [(13, bytes(aiortc.StreamResetOutgoingParam(1, 2, 3, streams)))]
        made.params += [(16, bytes(aiortc.StreamResetResponseParam(1, draw(U32))))]
    elif isinstance(made, aiortc.BaseParamsChunk):
        made.params = draw(PARAMETERS)
    elif isinstance(made, aiortc.CookieEchoChunk):
        made.body = draw(st.binary(max_size=60))
    return made


@given(aiortc_chunks())
def test_what_aiortc_writes_passes(written: aiortc.Chunk):
    """Each kind of chunk that a real stack sends is well-formed, padding and parameters included."""
    check_packet(aiortc.serialize_packet(5000, 5000, 1, written))


def test_bundled_chunks_pass():
    """COOKIE ECHO and DATA in one packet, and a chunk of a type nobody knows."""
    check_packet(packet(chunk(10, bytes(5)), chunk(ChunkType.DATA, bytes(13)), chunk(0x81, b"?")))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet(),
        packet(chunk(ChunkType.DATA, bytes(13)))[:-8],
        packet(chunk(ChunkType.DATA, bytes(13), length=3)),
        packet(chunk(ChunkType.DATA, bytes(13), length=0)),
        packet(chunk(ChunkType.DATA, bytes(13), length=99)),
        packet(chunk(ChunkType.DATA, bytes(12))),
        packet(chunk(ChunkType.INIT, bytes(12))),
        packet(chunk(ChunkType.INIT, bytes(16)), chunk(11, b"")),
        packet(chunk(11, b""), chunk(ChunkType.INIT, bytes(16))),
        packet(chunk(ChunkType.INIT_ACK, bytes(16) + struct.pack("!HH", 7, 0) + bytes(4))),
        packet(chunk(ChunkType.HEARTBEAT, struct.pack("!HH", 1, 99))),
        packet(chunk(ChunkType.SHUTDOWN, bytes(3))),
        packet(chunk(ChunkType.SACK, struct.pack("!LLHH", 1, 1, 1, 0))),
        packet(chunk(ChunkType.SACK, struct.pack("!LLHHHH", 1, 1, 1, 0, 5, 4))),
        packet(chunk(ChunkType.SACK, struct.pack("!LLHHHH", 1, 1, 1, 0, 0, 4))),
        packet(chunk(ChunkType.SACK, struct.pack("!LLHHHHHH", 1, 1, 2, 0, 2, 9, 9, 12))),
        packet(chunk(ChunkType.FORWARD_TSN, bytes(6))),
        packet(chunk(ChunkType.RE_CONFIG, struct.pack("!HHLL", 13, 12, 1, 2))),
        packet(chunk(ChunkType.RE_CONFIG, struct.pack("!HHLLLB", 13, 17, 1, 2, 3, 4))),
    ],
)
def test_what_could_do_harm_is_refused(data: bytes):
    """Lengths that lead nowhere or too far, values cut short, gap blocks that overlap, an INIT in company."""
    with pytest.raises(ParseError):
        check_packet(data)


@given(st.binary(max_size=200) | st.lists(aiortc_chunks(), max_size=3).map(lambda c: packet(*map(bytes, c))), st.data())
def test_noise(data: bytes, more: st.DataObject):
    """Any bytes are taken or refused with a ParseError; what is taken, aiortc's parser survives."""
    position = more.draw(st.integers(0, len(data)))
    noisy = data[:position] + more.draw(st.binary(max_size=8)) + data[position:]
    try:
        check_packet(noisy)
    except ParseError:
        return
    sealed = noisy[:8] + struct.pack("<L", aiortc.crc32c(noisy[:8] + bytes(4) + noisy[12:])) + noisy[12:]
    for taken in aiortc.parse_packet(sealed)[3]:
        if isinstance(taken, aiortc.ReconfigChunk):
            for kind, value in taken.params:
                if kind in aiortc.RECONFIG_PARAM_TYPES:
                    aiortc.RECONFIG_PARAM_TYPES[kind].parse(value)
