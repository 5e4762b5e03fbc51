"""Janus' videoroom under the same load as ours, spoken to through its Unix socket."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rtcctl.transport.dtls import Certificate
from tests.bench.load import LeanPeer, Listener, Load, Sinks, Speaker, connect, cpu_seconds, run_load, start_pinned

OPUS_LINES = "a=rtcp-fb:111 nack\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"


def measure(publishers: int, fanout: int, seconds: float, *, event_loops: int) -> Load:
    """CPU per forwarded packet of a fresh Janus; `event_loops` 0 is its default, a thread for each handle."""
    with tempfile.TemporaryDirectory() as folder:
        write_configuration(Path(folder), event_loops)
        process, room = start(Path(folder))
        try:
            speakers = [Speaker(room.publish(feed), 0) for feed in range(1, publishers + 1)]
            room.connect()
            listeners = [room.subscribe(range(1, publishers + 1)) for _ in range(fanout)]
            room.connect()
            sinks = Sinks([listener.peer.sock for listener in listeners])
            run_load(speakers, listeners, sinks, process.pid, seconds=1.0, fanout=fanout)
            return run_load(speakers, listeners, sinks, process.pid, seconds=seconds, fanout=fanout)
        finally:
            stop(process)


def start(folder: Path, attempts: int = 5) -> tuple[subprocess.Popen[str], Room]:
    """Janus and a room in it. Janus 1.1.2 crashes in some of its starts, so there are several attempts."""
    for attempt in range(attempts):
        path = folder / "api.sock"
        path.unlink(missing_ok=True)
        with (folder / "log").open("w") as log:
            # In its own folder, and without core dumps.
            command = ["sh", "-c", f"ulimit -c 0; exec janus -F {folder} -d 4"]
            process = start_pinned(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            # Who connects before Janus is ready kills its listener, so wait until it has come to rest.
            deadline, before = time.monotonic() + 20, -1.0
            while process.poll() is None and (not path.exists() or cpu_seconds(process.pid) != before):
                assert time.monotonic() < deadline, "Janus does not start"
                before = cpu_seconds(process.pid)
                time.sleep(1)
            return process, Room(path)
        except (OSError, ValueError):
            stop(process)
            if attempt + 1 == attempts:
                raise
    raise AssertionError("at least one attempt")


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(20)


def write_configuration(folder: Path, event_loops: int) -> None:
    general = f'configs_folder = "{folder}"'
    if event_loops:
        general += f"\n  event_loops = {event_loops}"
    (folder / "janus.jcfg").write_text(f"general: {{\n  {general}\n}}\nnat: {{\n  ice_lite = true\n}}\nmedia: {{}}\n")
    (folder / "janus.transport.pfunix.jcfg").write_text(
        f'general: {{\n  enabled = true\n  path = "{folder}/api.sock"\n  type = "SOCK_SEQPACKET"\n}}\n'
    )
    for name in ("http", "websockets"):
        (folder / f"janus.transport.{name}.jcfg").write_text("general: {\n  http = false\n  ws = false\n}\n")


class Room:
    """One videoroom with one API session."""

    def __init__(self, path: Path) -> None:
        self._certificate = Certificate.generate()
        self._numbers = count(1)
        self._room = random.getrandbits(30)
        self._unconnected: list[LeanPeer] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.settimeout(10)
        self._sock.connect(str(path))
        self._session = self._ask({"janus": "create"})["data"]["id"]
        self._message(
            self._attach(),
            {"request": "create", "room": self._room, "publishers": 100, "audiocodec": "opus", "notify_joining": False},
        )

    def publish(self, feed: int) -> LeanPeer:
        handle = self._attach()
        self._message(handle, {"request": "join", "ptype": "publisher", "room": self._room, "id": feed})
        peer = self._peer()
        section = (
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
            f"{peer.sdp_lines}{OPUS_LINES}"
            f"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:{peer.ssrc} cname:lean\r\n"
        )
        jsep = {"type": "offer", "sdp": description(["0"], section), "trickle": False}
        answer = self._message(handle, {"request": "publish", "audiocodec": "opus"}, jsep)
        self._describe(peer, answer["jsep"]["sdp"])
        return peer

    def subscribe(self, feeds: Sequence[int]) -> Listener:
        handle = self._attach()
        streams = [{"feed": feed} for feed in feeds]
        body = {"request": "join", "ptype": "subscriber", "room": self._room, "streams": streams}
        offer = self._message(handle, body)["jsep"]["sdp"]
        peer = self._peer()
        mids = re.findall(r"a=mid:(\S+)", offer)
        sections = "".join(
            f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\n"
            f"{peer.sdp_lines}{OPUS_LINES}"
            for mid in mids
        )
        jsep = {"type": "answer", "sdp": description(mids, sections), "trickle": False}
        self._message(handle, {"request": "start"}, jsep)
        self._describe(peer, offer)
        ssrcs = [int(ssrc) for ssrc in dict.fromkeys(re.findall(r"a=ssrc:(\d+)", offer))]
        return Listener(peer, ssrcs, 0)

    def connect(self) -> None:
        """ICE and DTLS of the peers that are new."""
        connect(self._unconnected)
        self._unconnected = []

    def _peer(self) -> LeanPeer:
        # What is said of the other side comes with its description.
        return LeanPeer(self._certificate, ("", 0), "", "", (), host="")

    def _describe(self, peer: LeanPeer, sdp: str) -> None:
        def first(pattern: str) -> tuple[str, ...]:
            found = re.search(pattern, sdp)
            assert found, pattern
            return found.groups()

        (peer.remote_ufrag,), (peer.remote_pwd,) = first(r"a=ice-ufrag:(\S+)"), first(r"a=ice-pwd:(\S+)")
        peer.remote_fingerprints = [(first(r"a=fingerprint:(\S+)")[0], first(r"a=fingerprint:\S+ (\S+)")[0])]
        host, port = first(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host")
        peer.server = host, int(port)
        self._unconnected.append(peer)

    def _attach(self) -> int:
        handle: int = self._ask({"janus": "attach", "plugin": "janus.plugin.videoroom"})["data"]["id"]
        return handle

    def _message(self, handle: int, body: dict[str, Any], jsep: dict[str, Any] | None = None) -> dict[str, Any]:
        request: dict[str, Any] = {"janus": "message", "handle_id": handle, "body": body}
        if jsep:
            request["jsep"] = jsep
        return self._ask(request)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        transaction = str(next(self._numbers))
        request |= {"transaction": transaction}
        if request["janus"] != "create":
            request["session_id"] = self._session
        self._sock.send(json.dumps(request).encode())
        while True:
            answer: dict[str, Any] = json.loads(self._sock.recv(1 << 20))
            if answer.get("transaction") == transaction and answer["janus"] != "ack":
                assert answer["janus"] in ("success", "event"), answer
                assert "error" not in answer.get("plugindata", {}).get("data", {}), answer
                return answer


def description(mids: Sequence[str], sections: str) -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        f"a=group:BUNDLE {' '.join(mids)}\r\na=msid-semantic: WMS *\r\n{sections}"
    )
