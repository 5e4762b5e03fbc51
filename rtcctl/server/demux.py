"""Which encoding a packet of a BUNDLE group belongs to (RFC 9143 §9.2, RFC 8852).

By SSRC once that is known: from the description, or from the first packet that carried the header extensions MID and
RID (or repaired RID, for RTX). Without simulcast, a payload type that only one m-section has is enough, unless the SSRC
has been of another track: what a client sends for a track that is closed must not be heard in the one that is left.

libsrtp keeps state for each SSRC from which it has decrypted a packet. So their number is bounded: of those of a layer,
and of those that belong nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rtcctl.errors import ParseError
from rtcctl.media.extensions import MID, REPAIRED_RID, RID
from rtcctl.media.rtp import RtpHeader
from rtcctl.server.incoming import IncomingTrack
from rtcctl.server.layer import IncomingLayer

_SSRCS_PER_LAYER = 16
"SSRCs that one layer may have used, its RTX included."
_STRANGERS = 64
"SSRCs that belong to no track."

Receive = Callable[..., None]
"`IncomingLayer.receive` or `receive_rtx`."


class Demultiplexer:
    """The published tracks of one connection, and where their packets go."""

    def __init__(self) -> None:
        self.tracks: list[IncomingTrack] = []
        self.by_ssrc: dict[int, Receive] = {}
        self.strangers: set[int] = set()
        "SSRCs that have never been of a track, but were decrypted."
        self._layers: dict[int, IncomingLayer] = {}
        self._known: set[int] = set()
        "All SSRCs that have been of a track."

    def layer(self, ssrc: int) -> IncomingLayer | None:
        """Whose SSRC this is, as the source of media, not of RTX."""
        layer = self._layers.get(ssrc)
        return layer if layer is not None and layer.ssrc == ssrc else None

    def add(self, track: IncomingTrack) -> None:
        """Take a track up, or what a new exchange says of it."""
        if track not in self.tracks:
            self.tracks.append(track)
        layers = track.layers.values()
        self._unbind(ssrc for ssrc, layer in self._layers.items() if layer.track is track and layer not in layers)
        if track.rids:
            return  # which SSRC is which encoding, only the packets tell
        layer, repairing = track.layers[""], set(track.parameters.repaired_by.values())
        declared = {ssrc: layer.receive for ssrc in track.parameters.ssrcs if ssrc not in repairing}
        declared |= dict.fromkeys(repairing, layer.receive_rtx)
        if declared:
            self._unbind(ssrc for ssrc, other in self._layers.items() if other is layer and ssrc not in declared)
        for ssrc, receive in declared.items():
            self._bind(ssrc, layer, receive)

    def remove(self, track: IncomingTrack) -> None:
        """The track has ended; its packets belong nowhere."""
        self.tracks.remove(track)
        self._unbind(ssrc for ssrc, layer in self._layers.items() if layer.track is track)

    def admits(self, ssrc: int) -> bool:
        """Whether a packet whose SSRC is not in `by_ssrc` may be decrypted."""
        return ssrc in self._known or ssrc in self.strangers or len(self.strangers) < _STRANGERS

    def met(self, ssrc: int) -> None:
        """Such a packet was decrypted; whatever else is wrong with it, libsrtp remembers."""
        if ssrc not in self._known:
            self.strangers.add(ssrc)

    def find(self, packet: bytes) -> Receive | None:
        """Where a packet with a new SSRC goes; remembered. ParseError when it is malformed."""
        header = RtpHeader.parse(packet)
        found = self._by_extensions(header) or self._by_payload_type(header)
        if found is None:
            return None
        layer, receive = found
        if sum(other is layer for other in self._layers.values()) >= _SSRCS_PER_LAYER:
            return None
        self._bind(header.ssrc, layer, receive)
        return receive

    def look_up(self, ssrc: int, packet: bytes) -> tuple[IncomingLayer, Receive] | None:
        """Where a packet with this SSRC goes, or would go; nothing is remembered."""
        if (layer := self._layers.get(ssrc)) is not None:
            return layer, self.by_ssrc[ssrc]
        try:
            # How much of it is padding is inside what may be encrypted.
            header = RtpHeader.parse(bytes((packet[0] & 0xDF,)) + packet[1:])
        except ParseError:
            return None
        return self._by_extensions(header) or self._by_payload_type(header)

    def _bind(self, ssrc: int, layer: IncomingLayer, receive: Receive) -> None:
        self._layers[ssrc] = layer
        self.by_ssrc[ssrc] = receive
        self._known.add(ssrc)
        self.strangers.discard(ssrc)

    def _unbind(self, ssrcs: Iterable[int]) -> None:
        for ssrc in tuple(ssrcs):
            del self._layers[ssrc], self.by_ssrc[ssrc]

    def _by_extensions(self, header: RtpHeader) -> tuple[IncomingLayer, Receive] | None:
        for track in self.tracks:
            if _text(track, header, MID) == track.mid:
                break
        else:
            return None
        if not track.rids:
            return _single(track, header)
        if (layer := track.layers.get(_text(track, header, RID) or "")) is not None:
            return layer, layer.receive
        if (layer := track.layers.get(_text(track, header, REPAIRED_RID) or "")) is not None:
            return layer, layer.receive_rtx
        return None

    def _by_payload_type(self, header: RtpHeader) -> tuple[IncomingLayer, Receive] | None:
        if header.ssrc in self._known:
            return None
        takers = [t for t in self.tracks if any(c.payload_type == header.payload_type for c in t.codecs)]
        return _single(takers[0], header) if len(takers) == 1 and not takers[0].rids else None


def _single(track: IncomingTrack, header: RtpHeader) -> tuple[IncomingLayer, Receive]:
    """Of a track without simulcast."""
    layer = track.layers[""]
    return layer, layer.receive_rtx if header.payload_type in track.repairs else layer.receive


def _text(track: IncomingTrack, header: RtpHeader, uri: str) -> Any:
    value = header.extensions.get(track.parameters.extensions.get(uri, 0))
    return None if value is None else value.decode("ascii", errors="replace")
