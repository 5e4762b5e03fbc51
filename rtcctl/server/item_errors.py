"""Why one track of a request failed; the request itself is a 200 (Realtime docs: Error codes)."""

from __future__ import annotations

from dataclasses import dataclass

from rtcctl.realtime.schema import TrackResult

_MAKE_SURE = "Make sure the publisher peer is connected and sending packets for this track"


@dataclass(frozen=True, slots=True)
class ItemError:
    code: str
    description: str

    def of(self, result: TrackResult) -> TrackResult:
        """The result, failed."""
        result.error_code = self.code
        result.error_description = self.description
        return result


NOT_FOUND = ItemError("not_found_track_error", f"Track not found on remote peer. {_MAKE_SURE}")
EMPTY = ItemError("empty_track_error", f"No track data from remote peer. {_MAKE_SURE}")
NOT_OPEN = ItemError("close_track_error", "Track doesn't exist or was already closed")
NOTHING_TO_UPDATE = ItemError("update_track_error", "The track is not configured for simulcast, no updates applicable.")

# In words of our own: what the service says is not known.
NOT_SUBSCRIBED = ItemError("update_track_error", "No transceiver with this mid receives a track")


def no_place(kind: str) -> ItemError:
    return ItemError("track_error", f"No media section can receive this {kind} track: its kind or codecs do not fit")
