"""Sessions of one app on a data path without packets, and what their clients do, in as few words as a test needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rtcctl.media.sdp import Direction, MediaSection
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import (
    CloseTrackObject,
    CloseTracksRequest,
    DataChannelObject,
    EstablishDataChannelsRequest,
    SessionDescription,
    Simulcast,
    TrackObject,
    TrackResult,
    TracksRequest,
    TracksResponse,
)
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.limits import Limits
from rtcctl.server.registry import App, Registry
from rtcctl.server.session import Session
from rtcctl.web.refusal import Refusal
from tests.support.fake_endpoint import Clock, FakeConnection, FakeEndpoint, FakeIncoming, FakeOutgoing
from tests.support.sdp import answer_to, offer_of, section

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
LIMITS = Limits()


class World:
    """A registry with one app on a data path without packets, and a clock that the test moves."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.endpoint = FakeEndpoint(self.clock)
        self.app = App("app", "secret")
        self.registry = Registry(
            endpoint=self.endpoint,  # type: ignore[arg-type]
            candidates=self.endpoint.candidates,
            apps=[self.app],
            limits=limits,
            clock=self.clock,
        )

    def session(self, **options: Any) -> Session:
        return self.registry.new_session(self.app, **options)

    async def publisher(self, name: str = "mic", media: MediaSection | None = None) -> Session:
        """A session that is connected and sends a track."""
        session = self.session()
        media = media or section("0", Direction.SENDONLY)
        await publish(session, media.mid, name, media)
        connect(session)
        incoming_of(session).receive()
        return session


def vector(name: str) -> str:
    return (VECTORS / f"{name}.sdp").read_bytes().decode()


def connection_of(session: Session) -> FakeConnection:
    assert isinstance(session.connection, FakeConnection)
    return session.connection


def connect(session: Session) -> None:
    connection_of(session).enter(ConnectionState.CONNECTED)


def incoming_of(session: Session, index: int = -1) -> FakeIncoming:
    return connection_of(session).published[index]


def outgoing_of(session: Session, index: int = -1) -> FakeOutgoing:
    """A sender of the session, in the order in which they were made."""
    return connection_of(session).senders[index]


def local(**fields: object) -> TrackObject:
    return TrackObject.model_validate({"location": "local", "track_name": "a", "mid": "0"} | fields)


def remote(publisher: Session | str, name: str, **fields: object) -> TrackObject:
    session_id = publisher if isinstance(publisher, str) else publisher.session_id
    return TrackObject.model_validate({"location": "remote", "session_id": session_id, "track_name": name} | fields)


async def publish(session: Session, mid: str, name: str, *sections: MediaSection, **fields: object) -> TracksResponse:
    offer = offer_of(*(sections or (section(mid, Direction.SENDONLY),)))
    track = local(mid=mid, track_name=name, **fields)
    return await session.new_tracks(TracksRequest(tracks=[track], session_description=offer))


async def pull(session: Session, publisher: Session, *names: str, **fields: object) -> TracksResponse:
    return await session.new_tracks(TracksRequest(tracks=[remote(publisher, name, **fields) for name in names]))


async def pulled(session: Session, publisher: Session, *names: str, **fields: object) -> list[MediaSection]:
    """Pull, and answer the offer; the m-sections that were offered."""
    response = await pull(session, publisher, *names, **fields)
    offer = sdp_of(response)
    await session.renegotiate(answer_to(offer))
    connect(session)
    return list(offer.media)


async def close(session: Session, *mids: str) -> list[TrackResult]:
    """By force."""
    return (await session.close_tracks(close_request(*mids))).tracks or []


def close_request(*mids: str, force: bool = True, offer: SessionDescription | None = None) -> CloseTracksRequest:
    tracks = [CloseTrackObject(mid=mid) for mid in mids]
    return CloseTracksRequest(tracks=tracks, force=force, session_description=offer)


OPERATIONS = ("answer", "renegotiate", "publish", "discover", "pull", "close", "establish", "ask", "update", "into")


async def operate(session: Session, publisher: Session, operation: str, sdp: str) -> None:
    """One of `OPERATIONS` with this description."""
    offer = SessionDescription(type="offer", sdp=sdp)
    tracks: list[TrackObject]
    match operation:
        case "answer":
            await session.renegotiate(SessionDescription(type="answer", sdp=sdp))
        case "renegotiate":
            await session.renegotiate(offer)
        case "publish" | "discover":
            tracks = [local(mid="1", bidirectional_media_stream=True)] if operation == "publish" else []
            request = TracksRequest(tracks=tracks, auto_discover=operation == "discover", session_description=offer)
            await session.new_tracks(request)
        case "pull":
            tracks = [remote(publisher, "camera"), remote(publisher, "camera", mid="1")]
            await session.new_tracks(TracksRequest(tracks=tracks, session_description=offer))
        case "close":
            await session.close_tracks(close_request("0", "1", force=False, offer=offer))
            await close(session, "0", "2")
        case "establish":
            channel = DataChannelObject(location="remote", data_channel_name="server-events")
            await session.establish_data_channels(
                EstablishDataChannelsRequest(data_channel=channel, session_description=offer)
            )
        case "ask":
            tracks = [local(mid=None, track_name=kind, kind=kind) for kind in ("audio", "video")]
            await session.new_tracks(TracksRequest(tracks=tracks))
        case "update":
            track = remote(publisher, "camera", mid="0", simulcast=Simulcast(preferred_rid="h"))
            await session.update_tracks(TracksRequest(tracks=[track]))
        case _:
            await pull(session, publisher, "camera", mid="#a")


def sdp_of(response: TracksResponse | SessionDescription | None) -> Sdp:
    description = response.session_description if isinstance(response, TracksResponse) else response
    assert description
    return Sdp.parse(description.sdp)


def statuses(session: Session) -> dict[tuple[str | None, str | None], str | None]:
    """By location and mid, what `GET` says of each track."""
    return {(track.location, track.mid): track.status for track in session.state().tracks or []}


def errors(results: Iterable[TrackResult] | None) -> list[str | None]:
    return [result.error_code for result in results or []]


def refused(expected_status: int, code: str, subcode: str | None = None) -> pytest.RaisesExc[Refusal]:
    def matches(exc: Refusal) -> bool:
        return (exc.status, exc.code, exc.subcode) == (expected_status, code, subcode)

    return pytest.RaisesExc(Refusal, check=matches)
