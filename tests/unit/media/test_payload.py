"""The send time in Opus padding: put in, renewed in place, read back, and not found where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.opus import OpusPacket, with_padding
from rtcctl.media.payload import STAMP_BYTES, SendTime, boot_id_hash, restamp, send_time_of, stamp

U64 = st.integers(0, (1 << 64) - 1)
SEND_TIMES = st.builds(SendTime, U64, U64, st.integers(1, (1 << 64) - 1))
OPUS = b"\xfc" + bytes(range(80))
HERE = boot_id_hash(b"d1f3ab6e-8a5e-4c0e-9a55-1c3d5b4f9a70")


@given(SEND_TIMES)
def test_round_trip(send_time: SendTime):
    """24 bytes hold all of it."""
    assert len(bytes(send_time)) == STAMP_BYTES
    assert SendTime.parse(bytes(send_time)) == send_time


@given(SEND_TIMES)
def test_it_rides_in_opus_padding(send_time: SendTime):
    """It is read from the packet again, and the audio is what it was."""
    stamped = stamp(OPUS, send_time)
    assert send_time_of(stamped) == send_time
    assert OpusPacket.parse(stamped).frames == OpusPacket.parse(OPUS).frames


@given(SEND_TIMES, SEND_TIMES, st.integers(0, 40), st.integers(0, 20))
def test_renewed_in_place(first: SendTime, second: SendTime, before: int, after: int):
    """The 24 bytes are patched where the packet lies, and nothing around them changes."""
    stamped = stamp(OPUS, first)
    buffer = bytearray(b"h" * before + stamped + b"t" * after)
    restamp(memoryview(buffer), before + len(stamped), second)
    assert bytes(buffer) == b"h" * before + stamp(OPUS, second) + b"t" * after


@given(st.binary(max_size=60))
def test_parse_takes_24_bytes(data: bytes):
    """Any 24 bytes are a send time, anything else is refused."""
    if len(data) == STAMP_BYTES:
        assert bytes(SendTime.parse(data)) == data
    else:
        with pytest.raises(ParseError, match="24 bytes"):
            SendTime.parse(data)


@given(st.binary(max_size=60))
def test_noise_has_no_send_time_of_ours(data: bytes):
    """Noise, as a packet or as padding, is never taken for this machine's stamp."""
    for packet in (data, with_padding(OPUS, data)):
        send_time = send_time_of(packet)
        assert send_time is None or send_time.boot_id_hash != HERE


@pytest.mark.parametrize(
    "packet", [b"", OPUS, with_padding(OPUS, bytes(23)), with_padding(OPUS, bytes(24)), b"\xfb\x41"]
)
def test_other_packets(packet: bytes):
    """No padding, other people's padding (zeros) and what is no Opus packet say nothing."""
    assert send_time_of(packet) is None


def test_boot_id_hash():
    """Equal for one boot, different for another, and 64 bits."""
    assert boot_id_hash(b"one") == boot_id_hash(b"one") != boot_id_hash(b"two")
    assert 0 < HERE < 1 << 64
