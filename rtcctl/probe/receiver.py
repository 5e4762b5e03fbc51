"""A track that the probe receives: every number comes from the decrypted packets themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc import RTCRtpReceiver, RTCRtpTransceiver
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters

from rtcctl.media.payload import send_time_of
from rtcctl.media.percentiles import Distribution
from rtcctl.media.reception import Reception, ReceptionStatistics
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.tone import Tone
from rtcctl.probe.aiortc_internals import Arrival
from rtcctl.probe.boot import this_boot
from rtcctl.probe.sinks import ToneSink
from rtcctl.probe.stats import SecondOpinion, second_opinion
from rtcctl.results.result import Percentiles
from rtcctl.results.track import ReceivedStatistics


class Receiver:
    """One receiving m-section. Its numbers begin with the first packet, or with `start_measuring`."""

    def __init__(self, transceiver: RTCRtpTransceiver, rtt_ms: Callable[[], float | None]) -> None:
        self._transceiver = transceiver
        self._rtt_ms = rtt_ms
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._codec: RTCRtpCodecParameters | None = None
        self._stream: _Stream | None = None
        self._arrived = asyncio.Event()
        self.first_packet_at: float | None = None
        "Clock, when the first packet was read from its socket."

    @property
    def mid(self) -> str | None:
        """`None` until the first offer."""
        mid: str | None = self._transceiver.mid
        return mid

    @property
    def codec(self) -> str | None:
        """As in `a=rtpmap`: of the packets that came, before them the first one negotiated."""
        codec = self._codec or next(iter(self._codecs.values()), None)
        if codec is None:
            return None
        channels = "" if codec.channels in (None, 1) else f"/{codec.channels}"
        return f"{codec.name}/{codec.clockRate}{channels}"

    @property
    def payload_types(self) -> frozenset[int]:
        """Those negotiated."""
        return frozenset(self._codecs)

    @property
    def rtp_receiver(self) -> RTCRtpReceiver:
        """aiortc's side of it."""
        return self._transceiver.receiver

    def is_of(self, transceiver: RTCRtpTransceiver) -> bool:
        return self._transceiver is transceiver

    async def wait_first_packet(self, timeout_s: float) -> float:
        """Clock, when the first packet came. Raises `TimeoutError` if none comes, or the peer is closed."""
        async with asyncio.timeout(timeout_s):
            await self._arrived.wait()
        if self.first_packet_at is None:
            raise TimeoutError("closed before the first packet")
        return self.first_packet_at

    def start_measuring(self, now: float) -> None:
        """Count anew from the next packet."""
        if self._stream is not None:
            self._stream.restart_range(now)

    def statistics(self, now: float) -> ReceivedStatistics:
        """Totals since the first packet, or since `start_measuring`.

        The range ends now: what is missing is lost, while in an interval it may still come.
        """
        return _NOTHING if self._stream is None else self._stream.totals(now, self._rtt_ms())

    def interval(self, now: float) -> ReceivedStatistics:
        """Since the previous call, or since the first packet."""
        return _NOTHING if self._stream is None else self._stream.interval(now, self._rtt_ms())

    async def second_opinion(self) -> SecondOpinion | None:
        """What aiortc counted of the same packets."""
        report = await self.rtp_receiver.getStats()
        return second_opinion(report, 48_000 if self._codec is None else self._codec.clockRate)

    # -- called by the peer --------------------------------------------------------------------------------------

    def negotiated(self, parameters: RTCRtpReceiveParameters) -> None:
        """Take what an offer and answer agreed on."""
        # Earlier payload types stay: they never change their meaning (RFC 8829 §5.2.2), and packets may still come.
        for codec in parameters.codecs:
            if codec.payloadType is not None and not is_rtx(codec):
                self._codecs[codec.payloadType] = codec
        ssrcs = {encoding.ssrc for encoding in parameters.encodings}
        if self._stream is not None and ssrcs and self._stream.ssrc not in ssrcs:
            # The m-section is re-used for another source, whose first packet is yet to come.
            self._stream = self.first_packet_at = None
            self._arrived.clear()

    def packet_received(self, header: RtpHeader, data: bytes, arrival: Arrival) -> bool:
        """Count a packet in; False if its payload type was never negotiated."""
        codec = self._codecs.get(header.payload_type)
        if codec is None:
            return False
        self._codec = codec
        if self._stream is None or self._stream.ssrc != header.ssrc:
            self._stream = _Stream(header.ssrc, codec)
        self._stream.packet_received(header, data[header.header_size : len(data) - header.padding_size], arrival)
        if self.first_packet_at is None:
            self.first_packet_at = arrival.now
            self._arrived.set()
        return True

    def close(self) -> None:
        """No packet will come any more."""
        self._arrived.set()


class _Stream:
    """What is known of one source (SSRC)."""

    def __init__(self, ssrc: int, codec: RTCRtpCodecParameters) -> None:
        self.ssrc = ssrc
        self._reception = ReceptionStatistics(codec.clockRate)
        self._latency_ms = (Distribution(), Distribution())
        "Of the range and of the interval."
        self._sink = ToneSink() if codec.name.lower() == "opus" else None
        self._concealed_before_ms = [0.0, 0.0]
        "Likewise."

    def packet_received(self, header: RtpHeader, payload: bytes, arrival: Arrival) -> None:
        if not self._reception.receive(header.sequence_number, header.rtp_timestamp, len(payload), arrival.now):
            return
        sent = send_time_of(payload) if self._sink is not None else None
        if sent is not None and sent.boot_id_hash == this_boot():
            latency_ms = (arrival.monotonic_ns - sent.monotonic_ns) / 1e6
            for distribution in self._latency_ms:
                distribution.add(latency_ms)
        if self._sink is not None:
            self._sink.packet_received(header.sequence_number, header.rtp_timestamp, payload)

    def restart_range(self, now: float) -> None:
        self._reception.restart_range(now)
        for distribution in self._latency_ms:
            distribution.clear()
        if self._sink is not None:
            self._sink.detector.restart_range()
            self._concealed_before_ms = [self._sink.concealed_ms] * 2

    def totals(self, now: float, rtt_ms: float | None) -> ReceivedStatistics:
        tone = None if self._sink is None else self._sink.detector.tone()
        return self._statistics(self._reception.totals(now, is_final=True), 0, tone, rtt_ms)

    def interval(self, now: float, rtt_ms: float | None) -> ReceivedStatistics:
        tone = None if self._sink is None else self._sink.detector.interval()
        statistics = self._statistics(self._reception.interval(now), 1, tone, rtt_ms)
        self._latency_ms[1].clear()
        if self._sink is not None:
            self._concealed_before_ms[1] = self._sink.concealed_ms
        return statistics

    def _statistics(
        self, reception: Reception, which: int, tone: Tone | None, rtt_ms: float | None
    ) -> ReceivedStatistics:
        latency = self._latency_ms[which].percentiles(50, 95, 99)
        interval_s = reception.interval_s
        return ReceivedStatistics(
            interval_s=interval_s,
            packets_received=reception.packets_received,
            bytes_received=reception.bytes_received,
            packets_lost=reception.packets_lost,
            packets_recovered=reception.packets_recovered,
            packets_lost_rfc3550=reception.packets_lost_rfc3550,
            packets_duplicated=reception.packets_duplicated,
            packets_reordered=reception.packets_reordered,
            fraction_lost=reception.fraction_lost,
            jitter_ms=reception.jitter_ms,
            rtt_ms=rtt_ms,
            rtt_source=None if rtt_ms is None else "stun",
            bitrate_bps=reception.bytes_received * 8 / interval_s if interval_s > 0 else None,
            latency_ms=None if latency is None else Percentiles(*latency),
            tone_hz=None if tone is None else tone.frequency_hz,
            tone_level_db=None if tone is None else tone.level_db,
            tone_snr_db=None if tone is None else tone.snr_db,
            audio_gaps=None if tone is None else tone.gaps,
            concealed_ms=None if self._sink is None else self._sink.concealed_ms - self._concealed_before_ms[which],
        )


_NOTHING = ReceivedStatistics(interval_s=0.0, packets_received=0, bytes_received=0)
