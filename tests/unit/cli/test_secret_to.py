"""`--secret-to`: whether a secret can go there is known before there is one, and none is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rtcctl.cli.secret_to import APP, TURN, store_of
from rtcctl.errors import UsageError

SECRET = "s" * 64
BASE = "https://rtc.example/v1"


def open_store(place: str) -> Any:
    store = store_of(place, TURN, "p")
    assert store is not None
    return store()


def test_without_it_nothing_is_stored() -> None:
    """The secret is printed."""
    assert store_of(None, APP, "p") is None


def test_a_file_is_there_before_the_secret() -> None:
    """Private and empty, so that it is nobody else's; then it has the secret as one line."""
    path = Path("a file")
    with open_store("a file") as store:
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("", 0o600)
        with pytest.raises(UsageError, match="not written over"), open_store("a file"):
            pass
        stored_in, usage = store.put("key", SECRET, BASE)
    assert path.read_text() == f"{SECRET}\n"
    assert stored_in == "a file"
    assert usage == (
        f"export RTCCTL_API_BASE={BASE}",
        "export RTCCTL_TURN_KEY_ID=key",
        "export RTCCTL_TURN_KEY_TOKEN=\"$(cat 'a file')\"",
    )


def test_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """Not even one that leads nowhere: who made it chose where the secret would go."""
    Path("link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="not written over"), open_store("link"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_got_nothing_is_gone() -> None:
    """Whatever ended the command."""
    for error in (UsageError("refused"), KeyboardInterrupt()):
        with pytest.raises(type(error)), open_store("kept"):
            raise error
        assert not Path("kept").exists()


@pytest.mark.parametrize("place", ["", "-"])
def test_places_that_are_none(place: str) -> None:
    """An empty variable must not put a secret into a log."""
    with pytest.raises(UsageError, match="no place"):
        store_of(place, APP, "p")


def test_a_full_disk_is_an_error_and_no_file_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the reason, and not the secret."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with open_store("kept") as store:
        with pytest.raises(UsageError, match="No space left") as caught:
            store.put("key", SECRET, BASE)
        assert SECRET not in caught.value.message
    assert not Path("kept").exists()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_was_taken_away_is_an_error(is_replaced: bool) -> None:
    """What was written into it nobody finds; what came into its place is not ours to remove."""
    path = Path("kept")
    with open_store("kept") as store:
        path.unlink()
        if is_replaced:
            path.write_text("another's")
        with pytest.raises(UsageError):
            store.put("key", SECRET, BASE)
    assert path.exists() == is_replaced


def test_a_secret_may_be_any_text() -> None:
    """The service chooses it; what is no text is an error, after which it can still be printed."""
    with open_store("kept") as store:
        store.put("key", "schlüssel", BASE)
    assert Path("kept").read_text("utf-8") == "schlüssel\n"
    with open_store("other") as store, pytest.raises(UsageError, match="no Unicode text"):
        store.put("key", "\ud800", BASE)
    assert not Path("other").exists()
