"""What is verified of a stream: a sound is heard, a picture is looked at.

Decoding is what costs a receiver most, so it is done only where content is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from rtcctl.media.assembly import FrameAssembler
from rtcctl.media.codec import Codec
from rtcctl.media.tone import Tone
from rtcctl.probe.sinks.audio import ToneSink, can_hear
from rtcctl.probe.sinks.video import PictureSink, PictureStatistics, can_see
from rtcctl.probe.transport import Arrival

if TYPE_CHECKING:
    from rtcctl.probe.sinks.play import Player

Figures = dict[str, Any]
"Fields of `ReceivedStatistics`."


class Content(Protocol):
    """One stream that is decoded."""

    def packet_received(
        self, number: int, extended: int, timestamp: int, marker: bool, payload: bytes, at: Arrival
    ) -> None:
        """Take one packet; `extended` is its unwrapped number."""

    def restart_stream(self) -> None:
        """The numbers of what comes next have nothing to do with those that came."""

    def restart_range(self, now: float) -> None:
        """Count anew from here."""

    def totals(self, now: float) -> Figures:
        """Of the range."""

    def interval(self, now: float) -> Figures:
        """Since the previous call."""

    def saturated(self, now: float) -> str | None:
        """Why what is missing in the range may be this machine's doing; `None` when it is not."""

    async def drain(self) -> None:
        """Wait until what has come is decoded."""

    def close(self) -> None:
        """No packet will come any more."""


def content_of(codec: Codec, kind: str, want_key_frame: Callable[[], None], player: Player | None) -> Content | None:
    """What can be verified of a stream in this codec; `None` where there is no decoder."""
    if kind == "audio":
        return Sound(codec, player) if can_hear(codec.name) else None
    return Picture(codec, want_key_frame) if can_see(codec.name) else None


class Sound:
    """A stream of audio, heard for its tone."""

    def __init__(self, codec: Codec, player: Player | None = None) -> None:
        self.sink = ToneSink(codec.name)
        if player is not None and player.take():
            self.sink.on_samples = player.feed
        self._concealed_before_ms = [0.0, 0.0]
        "The range, the interval."

    def packet_received(
        self, number: int, extended: int, timestamp: int, marker: bool, payload: bytes, at: Arrival
    ) -> None:
        self.sink.packet_received(number, timestamp, payload)

    def restart_stream(self) -> None:
        self.sink.restart_stream()

    def restart_range(self, now: float) -> None:
        self.sink.restart_range()
        self._concealed_before_ms = [self.sink.concealed_ms] * 2

    def totals(self, now: float) -> Figures:
        return self._figures([detector.tone() for detector in self.sink.detectors], 0)

    def interval(self, now: float) -> Figures:
        figures = self._figures([detector.interval() for detector in self.sink.detectors], 1)
        self._concealed_before_ms[1] = self.sink.concealed_ms
        return figures

    def saturated(self, now: float) -> str | None:
        """It is decoded as it comes."""
        return None

    async def drain(self) -> None:
        """It is, already."""

    def close(self) -> None:
        """There is nothing to let go of."""

    def _figures(self, tones: list[Tone], which: int) -> Figures:
        left = tones[0]
        return {
            "tone_hz": left.frequency_hz,
            "tone_level_db": left.level_db,
            "tone_snr_db": left.snr_db,
            "audio_gaps": left.gaps,
            "concealed_ms": self.sink.concealed_ms - self._concealed_before_ms[which],
            "tones_hz": tuple(tone.frequency_hz for tone in tones) if len(tones) > 1 else None,
        }


class Picture:
    """A stream of video, looked at for what the test picture says."""

    def __init__(self, codec: Codec, want_key_frame: Callable[[], None]) -> None:
        self.sink = PictureSink(codec.name, request_key_frame=want_key_frame)
        self._codec_name = codec.name
        self._assembler = FrameAssembler(codec.name)
        self._incomplete = 0

    def packet_received(
        self, number: int, extended: int, timestamp: int, marker: bool, payload: bytes, at: Arrival
    ) -> None:
        frames = self._assembler.receive(extended, timestamp, marker, payload)
        if self._assembler.frames_incomplete != self._incomplete:
            self._incomplete = self._assembler.frames_incomplete
            self.sink.frame_lost()
        for frame in frames:
            self.sink.frame_received(frame.data, frame.is_key, at.now, at.monotonic_ns)

    def restart_stream(self) -> None:
        self._assembler, self._incomplete = FrameAssembler(self._codec_name), 0
        self.sink.frame_lost()

    def restart_range(self, now: float) -> None:
        self.sink.restart_range(now)

    def totals(self, now: float) -> Figures:
        return _seen(self.sink.totals(now))

    def interval(self, now: float) -> Figures:
        return _seen(self.sink.interval(now))

    def saturated(self, now: float) -> str | None:
        skipped = self.sink.totals(now).frames_skipped
        return f"this machine is busy: {skipped} frames came faster than it decodes" if skipped else None

    async def drain(self) -> None:
        await self.sink.drain()

    def close(self) -> None:
        self.sink.close()


def _seen(statistics: PictureStatistics) -> Figures:
    continuity = statistics.continuity
    is_numbered = continuity.frames > continuity.frames_unnumbered
    figures: Figures = {
        "frames_decoded": continuity.frames,
        "frames_missing": continuity.missing if is_numbered else None,
        "frames_repeated": continuity.repeated if is_numbered else None,
        "frames_out_of_order": continuity.out_of_order if is_numbered else None,
        "picture_latency_ms": statistics.picture_latency_ms,
    }
    if statistics.width is not None:
        figures |= {"width": statistics.width, "height": statistics.height}
    return figures


__all__ = ["Content", "content_of"]
