"""What end-to-end tests share: a user's home of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Fresh state and configuration folders; no variable of the real user's."""
    return Home(tmp_path)
