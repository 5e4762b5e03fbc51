"""What a probe publishes: sources of encoded packets, paced by the monotonic clock."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from rtcctl.media.payload import SendTime, restamp, stamp
from rtcctl.media.tone import tone_samples
from rtcctl.probe.boot import this_boot

SAMPLE_RATE_HZ = 48_000
PACKET_S = 0.02
SAMPLES_PER_PACKET = 960
LOOP_PACKETS = range(50, 101)
"A loop lasts one to two seconds: whatever closes the phase of the tone best."

MAX_BEHIND_PACKETS = 5
"What is more than this late is skipped: the source stays below nominal and says so, and never bursts."

TONE_LEVEL_DB = -12.0
"Peak, relative to full scale: loud, and far from clipping."


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """One encoded packet, to be sent now."""

    payload: bytes
    rtp_timestamp: int
    "Since the start of the source, in units of the clock rate."


class ToneSource:
    """A sine tone in Opus (48 kHz, 20 ms, constant bitrate), with the send time in the padding of each packet.

    The tone is encoded once, as a loop whose phase closes; a packet then costs a copy and 24 bytes. The encoder runs
    through the loop twice and the second round is kept, so that the seam is as smooth as any other packet boundary.
    """

    kind = "audio"
    clock_rate_hz = SAMPLE_RATE_HZ

    def __init__(
        self,
        frequency_hz: float,
        *,
        level_db: float = TONE_LEVEL_DB,
        channels: int = 1,
        bitrate_bps: int = 64_000,
    ) -> None:
        self.frequency_hz = frequency_hz
        self._level_db = level_db
        self._channels = channels
        self._bitrate_bps = bitrate_bps
        self._loop: list[bytearray] = []
        self._ticks = 0
        self.started_at: float | None = None
        "Clock, when the first packet was due."
        self.packets_sent = 0
        self.bytes_sent = 0
        "Payload bytes."

    async def prepare(self) -> None:
        """Encode the loop, outside the event loop; does nothing the second time."""
        if not self._loop:
            packets = await asyncio.to_thread(
                encode_tone, self.frequency_hz, self._level_db, self._channels, self._bitrate_bps
            )
            self._loop = [bytearray(stamp(packet, SendTime(0, 0, 0))) for packet in packets]

    async def next_packet(self, clock: Callable[[], float]) -> MediaPacket:
        """Wait until the next packet is due and return it, stamped with the time."""
        await self.prepare()
        if self.started_at is None:
            self.started_at = clock()
        behind_s = clock() - self._due_at(self._ticks)
        if behind_s < 0:
            await asyncio.sleep(-behind_s)
        elif behind_s > MAX_BEHIND_PACKETS * PACKET_S:
            self._ticks += int(behind_s / PACKET_S)
        tick = self._ticks
        self._ticks += 1
        self.packets_sent += 1
        payload = self._loop[tick % len(self._loop)]
        self.bytes_sent += len(payload)
        restamp(payload, len(payload), SendTime(self.packets_sent, time.monotonic_ns(), this_boot()))
        return MediaPacket(bytes(payload), tick * SAMPLES_PER_PACKET)

    def nominal_packets(self, now: float) -> int:
        """How many packets are due by `now`."""
        if self.started_at is None:
            return 0
        return max(0, int((now - self.started_at) / PACKET_S + 1e-6) + 1)

    def _due_at(self, tick: int) -> float:
        assert self.started_at is not None
        return self.started_at + tick * PACKET_S


def loop_packets(frequency_hz: float) -> int:
    """Length of the loop after which the phase of the tone is closest to where it began."""
    cycles = frequency_hz * PACKET_S
    return min(LOOP_PACKETS, key=lambda n: (round(abs(n * cycles - round(n * cycles)) / n, 9), n))


def encode_tone(
    frequency_hz: float, level_db: float = TONE_LEVEL_DB, channels: int = 1, bitrate_bps: int = 64_000
) -> list[bytes]:
    """A loop of Opus packets; of the nearest frequency whose phase closes: the same for whole
    hertz, and never off by more than a third of one."""
    from av import AudioFrame, CodecContext

    packets = loop_packets(frequency_hz)
    closing_hz = round(frequency_hz * PACKET_S * packets) / (PACKET_S * packets)
    mono = tone_samples(closing_hz, SAMPLE_RATE_HZ, 0, packets * SAMPLES_PER_PACKET, 10 ** (level_db / 20))
    samples = array("h", bytes(2 * len(mono) * channels))
    for channel in range(channels):
        samples[channel::channels] = mono
    layout = "mono" if channels == 1 else "stereo"
    encoder = CodecContext.create("libopus", "w")
    encoder.format = "s16"
    encoder.layout = layout
    encoder.sample_rate = SAMPLE_RATE_HZ
    encoder.bit_rate = bitrate_bps
    encoder.options = {"application": "audio", "vbr": "off", "frame_duration": "20"}
    step = SAMPLES_PER_PACKET * channels
    encoded: list[bytes] = []
    for tick in range(2 * packets):
        start = tick % packets * step
        frame = AudioFrame(format="s16", layout=layout, samples=SAMPLES_PER_PACKET)
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = tick * SAMPLES_PER_PACKET
        frame.planes[0].update(samples[start : start + step].tobytes())
        encoded += [bytes(packet) for packet in encoder.encode(frame)]
    return encoded[-packets:]
