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
from rtcctl.probe.aiortc_internals import Arrival
from rtcctl.probe.boot import boot_id_hash
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
            self._stream.restart(now)

    def statistics(self, now: float) -> ReceivedStatistics:
        """Totals since the first packet, or since `start_measuring`."""
        if self._stream is None:
            return self._nothing(0.0)
        return self._combined(self._stream.reception.totals(now), self._stream.total)

    def interval(self, now: float) -> ReceivedStatistics:
        """Since the previous call, or since the first packet."""
        if self._stream is None:
            return self._nothing(0.0)
        statistics = self._combined(self._stream.reception.interval(now), self._stream.interval)
        self._stream.next_interval()
        return statistics

    async def second_opinion(self) -> SecondOpinion | None:
        """What aiortc counted of the same packets."""
        report = await self.rtp_receiver.getStats()
        return second_opinion(report, 48_000 if self._codec is None else self._codec.clockRate)

    # -- called by the peer --------------------------------------------------------------------------------------

    def negotiated(self, parameters: RTCRtpReceiveParameters) -> None:
        self._codecs = {codec.payloadType: codec for codec in parameters.codecs if not is_rtx(codec)}

    def packet_received(self, header: RtpHeader, data: bytes, arrival: Arrival) -> None:
        codec = self._codecs.get(header.payload_type)
        if codec is None:
            return
        if self._stream is None or self._stream.ssrc != header.ssrc:
            # A re-used m-section brings a new source: its numbers are its own.
            self._codec = codec
            self._stream = _Stream(header.ssrc, codec)
        self._stream.packet_received(header, data[header.header_size : len(data) - header.padding_size], arrival)
        if self.first_packet_at is None:
            self.first_packet_at = arrival.now
            self._arrived.set()

    def close(self) -> None:
        self._arrived.set()

    # -- inside --------------------------------------------------------------------------------------------------

    def _nothing(self, interval_s: float) -> ReceivedStatistics:
        return ReceivedStatistics(interval_s=interval_s, packets_received=0, bytes_received=0)

    def _combined(self, reception: Reception, content: _Content) -> ReceivedStatistics:
        rtt_ms = self._rtt_ms()
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
            latency_ms=content.latency_ms,
        )
