"""A tone for each channel, in Opus or G.711, encoded once."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rtcctl.errors import UsageError
from rtcctl.media.codec import Codec
from rtcctl.media.sendtime import with_room
from rtcctl.media.tone import MIN_FREQUENCY_HZ, tone_samples
from rtcctl.probe.sources import Frame
from rtcctl.probe.sources.pace import Pace

PACKET_S = 0.02
LOOP_PACKETS = range(50, 101)
"A loop lasts one to two seconds: whatever closes the phase of the tone best."

TONE_LEVEL_DB = -12.0
"Peak, relative to full scale: loud, and far from clipping."

OPUS_MAX_HZ = 20_000
"Upper edge of fullband (RFC 6716 §2)."


@dataclass(frozen=True, slots=True)
class _Encoding:
    encoder: str
    sample_rate_hz: int
    max_hz: float
    codecs: tuple[Codec, ...]
    "For one channel, for two …"


_ENCODINGS = {
    "opus": _Encoding(
        "libopus",
        48_000,
        OPUS_MAX_HZ,
        (
            # Two in any case (RFC 7587 §7); whether the second one is used is the decoder's to know.
            Codec("opus", 111, 48_000, 2, "minptime=10;useinbandfec=1"),
            Codec("opus", 111, 48_000, 2, "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"),
        ),
    ),
    "PCMU": _Encoding("pcm_mulaw", 8000, 4000, (Codec("PCMU", 0, 8000),)),
    "PCMA": _Encoding("pcm_alaw", 8000, 4000, (Codec("PCMA", 8, 8000),)),
}


class ToneSource:
    """A sine tone for each channel, in packets of 20 ms of constant size; `(440, 880)` is 440 Hz left and 880 Hz right.

    It is encoded once, as a loop whose phase closes; a packet then costs a copy. Opus has room for the send time in its
    padding, G.711 has none. The encoder runs through the loop twice and the second round is kept, so that the seam is
    as smooth as any other packet boundary.
    """

    kind = "audio"
    frame_s = PACKET_S

    def __init__(
        self,
        frequencies_hz: float | Iterable[float],
        *,
        level_db: float = TONE_LEVEL_DB,
        bitrate_bps: int = 64_000,
        codec: str = "opus",
    ) -> None:
        self.frequencies_hz = _tuple(frequencies_hz)
        "One of each channel: left, right."
        encoding = _encoding(codec)
        channels = len(self.frequencies_hz)
        if not 1 <= channels <= len(encoding.codecs):
            raise UsageError(f"{codec} carries {len(encoding.codecs)} channels at most, not {channels} tones")
        for frequency_hz in self.frequencies_hz:
            if not MIN_FREQUENCY_HZ <= frequency_hz < encoding.max_hz:
                raise UsageError(
                    f"a tone of {frequency_hz:g} Hz in {codec}",
                    hint=f"From {MIN_FREQUENCY_HZ:g} to below {encoding.max_hz:g} Hz.",
                )
        self.codec = encoding.codecs[channels - 1]
        self.description = f"tone {' + '.join(f'{hz:g}' for hz in self.frequencies_hz)} Hz"
        self._level_db = level_db
        self._bitrate_bps = bitrate_bps
        self.pace = Pace(PACKET_S)
        self._samples_per_packet = samples_per_packet(codec)
        self._loop: Sequence[tuple[bytes | bytearray, int | None]] = ()
        self._frames = 0

    @property
    def started_at(self) -> float | None:
        return self.pace.started_at

    async def prepare(self) -> None:
        if not self._loop:
            self._loop = await asyncio.to_thread(
                _loop, self.frequencies_hz, self._level_db, self._bitrate_bps, self.codec.name
            )

    async def next_frame(self, clock: Callable[[], float]) -> Frame:
        await self.prepare()
        return self.frame_at(await self.pace.tick(clock))

    def frame_at(self, tick: int) -> Frame:
        """The packet of that tick."""
        data, stamp_at = self._loop[tick % len(self._loop)]
        self._frames += 1
        return Frame(bytearray(data), tick * self._samples_per_packet, stamp_at=stamp_at, number=self._frames)

    def nominal_frames(self, now: float) -> int:
        return self.pace.nominal(now)

    def request_key_frame(self) -> None:
        """Every packet of audio is one."""

    async def close(self) -> None:
        """There is nothing to let go of."""


def samples_per_packet(codec: str = "opus") -> int:
    """Of one channel; also the step of the RTP timestamps."""
    return round(_encoding(codec).sample_rate_hz * PACKET_S)


def loop_packets(*frequencies_hz: float) -> int:
    """Length of the loop after which the phases of the tones are closest to where they began."""

    def error(packets: int, frequency_hz: float) -> float:
        cycles = frequency_hz * PACKET_S * packets
        return abs(cycles - round(cycles)) / packets

    return min(LOOP_PACKETS, key=lambda n: (round(max(error(n, hz) for hz in frequencies_hz), 9), n))


def encode_tone(
    frequencies_hz: float | Iterable[float],
    level_db: float = TONE_LEVEL_DB,
    bitrate_bps: int = 64_000,
    codec: str = "opus",
) -> list[bytes]:
    """A loop of packets, one tone to a channel; of the nearest frequencies whose phases close.

    Those are the same for whole hertz, and a single one is never off by more than a third of one.
    """
    from av import AudioCodecContext, AudioFrame, CodecContext

    tones, encoding = _tuple(frequencies_hz), _encoding(codec)
    rate_hz, size, channels = encoding.sample_rate_hz, samples_per_packet(codec), len(tones)
    packets = loop_packets(*tones)
    samples = array("h", bytes(2 * packets * size * channels))
    for channel, frequency_hz in enumerate(tones):
        closing_hz = round(frequency_hz * PACKET_S * packets) / (PACKET_S * packets)
        samples[channel::channels] = tone_samples(closing_hz, rate_hz, 0, packets * size, 10 ** (level_db / 20))
    layout = "mono" if channels == 1 else "stereo"
    encoder = CodecContext.create(encoding.encoder, "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.format = "s16"
    encoder.layout = layout
    encoder.sample_rate = rate_hz
    if codec == "opus":
        encoder.bit_rate = bitrate_bps
        encoder.options = {"application": "audio", "vbr": "off", "frame_duration": "20"}
    encoded: list[bytes] = []
    for tick in range(2 * packets):
        start = tick % packets * size * channels
        frame = AudioFrame(format="s16", layout=layout, samples=size)
        frame.sample_rate = rate_hz
        frame.pts = tick * size
        # The plane of a short frame is padded.
        chunk = samples[start : start + size * channels].tobytes()
        frame.planes[0].update(chunk.ljust(frame.planes[0].buffer_size, b"\0"))
        encoded += [bytes(packet) for packet in encoder.encode(frame)]
    return encoded[-packets:]


@lru_cache(maxsize=16)
def _loop(
    frequencies_hz: tuple[float, ...], level_db: float, bitrate_bps: int, codec: str
) -> Sequence[tuple[bytes | bytearray, int | None]]:
    """The packets with room for the send time, and where it is: once for all sources that say the same."""
    packets = encode_tone(frequencies_hz, level_db, bitrate_bps, codec)
    return tuple(with_room(codec, packet) or (packet, None) for packet in packets)


def _tuple(frequencies_hz: float | Iterable[float]) -> tuple[float, ...]:
    return (frequencies_hz,) if isinstance(frequencies_hz, int | float) else tuple(frequencies_hz)


def _encoding(codec: str) -> _Encoding:
    try:
        return _ENCODINGS[codec]
    except KeyError:
        raise UsageError(f"a tone in {codec}", hint=f"One of {', '.join(_ENCODINGS)}.") from None


__all__ = ["PACKET_S", "ToneSource", "encode_tone", "loop_packets", "samples_per_packet"]
