"""What a connection publishes: tracks, each with one encoding, with simulcast one per rid (RFC 8853); see `layer.py`.

*Timestamps.* Encodings of a track have RTP timestamps that begin anywhere. `IncomingTrack.alignment` maps those of a
layer onto those of the first layer that was forwarded, by the publisher's sender reports where there are some, else by
arrival; once used it stays, since the clocks are one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtcctl.media.keyframe import starts_key_frame
from rtcctl.media.simulcast import LayerState
from rtcctl.server.layer import IncomingLayer

if TYPE_CHECKING:
    from rtcctl.media.codec import Codec
    from rtcctl.server.connection import Connection
    from rtcctl.server.outgoing import OutgoingTrack
    from rtcctl.server.parameters import ReceiveParameters

_LIVE_S = 2.0
"A track has media when its last packet is no older than this. Opus in DTX still sends each 400 ms."


class IncomingTrack:
    """A track that a connection publishes. Made by `Connection.publish`."""

    def __init__(
        self, connection: Connection, parameters: ReceiveParameters, *, public_ssrc: int, clock: Callable[[], float]
    ) -> None:
        self.connection = connection
        "The publisher's."
        self.kind = parameters.kind
        self.public_ssrc = public_ssrc
        "What subscriptions have, all but those that need their own."
        self.last_packet_at: float | None = None
        "Monotonic seconds."
        self.subscriptions: list[OutgoingTrack] = []
        self.is_closed = False
        self.session_id = self.track_name = ""
        "As which it is published, once it is."
        self._clock = clock
        self._waiters: list[asyncio.Future[None]] = []
        self._take(parameters)
        self.layers: dict[str, IncomingLayer] = {}
        "By rid."
        self._renew_layers()

    @property
    def mid(self) -> str:
        return self.parameters.mid

    @property
    def codecs(self) -> tuple[Codec, ...]:
        return self.parameters.codecs

    @property
    def rids(self) -> tuple[str, ...]:
        """Of the simulcast encodings; none without simulcast."""
        return self.parameters.rids

    @property
    def understands_nack(self) -> bool:
        """Whether the publisher sends packets again when asked."""
        return any("nack" in codec.feedback for codec in self.codecs)

    def update(self, parameters: ReceiveParameters) -> None:
        """A new exchange has changed what the publisher sends: numbers, SSRCs, encodings."""
        if parameters == self.parameters:
            return
        self._take(parameters)
        self._renew_layers()
        self.connection.register(self)
        for subscription in list(self.subscriptions):
            subscription.renew()

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last packet; None before the first one."""
        return None if self.last_packet_at is None else self._clock() - self.last_packet_at

    def age(self, seconds: float) -> None:
        """It has been silent for so much longer (`passing.py`)."""
        if self.last_packet_at is not None:
            self.last_packet_at -= seconds

    def has_media(self, now: float) -> bool:
        """Whether packets are coming."""
        return self.last_packet_at is not None and now - self.last_packet_at <= _LIVE_S

    async def wait_media(self, timeout_s: float) -> bool:
        """Wait until packets are coming; False when none came in time, or when the track ended."""
        if not self.is_closed and not self.has_media(self._clock()):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with self.connection.waits.timeout(timeout_s):
                    await waiter
            except TimeoutError:
                return False
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        return not self.is_closed

    def close(self) -> None:
        """End the track; its subscriptions have no source any more."""
        if not self.is_closed:
            self.is_closed = True
            for subscription in list(self.subscriptions):
                subscription.unsubscribe()
            for layer in self.layers.values():
                layer.close()
            self.wake()
            self.connection.forget_incoming(self)

    # What layers and subscriptions use

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)

    def wake(self) -> None:
        """There is news for `wait_media`."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def layer_states(self, now: float) -> list[LayerState]:
        """What can be chosen from, in the publisher's order."""
        return [
            LayerState(rid, (layer := self.layers[rid]).is_live(now), layer.bitrate_bps) for rid in self.parameters.rids
        ]

    def alignment(self, layer: IncomingLayer, now: float) -> int:
        """To add to a layer's timestamps to get those of the track (see the theory of operation)."""
        if layer.alignment is None:
            reference = next((other for other in self.layers.values() if other.alignment is not None), None)
            if reference is None or reference.alignment is None:
                layer.alignment = 0
            elif reference.has_sender_report and layer.has_sender_report:
                # Of any moment: that is the same for both.
                difference = reference.timestamp_at(0, now) - layer.timestamp_at(0, now)
                layer.alignment = (reference.alignment + difference) & 0xFFFFFFFF
            else:
                difference = reference.arrival_timestamp_at(now) - layer.arrival_timestamp_at(now)
                layer.alignment = (reference.alignment + difference) & 0xFFFFFFFF
        return layer.alignment

    def starts_key_frame(self, payload_type: int, buffer: bytearray, at: int, end: int) -> bool:
        """Whether the packet with this payload begins one; for a codec that we cannot tell of, any packet does."""
        test = self._key_frame_tests.get(payload_type)
        return test is None or test(buffer, at, end)

    def _take(self, parameters: ReceiveParameters) -> None:
        self.parameters = parameters
        by_number = {codec.payload_type: codec for codec in parameters.codecs}
        self.repairs = {
            codec.payload_type: codec.repairs
            for codec in parameters.codecs
            if codec.repairs is not None and codec.repairs in by_number
        }
        "Payload type of RTX to that of what it repairs."
        tests = {codec.payload_type: starts_key_frame(codec.name) for codec in parameters.codecs}
        self._key_frame_tests = {number: test for number, test in tests.items() if test is not None}

    def _renew_layers(self) -> None:
        rate_hz = self.parameters.codecs[0].clock_rate_hz
        rids = self.parameters.rids or ("",)
        for rid in self.layers.keys() - set(rids):
            self.layers.pop(rid).close()
        for rid in rids:
            if rid not in self.layers:
                self.layers[rid] = IncomingLayer(self, rid, rate_hz)
        for layer in self.layers.values():
            layer.update()
