"""An outage: a connection that was lost, and how the command went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One time without a connection, or, of a subscription, without media since its publisher went on elsewhere."""

    reason: str
    session_id: str
    "That was lost."
    successor_id: str | None = None
    "The session that took its place; the same one where it still holds; `None`: there is none."
    started_s: float
    "From the start of the command to the last packet before it."
    duration_s: float | None = None
    "Until media flowed again; `None`: it does not."
    attempts: int = 0
    "To make another connection."
    frames_missed: int | None = None
    """Of a subscription: frames (of sound: packets) that its publishers sent meanwhile, by the numbers in the media.
    `None` where there are no such numbers."""
    messages_unacknowledged: int | None = None
    "Of data channels: sent before it, and not known to have arrived."


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost(Event):
    """An outage has begun: nothing comes any more, or the session is gone."""

    event: ClassVar[str] = "connection_lost"
    session_id: str
    reason: str
    silent_s: float | None = None
    "Since the last packet of any kind."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryFailed(Event):
    """An attempt to make another connection, or the first one, came to nothing; the next one begins in `pause_s`."""

    event: ClassVar[str] = "recovery_failed"
    reason: str
    attempt: int
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(Event):
    """An outage is over."""

    event: ClassVar[str] = "recovered"
    outage: Outage


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherFollowed(Event):
    """A publisher has replaced its session, and its tracks are received from the new one."""

    event: ClassVar[str] = "publisher_followed"
    session_id: str
    "Of the subscriber."
    publisher_session_id: str
    successor_id: str
