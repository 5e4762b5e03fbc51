"""Forwarding packets of one encoding to those who get the same bytes, without decoding.

Theory of operation
-------------------
A packet comes decrypted, in the endpoint's receive buffer. Subscriptions that get the same bytes before encryption
(equal SSRC, payload types, header extensions, offsets of all numbers, and socket) form a `ForwardingGroup`: the
header is written once for all of them, in place, and each member costs a copy, an encryption and a slot in the batch.

*What must never happen* is that two different packets go out under one number of one SSRC and key: AES-GCM would give
its key away (RFC 7714 §9). Numbers come from `media/rewrite.py`, which only moves forward; a group never sends what is
below `Numbering.lowest`, where the numbers of its members were used otherwise; a plain retransmission is the same
packet again, byte for byte. One as RTX (RFC 4588) is a packet of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rtcctl.media.picture_id import NO_SHIFT, Picture, Shift, put_shifted
from rtcctl.media.rewrite import MAX_STEP, HeaderTemplate, Numbering

if TYPE_CHECKING:
    from rtcctl.media.feedback import CachedPacket
    from rtcctl.server.layer import IncomingLayer
    from rtcctl.server.outgoing import OutgoingTrack
    from rtcctl.transport.tap import Tap
    from rtcctl.transport.udp import ReceiveBuffer, UdpSocket


class ForwardingGroup:
    """Subscriptions to one encoding that get the same bytes before encryption."""

    __slots__ = (
        "_header",
        "_layer",
        "_locators",
        "_payload_types",
        "_targets",
        "_udp",
        "bytes",
        "members",
        "numbering",
        "packets",
        "picture_shift",
        "timestamp_offset",
    )

    def __init__(
        self,
        layer: IncomingLayer,
        udp: UdpSocket | Tap,
        header: HeaderTemplate,
        payload_types: Mapping[int, int],
        numbering: Numbering,
        timestamp_offset: int,
        picture_shift: Shift,
    ) -> None:
        self.members: list[OutgoingTrack] = []
        self.packets = 0
        "Sent to each member since the group was made."
        self.bytes = 0
        "Their payload."
        self.numbering = numbering
        self.timestamp_offset = timestamp_offset
        "To add to the encoding's RTP timestamps, modulo 2**32."
        self.picture_shift = picture_shift
        "To add to the picture numbers inside the payload."
        self._layer = layer
        self._locators = layer.locators
        self._udp = udp
        self._header = header
        self._payload_types = payload_types
        self._targets: list[Any] = []

    def fits(
        self,
        udp: UdpSocket | Tap,
        header: HeaderTemplate,
        payload_types: Mapping[int, int],
        offset: int,
        lowest: int,
        timestamp_offset: int,
        picture_shift: Shift,
    ) -> bool:
        """Whether a subscription with these would get the same bytes, and nothing below `lowest`."""
        return (
            self._udp is udp
            and self.numbering.offset == offset
            and self.numbering.lowest >= lowest
            and self.timestamp_offset == timestamp_offset
            and self.picture_shift == picture_shift
            and self._header == header
            and self._payload_types == payload_types
        )

    def add(self, member: OutgoingTrack) -> None:
        self.members.append(member)
        self._aim()

    def remove(self, member: OutgoingTrack) -> None:
        self.members.remove(member)
        self._aim()

    def _aim(self) -> None:
        if self._header.mid:
            self._targets = [(*member.target, member.header.mid) for member in self.members]
        else:
            self._targets = [member.target for member in self.members]

    def send(
        self,
        buffer: ReceiveBuffer,
        payload_at: int,
        end: int,
        first: int,
        second: int,
        extended: int,
        rtp_timestamp: int,
        elements: Mapping[int, bytes],
        picture: Picture | None,
        now: float,
    ) -> None:
        """Put the packet into the socket's batch for every member."""
        numbering = self.numbering
        if extended < numbering.lowest:
            return
        payload_type = self._payload_types.get(second & 0x7F)
        if payload_type is None:
            numbering.skip(extended, self._layer.highest)
            return
        number = extended + numbering.offset
        if number > numbering.highest_out:
            if number - numbering.highest_out > MAX_STEP and numbering.highest_out >= 0:
                number = numbering.close_gap(extended)
            numbering.highest_out = number
        if picture is not None:
            put_shifted(buffer.memory, picture, self.picture_shift)
        start = self._header.write(
            buffer.memory,
            payload_at,
            first,
            second & 0x80 | payload_type,
            number & 0xFFFF,
            (rtp_timestamp + self.timestamp_offset) & 0xFFFFFFFF,
            elements,
            now,
        )
        self.packets += 1
        self.bytes += end - payload_at
        if self._header.mid:
            mid_at = self._header.mid_offset(buffer.memory, start) - start
            self._udp.put_patched(buffer.pointer + start, end - start, mid_at, self._targets)
        else:
            self._udp.put_protected(buffer.pointer + start, end - start, self._targets)

    def again(self, cached: CachedPacket, offset: int, header: HeaderTemplate) -> bytes | None:
        """A packet as `send` wrote it under `offset` for the member with that header; None when it never did."""
        extended, first, second, rtp_timestamp, payload, elements, sent_at = cached
        payload_type = self._payload_types.get(second & 0x7F)
        if payload_type is None:
            return None
        number = (extended + offset) & 0xFFFF
        timestamp = (rtp_timestamp + self.timestamp_offset) & 0xFFFFFFFF
        return header.header(
            first, second & 0x80 | payload_type, number, timestamp, elements, sent_at
        ) + self._renumbered(payload, second & 0x7F)

    def as_rtx(
        self,
        cached: CachedPacket,
        offset: int,
        header: HeaderTemplate,
        payload_types: Mapping[int, int],
        rtx_number: int,
        now: float,
    ) -> bytes | None:
        """A packet again, as RTX (RFC 4588 §4); `payload_types` are the subscriber's, of the codec to that of its RTX.

        None when the packet was never sent, or when nothing was agreed that repairs its codec.
        """
        extended, first, second, rtp_timestamp, payload, elements, _ = cached
        payload_type = payload_types.get(self._payload_types.get(second & 0x7F, -1))
        if payload_type is None:
            return None
        original = ((extended + offset) & 0xFFFF).to_bytes(2, "big")
        timestamp = (rtp_timestamp + self.timestamp_offset) & 0xFFFFFFFF
        return (
            header.header(first, second & 0x80 | payload_type, rtx_number, timestamp, elements, now)
            + original
            + self._renumbered(payload, second & 0x7F)
        )

    def _renumbered(self, payload: bytes, payload_type: int) -> bytes:
        locate = self._locators.get(payload_type)
        if self.picture_shift == NO_SHIFT or locate is None:
            return payload
        copy = bytearray(payload)
        if (picture := locate(copy, 0, len(copy))) is not None:
            put_shifted(copy, picture, self.picture_shift)
        return bytes(copy)
