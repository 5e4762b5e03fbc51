"""What `turn` reads of the user's files and words: servers of any vendor, an earlier check, requirements."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtcctl.cli.options import comma_separated
from rtcctl.errors import UsageError
from rtcctl.units import SpellingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rtcctl.ops.turn_judge import Requirement
    from rtcctl.results.turn import IceServer
    from rtcctl.results.turn_check import Before

_PROTOCOLS = ("udp", "tcp", "tls")


def servers_of(path: Path) -> tuple[IceServer, ...]:
    """The servers of a file (`-`: stdin) of `--ice-servers`. Their passwords are masked from now on.

    Raises `UsageError`.
    """
    from rtcctl.cli.output import keep_secret
    from rtcctl.realtime.schema import SchemaError
    from rtcctl.realtime.turn import parse_pasted
    from rtcctl.results.turn import IceServer

    try:
        parsed = parse_pasted(_json("--ice-servers", path))
    except SchemaError as error:
        raise UsageError(
            f"--ice-servers {path} holds no list of servers: {error}.",
            hint='For example [{"urls": ["turn:HOST:3478"], "username": "…", "credential": "…"}]',
        ) from None
    for server in parsed:
        try:
            f"{server.username}{server.credential}".encode()
        except UnicodeEncodeError:
            raise UsageError(f"--ice-servers {path}: a username or credential is no Unicode text.") from None
    keep_secret(*(server.credential for server in parsed if server.credential))
    return tuple(
        IceServer(urls=tuple(server.urls), username=server.username, credential=server.credential) for server in parsed
    )


def earlier(path: Path) -> Mapping[str, Before]:
    """What an earlier `turn check --output json` found, by URL. Raises `UsageError`."""
    from rtcctl.results.turn_check import Before, TurnCheck

    document = _json("--compare", path)
    try:
        if document["schema"] != TurnCheck.schema:
            raise ValueError
        found = {}
        for report in document["urls"]:
            traffic = report["traffic"] or {}
            rtt_ms, lost = (traffic.get("rtt_ms") or {}).get("p50"), traffic.get("fraction_lost")
            found[str(report["url"])] = Before(
                verdict=str(report["verdict"]),
                rtt_p50_ms=None if rtt_ms is None else float(rtt_ms),
                fraction_lost=None if lost is None else float(lost),
            )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(f"--compare {path} is not what `rtcctl turn check --output json` writes.") from None
    return found


def requirements(values: list[str] | None) -> tuple[Requirement, ...]:
    """Of `--require`. Raises `UsageError`."""
    from rtcctl.ops.turn_judge import Requirement

    try:
        texts = comma_separated(values)
    except SpellingError as error:
        raise UsageError(f"--require: {error}.") from None
    made = []
    for text in texts or ("all",):
        what, colon, port = text.partition(":")
        is_known = what in _PROTOCOLS if colon else what in ("all", "any", *_PROTOCOLS)
        if not is_known or (colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
            raise UsageError(
                f"--require {text!r} is nothing that could be required.",
                hint="all, any, udp, tcp or tls; udp, tcp and tls also with a port, as tls:443",
            )
        made.append(Requirement(what, int(port) if colon else None))  # type: ignore[arg-type]
    return tuple(dict.fromkeys(made))


def _json(option: str, path: Path) -> Any:
    if str(path) == ".":  # what an empty text becomes
        raise UsageError(f"{option} is empty.", hint="It names a file, or is - for stdin.")
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{option} {path} cannot be read: {reason}.") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} {path} is not JSON: {error}.") from None
