"""Time that passes on demand, so that what the service times can be tested without waiting for it.

Theory of operation
-------------------
The service has a clock of its own (`Registry.now`), which can be put forward: by it sessions are unused or never
connected, subscriptions to data channels wait to be acknowledged, and requests are held (`waits.py`). Media has
another one, which nobody moves: ICE, DTLS, RTCP, retransmission and statistics do not notice. Where both meet, which is
the silence of a peer or of a track, spans are compared and never moments.

Whoever is there at that moment is taken to have gone on meanwhile; who is not, to have been silent all the time. Who
that is a *roll call* tells: a track is there that brings a packet, a peer that sends anything. A peer without media may
be silent for seconds (RFC 7675 §5.1), so it is asked by a Binding request, which every full ICE agent answers
(RFC 8445 §7.3). When all are there it takes some milliseconds, else the patience that there is; who has been silent for
longer than anybody who lives is not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.limits import SHORTEST_DISCONNECTED_S

if TYPE_CHECKING:
    from rtcctl.server.connection import Connection
    from rtcctl.server.incoming import IncomingTrack
    from rtcctl.server.session import Session
    from rtcctl.server.tracks import Publication

PATIENCE_S = 1.0
"A track that flows has a packet each 20 to 400 ms; the rest is for a machine that is busy."
_STEP_S = 0.005
_STEPS_PER_QUESTION = 20


async def absent(
    sessions: Sequence[Session], media_now: Callable[[], float], now: Callable[[], float], patience_s: float
) -> list[Connection | IncomingTrack]:
    """Peers and tracks that are silent. `media_now` and `now`: the clock of the media, and of the service."""
    await asyncio.sleep(_STEP_S)  # what has come already, and waits to be read, is no sign of life
    since = media_now()
    peers = {
        session.connection
        for session in sessions
        if session.connection is not None
        and session.connection.state in (ConnectionState.CONNECTED, ConnectionState.DISCONNECTED)
    }
    asked = {peer for peer in peers if peer.silent_s < SHORTEST_DISCONNECTED_S}
    publications = {p for session in sessions for p in session.publications.values() if p.incoming is not None}
    silent = {p for p in publications if p.idle_s(now()) >= patience_s}
    missing = publications - silent
    for step in range(max(1, round(patience_s / _STEP_S))):
        asked = {peer for peer in asked if peer.last_packet_at < since}
        missing = {p for p in missing if not _has_come(p, since)}
        if not asked and not missing:
            break
        if step % _STEPS_PER_QUESTION == 0:
            for peer in asked:
                peer.ask()
        await asyncio.sleep(_STEP_S)
    return [*(peer for peer in peers if peer.last_packet_at < since), *_tracks(silent | missing, since)]


def _has_come(publication: Publication, since: float) -> bool:
    track = publication.incoming
    return track is not None and track.last_packet_at is not None and track.last_packet_at >= since


def _tracks(publications: Iterable[Publication], since: float) -> list[IncomingTrack]:
    return [p.incoming for p in publications if p.incoming is not None and not _has_come(p, since)]
