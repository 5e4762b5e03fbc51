"""Data channels of any session through the API alone: update and close (`channel_open.py` … carry messages)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcctl.errors import ApiError, UsageError
from rtcctl.ops import channels_media
from rtcctl.ops.channels_media import ChannelRef
from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.channel import ChannelClose, ChannelClosed, ChannelUpdate

if TYPE_CHECKING:
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.realtime.schema import DataChannelStateObject


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """`id`: of a subscription in its own session."""

    session_id: str
    id: int
    can_reply: bool


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """`channels` by name, or `ids` of the session `ids_of`."""

    channels: tuple[ChannelRef, ...] = ()
    ids_of: str | None = None
    ids: tuple[int, ...] = ()


def update_calls(request: UpdateRequest) -> tuple[ApiCall, ...]:
    """The API calls that `update` makes."""
    channel = {
        "location": "remote",
        "sessionId": "$PUBLISHER_SESSION_ID",
        "dataChannelName": "$NAME",
        "canReply": request.can_reply,
    }
    path = f"sessions/{request.session_id}"
    return (ApiCall("GET", path), ApiCall("PUT", f"{path}/datachannels/update", {"dataChannels": [channel]}))


def close_calls(request: CloseRequest) -> tuple[ApiCall, ...]:
    """The API calls that `close` makes."""
    calls: list[ApiCall] = []
    if request.ids_of is not None:
        ids = {"dataChannels": [{"id": id_} for id_ in request.ids]}
        return (ApiCall("PUT", f"sessions/{request.ids_of}/datachannels/close", ids),)
    for session_id in dict.fromkeys(ref.session_id for ref in request.channels):
        named = [ref for ref in request.channels if ref.session_id == session_id]
        body: dict[str, Any] = {"dataChannels": [{"id": "$ID"} for _ in named]}
        calls.append(ApiCall("GET", f"sessions/{session_id}"))
        calls.append(ApiCall("PUT", f"sessions/{session_id}/datachannels/close", body))
    return tuple(calls)


async def update(request: UpdateRequest, env: Env) -> ChannelUpdate:
    """Give a subscription the right to reply, or take it away; who had it before silently loses it.

    The API wants to know the channel by its publisher and name, which the session tells for the id.
    """
    from rtcctl.realtime.schema import DataChannelObject

    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        held = await _channels(client, request.session_id)
        channel = next((c for c in held if c.id == request.id), None)
        if channel is None:
            known = ", ".join(f"{c.id} ({c.data_channel_name})" for c in held if c.location == "remote") or "none"
            raise ApiError(
                f"Session {request.session_id} has no data channel {request.id}.",
                code="not_found_track_error",
                hint=f"Its subscriptions: {known}.",
            )
        if channel.location != "remote" or not channel.session_id:
            raise UsageError(
                f"Data channel {request.id} of session {request.session_id} is published there: "
                "whether it may reply is a matter of each subscriber.",
                hint="Name the session of the subscriber, and the id that the channel has in it.",
            )
        name = channel.data_channel_name or ""
        wanted = DataChannelObject(
            location="remote", session_id=channel.session_id, data_channel_name=name, can_reply=request.can_reply
        )
        answer = await client.update_data_channels(request.session_id, [wanted])
        if not answer.data_channels:
            raise ApiError("The API answered the update without saying what became of the channel.", status=200)
        (item,) = answer.data_channels
        item.raise_for_error(f"data channel {request.id} of session {request.session_id}")
    return ChannelUpdate(
        target=env.target,
        session_id=request.session_id,
        id=request.id,
        publisher_session_id=channel.session_id,
        channel=name,
        can_reply=item.can_reply,
    )


async def close(request: CloseRequest, env: Env) -> ChannelClose:
    """Close channels: the API knows them by id, which is looked up for a name."""
    wanted: dict[str, list[str]] = {} if request.ids_of is None else {request.ids_of: []}
    for ref in request.channels:
        wanted.setdefault(ref.session_id, []).append(ref.name)
    if not wanted:
        raise UsageError("No data channel was named.", hint="Name them as SESSION/NAME, or use SESSION --id N.")
    for session_id in wanted:
        if env.journal.session(session_id) is None:
            env.confirm(f"Session {session_id} was not created from this machine. Close its data channels?")
    outcomes: list[ChannelClosed] = []
    async with env.client(deadline_s=COMMAND_DEADLINE_S) as client:
        # All names are looked up before anything is closed.
        chosen = {
            session_id: await _chosen(client, session_id, names) if names else dict.fromkeys(request.ids)
            for session_id, names in wanted.items()
        }
        for session_id, ids in chosen.items():
            outcomes += await channels_media.close(client, session_id, ids)
    for outcome in outcomes:
        if outcome.outcome != "failed" and outcome.channel:
            env.journal.track_closed(outcome.session_id, outcome.channel, env.wallclock())
    if failed := [outcome for outcome in outcomes if outcome.outcome == "failed"]:
        raise ApiError(
            f"{len(failed)} of {len(outcomes)} data channels could not be closed: id {failed[0].id} of session "
            f"{failed[0].session_id}: {failed[0].description or failed[0].code}",
            status=200,
            code=failed[0].code,
            description=failed[0].description,
        )
    return ChannelClose(target=env.target, channels=tuple(outcomes))


async def _channels(client: RealtimeClient, session_id: str) -> list[DataChannelStateObject]:
    state = await client.get_session(session_id)
    return [c for c in state.data_channels or () if c.data_channel_name != channels_media.SERVER_EVENTS]


async def _chosen(client: RealtimeClient, session_id: str, names: list[str]) -> dict[int, str | None]:
    """Ids of the channels that were named; a publication goes before a subscription of that name."""
    held = await _channels(client, session_id)
    chosen: dict[int, str | None] = {}
    for name in names:
        named = sorted((c for c in held if c.data_channel_name == name), key=lambda c: c.location != "local")
        if not named or named[0].id is None:
            known = ", ".join(sorted({c.data_channel_name or "" for c in held})) or "none"
            raise ApiError(
                f"Session {session_id} has no data channel {name}.",
                code="not_found_track_error",
                hint=f"Its data channels: {known}.",
            )
        chosen[named[0].id] = name
    return chosen
