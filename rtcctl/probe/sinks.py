"""What is done with the audio that arrives: put in order, decoded, and heard for its tone.

The decoder is our own and not aiortc's: packets are decoded in order as they come, on the event loop (25 µs a packet),
and what was missing is known exactly. One lost packet is concealed by the decoder, as any receiver would; from the
second on there is silence, which the tone detector hears as the gap it is.
"""

from __future__ import annotations

from array import array

from av import AudioCodecContext, CodecContext
from av.error import FFmpegError
from av.packet import Packet

from rtcctl.media.seqnum import SequenceUnwrapper
from rtcctl.media.tone import ToneDetector

SAMPLE_RATE_HZ = 48_000

REORDER_PACKETS = 4
"Packets that wait for one that is missing, before it counts as lost to the listener: 80 ms."

MAX_PAUSE_SAMPLES = SAMPLE_RATE_HZ
"A sender that pauses (DTX) leaves a hole in the timestamps; at most this much silence stands in for it."


class ToneSink:
    """Listens to one Opus stream, in mono."""

    def __init__(self) -> None:
        self.detector = ToneDetector(SAMPLE_RATE_HZ)
        self._decoder = _opus_decoder()
        self._unwrapper = SequenceUnwrapper()
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._next_sequence: int | None = None
        self._next_timestamp = 0
        self._toc = 0
        self.concealed_ms = 0.0
        "Decoded time for which no packet was there."

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
        try:
            samples = self._samples(payload)
        except FFmpegError:
            return  # what it would have lasted is a hole in the timestamps, found with the next packet
        self.detector.feed(samples)
        self._next_timestamp = (rtp_timestamp + len(samples)) & 0xFFFFFFFF

    def _conceal(self, sequence: int) -> None:
        """Give up on what is missing before `sequence`: one packet is concealed, the rest is silence."""
        missing = self._hole(self._waiting[sequence][0])
        if missing:
            # A packet that is nothing but its table of contents is a lost frame (RFC 6716 §4.4).
            samples = self._samples(bytes([self._toc & 0xFC]))[:missing]
            self.detector.feed(samples)
            self._silence(missing - len(samples))
            self.concealed_ms += missing * 1000 / SAMPLE_RATE_HZ
            self._next_timestamp = self._waiting[sequence][0]
        self._next_sequence = sequence

    def _pause(self, rtp_timestamp: int) -> None:
        """Let time pass where the sender left a hole in the timestamps and none in the sequence numbers."""
        self._silence(self._hole(rtp_timestamp))

    def _hole(self, rtp_timestamp: int) -> int:
        """Samples between what was decoded last and `rtp_timestamp`; 0 when the timestamps began anew."""
        samples = (rtp_timestamp - self._next_timestamp) & 0xFFFFFFFF
        return 0 if samples >= 1 << 31 else min(samples, MAX_PAUSE_SAMPLES)

    def _silence(self, samples: int) -> None:
        if samples:
            self.detector.feed(array("h", bytes(2 * samples)))

    def _samples(self, payload: bytes) -> array[int]:
        samples = array("h")
        for frame in self._decoder.decode(Packet(payload)):
            samples.frombytes(bytes(frame.planes[0])[: 2 * frame.samples])
        return samples


def _opus_decoder() -> AudioCodecContext:
    decoder = CodecContext.create("libopus", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.format = "s16"
    decoder.layout = "mono"
    decoder.sample_rate = SAMPLE_RATE_HZ
    return decoder
