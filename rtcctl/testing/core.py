"""What a peer of a test does, in the event loop of the peers: `probe/peer.py`, and what is asserted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtcctl.errors import UsageError
from rtcctl.ops.judge import check_content
from rtcctl.results.check import CheckStatus

if TYPE_CHECKING:
    from rtcctl.ops.env import Env
    from rtcctl.probe.peer import Peer as ProbePeer
    from rtcctl.probe.peer import Receiver, Sender
    from rtcctl.realtime.profile import Profile
    from rtcctl.results.track import ReceivedStatistics

WINDOW_S = 0.15
"Of sound that is judged at a time; to find a tone takes 130 ms, to go on hearing it takes none."
SILENCE_S = 0.5
KINDS = ("audio", "video")


class Media:
    """An m-section of a peer."""

    def __init__(self, end: Sender | Receiver) -> None:
        self._end = end

    @property
    def mid(self) -> str | None:
        """`None` until the first offer."""
        return self._end.mid


class Core:
    """See the module; `testing/peer.py` has who calls it. `told`: the calls of the API, for assertions that fail."""

    def __init__(self, told: Callable[[], str]) -> None:
        try:
            from rtcctl.probe.peer import Peer as ProbePeer

            self._peer = ProbePeer(include_loopback=True, verify=True)
            self._is_closed = False
        except ImportError as error:
            raise UsageError(
                f"A peer needs more than rtcctl alone: {error.name} is not installed.",
                hint="pip install 'rtcctl[probe]'",
            ) from error
        self._told = told
        self.session_id: str | None = None

    async def close(self) -> None:
        self._is_closed = True
        await self._peer.close()

    @property
    def _open_peer(self) -> ProbePeer:
        """For what would begin something that nobody ends. Raises `RuntimeError` when it has been closed."""
        if self._is_closed:
            raise RuntimeError("This peer has been closed.")
        return self._peer

    async def vanish(self) -> None:
        self._peer.vanish()

    # --- negotiation

    async def publish_tone(self, frequency_hz: float) -> Media:
        from rtcctl.probe.sources.tone import ToneSource

        return Media(self._open_peer.add_sender(ToneSource(frequency_hz)))

    async def receive(self, kind: str) -> Media:
        if kind not in KINDS:
            raise UsageError(f"A peer receives no {kind!r}.", hint=f"Kinds: {', '.join(KINDS)}")
        return Media(self._open_peer.add_receiver(kind))

    async def create_offer(self) -> str:
        return await self._open_peer.create_offer()

    async def set_answer(self, sdp: str) -> None:
        await self._open_peer.set_answer(_checked(sdp, "answer"))

    async def answer(self, offer: str) -> str:
        return await self._open_peer.answer(_checked(offer, "offer"))

    async def wait_connected(self, timeout: float) -> None:
        await self._peer.wait_connected(timeout)

    # --- without a backend

    async def publish(self, profile: Profile, track_name: str, tone_hz: float, within: float) -> str:
        from rtcctl.ops import media
        from rtcctl.ops.sources import Outgoing
        from rtcctl.probe.sources.tone import ToneSource

        peer = self._open_peer
        async with AsyncExitStack() as stack:
            env, client, session_id = await self._session(profile, within, stack)
            await media.publish(client, env, peer, session_id, Outgoing.of(track_name, ToneSource(tone_hz)))
            return session_id

    async def subscribe(self, profile: Profile, publisher_session_id: str, track_name: str, within: float) -> str:
        from rtcctl.ops import media

        peer = self._open_peer
        async with AsyncExitStack() as stack:
            env, client, session_id = await self._session(profile, within, stack)
            track = media.remote_track(publisher_session_id, track_name)
            (subscription,) = await media.subscribe(client, env, peer, session_id, track, wait_s=within)
            return subscription.mid

    async def _session(self, profile: Profile, within: float, stack: AsyncExitStack) -> tuple[Env, Any, str]:
        """One peer is one session."""
        from rtcctl.journal import Journal
        from rtcctl.ops.env import Env

        env = Env(profile=profile, journal=Journal(Path(), None, "tests keep none"))
        client = await stack.enter_async_context(env.client(deadline_s=within))
        if self.session_id is None:
            self.session_id = (await client.new_session()).session_id
        return env, client, self.session_id

    # --- what arrives

    async def statistics(self, mid: str | None) -> ReceivedStatistics:
        receivers = self._receivers(mid)
        if len(receivers) != 1:
            mids = ", ".join(str(receiver.mid) for receiver in self._peer.receivers) or "none"
            raise UsageError(f"mid {mid} is not one m-section that this peer receives; there are {mids}.")
        return receivers[0].statistics(_now())

    async def missing_tone(self, frequency_hz: float, mid: str | None, within: float) -> str:
        """Empty as soon as it is heard, else what is heard instead."""
        ends_at = _now() + within
        heard: dict[str, str] = {}
        self._listen(mid)
        while (left := ends_at - _now()) > 0:
            await asyncio.sleep(min(WINDOW_S, left))
            for name, window in self._listen(mid).items():
                # How good it is, `statistics` tells: a lossy path has gaps, and it is still this tone.
                content = check_content(replace(window, audio_gaps=0), frequency_hz, None)
                if content.status is CheckStatus.PASSED:
                    return ""
                heard[name] = content.detail
        return self._report(f"No tone of {frequency_hz:g} Hz within {within:g} s", mid, heard)

    async def audible_tone(self, mid: str | None, within: float) -> str:
        """Empty as soon as there was none for a while, else what is heard."""
        self._listen(mid)
        silent_since = _now()
        ends_at = silent_since + within
        heard: dict[str, str] = {}
        while _now() < ends_at:
            await asyncio.sleep(WINDOW_S)
            now = _now()
            tones = {name: window.tone_hz for name, window in self._listen(mid).items() if window.tone_hz is not None}
            if tones:
                silent_since = now
                heard |= {name: f"a tone of {tone_hz:.1f} Hz" for name, tone_hz in tones.items()}
            elif now - silent_since >= SILENCE_S:
                return ""
        return self._report(f"No silence of {SILENCE_S:g} s within {within:g} s", mid, heard)

    def _receivers(self, mid: str | None) -> list[Receiver]:
        return [receiver for receiver in self._peer.receivers if mid is None or receiver.mid == str(mid)]

    def _listen(self, mid: str | None) -> dict[str, ReceivedStatistics]:
        """What has arrived since this was called before, by mid; nothing of those on which no packet came."""
        now = _now()
        windows = {str(receiver.mid): receiver.interval(now) for receiver in self._receivers(mid)}
        return {name: window for name, window in windows.items() if window.packets_received}

    def _report(self, claim: str, mid: str | None, heard: dict[str, str]) -> str:
        receivers = self._receivers(mid)
        lines = [f"{claim}:"]
        lines += [
            f"  mid {receiver.mid}: {heard.get(str(receiver.mid)) or self._packets(receiver)}" for receiver in receivers
        ]
        if not receivers:
            others = ", ".join(str(receiver.mid) for receiver in self._peer.receivers)
            lines.append(
                f"  there is no mid {mid} to receive, but {others}"
                if others
                else "  nothing is received: call receive() before create_offer(), or answer an offer that sends"
            )
        problem = self._peer.problem()
        lines += [f"  not connected: {problem}"] if problem else []
        return "\n".join([*lines, "", "Realtime API calls:", self._told()])

    def _packets(self, receiver: Receiver) -> str:
        count = receiver.statistics(_now()).packets_received
        return f"no packets any more, after {count}" if count else "no packets"


def _checked(sdp: object, type_: str) -> str:
    """As it came from the backend under test."""
    if isinstance(sdp, str):
        return sdp
    raise UsageError(f"An {type_} is SDP, a str, not {type(sdp).__name__}.", hint="What did the backend return?")


def _now() -> float:
    return asyncio.get_running_loop().time()
