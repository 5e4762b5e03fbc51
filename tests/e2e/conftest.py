"""What end-to-end tests share: a user's home of their own, and browsers that are started once for a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import browser
from tests.support import firefox as firefox_browser
from tests.support.browser import OpenPage
from tests.support.command import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Fresh state and configuration folders; no variable of the real user's."""
    return Home(tmp_path)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    """Opens tabs of one Chromium."""
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    """Opens tabs of one Firefox."""
    with firefox_browser.firefox(tmp_path_factory.mktemp("firefox") / "profile") as open_page:
        yield open_page
