"""A trace as a dump of chrome://webrtc-internals, which the viewers of such dumps open.

Pure: lines in, the document out. Its shape is Chromium's own: each peer connection has an `updateLog`, and `stats` by
`ID-PROPERTY`, whose `values` are a JSON list in a string; `ID-timestamp` has the times of all properties of an object.
Values of the log are JSON, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

SAMPLES_KEPT = 1000
"Of each property, the newest: as many as Chromium keeps."

_SIGNALLING = {
    ("local", "offer"): "have-local-offer",
    ("remote", "offer"): "have-remote-offer",
    ("local", "answer"): "stable",
    ("remote", "answer"): "stable",
}
_STATES = {
    "checking": (("iceconnectionstatechange", "checking"), ("connectionstatechange", "connecting")),
    "handshaking": (("iceconnectionstatechange", "connected"),),
    "connected": (("connectionstatechange", "connected"),),
    "failed": (("iceconnectionstatechange", "failed"), ("connectionstatechange", "failed")),
    "closed": (("iceconnectionstatechange", "closed"), ("connectionstatechange", "closed")),
}
"Of a transport, as the events of a peer connection."


def dump(lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The document of the lines of a trace."""
    begin: dict[str, Any] = {}
    peers: dict[int, _PeerConnection] = {}
    for line in lines:
        if line["kind"] == "begin":
            begin = line
        elif (number := line.get("peer")) is not None:
            at_ms = (begin.get("started_at", 0.0) + line["at_s"]) * 1000
            peers.setdefault(number, _PeerConnection()).take(line, at_ms)
    versions = begin.get("versions", {})
    pid = begin.get("pid", 0)
    return {
        "getUserMedia": [],
        "PeerConnections": {f"{pid}-{number}": peer.document(pid, number) for number, peer in peers.items()},
        "UserAgent": " ".join(
            f"{name}/{version.replace(' ', '-')}" for name, version in versions.items() if name != "OpenSSL"
        ),
        "UserAgentData": [
            {"brand": name, "version": versions.get(name, "")} for name in ("Python", "aiortc", "rtcctl")
        ],
        "timestamp": begin.get("started_at", 0.0) * 1000,
    }


class _PeerConnection:
    """What becomes one entry of `PeerConnections`."""

    def __init__(self) -> None:
        self._api_base = ""
        self._session_id = ""
        self._log: list[dict[str, Any]] = []
        self._stats: dict[str, tuple[str, dict[str, list[Any]]]] = {}
        "By id: type, and the values of each property."

    def take(self, line: dict[str, Any], at_ms: float) -> None:
        """A line about this peer."""
        match line["kind"]:
            case "peer":
                self._session_id = line.get("session_id") or self._session_id
                self._api_base = line.get("api_base") or self._api_base
            case "description":
                self._described(line, at_ms)
            case "state":
                for name, value in _STATES.get(line["state"], ()):
                    self._note(name, json.dumps(value), at_ms)
            case "statistics":
                for report in line["reports"]:
                    self._sample(report, at_ms)

    def _described(self, line: dict[str, Any], at_ms: float) -> None:
        side, type_ = line["side"], line["type"]
        description = json.dumps({"type": type_, "sdp": line["sdp"]}, ensure_ascii=False)
        if side == "local":
            self._note(f"create{type_.capitalize()}OnSuccess", description, at_ms)
        self._note(f"set{side.capitalize()}Description", description, at_ms)
        self._note("signalingstatechange", json.dumps(_SIGNALLING.get((side, type_), "stable")), at_ms)

    def _note(self, type_: str, value: str, at_ms: float) -> None:
        self._log.append({"time": _text(at_ms), "timestamp": round(at_ms, 3), "type": type_, "value": value})

    def _sample(self, report: dict[str, Any], at_ms: float) -> None:
        _, series = self._stats.setdefault(report["id"], (report["type"], {}))
        for name, value in (report | {"timestamp": round(at_ms, 3)}).items():
            if name not in ("id", "type"):
                values = series.setdefault(name, [])
                # A property that is first known later: viewers take values and times from the end.
                values.append(value)
                del values[:-SAMPLES_KEPT]

    def document(self, pid: int, number: int) -> dict[str, Any]:
        stats = {}
        for identifier, (type_, series) in self._stats.items():
            start, end = _text(series["timestamp"][0]), _text(series["timestamp"][-1])
            for name, values in series.items():
                stats[f"{identifier}-{name}"] = {
                    "startTime": start,
                    "endTime": end,
                    "statsType": type_,
                    "values": json.dumps(values),
                }
        return {
            "pid": pid,
            "rid": 0,
            "lid": number,
            "url": f"{self._api_base}#{self._session_id}" if self._session_id else self._api_base,
            "rtcConfiguration": {"bundlePolicy": "max-bundle", "rtcpMuxPolicy": "require"},
            "constraints": "",
            "updateLog": self._log,
            "stats": stats,
        }


def _text(at_ms: float) -> str:
    """A time as JavaScript's `Date.toISOString` writes it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
