"""What a session still holds, as the API tells it."""

from __future__ import annotations

from rtcctl.errors import RtcctlError
from rtcctl.realtime.client import RealtimeClient


async def holds_nothing(client: RealtimeClient, session_id: str) -> bool:
    """Whether a session is gone, or has nothing that is open."""
    try:
        state = await client.get_session(session_id)
    except RtcctlError as error:
        return getattr(error, "is_gone", False)
    tracks = [track for track in state.tracks or () if track.status != "inactive"]
    channels = [c for c in state.data_channels or () if c.data_channel_name != "server-events" and c.status == "active"]
    return not (tracks or channels)
