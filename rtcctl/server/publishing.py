"""What a session publishes, by the client's offer or by the SFU's (Realtime docs: Sessions and tracks).

Requests have been checked, and the session is connected, when one of these methods changes something; none waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.realtime.schema import TrackObject, TrackResult, TracksResponse
from rtcctl.server import codecs, negotiation
from rtcctl.server.ids import Ids
from rtcctl.server.negotiation import unacceptable
from rtcctl.server.signalling import Signalling
from rtcctl.server.tracks import Publication, Transceiver

logger = logging.getLogger(__name__)


class Publishing:
    """The publications of one session."""

    def __init__(self, session_id: str, signalling: Signalling, clock: Callable[[], float], ids: Ids) -> None:
        self.publications: dict[str, Publication] = {}
        "By track name, the newest of each; none that is closed, or that the client has yet to agree to."
        self._session_id = session_id
        self._signalling = signalling
        self._clock = clock
        self._ids = ids

    def check(self, tracks: Sequence[TrackObject], offer: Sdp) -> None:
        """Whether the client's offer has what the tracks need; raises `Refusal`."""
        sections = {section.mid: section for section in offer.media if not section.is_rejected}
        for index, track in enumerate(tracks):
            section = sections.get(track.mid or "")
            if section is None:
                raise unacceptable(f"tracks[{index}]: there is no media section with mid {track.mid!r}")
            if not section.direction.sends:
                raise unacceptable(f"tracks[{index}]: the media section with mid {track.mid!r} does not send")
            if not negotiation.is_carried(offer, section) or not codecs.accepted_codecs(section):
                raise unacceptable(f"tracks[{index}]: no supported codec in the media section with mid {track.mid!r}")

    def answer(self, tracks: Sequence[TrackObject], offer: Sdp, *, auto_discover: bool) -> TracksResponse:
        """Publish what the client offers."""
        transceivers = self._signalling.transceivers
        # One that was closed while the client went on sending is not new.
        known = {t.mid for t in transceivers if t.publication and t.client_sends}
        known |= {track.mid or "" for track in tracks}
        bidirectional = {track.mid or "" for track in tracks if track.bidirectional_media_stream}
        description = self._signalling.answer(offer, bidirectional=bidirectional)
        results = []
        for track in tracks:
            transceiver = self._signalling.by_mid(track.mid or "")
            assert transceiver is not None
            results.append(self._start(transceiver, self._announce(transceiver, track.track_name or "")))
        if auto_discover:
            for transceiver in transceivers:
                if transceiver.client_sends and not transceiver.active_publication and transceiver.mid not in known:
                    result = self._start(transceiver, self._announce(transceiver, self._ids.track_name()))
                    result.kind = transceiver.kind
                    results.append(result)
        return TracksResponse(requires_immediate_renegotiation=False, tracks=results, session_description=description)

    def offer(self, tracks: Sequence[TrackObject]) -> TracksResponse:
        """Ask the client for tracks; they are published when it has agreed."""
        results = []
        for track in tracks:
            transceiver = self._signalling.add_receiving(
                track.kind or "", is_bidirectional=bool(track.bidirectional_media_stream)
            )
            publication = self._announce(transceiver, track.track_name or "")
            results.append(TrackResult(mid=publication.mid, track_name=publication.track_name))
        return TracksResponse(
            requires_immediate_renegotiation=True, tracks=results, session_description=self._signalling.offer()
        )

    def take_answer(self) -> None:
        """Publish what the client has agreed to send; the rest of what it was asked for is closed."""
        for transceiver in self._signalling.transceivers:
            publication = transceiver.publication
            if publication and publication.is_open and not publication.is_active:
                if transceiver.client_sends:
                    self._start(transceiver, publication)
                else:
                    publication.close()

    def end(self, publication: Publication) -> None:
        """For all its subscribers."""
        publication.close()
        if self.publications.get(publication.track_name) is publication:
            del self.publications[publication.track_name]

    def collect(self, idle_s: float) -> None:
        """End those that have been silent for so long, and forget those that have ended by themselves."""
        now = self._clock()
        for publication in list(self.publications.values()):
            if not publication.is_active:
                self.end(publication)
            elif publication.idle_s(now) >= idle_s:
                logger.info("session=%s mid=%s no packets, collected", self._session_id, publication.mid)
                self.end(publication)

    def _announce(self, transceiver: Transceiver, track_name: str) -> Publication:
        """A publication on an m-section, in the place of the one it has had."""
        if transceiver.publication:
            self.end(transceiver.publication)
        publication = Publication(self._session_id, track_name, transceiver.mid, transceiver.kind)
        transceiver.publication = publication
        return publication

    def _start(self, transceiver: Transceiver, publication: Publication) -> TrackResult:
        """The client sends it from now on; the newest of a name wins."""
        assert self._signalling.connection is not None
        assert transceiver.parameters is not None
        if replaced := self.publications.get(publication.track_name):
            self.end(replaced)
        publication.start(self._signalling.connection.publish(transceiver.parameters), self._clock())
        self.publications[publication.track_name] = publication
        logger.info("session=%s mid=%s published %s", self._session_id, publication.mid, publication.kind)
        return TrackResult(mid=publication.mid, track_name=publication.track_name)
