"""Frames out of packets: what was sent comes out, in order, and what is missing is counted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media import annexb
from rtcctl.media.assembly import HELD_PACKETS, REORDERING_PACKETS, WAITING_FRAMES, AssembledFrame, FrameAssembler
from rtcctl.media.packetization import packetizer
from rtcctl.media.seqnum import SequenceUnwrapper

VIDEO = ("VP8", "VP9", "H264", "AV1")
CODECS = ("opus", "PCMU", *VIDEO)
CODE = annexb.START_CODE
Packet = tuple[int, int, bool, bytes]


def obu(kind: int, body: bytes) -> bytes:
    size = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 0x7F | 0x80, len(body) >> 7))
    return bytes((kind << 3 | 2,)) + size + body


def coded(codec: str, size: int, *, key: bool, salt: int = 0) -> bytes:
    """A frame of about `size` bytes as the assembler gives it out."""
    body = bytes(1 + (salt + i * 7) % 255 for i in range(size))
    if codec == "VP8":
        return bytes((0x10 if key else 0x11,)) + body
    if codec == "VP9":
        return bytes((0x82 if key else 0x86,)) + body
    if codec == "H264":
        head = (
            CODE + b"\x67\x42\xe0\x1f" + CODE + b"\x68\xce\x3c\x80" + CODE + b"\x65\x88" if key else CODE + b"\x41\x9a"
        )
        return head + body
    if codec == "AV1":
        return obu(2, b"") + (obu(1, b"\x00\x01\x02") if key else b"") + obu(6, b"\x10" + body)
    return b"\xfc" + body


def packets_of(codec: str, frames: list[bytes], *, first: int = 0, max_size: int = 120) -> list[Packet]:
    stream, out = packetizer(codec), []
    for i, frame in enumerate(frames):
        payloads = stream.packetize(frame, max_size)
        for j, payload in enumerate(payloads):
            out.append((first + len(out), i * 3000, codec in VIDEO and j == len(payloads) - 1, payload))
    return out


def some_frames(codec: str, count: int, *, size: int = 300, key_every: int = 1000) -> list[bytes]:
    return [coded(codec, size, key=i % key_every == 0, salt=i) for i in range(count)]


def fed(assembler: FrameAssembler, packets: list[Packet]) -> list[AssembledFrame]:
    return [frame for packet in packets for frame in assembler.receive(*packet)]


@pytest.mark.parametrize("codec", CODECS)
@given(
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12),
    first=st.integers(-70_000, 70_000),
    key_every=st.integers(1, 5),
)
def test_round_trip(codec: str, sizes: list[int], first: int, key_every: int):
    """Each frame at once with its last packet, and what it was."""
    frames = [coded(codec, size, key=i % key_every == 0, salt=i) for i, size in enumerate(sizes)]
    packets = packets_of(codec, frames, first=first)
    assembler = FrameAssembler(codec)
    at = first
    for packet in packets:
        for got in assembler.receive(*packet):
            i = packet[1] // 3000
            assert got.data == frames[i]
            assert got.rtp_timestamp == packet[1]
            assert got.is_key is (codec not in VIDEO or i % key_every == 0)
            assert (got.first_sequence, got.last_sequence) == (at, packet[0])
            at = packet[0] + 1
    assert at == first + len(packets)
    assert assembler.frames_incomplete == 0


@pytest.mark.parametrize("codec", VIDEO)
@given(seed=st.integers(0, 1 << 32))
def test_reordering_and_duplicates(codec: str, seed: int):
    """Within the window, whatever comes late or twice: all frames, once, in order."""
    rng = random.Random(seed)
    frames = some_frames(codec, 30)
    packets = packets_of(codec, frames, first=65_530)
    late = sorted(packets, key=lambda packet: packet[1] and packet[0] + rng.uniform(0, rng.choice((2, 20, 28))))
    late = [packet for packet in late for _ in range(rng.choice((1, 1, 1, 2)))]
    assembler = FrameAssembler(codec)
    assert [frame.data for frame in fed(assembler, late)] == frames
    assert assembler.frames_incomplete == 0


@pytest.mark.parametrize("codec", VIDEO)
def test_a_repaired_packet(codec: str):
    """It comes just before it would be given up: nothing is lost. A packet later: that frame is."""
    frames = some_frames(codec, 40, size=700)
    packets = packets_of(codec, frames)
    lost = next(i for i, packet in enumerate(packets) if packet[1] == 3 * 3000) + 2
    for ahead, incomplete in ((REORDERING_PACKETS - 1, 0), (REORDERING_PACKETS, 1)):
        assembler = FrameAssembler(codec)
        order = [*packets[:lost], *packets[lost + 1 : lost + 1 + ahead], packets[lost], *packets[lost + 1 + ahead :]]
        got = [frame.data for frame in fed(assembler, order)]
        assert assembler.frames_incomplete == incomplete
        assert got == [frame for i, frame in enumerate(frames) if i != 3 or not incomplete]


@pytest.mark.parametrize("codec", VIDEO)
def test_few_packets_a_frame_do_not_wait_forever(codec: str):
    """One packet a frame: what waits is frames, not packets."""
    frames = some_frames(codec, 40, size=50)
    packets = packets_of(codec, frames, max_size=200)
    assert len(packets) == 40
    assembler = FrameAssembler(codec)
    assert len(fed(assembler, packets[:5])) == 5
    assert fed(assembler, packets[6 : 6 + WAITING_FRAMES]) == []
    assert assembler.frames_incomplete == 0
    got = assembler.receive(*packets[6 + WAITING_FRAMES])
    assert [frame.data for frame in got] == frames[6 : 7 + WAITING_FRAMES]
    assert assembler.frames_incomplete == 1
    assert assembler.receive(*packets[5]) == []


@pytest.mark.parametrize("codec", VIDEO)
@given(data=st.data())
def test_loss(codec: str, data: st.DataObject):
    """Whatever is lost: the frames that come out were sent whole and come in order; all others count."""
    frames = some_frames(codec, 60, size=250, key_every=7)
    packets = packets_of(codec, frames, first=-20)
    end = next(packet[0] for packet in packets if packet[1] == 30 * 3000)
    lost = data.draw(st.sets(st.integers(-20, end - 1), max_size=12))
    assembler = FrameAssembler(codec)
    got = fed(assembler, [packet for packet in packets if packet[0] not in lost])
    numbers = [frame.rtp_timestamp // 3000 for frame in got]
    assert numbers == sorted(set(numbers))
    assert [frame.data for frame in got] == [frames[i] for i in numbers]
    hurt = {packet[1] // 3000 for packet in packets if packet[0] in lost}
    assert set(numbers) == set(range(60)) - hurt
    whole = {i for i in hurt if all(packet[0] in lost for packet in packets if packet[1] == i * 3000)}
    assert len(hurt - whole) <= assembler.frames_incomplete + (0 in hurt) <= len(hurt) + 1


@pytest.mark.parametrize("codec", VIDEO)
@pytest.mark.parametrize("which", ["first", "middle", "last", "all"])
@pytest.mark.parametrize("key_every", [1000, 5])
def test_which_packet_is_lost(codec: str, which: str, key_every: int):
    """One frame is missing, and counted once; those around it come out."""
    frames = some_frames(codec, 60, key_every=key_every)
    packets = packets_of(codec, frames)
    for victim in (5, 7):
        numbers = [packet[0] for packet in packets if packet[1] == victim * 3000]
        assert len(numbers) >= 3
        lost = {"first": numbers[:1], "middle": numbers[1:2], "last": numbers[-1:], "all": numbers}[which]
        assembler = FrameAssembler(codec)
        got = fed(assembler, [packet for packet in packets if packet[0] not in lost])
        assert [frame.data for frame in got] == frames[:victim] + frames[victim + 1 :]
        assert assembler.frames_incomplete == 1


@pytest.mark.parametrize("codec", VIDEO)
def test_marker_lost_with_its_packet_or_never_set(codec: str):
    """A new timestamp in the next number ends a frame too."""
    frames = some_frames(codec, 10)
    packets = [(number, timestamp, False, payload) for number, timestamp, _, payload in packets_of(codec, frames)]
    assembler = FrameAssembler(codec)
    assert [frame.data for frame in fed(assembler, packets)] == frames[:-1]
    assert assembler.frames_incomplete == 0


@pytest.mark.parametrize("codec", VIDEO)
def test_padding_packets(codec: str):
    """Packets without payload between frames are no frames, and leave no gap."""
    frames = some_frames(codec, 10)
    packets: list[Packet] = []
    for number, timestamp, marker, payload in packets_of(codec, frames):
        packets.append((number + 2 * (timestamp // 3000), timestamp, marker, payload))
        if marker:
            packets += [(packets[-1][0] + i, timestamp, False, b"") for i in (1, 2)]
    assembler = FrameAssembler(codec)
    assert [frame.data for frame in fed(assembler, packets)] == frames
    assert assembler.frames_incomplete == 0


@pytest.mark.parametrize("codec", VIDEO)
def test_it_begins_in_the_middle_of_a_frame(codec: str):
    """That frame is none."""
    frames = some_frames(codec, 6, key_every=2)
    packets = packets_of(codec, frames)
    for skipped in (1, 2):
        assembler = FrameAssembler(codec)
        assert [frame.data for frame in fed(assembler, packets[skipped:])] == frames[1:]
        assert assembler.frames_incomplete == 1


@pytest.mark.parametrize("codec", VIDEO)
def test_it_begins_out_of_order(codec: str):
    """The first packet to come need not be the first one sent."""
    frames = some_frames(codec, 6)
    packets = packets_of(codec, frames)
    packets[:3] = [packets[1], packets[2], packets[0]]
    assert [frame.data for frame in fed(FrameAssembler(codec), packets)] == frames


@pytest.mark.parametrize("codec", VIDEO)
def test_a_large_frame_waits_for_its_packet(codec: str):
    """More packets than the window, one of them late: as long as no later frame is there, there is nothing to gain."""
    frames = [coded(codec, 12_000, key=True), coded(codec, 50, key=False)]
    packets = packets_of(codec, frames)
    assert len(packets) > REORDERING_PACKETS + 30
    assembler = FrameAssembler(codec)
    assert [frame.data for frame in fed(assembler, [*packets[:3], *packets[4:-1], packets[3], packets[-1]])] == frames
    assembler = FrameAssembler(codec)
    assert [frame.data for frame in fed(assembler, [*packets[:3], *packets[4:]])] == frames[1:]
    assert assembler.frames_incomplete == 1


def test_sequence_numbers_wrap():
    """With the unwrapper, as receivers do it."""
    frames = some_frames("VP8", 30_000, size=1)
    assembler, unwrapper, got = FrameAssembler("VP8"), SequenceUnwrapper(), 0
    for number, timestamp, marker, payload in packets_of("VP8", frames * 3, first=65_000):
        got += len(assembler.receive(unwrapper.unwrap(number & 0xFFFF), timestamp, marker, payload))
    assert got == 90_000


@pytest.mark.parametrize("codec", VIDEO)
def test_a_jump_of_the_numbers(codec: str):
    """A sender that leaves out thousands of numbers goes on being received, after the window."""
    frames = some_frames(codec, 80)
    packets = packets_of(codec, frames)
    at = next(i for i, packet in enumerate(packets) if packet[1] == 5 * 3000)
    jumped = [*packets[:at], *((number + 20_000, *rest) for number, *rest in packets[at:])]
    assembler = FrameAssembler(codec)
    assert [frame.data for frame in fed(assembler, jumped)] == frames  # type: ignore[arg-type]
    assert assembler.frames_incomplete == 1


def held(assembler: FrameAssembler) -> int:
    return len(assembler._packets)


@pytest.mark.parametrize("codec", VIDEO)
@pytest.mark.parametrize("step", [1, 2, 100])
@pytest.mark.parametrize("marker", [True, False])
def test_memory_is_bounded(codec: str, step: int, marker: bool):
    """A frame that never ends, or gaps everywhere."""
    assembler = FrameAssembler(codec)
    (payload, *_) = packetizer(codec).packetize(coded(codec, 300, key=False), 120)
    for number in range(0, 3 * HELD_PACKETS * step, step):
        assembler.receive(number, 0, marker, payload)
        assert held(assembler) <= HELD_PACKETS
    assert len(assembler._markers) <= held(assembler)


@pytest.mark.parametrize("codec", CODECS)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 100), st.integers(0, 3), st.booleans(), st.one_of(st.binary(max_size=8), st.just(b""))
        ),
        max_size=60,
    )
)
def test_random_packets(codec: str, packets: list[Packet]):
    """Whatever the bytes are, nothing is raised, and frames are in order."""
    assembler = FrameAssembler(codec)
    last = -1
    for frame in fed(assembler, packets):
        assert last < frame.first_sequence <= frame.last_sequence
        assert frame.data
        last = frame.last_sequence


@pytest.mark.parametrize("codec", VIDEO)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_packets(codec: str, seed: int):
    """Real packets with bytes changed, cut off or swapped: no exception, and it recovers."""
    rng = random.Random(seed)
    frames = some_frames(codec, 60, key_every=6)
    packets = packets_of(codec, frames)
    damaged = []
    for number, timestamp, marker, payload in packets:
        changed = bytearray(payload)
        if timestamp < 30 * 3000 and rng.random() < 0.3:
            changed[rng.randrange(min(6, len(changed)))] = rng.randrange(256)
            del changed[rng.randrange(len(changed)) :]
        damaged.append((number, timestamp, marker, bytes(changed)))
    got = fed(FrameAssembler(codec), damaged)
    assert [frame.data for frame in got][-29:] == frames[-29:]


@pytest.mark.parametrize(
    ("codec", "payloads", "expected"),
    [
        # Chromium's VP8: I, L and T, picture id of 15 bits; then of 7.
        ("VP8", ["90 e0 81 23 07 20 10 aa", "80 e0 81 23 07 20 bb"], "10 aa bb"),
        ("VP8", ["90 80 07 10 aa"], "10 aa"),
        ("VP8", ["10 10 aa", "00 bb", "11 cc"], "10 aa bb cc"),
        # Its VP9: flexible mode with a reference; two spatial layers, with a scalability structure.
        ("VP9", ["dc 80 07 02 86 aa"], "86 aa"),
        ("VP9", ["dc 80 07 03 04 86 aa"], "86 aa"),
        (
            "VP9",
            ["ae 81 23 00 05 38 00a0 005a 0140 00b4 01 00 82 aa", "ac 81 23 03 05 86 bb"],
            "82 aa 86 bb",
        ),
        ("VP9", ["aa 07 00 01 08 01 04 01 82", "a0 07 00 01 aa", "a4 07 00 01 bb"], "82 aa bb"),
        # H.264: slices of one picture, in packets of all kinds.
        ("H264", ["78 0002 6742 0002 68ce", "6588", "7c 85 40", "7c 45 41"], "[6742][68ce][6588][65 40 41]"),
        ("H264", ["41 9a", "41 40"], "[41 9a][41 40]"),
        # AV1: W=0 with sizes; fragments; an OBU that has its own size; a delimiter, which is dropped.
        ("AV1", ["08 03 08 aa bb 03 30 10 11"], "12 00 0a 02 aa bb 32 02 10 11"),
        ("AV1", ["68 02 08 aa 30 10", "d0 11", "90 12"], "12 00 0a 01 aa 32 03 10 11 12"),
        ("AV1", ["18 32 01 10"], "12 00 32 01 10"),
        ("AV1", ["28 02 12 00 30 10"], "12 00 32 01 10"),
    ],
)
def test_payloads_of_others(codec: str, payloads: list[str], expected: str):
    """What the payload formats allow, though our packetisers do not write it."""
    expected = expected.replace("[", CODE.hex()).replace("]", "")
    assembler = FrameAssembler(codec)
    got = fed(assembler, [(i, 0, i == len(payloads) - 1, bytes.fromhex(payload)) for i, payload in enumerate(payloads)])
    assert [frame.data.hex(" ") for frame in got] == [bytes.fromhex(expected).hex(" ")]


@pytest.mark.parametrize(
    ("codec", "payloads"),
    [
        ("VP8", ["00 10 aa"]),  # goes on with nothing
        ("VP8", ["11 10 aa"]),  # another partition
        ("VP8", ["10 10", "10 10"]),  # two frames
        ("VP8", ["90 80 87"]),  # nothing behind the descriptor
        ("VP9", ["84 07 aa"]),  # no beginning
        ("VP9", ["88 07 aa"]),  # no end
        ("VP9", ["88 07 aa", "8c 07 aa"]),
        ("VP9", ["8e 07 08 ff 04"]),  # a structure that is cut off
        ("H264", ["7c 05 aa"]),
        ("H264", ["7c 85 aa"]),
        ("H264", ["7c 85 aa", "41 9a"]),
        ("H264", ["7c 85 aa", "7c 85 aa"]),
        ("H264", ["78 0009 6742"]),
        ("H264", ["78 0000"]),
        ("H264", ["79 0000"]),  # STAP-B
        ("AV1", ["90 aa"]),  # goes on with nothing
        ("AV1", ["50 30 aa"]),  # goes on in nothing
        ("AV1", ["50 30 aa", "10 bb"]),
        ("AV1", ["00 05 30"]),
        ("AV1", ["20 02 30 10"]),  # one element of two
        ("AV1", ["10"]),
        ("AV1", ["00 00"]),
    ],
)
def test_no_frames(codec: str, payloads: list[str]):
    """Between frames that are well: counted, and nothing comes of it."""
    before, after = some_frames(codec, 2, size=20)
    assembler = FrameAssembler(codec)
    got = []
    number = 0
    for i, unit in enumerate([packetizer(codec).packetize(before), payloads, packetizer(codec).packetize(after)]):
        for j, payload in enumerate(unit):
            data = payload if isinstance(payload, bytes) else bytes.fromhex(payload)
            got += assembler.receive(number, i, j == len(unit) - 1, data)
            number += 1
    assert [frame.data for frame in got] == [before, after]
    assert assembler.frames_incomplete == 1


def test_h264_key_frame_without_its_parameters():
    """The packet with the parameter sets is lost: the slice alone is no frame, however well it begins."""
    frames = some_frames("H264", 60, size=50, key_every=1)
    packets = packets_of("H264", frames, max_size=100)
    pieces = []
    for _, timestamp, _, payload in packets:
        assert payload[0] == 0x78, "aggregated"
        pieces += [(timestamp, False, payload[:13]), (timestamp, True, payload[15:])]
    split = [(i, *piece) for i, piece in enumerate(pieces) if i != 10]
    assembler = FrameAssembler("H264")
    assert [frame.data for frame in fed(assembler, split)] == frames[:5] + frames[6:]
    assert assembler.frames_incomplete == 1


def test_unknown_codec():
    """There is nothing to assemble."""
    with pytest.raises(KeyError):
        FrameAssembler("theora")


def numbered(*units: tuple[int, str]) -> list[Packet]:
    """Payloads of 100 frames of one packet, `<number> → payload` in place of some; an empty one is lost."""
    special = dict(units)
    return [
        (i, i, True, bytes.fromhex(special.get(i, "41 9a"))) for i in range(100) if i not in special or special[i] != ""
    ]


def test_an_idr_with_parameters_from_elsewhere():
    """Whole if nothing is missing in front of it, also when what is in front was given up; not behind a gap."""
    got = fed(assembler := FrameAssembler("H264"), numbered((5, "6588")))
    assert got[5].is_key
    assert (len(got), assembler.frames_incomplete) == (100, 0)
    # A frame that lost its middle, and ended.
    packets = [(-3, -3, False, b"\x7c\x85\x88"), (-1, -3, True, b"\x7c\x45\x88"), *numbered((0, "6588"))]
    got = fed(assembler := FrameAssembler("H264"), packets)
    assert got[0].is_key
    assert (len(got), assembler.frames_incomplete) == (100, 1)
    got = fed(assembler := FrameAssembler("H264"), numbered((4, ""), (5, "6588")))
    assert (len(got), assembler.frames_incomplete) == (98, 1)


def test_parameters_begin_a_key_frame():
    """A recovery point without IDR is where a decoder may begin, as `starts_key_frame` has it."""
    got = fed(FrameAssembler("H264"), numbered((5, "78 0002 6742 0002 68ce 0002 419a")))
    assert [frame.first_sequence for frame in got if frame.is_key] == [5]


@pytest.mark.parametrize(("payload", "is_start"), [("10 20 aa", False), ("10 30 aa", True), ("10 2a aa", False)])
def test_av1_behind_a_gap(payload: str, is_start: bool):
    """A tile group or metadata may have had a frame header in front of it, in the packet that is lost."""
    packets = [(i, i, True, bytes.fromhex(payload if i == 6 else "10 30 aa")) for i in range(100) if i != 5]
    got = fed(assembler := FrameAssembler("AV1"), packets)
    assert (len(got), assembler.frames_incomplete) == (99 if is_start else 98, 1)


def test_vp9_upper_layer_is_no_key_frame():
    """It is predicted from the layer below, which is not there."""
    assembler = FrameAssembler("VP9")
    (frame,) = assembler.receive(0, 0, True, bytes.fromhex("ac 07 00 01 82"))
    assert frame.is_key
    (frame,) = assembler.receive(1, 1, True, bytes.fromhex("ac 07 03 01 82"))
    assert not frame.is_key


@pytest.mark.parametrize("codec", VIDEO)
def test_marker_between_frames_of_one_timestamp(codec: str):
    """Giving up a frame ends at its marker: what follows is another, though the clock stood still."""
    frames = some_frames(codec, 60, key_every=1)
    packets = [(number, timestamp // 30_000, *rest) for number, timestamp, *rest in packets_of(codec, frames)]
    lost = next(packet[0] for packet in packets_of(codec, frames) if packet[1] == 3 * 3000) + 1
    got = fed(assembler := FrameAssembler(codec), [p for p in packets if p[0] != lost])  # type: ignore[misc]
    assert [frame.data for frame in got] == frames[:3] + frames[4:]
    assert assembler.frames_incomplete == 1


@pytest.mark.parametrize("codec", VIDEO)
def test_a_hurt_frame_and_a_lost_one(codec: str):
    """One without its middle, then one of which nothing came: two."""
    frames = some_frames(codec, 60, key_every=1)
    packets = packets_of(codec, frames)
    middle = next(packet[0] for packet in packets if packet[1] == 3 * 3000) + 1
    got = fed(assembler := FrameAssembler(codec), [p for p in packets if p[0] != middle and p[1] != 4 * 3000])
    assert [frame.data for frame in got] == frames[:3] + frames[5:]
    assert assembler.frames_incomplete == 2
