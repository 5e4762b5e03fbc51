"""Results of `session create | get | close | list`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rtcctl.results.result import Result

if TYPE_CHECKING:
    # Not to be made by commands that have no use for them: each of these classes costs milliseconds.
    from rtcctl.results.channel import ChannelClosed
    from rtcctl.results.outage import Outage
    from rtcctl.results.track import TrackClosed, TrackState


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreate(Result):
    """`session create`; the connection's figures are there only with `--connect`."""

    schema: ClassVar[str] = "rtcctl.session.create/1"

    session_id: str
    correlation_id: str | None = None
    connected: bool = False
    candidate_pair: str | None = None
    relay_protocol: str | None = None
    "How the TURN server of a relayed path is reached: `udp`, `tcp` or `tls`."
    url: str | None = None
    "Of that TURN server."
    ice_ms: float | None = None
    dtls_ms: float | None = None
    held_s: float | None = None
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChannelState:
    """One data channel of a session, as `GET session` tells it."""

    location: str
    data_channel_name: str
    id: int
    status: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGet(Result):
    """`session get`."""

    schema: ClassVar[str] = "rtcctl.session.get/1"

    session_id: str
    tracks: tuple[TrackState, ...] = ()
    data_channels: tuple[DataChannelState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClose(Result):
    """`session close`: what the session held and what became of it. The API cannot delete a session."""

    schema: ClassVar[str] = "rtcctl.session.close/1"

    session_id: str
    gone: bool = False
    "The session no longer existed (410)."
    tracks: tuple[TrackClosed, ...] = ()
    data_channels: tuple[ChannelClosed, ...] = ()
    stopped_pid: int | None = None
    "The probe of this machine that was holding the session."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session that this machine created, from the journal."""

    session_id: str
    profile: str
    api_base: str
    app_id: str
    created_at: float
    "Wall clock, seconds since the epoch."
    closed_at: float | None = None
    correlation_id: str | None = None
    command: str = ""
    pid: int | None = None
    "The process that holds it, if one does and it lives."
    tracks: tuple[str, ...] = ()
    "Names of tracks published."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionList(Result):
    """`session list`: the local journal (the API has no list)."""

    schema: ClassVar[str] = "rtcctl.session.list/1"

    sessions: tuple[SessionRecord, ...] = ()
