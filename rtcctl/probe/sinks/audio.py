"""What is done with the audio that arrives: put in order, decoded, and heard for its tone.

The decoder is our own and not aiortc's: packets are decoded in order as they come, on the event loop (25 µs a packet),
and what was missing is known exactly. One lost packet is concealed by the decoder, as any receiver would (of G.711,
whose decoder conceals nothing, it is silence); from the second on there is silence, which the tone detector hears as
the gap it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from av import AudioCodecContext, CodecContext
from av.error import FFmpegError
from av.packet import Packet

from rtcctl.media.seqnum import SequenceUnwrapper
from rtcctl.media.tone import Tone, ToneDetector

REORDER_PACKETS = 4
"Packets that wait for one that is missing, before it counts as lost to the listener: 80 ms."

MAX_PAUSE_S = 1.0
"A sender that pauses (DTX) leaves a hole in the timestamps; at most this much silence stands in for it."

_DECODERS = {"opus": ("libopus", 48_000), "pcmu": ("pcm_mulaw", 8000), "pcma": ("pcm_alaw", 8000)}
"By encoding name, in lower case: FFmpeg's decoder and what it is to decode to."


def can_hear(codec_name: str) -> bool:
    """Whether there is a decoder."""
    return codec_name.lower() in _DECODERS


class ToneSink:
    """Listens to one stream in Opus, PCMU or PCMA. Stereo is heard as two channels once a packet of it came."""

    def __init__(self, codec_name: str = "opus") -> None:
        decoder, self.sample_rate_hz = _DECODERS[codec_name.lower()]
        self._is_opus = codec_name.lower() == "opus"
        self._decoder = _decoder(decoder, self.sample_rate_hz)
        self.detectors = [ToneDetector(self.sample_rate_hz)]
        "Of each channel: left, right; one for mono."
        self._unwrapper = SequenceUnwrapper()
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._next_sequence: int | None = None
        self._next_timestamp = 0
        self._toc = 0
        self.on_samples: Callable[[int, list[array[int]]], None] | None = None
        "Told the sample rate in Hz and the samples of each channel, as they are heard."
        self.concealed_ms = 0.0
        "Decoded time for which no packet was there."

    @property
    def detector(self) -> ToneDetector:
        """Of the left channel, or of the only one."""
        return self.detectors[0]

    def tones(self) -> tuple[Tone, ...]:
        """What was heard in each channel since the start, or since `restart_range`."""
        return tuple(detector.tone() for detector in self.detectors)

    def restart_range(self) -> None:
        """Begin to count anew what is heard."""
        for detector in self.detectors:
            detector.restart_range()

    def restart_stream(self) -> None:
        """The numbers of what comes next have nothing to do with those that came."""
        self._unwrapper = SequenceUnwrapper()
        self._waiting.clear()
        self._next_sequence = None

    def packet_received(self, sequence_number: int, rtp_timestamp: int, payload: bytes) -> None:
        """Take one packet, in any order; duplicates and what comes too late are ignored."""
        if not payload:
            return
        sequence = self._unwrapper.unwrap(sequence_number)
        if self._next_sequence is None:
            self._next_sequence, self._next_timestamp = sequence, rtp_timestamp
        if sequence < self._next_sequence:
            return
        self._waiting[sequence] = (rtp_timestamp, payload)
        if len(self._waiting) > REORDER_PACKETS:
            self._conceal(min(self._waiting))
        while (found := self._waiting.pop(self._next_sequence, None)) is not None:
            self._decode(*found)
            self._next_sequence += 1

    def _decode(self, rtp_timestamp: int, payload: bytes) -> None:
        self._pause(rtp_timestamp)
        self._toc = payload[0]
        if self._is_opus and payload[0] & 4 and len(self.detectors) == 1:
            # Coded as stereo (RFC 6716 §3.1), for the first time. Until now the channels were the same.
            self.detectors.append(ToneDetector(self.sample_rate_hz))
        try:
            samples = self._samples(payload)
        except FFmpegError:
            return  # what it would have lasted is a hole in the timestamps, found with the next packet
        self._next_timestamp = (rtp_timestamp + self._hear(samples)) & 0xFFFFFFFF

    def _conceal(self, sequence: int) -> None:
        """Give up on what is missing before `sequence`: one packet is concealed, the rest is silence."""
        missing = self._hole(self._waiting[sequence][0])
        if missing:
            concealed = 0
            if self._is_opus:
                # A packet that is nothing but its table of contents is a lost frame (RFC 6716 §4.4).
                samples = self._samples(bytes([self._toc & 0xFC]))
                concealed = self._hear([channel[:missing] for channel in samples])
            self._silence(missing - concealed)
            self.concealed_ms += missing * 1000 / self.sample_rate_hz
            self._next_timestamp = self._waiting[sequence][0]
        self._next_sequence = sequence

    def _pause(self, rtp_timestamp: int) -> None:
        """Let time pass where the sender left a hole in the timestamps and none in the sequence numbers."""
        self._silence(self._hole(rtp_timestamp))

    def _hole(self, rtp_timestamp: int) -> int:
        """Samples between what was decoded last and `rtp_timestamp`; 0 when the timestamps began anew."""
        samples = (rtp_timestamp - self._next_timestamp) & 0xFFFFFFFF
        return 0 if samples >= 1 << 31 else min(samples, round(MAX_PAUSE_S * self.sample_rate_hz))

    def _silence(self, samples: int) -> None:
        if samples:
            self._hear([array("h", bytes(2 * samples))] * len(self.detectors))

    def _hear(self, channels: list[array[int]]) -> int:
        """How many samples of each channel there were."""
        for detector, samples in zip(self.detectors, channels, strict=False):
            detector.feed(samples)
        if self.on_samples is not None:
            self.on_samples(self.sample_rate_hz, channels[: len(self.detectors)])
        return len(channels[0])

    def _samples(self, payload: bytes) -> list[array[int]]:
        """Of each channel that is decoded."""
        samples, count = array("h"), self._decoder.channels
        for frame in self._decoder.decode(Packet(payload)):
            samples.frombytes(bytes(frame.planes[0])[: 2 * count * frame.samples])
        return [samples[channel::count] for channel in range(count)] if count > 1 else [samples]


def _decoder(name: str, sample_rate_hz: int) -> AudioCodecContext:
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.format = "s16"
    # Mono in Opus comes out of a stereo decoder as two equal channels.
    decoder.layout = "stereo" if name == "libopus" else "mono"
    decoder.sample_rate = sample_rate_hz
    return decoder


__all__ = ["REORDER_PACKETS", "ToneSink", "can_hear"]
