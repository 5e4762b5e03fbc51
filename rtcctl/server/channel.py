"""One data channel of one session, and what flows on it (Realtime docs: DataChannels).

Theory of operation

    initializing ──the SCTP association is up──▶ active ──closed by either side, or its source has ended──▶ inactive

A *publication* is known by its session and its name, and has many *subscriptions*, each a channel of another session
(or of the same) with an id there. What its publisher sends goes to all of them; what a subscriber sends goes nowhere,
or, from the one that holds `canReply`, to the publisher. Until a subscription with `waitForAck` has been acknowledged,
nothing goes to it and nothing is kept for it. When a publication ends, its subscriptions do, and their peers see their
channels close.

Each leg has the delivery policy that its own request named. A subscriber has to repeat that of its publisher; one that
does not is served as it asks, and the log says so.

Messages keep their kind, text or binary. To a peer that is slower than its publisher `sctp.BUFFERED_BYTES_MAX` wait;
beyond that messages are dropped on an unreliable channel, and a reliable one, in which nothing may be missing, ends.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcctl.realtime.schema import DataChannelObject

if TYPE_CHECKING:
    from rtcctl.server.sctp import Association, Message, Stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """In which order, and how often or how long it is tried. Without a limit: reliably."""

    ordered: bool = True
    max_retransmits: int | None = None
    max_packet_life_time_ms: int | None = None

    @property
    def is_reliable(self) -> bool:
        return self.max_retransmits is None and self.max_packet_life_time_ms is None

    @classmethod
    def of(cls, channel: DataChannelObject) -> DeliveryPolicy:
        """As a request names it."""
        return cls(channel.ordered is not False, channel.max_retransmits, channel.max_packet_life_time)


class Channel:
    """One id of one session. By itself it is `server-events`."""

    location = "remote"
    publisher_id: str | None = None

    def __init__(self, session_id: str, channel_id: int, name: str, policy: DeliveryPolicy) -> None:
        self.session_id = session_id
        self.channel_id = channel_id
        self.name = name
        self.policy = policy
        self.is_ended = False
        self._stream: Stream | None = None
        self._has_dropped = False

    @property
    def status(self) -> str:
        if self.is_ended or not (self._stream is None or self._stream.is_connecting or self._stream.is_open):
            return "inactive"
        return "active" if self._stream is not None and self._stream.is_open else "initializing"

    @property
    def log_name(self) -> str:
        return f"session={self.session_id} channel={self.channel_id}"

    def start(self, association: Association) -> None:
        """Carry data as soon as the association does."""
        self._stream = association.open(
            self.channel_id,
            ordered=self.policy.ordered,
            max_retransmits=self.policy.max_retransmits,
            max_packet_life_time_ms=self.policy.max_packet_life_time_ms,
            on_message=self.receive,
            on_closed=self.end,
        )

    def send(self, message: Message) -> None:
        """To the peer, if it can be sent at all; see the theory of operation for a slow peer."""
        if self.is_ended or self._stream is None or self._stream.send(message):
            return
        if self.policy.is_reliable:
            logger.warning("%s the peer is too slow for a reliable channel, which ends", self.log_name)
            self.end()
        elif not self._has_dropped:
            self._has_dropped = True
            logger.warning("%s the peer is too slow: messages are dropped", self.log_name)

    def receive(self, message: Message) -> None:
        """A message of the peer."""

    def end(self) -> None:
        """Nothing flows any more, in either direction."""
        if not self.is_ended:
            self.is_ended = True
            if self._stream is not None:
                self._stream.close()


class Publication(Channel):
    location = "local"

    def __init__(self, session_id: str, channel_id: int, name: str, policy: DeliveryPolicy) -> None:
        super().__init__(session_id, channel_id, name, policy)
        self.subscriptions: dict[Subscription, None] = {}
        "In the order in which they came."
        self.replier: Subscription | None = None
        "The one subscription that holds `canReply`."

    def receive(self, message: Message) -> None:
        for subscription in tuple(self.subscriptions):
            subscription.deliver(message)

    def end(self) -> None:
        super().end()
        for subscription in tuple(self.subscriptions):
            subscription.end()


class Subscription(Channel):
    def __init__(
        self, session_id: str, channel_id: int, publication: Publication, policy: DeliveryPolicy, ack_by: float | None
    ) -> None:
        super().__init__(session_id, channel_id, publication.name, policy)
        self.publication = publication
        self.publisher_id = publication.session_id
        self.ack_by = ack_by
        "Monotonic seconds until which the first message has to come; nothing is delivered before. None: delivered."
        publication.subscriptions[self] = None

    @property
    def can_reply(self) -> bool:
        return self.publication.replier is self

    @can_reply.setter
    def can_reply(self, value: bool) -> None:
        if value:
            self.publication.replier = self
        elif self.can_reply:
            self.publication.replier = None

    def is_overdue(self, now: float) -> bool:
        """Whether the acknowledgement has not come in time."""
        return not self.is_ended and self.ack_by is not None and now >= self.ack_by

    def deliver(self, message: Message) -> None:
        """A message of the publisher."""
        if self.ack_by is None:
            self.send(message)

    def receive(self, message: Message) -> None:
        if self.ack_by is not None:
            self.ack_by = None
        elif self.can_reply:
            self.publication.send(message)

    def end(self) -> None:
        super().end()
        self.can_reply = False
        self.publication.subscriptions.pop(self, None)
