"""Results and events of `channel …`."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from rtcctl.results.event import Event
from rtcctl.results.outage import Outage
from rtcctl.results.result import Percentiles, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPublished(Event):
    """Others can subscribe to it now."""

    event: ClassVar[str] = "channel_published"
    session_id: str
    channel: str
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSubscribed(Event):
    """It is open: what its publisher sends arrives from now on."""

    event: ClassVar[str] = "channel_subscribed"
    session_id: str
    publisher_session_id: str
    channel: str
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived(Event):
    """A message: `text`, or `base64` of its bytes."""

    event: ClassVar[str] = "message"
    session_id: str
    "Of the channel's publisher, which its replies reach too."
    channel: str
    text: str | None = None
    base64: str | None = None
    size_bytes: int
    elapsed_s: float
    "Since the channel was open."

    @property
    def data(self) -> bytes:
        """Its bytes, whichever kind it is."""
        return b64decode(self.base64) if self.base64 is not None else (self.text or "").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelEnded(Event):
    """The other side closed it."""

    event: ClassVar[str] = "channel_ended"
    session_id: str
    channel: str
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went over one channel."""

    channel: str
    session_id: str
    "Of the channel's publisher."
    id: int
    messages_sent: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Result):
    """A session of ours with data channels, and what went over them."""

    session_id: str
    "Ours."
    delivery: str
    channels: tuple[Traffic, ...] = ()
    candidate_pair: str | None = None
    relay_protocol: str | None = None
    "How the TURN server of a relayed path is reached: `udp`, `tcp` or `tls`."
    url: str | None = None
    "Of that TURN server."
    ice_ms: float | None = None
    dtls_ms: float | None = None
    duration_s: float | None = None
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOpen(Connected):
    """`channel open`."""

    schema: ClassVar[str] = "rtcctl.channel.open/1"

    detached_pid: int | None = None
    "The process that goes on; `session close` ends it."


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSend(Connected):
    """`channel send`."""

    schema: ClassVar[str] = "rtcctl.channel.send/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelListen(Connected):
    """`channel listen`."""

    schema: ClassVar[str] = "rtcctl.channel.listen/1"

    ended_by: str = ""
    "`count`, `time`, or `closed`: by the publisher's side."


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelUpdate(Result):
    """`channel update`: the flags of a subscription of a session."""

    schema: ClassVar[str] = "rtcctl.channel.update/1"

    session_id: str
    id: int
    publisher_session_id: str
    channel: str
    can_reply: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClosed:
    """What became of one channel: `closed`, `already-closed` or `failed`."""

    session_id: str
    id: int
    outcome: str
    channel: str | None = None
    code: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClose(Result):
    """`channel close`."""

    schema: ClassVar[str] = "rtcctl.channel.close/1"

    channels: tuple[ChannelClosed, ...] = ()


class PathState(StrEnum):
    """Whether the path kept up with the rate; if it did not, the probe has stopped sending.

    `slow`: it carries less, so messages wait, and latency is that of their queue. `stalled`: nothing, since then.
    """

    GOOD = "good"
    SLOW = "slow"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFigures:
    """What one delivery policy did with a stream of messages. Unknown is `None`."""

    policy: str
    delivery: str
    duration_s: float
    messages_nominal: int
    messages_sent: int
    messages_received: int
    "Each counted once."
    messages_lost: int | None
    "Unknown where the path is slow and some are missing: those may be waiting."
    messages_waiting: int = 0
    "Sent, and still on their way when they were waited for no longer, since the path is slow."
    fraction_lost: float | None = None
    messages_reordered: int
    "Arrived after one that was sent later."
    messages_duplicated: int
    rate_hz: float
    "Messages received a second, while it was sent; what the path carries, where it is slow."
    bitrate_bps: float
    latency_ms: Percentiles | None = None
    "One way, from `send` at the publisher to the datagram at the subscriber."
    max_message_bytes: int | None = None
    "Largest message that arrived; not tried where the path is slow."
    path: PathState = PathState.GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelProbe(Result):
    """`channel probe`: one entry per delivery policy."""

    schema: ClassVar[str] = "rtcctl.channel.probe/1"

    publisher_session_id: str
    subscriber_session_id: str
    rate_hz: float
    size_bytes: int
    announced_max_message_bytes: int | None = None
    "What the SFU's description says it takes."
    policies: tuple[PolicyFigures, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMeasured(Event):
    """A delivery policy has been measured."""

    event: ClassVar[str] = "policy_measured"
    figures: PolicyFigures
