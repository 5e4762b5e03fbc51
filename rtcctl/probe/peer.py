"""A WebRTC peer on aiortc that measures: offer or answer, connect, publish a source, receive, be told of an outage.

aiortc is the independent witness: its ICE, DTLS, SRTP and SDP share no line with the embedded server. What it lacks is
in `aiortc_internals.py`. The times of a connection:

    create_offer/answer      set_answer/answer          ICE nominated       DTLS finished
    ───────┬──────────────────────┬──────────────────────────┬───────────────────┬─────────
           gather            checks begin ── ice_ms ─────────┴──── dtls_ms ──────┘ media

A peer ends when it is closed, when DTLS says close_notify, when ICE or DTLS fails, or when consent to send expires
(30 s). Long before that, silence tells: `wait_lost` returns once no packet of any kind came for some seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

from aiortc import RTCRtpSender, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters

from rtcctl.errors import ApiError, NetworkError, ParseError
from rtcctl.media.rtp import RtpHeader
from rtcctl.probe.aiortc_internals import Arrival, PeerConnection
from rtcctl.probe.receiver import Receiver
from rtcctl.probe.sender import Sender, SourceTrack
from rtcctl.probe.sources import ToneSource

BAD_SDP = (
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)
"What aiortc raises for a description that it cannot parse, or that does not fit."

ROUND_TRIPS = 8
"Consent checks whose median is the round trip."


@dataclass(frozen=True, slots=True)
class ConnectionTiming:
    """How long connecting took, and over which path."""

    ice_ms: float
    dtls_ms: float
    candidate_pair: str
    "For example `127.0.0.1:41234 → 127.0.0.1:8610 host/udp`."
    candidate_type: str
    "Of our candidate: `host`, `srflx`, `prflx`, `relay`."


class Peer:
    """One peer connection; use it as an async context manager.

    `include_loopback`: offer 127.0.0.1 as well, for a Realtime on this machine.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, include_loopback: bool) -> None:
        self._clock = clock
        self._include_loopback = include_loopback
        self._connection: PeerConnection | None = None
        self._senders: list[Sender] = []
        self._receivers: list[Receiver] = []
        self._routes: dict[int, Receiver] = {}
        self._round_trips_ms: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._checking_at: float | None = None
        self._nominated_at: float | None = None
        self._timing: ConnectionTiming | None = None
        self.last_packet_at: float | None = None
        "Clock, when a packet of any kind (RTP, RTCP, STUN, DTLS) arrived last."
        self.unrouted_packets = 0
        "RTP packets that belong to no m-section, or have a payload type that was never negotiated."

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # -- negotiation ---------------------------------------------------------------------------------------------

    def add_sender(self, source: ToneSource) -> Sender:
        """An m-section that sends `source`; its mid is known after the next offer."""
        track = SourceTrack(source, self._clock)
        transceiver = self._open().addTransceiver(track, direction="sendonly")
        capabilities = RTCRtpSender.getCapabilities("audio")
        opus = [codec for codec in capabilities.codecs if codec.mimeType.lower() == "audio/opus"]
        transceiver.setCodecPreferences(opus)
        sender = Sender(source, transceiver)
        self._senders.append(sender)
        return sender

    def add_receiver(self, kind: str = "audio") -> Receiver:
        """A `recvonly` m-section; its mid is known after the next offer."""
        return self._adopt(self._open().addTransceiver(kind, direction="recvonly"))

    async def create_offer(self) -> str:
        """Our offer, with all candidates gathered."""
        connection = self._open()
        for sender in self._senders:
            await sender.source.prepare()
        await connection.setLocalDescription(await connection.createOffer())
        return _terminated(connection.localDescription.sdp)

    async def set_answer(self, sdp: str) -> None:
        """Take the answer to `create_offer`; connecting begins. Raises `ApiError` if it cannot be used."""
        await self._set_remote(sdp, "answer")

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer and return the answer, with all candidates gathered; connecting begins.

        Raises `ApiError` if the offer cannot be used.
        """
        connection = self._open()
        await self._set_remote(offer_sdp, "offer")
        for transceiver in connection.getTransceivers():
            if transceiver.direction == "recvonly" and not any(r.is_of(transceiver) for r in self._receivers):
                self._adopt(transceiver)
        try:
            await connection.setLocalDescription(await connection.createAnswer())
        except BAD_SDP as error:
            raise _unusable("offer", error) from error
        return _terminated(connection.localDescription.sdp)

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        """All, in the order in which they came."""
        return tuple(self._receivers)

    def receiver(self, mid: str) -> Receiver:
        """The receiver of an m-section. Raises `ApiError` when none was negotiated under that mid."""
        for receiver in self._receivers:
            if receiver.mid == mid:
                return receiver
        mids = ", ".join(r.mid for r in self._receivers if r.mid is not None) or "none"
        raise ApiError(f"The SFU's description has no m-section {mid} to receive; it has {mids}.", status=200)

    # -- connection ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """`new`, `connecting`, `connected`, `failed` or `closed`."""
        return "new" if self._connection is None else str(self._connection.connectionState)

    @property
    def rtt_ms(self) -> float | None:
        """Median of the last round trips, by STUN (consent checks); `None` before the first one."""
        return median(self._round_trips_ms) if self._round_trips_ms else None

    async def wait_connected(self, timeout_s: float) -> ConnectionTiming:
        """Wait for ICE and DTLS; at once when they are done. Raises `NetworkError` with phase `ice` or `dtls`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        if self._timing is None:
            raise self._not_connected(timeout_s)
        if self._ended.is_set():
            raise NetworkError(
                "The connection was closed by the other side.",
                phase="media",
                hint="Is the session still there? Look with `rtcctl session get SESSION`.",
            )
        return self._timing

    async def wait_lost(self, silence_s: float = 5.0) -> None:
        """Return when the connection ended, or when no packet of any kind arrived for `silence_s`."""
        waiting_since = self._clock()
        while not self._ended.is_set():
            heard_at = waiting_since if self.last_packet_at is None else self.last_packet_at
            left_s = heard_at + silence_s - self._clock()
            if left_s <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._ended.wait()

    def problem(self) -> str:
        """Why there is no connection now, in a sentence; empty when there is one."""
        if self._timing is not None:
            return "the connection was closed by the other side." if self._ended.is_set() else ""
        if self._checking_at is None:
            return "there was no complete exchange of offer and answer."
        return self._not_connected(0.0).message.replace(" within 0 s", "")

    def vanish(self) -> None:
        """Be gone without a goodbye, as by a crash: nothing is sent, and nothing is heard."""
        if self._connection is not None:
            self._connection.vanish()

    async def close(self) -> None:
        """Say goodbye (RTCP BYE, DTLS close_notify) and release everything; harmless the second time."""
        if self._connection is not None:
            await self._connection.close()
        self._settled.set()
        self._ended.set()
        for receiver in self._receivers:
            receiver.close()

    # -- what the connection tells (aiortc_internals.Listener) ---------------------------------------------------

    def datagram_received(self, arrival: Arrival) -> None:
        self.last_packet_at = arrival.now

    def rtp_received(self, data: bytes, mid: str | None, arrival: Arrival) -> str | None:
        try:
            header = RtpHeader.parse(data)
        except ParseError:
            return None
        receiver = self._route(header, mid)
        if receiver is None or not receiver.packet_received(header, data, arrival):
            self.unrouted_packets += 1
            return None
        return receiver.mid

    async def rtcp_received(self) -> None:
        for sender in self._senders:
            await sender.update()

    def media_negotiated(self, mid: str, parameters: RTCRtpReceiveParameters) -> None:
        for receiver in self._receivers:
            if receiver.mid == mid:
                receiver.negotiated(parameters)
                self._routes = {ssrc: r for ssrc, r in self._routes.items() if r is not receiver}
                self._routes.update((encoding.ssrc, receiver) for encoding in parameters.encodings)

    def round_trip_measured(self, rtt_ms: float) -> None:
        self._round_trips_ms.append(rtt_ms)

    # -- inside --------------------------------------------------------------------------------------------------

    def _open(self) -> PeerConnection:
        """The connection, made on first use because aiortc needs a running loop."""
        if self._connection is None:
            connection = PeerConnection(self, clock=self._clock, include_loopback=self._include_loopback)
            connection.on("iceconnectionstatechange", self._ice_changed)
            connection.on("connectionstatechange", self._connection_changed)
            self._connection = connection
        return self._connection

    def _adopt(self, transceiver: Any) -> Receiver:
        receiver = Receiver(transceiver, lambda: self.rtt_ms)
        self._receivers.append(receiver)
        return receiver

    def _route(self, header: RtpHeader, mid: str | None) -> Receiver | None:
        """By SSRC, else by MID (RFC 8843 §9.2), else by a payload type that only one m-section has."""
        receiver = self._routes.get(header.ssrc)
        if mid is not None and (receiver is None or receiver.mid != mid):
            receiver = next((r for r in self._receivers if r.mid == mid), None)
        elif receiver is None:
            able = [r for r in self._receivers if header.payload_type in r.payload_types]
            receiver = able[0] if len(able) == 1 else None
        if receiver is not None:
            self._routes[header.ssrc] = receiver
        return receiver

    async def _set_remote(self, sdp: str, type_: str) -> None:
        try:
            await self._open().setRemoteDescription(RTCSessionDescription(sdp=sdp, type=type_))
        except BAD_SDP as error:
            raise _unusable(type_, error) from error

    def _ice_changed(self) -> None:
        assert self._connection is not None
        state = self._connection.iceConnectionState
        if state == "checking" and self._checking_at is None:
            self._checking_at = self._clock()
        elif state == "completed" and self._nominated_at is None:
            self._nominated_at = self._clock()

    def _connection_changed(self) -> None:
        assert self._connection is not None
        state = self._connection.connectionState
        if state == "connected" and self._timing is None:
            self._timing = self._measure()
            self._settled.set()
        elif state in ("failed", "closed"):
            self._ended.set()
            self._settled.set()

    def _measure(self) -> ConnectionTiming:
        assert self._connection is not None
        assert self._checking_at is not None
        assert self._nominated_at is not None
        pair = self._connection.selected_pair()
        assert pair is not None
        local, remote = pair
        return ConnectionTiming(
            ice_ms=(self._nominated_at - self._checking_at) * 1000,
            dtls_ms=(self._clock() - self._nominated_at) * 1000,
            candidate_pair=f"{_address(local)} → {_address(remote)} {local.type}/{local.transport}",
            candidate_type=local.type,
        )

    def _not_connected(self, timeout_s: float) -> NetworkError:
        """Why there is no connection, in a sentence."""
        connection = self._open()
        within = "" if self._ended.is_set() else f" within {timeout_s:.0f} s"
        if self._nominated_at is not None:
            return NetworkError(
                f"ICE found a path, but the DTLS handshake did not finish{within}.",
                phase="dtls",
                hint="A certificate fingerprint that does not match its SDP, or a firewall that passes small packets "
                "only.",
            )
        local = [_address(candidate) for candidate in connection.local_candidates()]
        remote = [_address(candidate) for candidate in connection.remote_candidates()]
        if not local:
            return NetworkError(
                "ICE has no address to start from: no network interface is up.",
                phase="ice",
                hint="Bring an interface up; for a server on this machine, `lo` is enough.",
            )
        if not remote:
            return NetworkError(
                f"ICE has nowhere to go{within}: the SFU's description names no candidate.",
                phase="ice",
                hint="Behind a proxy or in a container, start the server with `rtcctl dev --announce IP`.",
            )
        return NetworkError(
            f"ICE found no path{within}: none of {', '.join(local)} reaches {', '.join(remote)}.",
            phase="ice",
            hint="Is UDP to that address and port allowed, both ways?",
        )


def _address(candidate: Any) -> str:
    host = f"[{candidate.host}]" if ":" in candidate.host else candidate.host
    return f"{host}:{candidate.port}"


def _terminated(sdp: str) -> str:
    """With its final CRLF, without which the service refuses a description."""
    return sdp if sdp.endswith("\r\n") else sdp.rstrip("\n") + "\r\n"


def _unusable(type_: str, error: BaseException) -> ApiError:
    return ApiError(
        f"The SFU's {type_} cannot be used: {error or type(error).__name__}.",
        status=200,
        hint="Is it SDP as a browser would accept it? Every m-section needs ICE credentials and a fingerprint.",
    )


__all__ = ["ConnectionTiming", "Peer", "Receiver", "Sender"]
