"""`rtcctl.testing` with browsers at the other end: an application's page, and a peer of the test beside it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from rtcctl.testing import Realtime, realtime_server
from tests.support.browser import MICROPHONE_HZ, PAGE, OpenPage, served
from tests.support.participant import Participant, eventually, microphone


@pytest.fixture
def realtime() -> Iterator[Realtime]:
    with realtime_server() as running:
        yield running
        assert running.bugs == 0


def statuses(realtime: Realtime, session_id: str) -> list[str]:
    """Of the tracks of a session, which must be there."""
    url = f"{realtime.base_url}/apps/{realtime.app_id}/sessions/{session_id}"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {realtime.app_secret}"}, trust_env=False)
    return [track["status"] for track in answer.raise_for_status().json()["tracks"]]


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_who_lives_goes_on(realtime: Realtime, name: str, request: pytest.FixtureRequest) -> None:
    """A browser without media answers when it is asked, so an hour later its session is there, and its track is not."""
    open_page: OpenPage = request.getfixturevalue(name)
    app = {"base": realtime.base_url, "id": realtime.app_id, "secret": realtime.app_secret}
    with served(PAGE) as url, realtime.peer() as bob:
        page = open_page(f"{url}/index.html")
        alice = Participant(page, page.evaluate("start", app))
        mid = alice.publish(microphone())["mic"]
        heard = realtime.subscribe(bob, alice.session_id, "mic")
        eventually(lambda: bob.statistics(heard).tone_hz, lambda hz: hz is not None, what="a tone")
        if name == "chromium":
            bob.assert_tone(MICROPHONE_HZ)
        realtime.advance(3600)
        assert statuses(realtime, alice.session_id) == ["active"]
        alice.mute(mid)
        bob.assert_silence()
        realtime.advance(3600)
        assert statuses(realtime, alice.session_id) == ["inactive"]
        page.close()
