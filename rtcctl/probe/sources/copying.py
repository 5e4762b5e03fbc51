"""What can be sent as it is: packets of a container or a pipe, turned into frames without decoding them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction

from rtcctl.errors import ParseError
from rtcctl.media import obu
from rtcctl.media.codec import Codec
from rtcctl.media.opus import duration_ms
from rtcctl.probe.sources import h264
from rtcctl.probe.sources.paced import Coded

VIDEO_CLOCK_RATE_HZ = 90_000
OPUS_CLOCK_RATE_HZ = 48_000
MAX_OPUS_MS = 60
"Longer packets are taken apart by encoding them anew: WebRTC's `maxptime` is mostly 60 ms (RFC 7587 §6.1)."
G711_CLOCK_RATE_HZ = 8_000
G711_SAMPLES = 160
"20 ms."
G711_SILENCE = {"PCMU": b"\xff", "PCMA": b"\xd5"}

OPUS = Codec("opus", 111, OPUS_CLOCK_RATE_HZ, 2, "minptime=10;useinbandfec=1")
G711 = {"PCMU": Codec("PCMU", 0, G711_CLOCK_RATE_HZ), "PCMA": Codec("PCMA", 8, G711_CLOCK_RATE_HZ)}
_FEEDBACK = ("nack", "nack pli", "ccm fir", "transport-cc")
VP8 = Codec("VP8", 96, VIDEO_CLOCK_RATE_HZ, feedback=_FEEDBACK)
AV1 = Codec("AV1", 45, VIDEO_CLOCK_RATE_HZ, 1, "level-idx=5;profile=0;tier=0", _FEEDBACK)
"Payload types are those that Chromium uses."

_JUMP_S = Fraction(3, 100)
"Timestamps of a container are rounded; from this on it is a gap in the audio."


def h264_codec(profile_level_id: str) -> Codec:
    """H.264 in packetization mode 1 (RFC 6184 §8.1)."""
    payload_type = {"4d": 116, "64": 112}.get(profile_level_id[:2], 108)
    parameters = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile_level_id}"
    return Codec("H264", payload_type, VIDEO_CLOCK_RATE_HZ, 1, parameters, _FEEDBACK)


def vp9_codec(profile: int) -> Codec:
    """VP9 by its profile (RFC 9628 §7)."""
    return Codec("VP9", 98 if profile == 0 else 100, VIDEO_CLOCK_RATE_HZ, 1, f"profile-id={profile}", _FEEDBACK)


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """What a demuxer gives."""

    data: bytes
    at_s: Fraction | None
    "Since the start of the media; None where the container does not say."
    duration_s: Fraction | None = None
    is_key: bool = True


class Round:
    """One time through the media: where it begins, and how far it came."""

    def __init__(self, starts_at: int) -> None:
        self.starts_at = starts_at
        self.ends_at = starts_at
        "Units of the clock rate."


Copy = Callable[[Iterable[MediaPacket], Round], Generator[Coded, None, None]]


def copy_opus(packets: Iterable[MediaPacket], turn: Round) -> Generator[Coded, None, None]:
    """Opus packets; timed by what is in them, since containers round."""
    at = turn.starts_at
    for packet in packets:
        samples = round(duration_ms(packet.data) * OPUS_CLOCK_RATE_HZ / 1000)
        if packet.at_s is not None:
            said = turn.starts_at + round(packet.at_s * OPUS_CLOCK_RATE_HZ)
            if said - at >= _JUMP_S * OPUS_CLOCK_RATE_HZ or at == turn.starts_at:
                at = max(at, said)
        yield Coded(at, packet.data)
        at += samples
        turn.ends_at = at


def copy_g711(name: str) -> Copy:
    """Samples of G.711, cut into packets of 20 ms."""

    def copy(packets: Iterable[MediaPacket], turn: Round) -> Generator[Coded, None, None]:
        at = turn.starts_at
        samples = b""
        silence = G711_SILENCE[name]
        for packet in packets:
            if packet.at_s is not None:
                gap = turn.starts_at + round(packet.at_s * G711_CLOCK_RATE_HZ) - at - len(samples)
                if gap >= _JUMP_S * G711_CLOCK_RATE_HZ:
                    if samples:
                        yield Coded(at, samples.ljust(G711_SAMPLES, silence))
                    at += (len(samples) + gap) // G711_SAMPLES * G711_SAMPLES
                    samples = b""
            samples += packet.data
            while len(samples) >= G711_SAMPLES:
                yield Coded(at, samples[:G711_SAMPLES])
                samples = samples[G711_SAMPLES:]
                at += G711_SAMPLES
                turn.ends_at = at
        if samples:
            yield Coded(at, samples.ljust(G711_SAMPLES, silence))
            turn.ends_at = at + G711_SAMPLES

    return copy


Fit = Callable[[MediaPacket], tuple[bytes, bool]]
"""The frame as it is sent, and whether it is a key frame."""


def copy_video(fit: Fit, frame_s: Fraction) -> Copy:
    """Coded pictures; from the first key frame on. `frame_s` is how long one takes where nothing says."""

    def copy(packets: Iterable[MediaPacket], turn: Round) -> Generator[Coded, None, None]:
        has_begun = False
        next_s = Fraction(0)
        last = turn.starts_at - 1
        for packet in packets:
            at_s = packet.at_s if packet.at_s is not None else next_s
            next_s = at_s + (packet.duration_s or frame_s)
            data, is_key = fit(packet)
            has_begun = has_begun or is_key
            if not has_begun or not data:
                continue
            last = max(turn.starts_at + round(at_s * VIDEO_CLOCK_RATE_HZ), last + 1)
            yield Coded(last, data, is_key)
            turn.ends_at = max(turn.ends_at, turn.starts_at + round(next_s * VIDEO_CLOCK_RATE_HZ), last + 1)

    return copy


def fit_vp8(packet: MediaPacket) -> tuple[bytes, bool]:
    """RFC 6386 §9.1: the first bit says whether there was a picture before."""
    return packet.data, bool(packet.data) and not packet.data[0] & 1


def fit_vp9(packet: MediaPacket) -> tuple[bytes, bool]:
    """VP9 bitstream specification §6.2: the uncompressed header."""
    data = packet.data
    if not data or data[0] >> 6 != 2:
        raise ParseError("a VP9 frame")
    first = data[0]
    shift = 3 if first & 0x30 != 0x30 else 2
    shows_existing, is_inter = first >> shift & 1, first >> shift - 1 & 1
    return data, not shows_existing and not is_inter


def fit_av1(extradata: bytes) -> Fit:
    """Temporal units; a key frame carries its sequence header, from the av1C box (AV1-ISOBMFF §2.3) if need be.

    Raises `ParseError` for what is no temporal unit: here it is the file that is damaged, later it would be a packet.
    """
    sequence_header = extradata[4:] if extradata[:1] == b"\x81" else b""

    def fit(packet: MediaPacket) -> tuple[bytes, bool]:
        has_header = obu.SEQUENCE_HEADER in map(obu.kind_of, obu.without_sizes(packet.data))
        if packet.is_key and not has_header and sequence_header:
            return sequence_header + packet.data, True
        return packet.data, has_header

    return fit


def fit_h264(units: h264.AccessUnits) -> Fit:
    """Access units with parameter sets in front of each IDR picture."""
    return lambda packet: units.fit(packet.data)
