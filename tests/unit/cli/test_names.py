"""Sessions and tracks as they are named on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.cli import names
from rtcctl.units import SpellingError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["abc/mic"], [("abc", "mic")]),
        (["abc", "mic"], [("abc", "mic")]),
        (["abc/mic", "def/cam"], [("abc", "mic"), ("def", "cam")]),
        (["abc/a/b"], [("abc", "a/b")]),
        (["abc", "a/b"], [("abc", "a/b")]),
        (["abc/with space"], [("abc", "with space")]),
        (["abc/Ünïcode 音"], [("abc", "Ünïcode 音")]),
        (["abc/--name"], [("abc", "--name")]),
    ],
)
def test_tracks(words: list[str], expected: list[tuple[str, str]]) -> None:
    """SESSION/TRACK is repeatable, SESSION TRACK works for one; a track's name may hold a slash."""
    assert list(names.tracks(words)) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["abc"],
        ["abc/"],
        ["/mic"],
        ["abc", ""],
        ["abc/ "],
        ["a b/mic"],
        ["abc", "def", "ghi"],
        ["abc/mic\x1b[2J"],
        ["abc/a\nb"],
        ["abc/\udcff"],
        ["abc/" + "x" * 1025],
        ["x" * 129 + "/mic"],
    ],
)
def test_no_tracks(words: list[str]) -> None:
    """Empty names, control characters and lone surrogates are refused."""
    with pytest.raises(SpellingError):
        names.tracks(words)


def test_one_track_is_meant() -> None:
    """Where one track is meant, two are refused."""
    with pytest.raises(SpellingError, match="one track"):
        names.track(["a/b", "c/d"])


def test_a_track_in_place_of_a_session() -> None:
    """The message says which part of it is the session."""
    with pytest.raises(SpellingError, match="abc"):
        names.session_id("abc/mic")


@given(st.lists(st.text(), max_size=3))
def test_any_words_are_tracks_or_refused(words: list[str]) -> None:
    """What is accepted has a session id and a name that can be shown."""
    try:
        found = names.tracks(words)
    except SpellingError:
        return
    assert all(session and name.isprintable() for session, name in found)


def test_ids_of_the_account() -> None:
    """As they are; one that is missing would name all of them."""
    assert names.uid("0123abcd-_Z") == "0123abcd-_Z"
    for wrong in ("", "a/b", "..", "a b", "é", "a\n", "x" * 129):
        with pytest.raises(SpellingError):
            names.uid(wrong)


def test_names_for_people() -> None:
    """Any text, as the server takes it: joiners are part of words and of emoji. Not nothing, and no controls."""
    for text in ("Staging ⚗ / 2", "👩\u200d💻", "می\u200cخواهم", "a\u00a0b", "x" * 256):
        assert names.display_name(text) == text
    for wrong in ("", " ", "a\nb", "\x9b2J", "\x7f", "\ud800", "x" * 257):
        with pytest.raises(SpellingError):
            names.display_name(wrong)
