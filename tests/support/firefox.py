"""A headless Firefox whose microphone and camera are its own fakes, driven by Marionette, its remote protocol.

Marionette speaks JSON over TCP: `LENGTH:[type, id, …]`, where type 0 is a command (name, parameters) and type 1 its
answer (error, value). One command is in flight at a time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.browser import OpenPage
from tests.support.requirements import require

PREFERENCES: dict[str, bool | int | str] = {
    "marionette.port": 0,  # any free one; it is told in the profile
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.autoplay.block-webaudio": False,
    # An address that mDNS would have to resolve is of no use to a server.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    # Nobody is to be asked for anything from outside.
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.gmp-manager.url": "",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
}
_READY_S = 60.0


class FirefoxError(AssertionError):
    """A command of Marionette that failed; a script that threw."""


class Marionette:
    """The connection to one Firefox."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=90)
        self._stream = self._socket.makefile("rb")
        self._id = 0
        self._read()  # who it is
        self.call("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"timeouts": {"script": 60_000}}}})

    def call(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        """The answer's value. Raises `FirefoxError`."""
        self._id += 1
        message = json.dumps([0, self._id, name, parameters or {}])
        self._socket.sendall(f"{len(message.encode())}:{message}".encode())
        _, _, error, value = self._read()
        if error is not None:
            raise FirefoxError(f"{name}: {error['error']}: {error['message']}")
        return value["value"] if isinstance(value, dict) and set(value) == {"value"} else value

    def close(self) -> None:
        """Of the connection, not of Firefox."""
        self._stream.close()
        self._socket.close()

    def _read(self) -> Any:
        size = b""
        while (character := self._stream.read(1)) != b":":
            if not character:
                raise FirefoxError("Firefox has gone")
            size += character
        return json.loads(self._stream.read(int(size)))


class FirefoxPage:
    """A window with one page."""

    def __init__(self, marionette: Marionette, handle: str) -> None:
        self._marionette = marionette
        self._handle = handle

    def goto(self, url: str) -> None:
        """Load a page."""
        self._here("WebDriver:Navigate", {"url": url})

    def evaluate(self, expression: str, arg: Any = None, /) -> Any:
        """As `Page` says; values cross as JSON."""
        # In the page's own scope, where its `let` and `const` are seen.
        script = """
            const value = window.eval(`(${arguments[0]})`);
            return Promise.resolve(typeof value === "function" ? value(JSON.parse(arguments[1])) : value)
              .then((result) => JSON.stringify(result === undefined ? null : result));
        """
        text = self._here("WebDriver:ExecuteScript", {"script": script, "args": [expression, json.dumps(arg)]})
        return json.loads(text)

    def close(self) -> None:
        """Of the window, with its connections."""
        self._here("WebDriver:CloseWindow")

    def open_window(self) -> str:
        """The handle of a new window."""
        handle: str = self._here("WebDriver:NewWindow", {"type": "window"})["handle"]
        return handle

    def _here(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        self._marionette.call("WebDriver:SwitchToWindow", {"handle": self._handle, "focus": False})
        return self._marionette.call(name, parameters)


@contextmanager
def firefox(profile: Path) -> Iterator[OpenPage]:
    """A running Firefox; yields a function that opens a URL in a window of its own."""
    require("firefox-esr", why="a second engine of its own is the other end")
    profile.mkdir()
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items())
    (profile / "user.js").write_text("\n".join(lines))
    log = (profile / "log").open("wb")
    process = subprocess.Popen(
        ["firefox-esr", "--headless", "--no-remote", "--marionette", "--profile", str(profile), "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "HOME": str(profile)},
        start_new_session=True,
    )
    try:
        marionette = Marionette(_port(process, profile))
        try:
            first = FirefoxPage(marionette, marionette.call("WebDriver:GetWindowHandle"))

            def open_page(url: str) -> FirefoxPage:
                # A window of its own: in a tab behind another, pictures would come once a second.
                page = FirefoxPage(marionette, first.open_window())
                page.goto(url)
                return page

            yield open_page
        finally:
            marionette.close()
    finally:
        # Its content processes with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _port(process: subprocess.Popen[bytes], profile: Path) -> int:
    deadline = time.monotonic() + _READY_S
    path = profile / "MarionetteActivePort"
    while not (path.exists() and (text := path.read_text())):
        assert process.poll() is None, f"Firefox ended: {(profile / 'log').read_text()}"
        assert time.monotonic() < deadline, f"Firefox is not ready: {(profile / 'log').read_text()}"
        time.sleep(0.02)
    return int(text)
