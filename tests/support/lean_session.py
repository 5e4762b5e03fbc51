"""Sessions of an embedded server whose client is a lean peer: signalling over HTTP, media over its own socket."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from rtcctl.server.server import RealtimeServer
from tests.bench.load import LeanPeer
from tests.bench.setup import describe, offer_of
from tests.support.data_path import certificate, until

DATA_CHANNELS = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n"
)


class LeanSession:
    """One session and its peer. Datagrams that come are handled by the event loop."""

    def __init__(self, http: httpx.AsyncClient, session_id: str) -> None:
        self.http = http
        self.session_id = session_id
        self.peer = LeanPeer(certificate(), ("", 0), "", "", ())
        self.packets: list[bytes] = []
        self.peer.on_rtp = self.packets.append
        self._sequence_number = 0
        asyncio.get_running_loop().add_reader(self.peer.sock, self.peer.read)

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request to the session; `path` below the session's."""
        return await self.http.request(method, f"sessions/{self.session_id}{path}", json=body)

    async def publish(self, name: str, *, with_data_channels: bool = False) -> None:
        """Publish audio under the mid 0 and connect; nothing is sent yet."""
        sdp = offer_of(self.peer)
        if with_data_channels:
            sdp = sdp.replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 1") + DATA_CHANNELS + self.peer.sdp_lines
        tracks = [{"location": "local", "mid": "0", "trackName": name}]
        body = {"tracks": tracks, "sessionDescription": {"type": "offer", "sdp": sdp}}
        answer = await self.call("POST", "/tracks/new", body)
        assert answer.status_code == 200, answer.text
        await self._connect(answer.json()["sessionDescription"]["sdp"])

    async def pull(self, publisher: LeanSession, name: str) -> dict[str, Any]:
        """Subscribe by the offer of the SFU, and connect; the item of the answer."""
        track = {"location": "remote", "sessionId": publisher.session_id, "trackName": name}
        pulled = (await self.call("POST", "/tracks/new", {"tracks": [track]})).json()
        offer = pulled["sessionDescription"]["sdp"]
        answer = re.sub(
            r"a=(candidate|end-of-candidates|ice-lite|ssrc|msid|fingerprint|ice-\w+|setup).*\r\n", "", offer
        )
        answer = answer.replace("a=sendonly", "a=recvonly").replace("a=mid:", f"{self.peer.sdp_lines}a=mid:")
        described = {"sessionDescription": {"type": "answer", "sdp": answer}}
        renegotiated = await self.call("PUT", "/renegotiate", described)
        assert renegotiated.status_code == 200, renegotiated.text
        await self._connect(offer)
        item: dict[str, Any] = pulled["tracks"][0]
        return item

    async def _connect(self, description: str) -> None:
        describe(self.peer, description)
        self.peer.check()
        await until(lambda: self.peer.srtp is not None)

    def say(self, count: int = 1) -> None:
        """Send packets of the published track."""
        for _ in range(count):
            number = self.next_number()
            self.peer.send_rtp(b"audio", number, number * 960)

    def next_number(self) -> int:
        """The sequence number of the packet that follows."""
        self._sequence_number += 1
        return self._sequence_number

    @property
    def srtp_packet(self) -> bytes:
        """The next packet of the published track, protected and not sent."""
        sent: list[bytes] = []
        with self._instead(sent):
            self.say()
        return sent[0]

    @contextmanager
    def _instead(self, sent: list[bytes]) -> Iterator[None]:
        send = self.peer.send
        self.peer.send = sent.append  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.peer.send = send  # type: ignore[method-assign]

    def leave(self) -> None:
        """Say goodbye to the server, and close the socket."""
        asyncio.get_running_loop().remove_reader(self.peer.sock)
        self.peer.close()

    def close(self) -> None:
        """The socket goes; the server is told nothing."""
        if self.peer.sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.peer.sock)
            self.peer.sock.close()


@asynccontextmanager
async def client_of(server: RealtimeServer, app_id: str = "", secret: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to an app of the server, by default its first."""
    async with httpx.AsyncClient(
        base_url=f"{server.base_url}/apps/{app_id or server.app_id}/",
        headers={"Authorization": f"Bearer {secret or server.app_secret}"},
        timeout=15,
        trust_env=False,
    ) as http:
        yield http


@asynccontextmanager
async def lean_session(http: httpx.AsyncClient) -> AsyncIterator[LeanSession]:
    """A new session, not connected yet."""
    answer = await http.post("sessions/new")
    assert answer.status_code == 201, answer.text
    made = LeanSession(http, answer.json()["sessionId"])
    try:
        yield made
    finally:
        made.close()


def stranger(host: str = "127.0.0.1") -> socket.socket:
    """A socket of somebody else."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock
