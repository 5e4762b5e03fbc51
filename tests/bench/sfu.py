"""The data path alone in a process of its own, told what to do by lines of JSON: the subject of benches.

`python -m tests.bench sfu [--uvloop]`. One request a line on stdin, one answer a line on stdout:

    {"open": N}                                   → {"fingerprint", "port", "credentials": [[ufrag, pwd], …]}
    {"remote": [[index, description], …]}         → {}
    {"publish": [[index, ssrc], …]}               → {"tracks": [number, …]}
    {"subscribe": [[index, track number], …]}     → {"ssrcs": [ssrc, …]}
    {"count": true}                               → {"sent", "dropped", "errors", "connected"}
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.server.connection import Connection, ConnectionState
from rtcctl.server.endpoint import Endpoint
from rtcctl.server.forward import IncomingTrack, OutgoingTrack

OPUS = (Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("nack",)),)


class Subject:
    """What the lines refer to, by number."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connections: list[Connection] = []
        self.incoming: list[IncomingTrack] = []
        self.outgoing: list[OutgoingTrack] = []

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        ((operation, argument),) = request.items()
        answer: dict[str, Any] = getattr(self, operation)(argument)
        return answer

    def open(self, count: int) -> dict[str, Any]:
        opened = [self.endpoint.open() for _ in range(count)]
        self.connections += opened
        credentials = [(connection.ice_ufrag, connection.ice_pwd) for connection in opened]
        return {"fingerprint": self.endpoint.fingerprint, "port": self.endpoint.port, "credentials": credentials}

    def remote(self, descriptions: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        for index, description in descriptions:
            self.connections[index].set_remote(**description)
        return {}

    def publish(self, publications: list[tuple[int, int]]) -> dict[str, Any]:
        first = len(self.incoming)
        for index, ssrc in publications:
            connection = self.connections[index]
            self.incoming.append(
                connection.publish(mid="0", kind="audio", codecs=OPUS, ssrcs=[ssrc], mid_extension_id=4)
            )
        return {"tracks": list(range(first, len(self.incoming)))}

    def subscribe(self, subscriptions: list[tuple[int, int]]) -> dict[str, Any]:
        ssrcs = []
        for index, number in subscriptions:
            incoming = self.incoming[number]
            track = self.connections[index].subscribe(incoming, mid=str(number), codecs=OPUS, mid_extension_id=4)
            track.negotiate(OPUS)
            self.outgoing.append(track)
            ssrcs.append(track.ssrc)
        return {"ssrcs": ssrcs}

    def count(self, _: bool) -> dict[str, Any]:
        return {
            "sent": sum(track.packets_sent for track in self.outgoing),
            "dropped": self.endpoint.packets_dropped,
            "errors": self.endpoint.errors,
            "connected": sum(c.state is ConnectionState.CONNECTED for c in self.connections),
        }


async def serve() -> None:
    endpoint = Endpoint(random=random.SystemRandom())
    await endpoint.start("127.0.0.1", 0)
    subject = Subject(endpoint)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    pending = bytearray()

    def read() -> None:
        data = os.read(sys.stdin.fileno(), 1 << 16)
        if not data:
            ended.set()
        pending.extend(data)
        *lines, rest = pending.split(b"\n")
        pending[:] = rest
        for line in lines:
            sys.stdout.write(json.dumps(subject.handle(json.loads(line))) + "\n")
            sys.stdout.flush()

    loop.add_reader(sys.stdin.fileno(), read)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())
    await endpoint.close()


def main(argv: list[str]) -> int:
    if "--uvloop" in argv:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
    return 0
