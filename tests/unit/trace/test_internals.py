"""The dump, read as its viewers read it (the rules of fippo's webrtc-dump-importer and of rtcstats' dump-importer)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from rtcctl.trace import internals

STARTED = 1700000000.0


def line(kind: str, at_s: float, **fields: object) -> dict[str, Any]:
    return {"kind": kind, "at_s": at_s} | fields


def sample(at_s: float, packets: int, **more: object) -> dict[str, Any]:
    report = {"id": "IT01A99", "type": "inbound-rtp", "ssrc": 99, "kind": "audio", "packetsReceived": packets}
    return line("statistics", at_s, peer=1, reports=[{"id": "T01", "type": "transport"}, report | more])


LINES = [
    line("begin", 0.0, versions={"rtcctl": "0.1", "aiortc": "1.16"}, target=None, started_at=STARTED, pid=7),
    line("peer", 0.1, peer=1, api_base="http://127.0.0.1:1/v1"),
    line("description", 0.2, peer=1, side="local", type="offer", sdp="v=0\r\nm=audio 9 X 111\r\n"),
    line("exchange", 0.2, method="POST"),
    line("description", 0.3, peer=1, side="remote", type="answer", sdp="v=0\r\nm=audio 9 X 111\r\n"),
    line("peer", 0.3, peer=1, session_id="abc"),
    *(line("state", 0.4, peer=1, state=state) for state in ("checking", "handshaking", "connected")),
    sample(1.0, 50),
    sample(2.0, 100, jitter=0.001),
    sample(3.0, 150, jitter=0.002),
    line("state", 4.0, peer=1, state="closed"),
    line("end", 4.0, exit_status=0),
]


def series(connection: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """As the importers do it: id and property are parted at the last hyphen, times and values meet at the end."""
    found: dict[str, dict[str, Any]] = {}
    for name, stats in connection["stats"].items():
        identifier, _, property_ = name.rpartition("-")
        times = json.loads(connection["stats"][f"{identifier}-timestamp"]["values"])
        values = json.loads(stats["values"])
        assert len(values) <= len(times)
        assert datetime.fromisoformat(stats["startTime"]) <= datetime.fromisoformat(stats["endTime"])
        of_type = found.setdefault(identifier, {"type": stats["statsType"]})
        of_type[property_] = list(zip(times[len(times) - len(values) :], values, strict=True))
    return found


def test_the_document_is_one_that_viewers_take():
    """What they look at without asking whether it is there."""
    document = internals.dump(LINES)
    assert document["getUserMedia"] == []
    assert document["UserAgent"] == "rtcctl/0.1 aiortc/1.16"
    assert len(document["UserAgentData"]) >= 3
    assert document["UserAgentData"][2] == {"brand": "rtcctl", "version": "0.1"}
    ((name, connection),) = document["PeerConnections"].items()
    assert name == "7-1"
    assert connection["url"] == "http://127.0.0.1:1/v1#abc"
    assert {"rtcConfiguration", "constraints", "updateLog", "stats"} <= set(connection)
    json.dumps(document, allow_nan=False)


def test_the_log_has_the_events_of_a_peer_connection():
    """Their names are Chromium's; descriptions are JSON that begins with the type; states are JSON strings."""
    (connection,) = internals.dump(LINES)["PeerConnections"].values()
    log = [(event["type"], event["value"]) for event in connection["updateLog"]]
    assert [name for name, _ in log] == [
        "createOfferOnSuccess",
        "setLocalDescription",
        "signalingstatechange",
        "setRemoteDescription",
        "signalingstatechange",
        "iceconnectionstatechange",
        "connectionstatechange",
        "iceconnectionstatechange",
        "connectionstatechange",
        "iceconnectionstatechange",
        "connectionstatechange",
    ]
    assert log[1][1].startswith('{"type":')
    assert json.loads(log[1][1]) == {"type": "offer", "sdp": "v=0\r\nm=audio 9 X 111\r\n"}
    assert [value for name, value in log if name == "connectionstatechange"] == [
        '"connecting"',
        '"connected"',
        '"closed"',
    ]
    assert all(
        isinstance(event["time"], str) and event["timestamp"] > STARTED * 1000 for event in connection["updateLog"]
    )


def test_statistics_are_series():
    """Each value at its own time, in milliseconds; one that is first known later begins later."""
    (connection,) = internals.dump(LINES)["PeerConnections"].values()
    found = series(connection)
    assert found["IT01A99"]["type"] == "inbound-rtp"
    assert found["IT01A99"]["packetsReceived"] == [
        ((STARTED + at) * 1000, n) for at, n in ((1, 50), (2, 100), (3, 150))
    ]
    assert [value for _, value in found["IT01A99"]["jitter"]] == [0.001, 0.002]
    assert found["IT01A99"]["jitter"][0][0] == (STARTED + 2) * 1000
    assert found["T01"]["type"] == "transport"


def test_the_newest_samples_stay():
    """As many as Chromium keeps."""
    lines = [LINES[0], *(sample(float(at), at) for at in range(internals.SAMPLES_KEPT + 5))]
    (connection,) = internals.dump(lines)["PeerConnections"].values()
    values = series(connection)["IT01A99"]["packetsReceived"]
    assert len(values) == internals.SAMPLES_KEPT
    assert values[-1][1] == internals.SAMPLES_KEPT + 4


def test_a_trace_without_an_end_has_its_dump():
    """Of a process that was killed: whatever it had."""
    for length in range(len(LINES)):
        json.dumps(internals.dump(LINES[:length]))
