"""Results of `track …` have the names they promise."""

from __future__ import annotations

from dataclasses import fields

import pytest

from rtcctl.results.track import Publish, PublishedTrack, ReceivedStatistics, SentStatistics, Subscribe, SubscribedTrack


def types(kind: type) -> dict[str, object]:
    return {field.name: field.type for field in fields(kind)}


@pytest.mark.parametrize(("result", "track"), [(Subscribe, SubscribedTrack), (Publish, PublishedTrack)])
def test_a_result_is_its_first_track_flat(result: type, track: type) -> None:
    """Every field of a track is one of the result too, of the same type."""
    assert types(track).items() <= types(result).items()


def test_all_that_is_received_is_in_the_result() -> None:
    """Nothing that is measured gets lost on the way to it; only its duration has another name."""
    # A count that a probe always has is 0 for a track of which nothing came.
    assert types(ReceivedStatistics).items() - types(SubscribedTrack).items() == {("interval_s", "float")}


@pytest.mark.parametrize(
    "statistics",
    [
        ReceivedStatistics(interval_s=1.0, packets_received=0, bytes_received=0),
        SentStatistics(interval_s=1.0, packets_sent=0, bytes_sent=0, nominal_packets=None, bitrate_bps=0.0),
    ],
)
def test_what_nobody_measured_is_unknown(statistics: ReceivedStatistics | SentStatistics) -> None:
    """Never 0."""
    always = {"interval_s", "packets_received", "bytes_received", "packets_sent", "bytes_sent", "bitrate_bps", "layers"}
    others = [getattr(statistics, field.name) for field in fields(statistics) if field.name not in always]
    assert others == [None] * len(others)
