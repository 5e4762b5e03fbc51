"""What all tests of the probe have around them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtcctl.probe.sources.priority import priority_kept


@pytest.fixture(autouse=True)
def _priority_kept() -> Iterator[None]:
    """Tests open SVT-AV1 themselves, and what it does to the priority of this process must not stay."""
    with priority_kept():
        yield
