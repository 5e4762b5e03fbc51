"""A headless Chromium whose microphone is a tone and whose camera is a moving picture."""

from __future__ import annotations

import array
import math
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from tests.support.requirements import require

MICROPHONE_HZ = 440.0

PAGE = Path(__file__).parent / "page"
"The application that the tests run in a browser."

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


class Page(Protocol):
    """A tab, of whichever browser."""

    def evaluate(self, expression: str, arg: Any = None, /) -> Any:
        """The value of an expression in the page; of its call with `arg` if it is a function. Promises are awaited."""

    def close(self) -> None:
        """Of the tab, with its connections."""


OpenPage = Callable[[str], Page]
"Opens a URL in a fresh tab."


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


class _Tab:
    """A tab of Chromium, which goes back to those that are free when it is closed: a new one takes half a second."""

    def __init__(self, page: Any, free: list[Any]) -> None:
        self._page = page
        self._free = free

    def evaluate(self, expression: str, arg: Any = None, /) -> Any:
        return self._page.evaluate(expression, arg)

    def close(self) -> None:
        self._page.goto("about:blank", wait_until="commit")
        self._free.append(self._page)


@contextmanager
def chromium(folder: Path, *arguments: str) -> Iterator[OpenPage]:
    """A running Chromium; yields a function that opens a URL in a tab, whose console goes to the test's output."""
    require("chromium", why="a real browser is the other end")
    from playwright.sync_api import sync_playwright

    tone = folder / "microphone.wav"
    write_tone(tone, MICROPHONE_HZ)
    free: list[Any] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            headless=True,
            args=[*CHROMIUM_ARGUMENTS, f"--use-file-for-fake-audio-capture={tone}", *arguments],
        )
        try:

            def open_page(url: str) -> Page:
                if free:
                    page = free.pop()
                else:
                    page = browser.new_page()
                    page.on("console", lambda message: print("console:", message.text))  # noqa: T201
                    page.on("pageerror", lambda error: print("uncaught:", error))  # noqa: T201
                page.goto(url)
                return _Tab(page, free)

            yield open_page
        finally:
            browser.close()
