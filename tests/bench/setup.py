"""`python -m tests.bench setup`: CPU of a server per session set up, against aiortc's peer connection, in one run.

Ours is the whole server: three API calls over HTTP (`sessions/new`, `tracks/new` with an offer, `GET`), ICE and DTLS;
beside it the data path alone, without HTTP and SDP. aiortc's is a peer connection that answers the same offer, without
any HTTP, then ICE and DTLS. The same lean peers connect to all, ten at a time, all on uvloop; contenders take turns;
medians.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

from rtcctl.realtime import development
from rtcctl.transport.dtls import Certificate
from tests.bench.load import LeanPeer, Sfu, connect, cpu_seconds, pin_load, start_pinned

WARM_UP = 5
"Sessions that are not counted: imports on first use."


def offer_of(peer: LeanPeer) -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS *\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=msid:- track\r\n"
        f"{peer.sdp_lines}a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
        f"a=ssrc:{peer.ssrc} cname:lean\r\n"
    )


def describe(peer: LeanPeer, answer: str) -> None:
    def first(pattern: str) -> str:
        found = re.search(pattern, answer)
        assert found, pattern
        return found[1]

    peer.remote_ufrag, peer.remote_pwd = first(r"a=ice-ufrag:(\S+)"), first(r"a=ice-pwd:(\S+)")
    peer.remote_fingerprints = [("sha-256", first(r"a=fingerprint:sha-256 (\S+)"))]
    host, port = first(r"a=candidate:\S+ 1 udp \d+ (\d+\.\S+) \d+ typ host"), first(r"a=candidate:.* (\d+) typ host")
    peer.server = host, int(port)


def measure_data_path(sessions: int) -> float:
    """CPU milliseconds per session, without HTTP and SDP."""
    sfu = Sfu(uvloop=True)
    try:
        sfu.connect(WARM_UP)
        before = cpu_seconds(sfu.process.pid)
        for _ in range(0, sessions, 10):
            sfu.publish(sfu.connect(10))
        return (cpu_seconds(sfu.process.pid) - before) / sessions * 1000
    finally:
        sfu.close()


def measure(name: str, sessions: int) -> float:
    """CPU milliseconds per session."""
    server = start_pinned(
        [sys.executable, "-m", "tests.bench", "setup", "--serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    certificate = Certificate.generate()
    answer_to = _over_http(server) if name == "rtcctl" else _over_pipe(server)
    peers: list[LeanPeer] = []

    def join(count: int) -> None:
        for _ in range(0, count, 10):
            part = [LeanPeer(certificate, ("", 0), "", "", (), host="") for _ in range(min(10, count))]
            peers.extend(part)
            for peer in part:
                describe(peer, answer_to(offer_of(peer)))
            connect(part)

    try:
        join(WARM_UP)
        before = cpu_seconds(server.pid)
        join(sessions)
        return (cpu_seconds(server.pid) - before) / sessions * 1000
    finally:
        server.stdin.close()
        server.wait(20)
        for peer in peers:
            peer.sock.close()


def _over_http(server: subprocess.Popen[str]) -> Callable[[str], str]:
    assert server.stdout is not None
    api = http.client.HTTPConnection("127.0.0.1", int(server.stdout.readline()))
    headers = {"Authorization": f"Bearer {development.DEVELOPMENT_APP_SECRET}", "Content-Type": "application/json"}
    app = f"/v1/apps/{development.DEVELOPMENT_APP_ID}"

    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        api.request(method, f"{app}/{path}", None if body is None else json.dumps(body), headers)
        response = api.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        assert response.status < 300, answer
        return answer

    def answer_to(offer: str) -> str:
        session_id = call("POST", "sessions/new")["sessionId"]
        tracks = [{"location": "local", "mid": "0", "trackName": "mic"}]
        body = {"sessionDescription": {"type": "offer", "sdp": offer}, "tracks": tracks}
        answer: str = call("POST", f"sessions/{session_id}/tracks/new", body)["sessionDescription"]["sdp"]
        call("GET", f"sessions/{session_id}")
        return answer

    return answer_to


def _over_pipe(server: subprocess.Popen[str]) -> Callable[[str], str]:
    def answer_to(offer: str) -> str:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(offer) + "\n")
        server.stdin.flush()
        answer: str = json.loads(server.stdout.readline())
        return answer

    return answer_to


async def serve_rtcctl() -> None:
    from rtcctl.server.server import RealtimeServer

    async with RealtimeServer.run("127.0.0.1", 0) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


async def serve_aiortc() -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    connections = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        await connection.setRemoteDescription(RTCSessionDescription(json.loads(line), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        sys.stdout.write(json.dumps(connection.localDescription.sdp) + "\n")
        sys.stdout.flush()
    for connection in connections:
        await connection.close()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench setup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=100, help="per round; half of it for aiortc")
    parser.add_argument("--serve", choices=("rtcctl", "aiortc"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.serve is not None:
        import uvloop

        uvloop.run(serve_rtcctl() if arguments.serve == "rtcctl" else serve_aiortc())
        return 0
    pin_load()
    contenders: dict[str, Callable[[], float]] = {
        "rtcctl: 3 API calls, ICE, DTLS": lambda: measure("rtcctl", arguments.sessions),
        "rtcctl: ICE, DTLS": lambda: measure_data_path(arguments.sessions),
        "aiortc: peer connection, ICE, DTLS": lambda: measure("aiortc", arguments.sessions // 2),
    }
    results: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, run in contenders.items():
            results[name].append(run())
    ours = median(results["rtcctl: 3 API calls, ICE, DTLS"])
    write = sys.stdout.write
    write(f"{'':34}{'CPU/session':>12}{'÷ rtcctl':>10}{'range':>14}\n")
    for name, costs in results.items():
        span = f"{min(costs):.1f}…{max(costs):.1f}"
        write(f"{name:34}{median(costs):9.2f} ms{median(costs) / ours:10.2f}{span:>14}\n")
    return 0
