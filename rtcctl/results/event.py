"""What an operation says while it runs. JSON lines print one a line; a terminal draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rtcctl.results.result import Result

if TYPE_CHECKING:
    # Not to be made by commands that have no use for them: each of these classes costs milliseconds.
    from rtcctl.results.track import ReceivedStatistics, SentStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; `event` is its name in JSON lines."""

    event: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """A step began; for people only."""

    event: ClassVar[str] = "progress"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreated(Event):
    event: ClassVar[str] = "session_created"
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Event):
    event: ClassVar[str] = "connected"
    session_id: str
    candidate_pair: str | None
    ice_ms: float | None
    dtls_ms: float | None
    candidate_type: str | None = None
    relay_protocol: str | None = None
    url: str | None = None
    "Of the TURN server of a relayed path."


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Event):
    """What is sent has the words of `PublishedTrack`."""

    event: ClassVar[str] = "published"
    session_id: str
    track_name: str
    mid: str
    kind: str | None = None
    codec: str | None = None
    source: str | None = None
    tone_hz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed(Event):
    event: ClassVar[str] = "subscribed"
    session_id: str
    publisher_session_id: str
    track_name: str
    mid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPacket(Event):
    event: ClassVar[str] = "first_packet"
    session_id: str
    time_to_first_packet_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChanged(Event):
    """A subscriber began to receive another simulcast encoding (see `LayerSwitch`)."""

    event: ClassVar[str] = "layer_changed"
    session_id: str
    track_name: str
    layer: str | None
    previous: str | None
    width: int | None = None
    height: int | None = None
    took_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval(Event):
    """What the last interval of a track brought."""

    event: ClassVar[str] = "interval"
    session_id: str
    track_name: str
    elapsed_s: float
    publisher_session_id: str | None = None
    "Of a track that is received."
    mid: str | None = None
    sent: SentStatistics | None = None
    received: ReceivedStatistics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    event: ClassVar[str] = "warning"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDone(Event):
    """A check of `smoke` reached its verdict."""

    event: ClassVar[str] = "check"
    name: str
    status: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Event):
    """The last event: the whole result."""

    event: ClassVar[str] = "summary"
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed(Event):
    """A fresh result of a command that watches."""

    event: ClassVar[str] = "refreshed"
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServerStarted(Event):
    """`smoke` started a server of its own, since nothing else is configured or running."""

    event: ClassVar[str] = "embedded_server_started"
    base_url: str
