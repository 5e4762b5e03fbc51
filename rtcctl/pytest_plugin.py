"""pytest's side of `rtcctl.testing`: the fixture `realtime`, and what was said to it when a test has failed.

Whoever has rtcctl installed loads this with every pytest, so it imports nothing that pytest has not.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from typing import Any

    from rtcctl.testing import Realtime

_SECTION = "Realtime API calls"
_APP = pytest.StashKey["Realtime"]()


@pytest.fixture(scope="session")
def realtime_server_options() -> Mapping[str, Any]:
    """Arguments of `rtcctl.testing.realtime_server`; a `conftest.py` may have its own fixture of this name."""
    return {}


@pytest.fixture(scope="session")
def _rtcctl_server(realtime_server_options: Mapping[str, Any]) -> Iterator[Realtime]:
    """One server for all tests of this process, started for the first that wants it."""
    from rtcctl.errors import UsageError
    from rtcctl.testing import realtime_server

    with ExitStack() as stack:
        problem = ""
        try:
            server = stack.enter_context(realtime_server(**realtime_server_options))
        except UsageError as error:
            problem = f"{error} {error.hint}"
        if problem:  # said outside, or what it comes from would be shown above it
            pytest.fail(problem, pytrace=False)
        yield server


@pytest.fixture
def realtime(request: pytest.FixtureRequest, _rtcctl_server: Realtime) -> Iterator[Realtime]:
    """A Cloudflare Realtime of this test's own: an app of a local server, with peers, faults and its calls."""
    with _rtcctl_server.app() as app:
        # Whatever wanted it: the test, a fixture that fails before the test has its arguments, `getfixturevalue`.
        request.node.stash[_APP] = app
        yield app


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was said to the API is part of the report of a test that failed."""
    report = yield
    app = item.stash.get(_APP, None)
    if report.failed and app is not None and f"{_SECTION}:" not in report.longreprtext:
        with suppress(RuntimeError):  # whatever has become of the server
            report.sections.append((_SECTION, app.told()))
    return report
