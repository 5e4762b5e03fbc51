"""Every field of the API has a meaning, and common misspellings lead to it."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from rtcctl.realtime import schema
from rtcctl.realtime.explain.fields import MEANINGS, UNKNOWN_TO_THE_API, meaning, plain_name, right_spelling


def test_every_field_of_the_schema_has_a_meaning() -> None:
    """Whoever adds one says what it is."""
    models = [
        value
        for value in vars(schema).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == schema.__name__
    ]
    names = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert len(names) > 25
    assert sorted(names - set(MEANINGS)) == []


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("trackname", "trackName"),
        ("track_name", "trackName"),
        ("TrackName", "trackName"),
        ("session-id", "sessionId"),
        ("track", "tracks"),
        ("dataChannel", "dataChannels"),
        ("datachannels", "dataChannels"),
    ],
)
def test_misspellings(written: str, field: str) -> None:
    """Case, separators, and the plural."""
    known = ("trackName", "sessionId", "tracks", "dataChannels")
    assert right_spelling(written, known) == field


def test_what_is_no_misspelling() -> None:
    """The right spelling, and another word."""
    assert right_spelling("tracks", ("tracks",)) is None
    assert right_spelling("colour", ("tracks",)) is None


def test_meanings() -> None:
    """However it is spelt; also of what is no field; nothing of what nobody knows."""
    assert meaning("mid") == meaning("MID") == MEANINGS["mid"]
    assert "sessionId" in meaning("track_id")
    assert meaning("colour") == ""


def test_what_is_no_field_is_none() -> None:
    """Nothing is both, and the keys are plain."""
    assert not {plain_name(name) for name in MEANINGS} & set(UNKNOWN_TO_THE_API)
    assert all(plain_name(name) == name for name in UNKNOWN_TO_THE_API)
