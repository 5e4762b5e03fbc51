"""A headless Chromium whose microphone is a tone, with a page that speaks to a Realtime API."""

from __future__ import annotations

import array
import math
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.requirements import require

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


def write_tone(path: Path, frequency_hz: float, *, duration_s: float = 5.0) -> None:
    """A mono 48 kHz WAV file of a tone whose phase closes at its end, so that it can loop."""
    rate_hz = 48_000
    count = round(round(duration_s * frequency_hz) / frequency_hz * rate_hz)
    samples = array.array(
        "h", (round(12_000 * math.sin(2 * math.pi * frequency_hz * i / rate_hz)) for i in range(count))
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server on loopback for the files of a folder; yields its base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def pages(tmp_path: Path, *, microphone_hz: float = 440.0) -> Iterator[Any]:
    """A function that opens `page.html` in a fresh tab (playwright `Page`); its console goes to the test's output."""
    require("chromium", why="a real browser is the other end")
    from playwright.sync_api import sync_playwright

    tone = tmp_path / "microphone.wav"
    write_tone(tone, microphone_hz)
    with served(Path(__file__).parent) as base_url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            headless=True,
            args=[*CHROMIUM_ARGUMENTS, f"--use-file-for-fake-audio-capture={tone}"],
        )
        try:

            def open_page() -> Any:
                page = browser.new_page()
                page.on("console", lambda message: print("console:", message.text))  # noqa: T201
                page.goto(f"{base_url}/page.html")
                return page

            yield open_page
        finally:
            browser.close()
