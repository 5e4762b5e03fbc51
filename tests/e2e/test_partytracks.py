"""Cloudflare's own client library against the embedded server: nothing but its base URL is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import MICROPHONE_HZ, OpenPage
from tests.support.command import Home
from tests.support.participant import IN_FLIGHT, SIMULCAST, Participant, eventually
from tests.support.partytracks_app import backend, build


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundled application."""
    folder = tmp_path_factory.mktemp("partytracks")
    build(folder)
    return folder


@contextmanager
def two_pages(home: Home, app: Path, chromium: OpenPage) -> Iterator[tuple[Participant, Participant]]:
    """Two users of the application; the server's log becomes the test's output."""
    with home.dev() as server, backend(app, server.ready) as url:
        pages = [chromium(url), chromium(url)]
        try:
            yield Participant(pages[0], ""), Participant(pages[1], "")
            assert "Traceback" not in server.stderr
        finally:
            print(server.stderr)  # noqa: T201
            for page in pages:
                for entry in page.evaluate("calls()"):
                    print(entry)  # noqa: T201
                page.close()


def push(one: Participant, kind: str, **options: Any) -> dict[str, Any]:
    """What others need to pull it."""
    metadata: dict[str, Any] = one.page.evaluate("push", {"kind": kind, **options})
    return metadata


def pull(one: Participant, metadata: dict[str, Any], preferred_rid: str | None = None) -> str:
    """The mid of the m-section that it arrives on."""
    mid: str = one.page.evaluate("pullTrack", {"metadata": metadata, "preferredRid": preferred_rid})
    return mid


def test_push_pull_and_close(home: Home, app: Path, chromium: OpenPage):
    """A microphone and a camera are pushed, pulled, closed and pushed again; the library never has to begin anew."""
    with two_pages(home, app, chromium) as (alice, bob):
        microphone, camera = push(alice, "audio"), push(alice, "video")
        heard, seen = pull(bob, microphone), pull(bob, camera)
        video = bob.received(seen)
        # 960 × 540, or what Chromium begins with while it does not know how fast the way is.
        assert video["frameWidth"] * 9 == video["frameHeight"] * 16
        assert bob.frequency_hz(heard) == pytest.approx(MICROPHONE_HZ, abs=12)
        assert bob.inbound(heard)["packetsLost"] == 0

        # The first pushed is the first m-section: the transport below the camera is made anew.
        alice.page.evaluate("stopPushing", "audio")
        before = bob.inbound(heard)["packetsReceived"]
        bob.received(seen)
        assert bob.inbound(heard)["packetsReceived"] - before <= IN_FLIGHT

        bob.page.evaluate("stopPulling", heard)
        bob.received(seen)
        again = pull(bob, push(alice, "audio"))
        assert bob.frequency_hz(again) == pytest.approx(MICROPHONE_HZ, abs=12)
        bob.received(seen)
        assert [one.page.evaluate("sessions()") for one in (alice, bob)] == [1, 1]


def test_simulcast(home: Home, app: Path, chromium: OpenPage):
    """`sendEncodings$` and `preferredRid$`: the layer asked for with the pull is shown, and then the other."""
    with two_pages(home, app, chromium) as (alice, bob):
        mid = pull(bob, push(alice, "video", encodings=SIMULCAST), preferred_rid="q")
        bob.received_size(mid, 240, 135, timeout_s=20)
        for rid, size in (("h", (480, 270)), ("q", (240, 135))):
            # The library asks once and does not look at the answer; the layer may not be sent yet.
            def asked_again(rid: str = rid) -> dict[str, Any]:
                bob.page.evaluate("prefer", {"mid": mid, "rid": rid})
                return bob.inbound(mid)

            eventually(
                asked_again,
                lambda report, size=size: (report["frameWidth"], report["frameHeight"]) == size,
                what=f"layer {rid}",
                timeout_s=20,
            )
        assert bob.received(mid)["packetsLost"] == 0
