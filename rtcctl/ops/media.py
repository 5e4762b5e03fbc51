"""How a peer and an API session are joined: the steps that `session`, `track` and `smoke` share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rtcctl.errors import ApiError, DeadlineError, NetworkError, RtcctlError
from rtcctl.ops.env import Env
from rtcctl.results.event import Connected, Progress, Published, Subscribed

if TYPE_CHECKING:
    from rtcctl.probe.peer import ConnectionTiming, Peer, Receiver, Sender
    from rtcctl.probe.sources import ToneSource
    from rtcctl.realtime.client import RealtimeClient

CONNECT_DEADLINE_S = 10.0
"ICE and DTLS together."

SILENCE_S = 5.0
"No packet of any kind (RTP, RTCP, STUN) for this long is an outage."

RETRIED_ITEM_CODES = frozenset(
    {
        "not_found_track_error",
        "empty_track_error",
        "transport_unavailable_error",
        "retryable_transient_error",
        "temporarily_unavailable_error",
    }
)
"Item errors worth another try while the publisher is expected (Realtime docs: Error codes)."

SILENT_PUBLISHER_CODES = frozenset({"not_found_track_error", "empty_track_error"})
"The SFU knows of no media under that name."


@asynccontextmanager
async def open_peer(env: Env) -> AsyncIterator[Peer]:
    """A peer that is closed at the end. Loopback candidates are offered only to a Realtime on loopback."""
    from rtcctl.probe.peer import Peer

    async with Peer(clock=env.clock, include_loopback=is_loopback(env.profile.api_base)) as peer:
        yield peer


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine's loopback."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


async def wait_connected(peer: Peer, env: Env, session_id: str) -> ConnectionTiming:
    """Wait for ICE and DTLS; raises `NetworkError` with the phase that failed."""
    env.emit(Progress(text="connecting (ICE, DTLS)"))
    timing = await peer.wait_connected(CONNECT_DEADLINE_S)
    env.emit(
        Connected(
            session_id=session_id,
            candidate_pair=timing.candidate_pair,
            ice_ms=timing.ice_ms,
            dtls_ms=timing.dtls_ms,
        )
    )
    return timing


@dataclass(frozen=True, slots=True)
class Publication:
    """A track that a peer of ours publishes."""

    session_id: str
    track_name: str
    mid: str
    sender: Sender
    timing: ConnectionTiming


async def publish(
    client: RealtimeClient, env: Env, peer: Peer, session_id: str, source: ToneSource, track_name: str
) -> Publication:
    """Publish `source` as `track_name`: client offer, answer, connected (Realtime docs: Negotiation)."""
    from rtcctl.realtime.schema import TrackObject

    sender = peer.add_sender(source)
    offer = await peer.create_offer()
    assert sender.mid is not None
    env.emit(Progress(text=f"publishing {track_name}"))
    answer = await client.new_tracks(
        session_id, [TrackObject(location="local", mid=sender.mid, track_name=track_name)], offer=offer
    )
    for item in answer.tracks or ():
        item.raise_for_error(f"track {track_name}")
    if answer.session_description is None:
        raise ApiError(f"The API published {track_name} but gave no answer to our offer.", status=200)
    await peer.set_answer(answer.session_description.sdp)
    timing = await wait_connected(peer, env, session_id)
    env.journal.track_published(session_id, track_name, sender.mid, "audio", env.wallclock())
    env.emit(Published(session_id=session_id, track_name=track_name, mid=sender.mid))
    return Publication(session_id, track_name, sender.mid, sender, timing)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A track that a peer of ours receives."""

    session_id: str
    publisher_session_id: str
    track_name: str
    mid: str
    receiver: Receiver
    timing: ConnectionTiming
    requested_at: float
    "Clock, when the pull that succeeded was sent."


async def subscribe(
    client: RealtimeClient,
    env: Env,
    peer: Peer,
    session_id: str,
    publisher_session_id: str,
    track_name: str,
    *,
    wait_s: float,
) -> Subscription:
    """Pull a track through the SFU's offer and `renegotiate`; tries again for `wait_s` while nobody publishes it."""
    requested_at, mid, offer = await pull(client, env, session_id, publisher_session_id, track_name, wait_s=wait_s)
    answer = await peer.answer(offer)
    await client.renegotiate(session_id, answer)
    timing = await wait_connected(peer, env, session_id)
    env.emit(
        Subscribed(session_id=session_id, publisher_session_id=publisher_session_id, track_name=track_name, mid=mid)
    )
    return Subscription(session_id, publisher_session_id, track_name, mid, peer.receiver(mid), timing, requested_at)


async def pull(
    client: RealtimeClient,
    env: Env,
    session_id: str,
    publisher_session_id: str,
    track_name: str,
    *,
    wait_s: float,
) -> tuple[float, str, str]:
    """Ask the SFU for a track until it has it, at most `wait_s`; (when asked, mid, SFU offer).

    Raises `ApiError` naming the track and what to check when the time is up.
    """
    from rtcctl.realtime.schema import TrackObject

    env.emit(Progress(text=f"waiting for {publisher_session_id}/{track_name}"))
    track = TrackObject(location="remote", session_id=publisher_session_id, track_name=track_name)
    give_up_at = env.clock() + wait_s
    pause_s = 0.25
    refusal: RtcctlError | None = None
    while True:
        requested_at = env.clock()
        try:
            answer = await client.new_tracks(session_id, [track])
        except DeadlineError:
            if refusal is not None:
                raise refusal from None
            raise
        item = answer.tracks[0] if answer.tracks else None
        if item is None:
            raise ApiError("The API answered the pull without saying what became of the track.", status=200)
        try:
            item.raise_for_error(f"track {publisher_session_id}/{track_name}")
        except ApiError as error:
            refusal = error
            now = env.clock()
            if error.code not in RETRIED_ITEM_CODES or now >= give_up_at:
                raise
        else:
            if answer.session_description is None or not item.mid:
                raise ApiError("The API accepted the pull but made no offer.", status=200)
            return requested_at, item.mid, answer.session_description.sdp
        await asyncio.sleep(min(pause_s, max(0.0, give_up_at - now)))
        pause_s = min(pause_s * 2, 8.0)


async def watch(peer: Peer, for_s: float | None, *, what: str, session_id: str) -> None:
    """Wait `for_s` seconds (`None`: for ever) while the peer is alive; an outage is a `NetworkError`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await peer.wait_lost(SILENCE_S)
            raise NetworkError(
                f"The connection of {what} was lost: closed by the other side, or no packet of any kind "
                f"for {SILENCE_S:.0f} s.",
                phase="media",
                hint=f"Is the Realtime server still running? Look with `rtcctl session get {session_id}`.",
            )
