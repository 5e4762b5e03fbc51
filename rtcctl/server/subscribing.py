"""What a session is subscribed to, in every flow, and updates of that (Realtime docs: Sessions and tracks, Simulcast).

A request goes through three steps, of which only the second waits:

1. `check…`: whether it fits this session; raises `Refusal`.
2. `sources`: the publications that it names, as they connect and begin to send. What cannot be had fails as one item.
3. `offer`, `answer` or `update`: change the session, and say what came of each item.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rtcctl.media.sdp import MediaSection
from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.media.simulcast import LayerPreference
from rtcctl.realtime.schema import Simulcast, TrackObject, TrackResult, TracksResponse
from rtcctl.server import codecs, negotiation
from rtcctl.server.item_errors import EMPTY, NOT_FOUND, NOT_SUBSCRIBED, NOTHING_TO_UPDATE, ItemError, no_place
from rtcctl.server.negotiation import unacceptable
from rtcctl.server.signalling import Signalling
from rtcctl.server.tracks import Publication, Transceiver
from rtcctl.web.refusal import Refusal

if TYPE_CHECKING:
    from rtcctl.server.limits import Limits
    from rtcctl.server.session import Session

logger = logging.getLogger(__name__)

Source = Publication | ItemError


class Subscribing:
    """The subscriptions of one session. `find` looks a session of the same app up, `publications` are its own."""

    def __init__(
        self,
        session_id: str,
        signalling: Signalling,
        limits: Limits,
        *,
        find: Callable[[str], Session | None],
        publications: Mapping[str, Publication],
    ) -> None:
        self._session_id = session_id
        self._signalling = signalling
        self._limits = limits
        self._find = find
        self._publications = publications

    # --- which tracks

    async def sources(self, tracks: Iterable[TrackObject]) -> list[Source]:
        """The publications that the tracks name, all waited for at the same time."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._source(t.session_id or "", t.track_name or "")) for t in tracks]
        sources = [task.result() for task in tasks]
        # While the slowest was waited for, another may have ended.
        return [NOT_FOUND if isinstance(source, Publication) and not source.is_active else source for source in sources]

    async def _source(self, session_id: str, track_name: str) -> Source:
        publisher = self._find(session_id)
        publication = publisher.publications.get(track_name) if publisher else None
        if publisher is None or publisher.connection is None or publication is None or publication.incoming is None:
            return NOT_FOUND
        if not await publisher.connection.wait_connected(self._limits.connect_wait_s):
            return NOT_FOUND
        has_media = await publication.incoming.wait_media(self._limits.media_wait_s)
        if not publication.is_active:
            return NOT_FOUND
        return publication if has_media else EMPTY

    # --- with an offer of the SFU, or without SDP

    def check(self, tracks: Sequence[TrackObject]) -> list[Transceiver | None]:
        """The m-sections that the tracks name, by mid or by the `#name` of the track they carry; `None`: a new one."""
        targets: list[Transceiver | None] = []
        for index, track in enumerate(tracks):
            target = self._receiving(track.mid) if track.mid else None
            if track.mid and target is None:
                raise Refusal(406, "invalid_params", f"tracks[{index}]: no receiving transceiver for mid {track.mid!r}")
            targets.append(target)
        named = [target for target in targets if target is not None]
        if len({id(target) for target in named}) < len(named):
            raise Refusal(406, "invalid_params", "Two tracks of the request have the same mid")
        return targets

    def count_with(self, targets: Sequence[Transceiver | None], sources: Sequence[Source]) -> int:
        """How many m-sections the session will have."""
        pairs = zip(targets, sources, strict=True)
        kinds = (s.kind for t, s in pairs if t is None and isinstance(s, Publication))
        return self._signalling.count_with(kinds, sends=True)

    def offer(
        self, tracks: Sequence[TrackObject], targets: Sequence[Transceiver | None], sources: Sequence[Source]
    ) -> TracksResponse:
        """Subscribe on new m-sections, which an offer brings, and on agreed ones, which need none."""
        results = []
        needs_offer = False
        for track, target, source in zip(tracks, targets, sources, strict=True):
            result = _result(track)
            results.append(result)
            if isinstance(source, Publication) and target is not None and not _fits(target, source):
                source = no_place(source.kind)
            if isinstance(source, ItemError):
                source.of(result).mid = ""
            elif target is not None:
                self._redirect(target, source, _preference(track.simulcast))
                result.mid = target.mid
            else:
                result.mid = self._signalling.add_sending(source, _preference(track.simulcast)).mid
                needs_offer = True
                self._log(result.mid, source)
        return TracksResponse(
            requires_immediate_renegotiation=needs_offer,
            tracks=results,
            session_description=self._signalling.offer() if needs_offer else None,
        )

    # --- with an offer of the client

    def check_offer(self, tracks: Sequence[TrackObject], offer: Sdp) -> list[MediaSection]:
        """The m-sections of the client's offer that can receive the tracks; raises `Refusal`."""
        receiving = [
            section
            for section in offer.media
            if section.direction.receives and negotiation.is_carried(offer, section) and codecs.accepted_codecs(section)
        ]
        mids = {section.mid for section in receiving}
        for index, track in enumerate(tracks):
            if track.mid and track.mid not in mids:
                raise unacceptable(f"tracks[{index}]: the media section with mid {track.mid!r} cannot receive")
        named = {track.mid for track in tracks if track.mid}
        free = [s for s in receiving if s.mid in named or not self._is_subscribed(s.mid)]
        if len(free) < len(tracks):
            raise unacceptable(f"The offer has {len(free)} media sections that can receive, for {len(tracks)} tracks")
        return free

    def answer(
        self, tracks: Sequence[TrackObject], sections: Sequence[MediaSection], sources: Sequence[Source], offer: Sdp
    ) -> TracksResponse:
        """Subscribe on m-sections of the client's offer: those that are named, else in order and by kind."""
        named = {track.mid for track in tracks if track.mid}
        free = [section for section in sections if section.mid not in named]
        pulls: dict[str, tuple[Publication, LayerPreference]] = {}
        results = []
        for track, source in zip(tracks, sources, strict=True):
            result = _result(track)
            results.append(result)
            if isinstance(source, ItemError):
                source.of(result).mid = ""
                continue
            candidates = [section for section in sections if section.mid == track.mid] if track.mid else free
            section = next((section for section in candidates if _receives(section, source)), None)
            if section is None:
                no_place(source.kind).of(result).mid = ""
                continue
            if section in free:
                free.remove(section)
            pulls[section.mid] = source, _preference(track.simulcast)
            result.mid = section.mid
            self._log(section.mid, source)
        return TracksResponse(
            requires_immediate_renegotiation=False,
            tracks=results,
            session_description=self._signalling.answer(offer, pulls=pulls) if pulls else None,
        )

    # --- update

    async def changes(self, tracks: Sequence[TrackObject]) -> list[Source | None]:
        """As `sources`, for `update`; `None` where the m-section receives this very track, or there is none."""
        are_changes = [
            (target := self._receiving(track.mid or "")) is not None and not _receives_track(target, track)
            for track in tracks
        ]
        sources = iter(await self.sources(itertools.compress(tracks, are_changes)))
        return [next(sources) if is_change else None for is_change in are_changes]

    def update(self, tracks: Sequence[TrackObject], changes: Sequence[Source | None]) -> TracksResponse:
        """Other layers, or other tracks, where the session receives already: media flows without SDP."""
        return TracksResponse(
            requires_immediate_renegotiation=False,
            tracks=[self._update(track, change) for track, change in zip(tracks, changes, strict=True)],
        )

    def _update(self, track: TrackObject, change: Source | None) -> TrackResult:
        result = _result(track)
        target = self._receiving(track.mid or "")
        result.mid = target.mid if target else track.mid
        if target is None:
            return NOT_SUBSCRIBED.of(result)
        if isinstance(change, ItemError):
            return change.of(result)
        if change is not None:
            if not _fits(target, change):
                return no_place(change.kind).of(result)
            self._redirect(target, change, _preference(track.simulcast))
            return result
        subscription = target.subscription
        if subscription is None or not subscription.is_active:
            return NOT_SUBSCRIBED.of(result)
        if track.simulcast is not None:
            incoming = subscription.publication.incoming
            if incoming is None or not incoming.rids or not subscription.outgoing.has_media:
                return NOTHING_TO_UPDATE.of(result)
            subscription.prefer(_preference(track.simulcast))
        return result

    # --- m-sections

    def _receiving(self, mid: str) -> Transceiver | None:
        """The m-section with this mid, or with the track of this `#name`, if the client receives there."""
        if mid.startswith("#"):
            publication = self._publications.get(mid[1:])
            mid = publication.mid if publication else ""
        transceiver = self._signalling.by_mid(mid)
        return transceiver if transceiver and transceiver.local.direction.sends else None

    def _is_subscribed(self, mid: str) -> bool:
        transceiver = self._signalling.by_mid(mid)
        return transceiver is not None and transceiver.has_open_subscription

    def _redirect(self, transceiver: Transceiver, publication: Publication, preference: LayerPreference) -> None:
        """Subscribe on an m-section that is agreed already: media flows without SDP."""
        self._signalling.subscribe(transceiver, publication, preference)
        assert transceiver.subscription is not None
        transceiver.subscription.flow(True)
        self._log(transceiver.mid, publication)

    def _log(self, mid: str, publication: Publication) -> None:
        logger.info("session=%s mid=%s subscribed to session=%s", self._session_id, mid, publication.session_id)


def _receives_track(transceiver: Transceiver, track: TrackObject) -> bool:
    """Whether the m-section receives this very track."""
    subscription = transceiver.subscription
    if subscription is None or not subscription.is_active:
        return False
    publication = subscription.publication
    return (publication.session_id, publication.track_name) == (track.session_id, track.track_name)


def _fits(transceiver: Transceiver, publication: Publication) -> bool:
    assert publication.incoming is not None
    return transceiver.kind == publication.kind and codecs.have_common(publication.incoming.codecs, transceiver.codecs)


def _receives(section: MediaSection, publication: Publication) -> bool:
    assert publication.incoming is not None
    return section.kind == publication.kind and codecs.have_common(
        publication.incoming.codecs, codecs.accepted_codecs(section)
    )


def _preference(simulcast: Simulcast | None) -> LayerPreference:
    if simulcast is None:
        return LayerPreference()
    return LayerPreference(
        simulcast.preferred_rid, simulcast.priority_ordering or "none", simulcast.rid_not_available or "none"
    )


def _result(track: TrackObject) -> TrackResult:
    return TrackResult(session_id=track.session_id, track_name=track.track_name, simulcast=track.simulcast)
