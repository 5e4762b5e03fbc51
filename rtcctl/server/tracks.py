"""What a session holds: m-sections, the tracks it publishes, and the tracks it is subscribed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import MediaSection

if TYPE_CHECKING:
    from rtcctl.server.forward import IncomingTrack, OutgoingTrack


@dataclass(slots=True, eq=False)
class Publication:
    """A track of this session that others may pull by session id and name."""

    session_id: str
    track_name: str
    mid: str
    kind: str
    incoming: IncomingTrack
    published_at: float
    "Monotonic seconds."
    is_active: bool = True

    def idle_s(self, now: float) -> float:
        """Seconds since its last packet, or since it was published."""
        return now - max(self.published_at, self.incoming.last_packet_at or 0.0)

    def close(self) -> None:
        """End it for all its subscribers, whose subscriptions become inactive."""
        if self.is_active:
            self.is_active = False
            self.incoming.close()


@dataclass(slots=True, eq=False)
class Subscription:
    """A track of another session that is forwarded to this one."""

    publication: Publication
    mid: str
    outgoing: OutgoingTrack
    is_open: bool = True

    @property
    def is_active(self) -> bool:
        return self.is_open and self.publication.is_active

    @property
    def msid(self) -> str:
        """Tracks of one publisher share a stream, so that browsers keep audio and video in sync."""
        return f"{self.publication.session_id} {self.outgoing.ssrc:08x}"

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.outgoing.close()


@dataclass(slots=True, eq=False)
class Transceiver:
    """One m-section of the session, at a fixed index of its descriptions, and what flows there."""

    local: MediaSection
    "As the SFU last described it."
    codecs: tuple[Codec, ...] = ()
    "As last agreed; in an offer without its answer, as offered."
    extension_id: int | None = None
    "Of the mid header extension."
    client_ssrcs: tuple[int, ...] = ()
    client_sends: bool = False
    is_bidirectional: bool = False
    "The SFU may send here although the client made the m-section for a track of its own."
    publication: Publication | None = None
    subscription: Subscription | None = None

    @property
    def mid(self) -> str:
        return self.local.mid

    @property
    def kind(self) -> str:
        return self.local.kind

    @property
    def active_publication(self) -> Publication | None:
        return self.publication if self.publication and self.publication.is_active else None

    @property
    def active_subscription(self) -> Subscription | None:
        return self.subscription if self.subscription and self.subscription.is_active else None

    def close(self) -> bool:
        """End what flows here, both ways; whether there was anything (Realtime docs: Sessions and tracks)."""
        was_open = self.active_publication is not None or (self.subscription is not None and self.subscription.is_open)
        if self.publication:
            self.publication.close()
        if self.subscription:
            self.subscription.close()
        return was_open
