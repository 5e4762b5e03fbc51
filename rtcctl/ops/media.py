"""How a peer and an API session are joined: the steps that `session`, `track` and `smoke` share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from rtcctl.errors import ApiError, DeadlineError, NetworkError
from rtcctl.ops.env import Env
from rtcctl.ops.reconciliation import reconciled, renegotiate
from rtcctl.ops.transceivers import TRACKS_AT_ONCE, TransceiverPool
from rtcctl.realtime.explain.errors import RETRIED_ITEM_CODES
from rtcctl.results.event import Connected, Progress, Published, Subscribed, Warned

if TYPE_CHECKING:
    from rtcctl.ops.sources import Outgoing
    from rtcctl.probe.peer import ConnectionTiming, Peer, Receiver, Sender
    from rtcctl.probe.recording import PeerRecording
    from rtcctl.probe.turn.relay import RelaySettings
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.realtime.schema import Simulcast, TrackObject, TracksResponse

CONNECT_DEADLINE_S = 10.0
"ICE and DTLS together."

SILENCE_S = 5.0
"No packet of any kind (RTP, RTCP, STUN) for this long is an outage."

SILENT_PUBLISHER_CODES = frozenset({"not_found_track_error", "empty_track_error"})
"The SFU knows of no media under that name."


@asynccontextmanager
async def open_peer(
    env: Env,
    *,
    relays: RelaySettings | None = None,
    verify: bool = False,
    transport: Literal["aiortc", "lean"] = "aiortc",
    keeps_media: bool = False,
) -> AsyncIterator[Peer]:
    """A peer that is closed at the end, impaired as the command is. Loopback candidates only to a Realtime there.

    `relays`: to use, and nothing else. `keeps_media`: another peer may go on with its sources and figures.
    """
    from rtcctl.probe.peer import Peer

    async with AsyncExitStack() as stack:
        recording = _recording(env, transport)
        peer = await stack.enter_async_context(
            Peer(
                clock=env.clock,
                include_loopback=is_loopback(env.profile.api_base),
                transport=transport,
                relays=relays,
                verify=verify,
                impaired=None if env.impairing is None else env.impairing.path(env),
                recording=recording,
                tap=env.tap,
            )
        )
        peer.keeps_media = keeps_media
        if recording is not None:
            await stack.enter_async_context(recording.watch(peer))
        yield peer


def _recording(env: Env, transport: str) -> PeerRecording | None:
    """Of a new peer, where somebody records."""
    if env.recorder is None:
        return None
    from rtcctl.probe.recording import PeerRecording
    from rtcctl.transport import versions

    facts = {"transport": transport, "api_base": env.profile.api_base, "openssl": versions.openssl()}
    return PeerRecording(env.recorder.note, env.recorder.new_peer(), env.clock, **facts)


@dataclass(frozen=True, slots=True)
class Held:
    """A session with the peer that is connected to it.

    `flowing_at`: when media came again, on the clock; `None`: now. `frames_missed`: of an outage that this one ends.
    """

    peer: Peer
    session_id: str
    flowing_at: float | None = None
    frames_missed: Callable[[], int | None] | None = None


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
    for url, error in peer.relay_failures.items():
        env.emit(Warned(text=f"{url} relays nothing: {error.message}"))
    env.emit(
        Connected(
            session_id=session_id,
            candidate_pair=timing.candidate_pair,
            candidate_type=timing.candidate_type,
            relay_protocol=timing.relay_protocol,
            url=timing.url,
            ice_ms=timing.ice_ms,
            dtls_ms=timing.dtls_ms,
        )
    )
    return timing


@dataclass(frozen=True, slots=True)
class Publication:
    """A track that a peer of ours publishes."""

    session_id: str
    track: Outgoing
    mid: str
    sender: Sender
    timing: ConnectionTiming


async def publish(
    client: RealtimeClient,
    env: Env,
    peer: Peer,
    session_id: str,
    *tracks: Outgoing,
    previous: Sequence[Publication] = (),
) -> tuple[Publication, ...]:
    """Publish tracks in one call: client offer, answer, connected (Realtime docs: Negotiation).

    `previous`: the publications of the same tracks whose connection was lost; their figures go on.
    """
    from rtcctl.realtime.schema import TrackObject

    peer.belongs_to(session_id)
    senders = [peer.add_sender(*track.layers) for track in tracks]
    for sender, before in zip(senders, previous, strict=False):
        sender.go_on_from(before.sender)
    offer = await peer.create_offer()
    env.emit(Progress(text=f"publishing {', '.join(track.track_name for track in tracks)}"))
    objects = [
        TrackObject(location="local", mid=sender.mid, track_name=track.track_name)
        for sender, track in zip(senders, tracks, strict=True)
    ]
    answer = await reconciled(
        client,
        session_id,
        lambda: client.new_tracks(session_id, objects, offer=offer),
        lambda state: any(track.track_name == wanted.track_name for track in state.tracks or () for wanted in objects),
    )
    for track, item in zip(tracks, answer.tracks or (), strict=False):
        item.raise_for_error(f"track {track.track_name}")
    if answer.session_description is None:
        raise ApiError("The API published the tracks but gave no answer to our offer.", status=200)
    await peer.set_answer(answer.session_description.sdp)
    for sender in senders:
        sender.require_accepted()
    timing = await wait_connected(peer, env, session_id)
    publications = []
    for sender, track in zip(senders, tracks, strict=True):
        assert sender.mid is not None
        env.journal.track_published(session_id, track.track_name, sender.mid, track.kind, env.wallclock())
        env.emit(
            Published(
                session_id=session_id,
                track_name=track.track_name,
                mid=sender.mid,
                kind=track.kind,
                codec=sender.codec,
                source=track.description,
                tone_hz=track.tone_hz,
            )
        )
        publications.append(Publication(session_id, track, sender.mid, sender, timing))
    return tuple(publications)


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
    "Clock, when the pull that succeeded was sent; the first one, where the track was pulled anew."


async def subscribe(
    client: RealtimeClient,
    env: Env,
    peer: Peer,
    session_id: str,
    *tracks: TrackObject,
    wait_s: float,
    pool: TransceiverPool | None = None,
    follow: Callable[[str], str] = str,
    previous: Sequence[Subscription] = (),
) -> tuple[Subscription, ...]:
    """Pull tracks (`remote_track`), those that nobody publishes yet again and again for `wait_s`.

    The SFU offers and we answer (`renegotiate`); with a `pool` we offer, and the SFU answers. `follow` tells the
    session in which a publisher is by now, and is asked before each attempt. `previous`: subscriptions to the same
    tracks whose connection was lost; their figures go on.
    Raises `ApiError` naming the first track that could not be pulled.
    """
    peer.belongs_to(session_id)
    pulled: dict[int, tuple[str, float]] = {}
    wanted = list(tracks)
    pending = list(range(len(tracks)))
    env.emit(Progress(text=f"waiting for {', '.join(named(track) for track in tracks)}"))
    at_once = TRACKS_AT_ONCE if pool is None else pool.tracks_at_once
    async for attempt in attempts(env, wait_s):
        for start in range(0, len(pending), at_once):
            some = pending[start : start + at_once]
            for index in some:
                publisher = tracks[index].session_id or ""
                wanted[index] = tracks[index].model_copy(update={"session_id": follow(publisher)})
            requested_at = env.clock()

            def negotiated(mids: Sequence[str], some: Sequence[int] = some, requested_at: float = requested_at) -> None:
                for index, mid in zip(some, mids, strict=True):
                    if mid:
                        pulled[index] = mid, requested_at
                        if previous:
                            peer.receiver(mid).go_on_from(previous[index].receiver)

            await _pull(client, peer, session_id, [wanted[index] for index in some], attempt, pool, negotiated)
        pending = [index for index in pending if index not in pulled]
        if not pending:
            break
    timing = await wait_connected(peer, env, session_id)
    subscriptions = []
    for index, track in enumerate(wanted):
        mid, requested_at = pulled[index]
        if previous:
            requested_at = previous[index].requested_at
        publisher, name = track.session_id or "", track.track_name or ""
        env.emit(Subscribed(session_id=session_id, publisher_session_id=publisher, track_name=name, mid=mid))
        receiver = peer.receiver(mid)
        subscriptions.append(Subscription(session_id, publisher, name, mid, receiver, timing, requested_at))
    return tuple(subscriptions)


async def _pull(
    client: RealtimeClient,
    peer: Peer,
    session_id: str,
    tracks: Sequence[TrackObject],
    attempt: Attempt,
    pool: TransceiverPool | None,
    negotiated: Callable[[Sequence[str]], None],
) -> None:
    """One call with its exchange of descriptions.

    `negotiated` is told the mid of each track, empty for those worth another try, before any media can come.
    """
    offer = None
    if pool is not None:
        pool.make_room(len(tracks))
        offer = await peer.create_offer()
    with attempt:
        answer = await _ask_for(client, session_id, tracks, offer)
    if attempt.is_over:
        return
    if len(answer.tracks or ()) != len(tracks):
        raise ApiError("The API answered the pull without saying what became of the tracks.", status=200)
    mids = []
    for track, item in zip(tracks, answer.tracks or (), strict=True):
        mid = ""
        with attempt:
            item.raise_for_error(f"track {named(track)}")
            if not item.mid:
                raise ApiError("The API accepted the pull but named no m-section.", status=200)
            mid = item.mid
        mids.append(mid)
    if answer.session_description is not None:
        if pool is not None:
            await peer.set_answer(answer.session_description.sdp)
            negotiated(mids)
        else:
            our_answer = await peer.answer(answer.session_description.sdp)
            negotiated(mids)
            await renegotiate(client, session_id, our_answer)
    elif any(mids):
        raise ApiError("The API accepted the pull but gave no description.", status=200)


async def _ask_for(
    client: RealtimeClient, session_id: str, tracks: Sequence[TrackObject], offer: str | None
) -> TracksResponse:
    """The pull itself. A 410 may be about a publisher: then it is an error of its tracks, and not of our session."""
    names = {(track.session_id, track.track_name) for track in tracks}
    try:
        return await reconciled(
            client,
            session_id,
            lambda: client.new_tracks(session_id, tracks, offer=offer),
            lambda state: any((track.session_id, track.track_name) in names for track in state.tracks or ()),
        )
    except ApiError as error:
        if not error.is_gone:
            raise
        await client.get_session(session_id)  # says the same of our session, where it is ours
        raise ApiError(
            f"{' or '.join(map(named, tracks))}: the publisher's session is gone.",
            hint="It has ended, or goes on in another session: subscribe to that one.",
            status=200,
            code="not_found_track_error",
            description=error.description,
            request=error.request,
            ray=error.ray,
        ) from error


def remote_track(publisher_session_id: str, track_name: str, *, simulcast: Simulcast | None = None) -> TrackObject:
    """A track to pull."""
    from rtcctl.realtime.schema import TrackObject

    return TrackObject(location="remote", session_id=publisher_session_id, track_name=track_name, simulcast=simulcast)


def named(track: TrackObject) -> str:
    """`SESSION/TRACK`."""
    return f"{track.session_id}/{track.track_name}"


MIN_PAUSE_S, MAX_PAUSE_S = 0.25, 2.0
"Between two attempts at what nobody publishes yet."


class Attempt:
    """One call of a loop that tries again: as a context manager it keeps an error worth another try."""

    def __init__(self, *, is_last: bool, previous: ApiError | None) -> None:
        self.error: ApiError | None = None
        self.is_over = False
        "Whether the call itself came to nothing."
        self._is_last = is_last
        self._previous = previous

    def __enter__(self) -> None:
        self.is_over = False

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, DeadlineError) and self._previous is not None:
            raise self._previous from None
        if not isinstance(error, ApiError) or error.code not in RETRIED_ITEM_CODES or self._is_last:
            return False
        self.error = self.error or error
        self.is_over = True
        return True


async def attempts(env: Env, wait_s: float) -> AsyncIterator[Attempt]:
    """At once, then after pauses that double, until `wait_s` is over; the error of the last one is raised."""
    give_up_at = env.clock() + wait_s
    pause_s = MIN_PAUSE_S
    error: ApiError | None = None
    while True:
        attempt = Attempt(is_last=env.clock() >= give_up_at, previous=error)
        yield attempt
        error = attempt.error
        await asyncio.sleep(min(pause_s, max(0.0, give_up_at - env.clock())))
        pause_s = min(pause_s * 2, MAX_PAUSE_S)


async def pull(
    client: RealtimeClient, env: Env, session_id: str, track: TrackObject, *, wait_s: float
) -> tuple[float, str, str]:
    """Ask the SFU for a track until it has it, at most `wait_s`, and answer nothing; (when asked, mid, SFU offer).

    Raises `ApiError` naming the track and what to check when the time is up.
    """
    env.emit(Progress(text=f"waiting for {named(track)}"))
    async for attempt in attempts(env, wait_s):
        requested_at = env.clock()
        with attempt:
            answer = await client.new_tracks(session_id, [track])
            if not answer.tracks:
                raise ApiError("The API answered the pull without saying what became of the track.", status=200)
            (item,) = answer.tracks
            item.raise_for_error(f"track {named(track)}")
            if answer.session_description is None or not item.mid:
                raise ApiError("The API accepted the pull but made no offer.", status=200)
            return requested_at, item.mid, answer.session_description.sdp
    raise AssertionError("the last attempt returns or raises")


async def watch(peer: Peer, for_s: float | None, *, what: str, session_id: str) -> None:
    """Wait `for_s` seconds (`None`: for ever) while the peer is alive; an outage is a `NetworkError`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await peer.wait_lost(SILENCE_S)
            if trouble := peer.path_trouble:
                raise NetworkError(
                    f"The connection of {what} was lost: {trouble.message}", phase="turn", hint=trouble.hint
                )
            raise NetworkError(
                f"The connection of {what} was lost: closed by the other side, or no packet of any kind "
                f"for {SILENCE_S:.0f} s.",
                phase="media",
                hint=f"Is the Realtime server still running? Look with `rtcctl session get {session_id}`.",
            )
