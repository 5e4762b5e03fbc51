"""What a session holds: m-sections, the tracks it publishes, and the tracks it is subscribed to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtcctl.media.codec import Codec
from rtcctl.media.sdp import Direction, MediaSection
from rtcctl.media.simulcast import LayerPreference
from rtcctl.realtime.schema import TrackStateObject
from rtcctl.server.parameters import ReceiveParameters

if TYPE_CHECKING:
    from rtcctl.server.incoming import IncomingTrack
    from rtcctl.server.outgoing import OutgoingTrack


@dataclass(slots=True, eq=False)
class Publication:
    """A track of this session that others may pull by session id and name."""

    session_id: str
    track_name: str
    mid: str
    kind: str
    incoming: IncomingTrack | None = None
    "None until the client has agreed to the offer that asks for it."
    published_at: float = 0.0
    "Monotonic seconds."
    is_open: bool = True

    @property
    def is_active(self) -> bool:
        return self.is_open and self.incoming is not None

    def start(self, incoming: IncomingTrack, now: float) -> None:
        """The client has agreed to send it."""
        self.incoming = incoming
        incoming.session_id, incoming.track_name = self.session_id, self.track_name
        self.published_at = now

    def idle_s(self, now: float) -> float:
        """Seconds since its last packet, or since it was published."""
        silent_s = self.incoming.silent_s if self.incoming else None
        published_s = now - self.published_at
        return published_s if silent_s is None else min(published_s, silent_s)

    def close(self) -> None:
        """End it for all its subscribers, whose subscriptions become inactive."""
        if self.is_open:
            self.is_open = False
            if self.incoming:
                self.incoming.close()


@dataclass(slots=True, eq=False)
class Subscription:
    """A track of another session that is forwarded to this one."""

    publication: Publication
    outgoing: OutgoingTrack
    preference: LayerPreference
    is_open: bool = True
    is_flowing: bool = False
    "The client has agreed to receive it."

    @property
    def is_active(self) -> bool:
        return self.is_open and self.publication.is_active

    def flow(self, is_agreed: bool) -> None:
        """Forward it as long as the client has agreed to that."""
        is_flowing = is_agreed and self.is_active
        if is_flowing and not self.is_flowing:
            assert self.publication.incoming is not None
            self.outgoing.subscribe(self.publication.incoming, self.preference)
        elif self.is_flowing and not is_flowing:
            self.outgoing.unsubscribe()
        self.is_flowing = is_flowing

    def prefer(self, preference: LayerPreference) -> None:
        """Another layer of the same track."""
        self.preference = preference
        if self.is_flowing:
            self.outgoing.prefer(preference)

    def close(self) -> None:
        """End it; the m-section keeps its sender."""
        if self.is_open:
            self.is_open = False
            self.flow(False)


@dataclass(slots=True, eq=False)
class Transceiver:
    """One m-section of the session, at a fixed index of its descriptions, and what flows there."""

    local: MediaSection
    "As the SFU last described it, and with the direction that was agreed."
    is_ours: bool = False
    "The SFU has made it, for one track at a time."
    is_stopped: bool = False
    "By the client, which so gives its place to another (RFC 8829 §5.2.2)."
    codecs: tuple[Codec, ...] = ()
    "As last agreed; in an offer without its answer, as offered."
    extensions: Mapping[str, int] = field(default_factory=dict)
    "Header extensions, by URI, likewise."
    client_sends: bool = False
    can_take: bool = False
    "By the client's own word it receives here as soon as the SFU sends."
    can_give: bool = False
    "It sends here as soon as the SFU receives."
    parameters: ReceiveParameters | None = None
    "What the client sends, or last sent, here."
    is_bidirectional: bool = False
    "The SFU may send here although the m-section was made for a track of the client."
    outgoing: OutgoingTrack | None = None
    "The SFU's sender here: one for the life of the m-section, so that its SSRC and its numbers go on."
    stream: str = ""
    "Id of the media stream in which the SFU's track was announced to the client."
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
    def has_open_publication(self) -> bool:
        return self.publication is not None and self.publication.is_open

    @property
    def has_open_subscription(self) -> bool:
        """One whose publication has ended counts: only the subscriber closes it."""
        return self.subscription is not None and self.subscription.is_open

    def is_vacant(self, *, sends: bool) -> bool:
        """Whether the SFU may use it for another track, which it `sends` or receives.

        Only when the client has seen it become inactive does it tell its application of the next track. And a client
        that has closed it by an offer of its own answers each later offer with inactive: the direction of its
        transceiver stays as its application has set it (RFC 8829 §5.3.1).
        """
        return (
            self.is_ours
            and not self.local.is_rejected
            and self.local.direction is Direction.INACTIVE
            and not (self.has_open_publication or self.has_open_subscription)
            and (self.can_take if sends else self.can_give)
        )

    def states(self) -> Iterator[TrackStateObject]:
        """What `GET` says of the tracks here."""
        if self.publication:
            yield TrackStateObject(
                location="local",
                mid=self.mid,
                track_name=self.publication.track_name,
                status=_status(self.publication.is_active),
            )
        if self.subscription:
            yield TrackStateObject(
                location="remote",
                mid=self.mid,
                session_id=self.subscription.publication.session_id,
                track_name=self.subscription.publication.track_name,
                status=_status(self.subscription.is_active),
            )

    def close(self) -> bool:
        """End what flows here, both ways; whether there was anything (Realtime docs: Sessions and tracks)."""
        was_open = self.has_open_publication or self.has_open_subscription
        if self.publication:
            self.publication.close()
        if self.subscription:
            self.subscription.close()
        self.is_bidirectional = False
        return was_open

    def stop(self) -> None:
        """The m-section is no more."""
        self.close()
        self.client_sends = False
        if self.outgoing:
            self.outgoing.close()
            self.outgoing = None


def _status(is_active: bool) -> str:
    return "active" if is_active else "inactive"
