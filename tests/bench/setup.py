"""`python -m tests.bench setup`: CPU of a server per session set up, against aiortc's peer connection, in one run.

Ours is `rtcctl dev`: three API calls (`sessions/new`, `tracks/new` with an offer, `GET`), ICE and DTLS; beside
it the data path alone, without HTTP and SDP. aiortc's is a peer connection behind the same three calls on the same HTTP
stack, then one that answers the same offer without any HTTP. The same lean peers connect to all, ten at a time, all on
uvloop; contenders take turns; medians.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import socket
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
    command = ["-m", "tests.bench", "setup", "--serve", name]
    if name == "rtcctl":
        command = ["-m", "rtcctl", "dev", "--port", "0", "--output", "jsonl"]
    server = start_pinned([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    certificate = Certificate.generate()
    answer_to = _over_pipe(server) if name == "aiortc" else _over_http(server)
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
        server.terminate()
        server.wait(20)
        for peer in peers:
            peer.sock.close()


def _over_http(server: subprocess.Popen[str]) -> Callable[[str], str]:
    assert server.stdout is not None
    port = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
    assert port
    api = http.client.HTTPConnection("127.0.0.1", int(port[1]))
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


async def serve_aiortc_http() -> None:
    """aiortc's peer connection behind the same three calls, on the same HTTP stack."""
    import uvicorn
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    connections: dict[str, RTCPeerConnection] = {}

    async def new_session(request: Request) -> JSONResponse:
        session_id = f"{len(connections):032x}"
        connections[session_id] = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        return JSONResponse({"sessionId": session_id}, 201)

    async def new_tracks(request: Request) -> JSONResponse:
        connection = connections[request.path_params["session_id"]]
        offer = (await request.json())["sessionDescription"]["sdp"]
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return JSONResponse({"sessionDescription": {"type": "answer", "sdp": connection.localDescription.sdp}})

    async def get_session(request: Request) -> JSONResponse:
        connection = connections[request.path_params["session_id"]]
        return JSONResponse({"tracks": [{"mid": t.mid} for t in connection.getTransceivers()]})

    app = Starlette(
        routes=[
            Route("/v1/apps/{app_id}/sessions/new", new_session, methods=["POST"]),
            Route("/v1/apps/{app_id}/sessions/{session_id}/tracks/new", new_tracks, methods=["POST"]),
            Route("/v1/apps/{app_id}/sessions/{session_id}", get_session, methods=["GET"]),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve([listener]))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for connection in connections.values():
        await connection.close()
    server.should_exit = True
    await serving


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


SERVERS = {"aiortc": serve_aiortc, "aiortc-http": serve_aiortc_http}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench setup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=100, help="per round; half of it for aiortc")
    parser.add_argument("--serve", choices=tuple(SERVERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.serve is not None:
        import uvloop

        uvloop.run(SERVERS[arguments.serve]())
        return 0
    pin_load()
    contenders: dict[str, Callable[[], float]] = {
        "rtcctl: 3 API calls, ICE, DTLS": lambda: measure("rtcctl", arguments.sessions),
        "rtcctl: ICE, DTLS": lambda: measure_data_path(arguments.sessions),
        "aiortc: 3 API calls, ICE, DTLS": lambda: measure("aiortc-http", arguments.sessions // 2),
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
