"""Ids of sessions and names of discovered tracks."""

from __future__ import annotations

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from rtcctl.server.ids import Ids


@given(st.integers())
def test_a_seed_gives_the_same_ids_in_each_run(seed: int):
    """And different ones among themselves."""
    one, other = Ids(seed), Ids(seed)
    drawn = [(one.session_id(), one.track_name()) for _ in range(20)]
    assert drawn == [(other.session_id(), other.track_name()) for _ in range(20)]
    assert len({text for pair in drawn for text in pair}) == 40


def test_without_a_seed_they_differ():
    """Nobody can tell the next one."""
    assert Ids().session_id() != Ids().session_id()
    assert Ids().track_name() != Ids().track_name()


@given(st.none() | st.integers())
def test_their_shape_is_the_services(seed: int | None):
    """32 hex digits; a version 4 UUID."""
    ids = Ids(seed)
    assert re.fullmatch("[0-9a-f]{32}", ids.session_id())
    name = ids.track_name()
    assert (str(UUID(name)), UUID(name).version) == (name, 4)
