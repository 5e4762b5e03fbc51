"""The data path alone in a process of its own, told what to do by lines of JSON: the subject of benches.

`python -m tests.bench sfu [--uvloop] [--no-hooks]`. One request a line on stdin, one answer a line on stdout:

    {"open": N}                                   → {"fingerprint", "port", "credentials": [[ufrag, pwd], …]}
    {"remote": [[index, description], …]}         → {}
    {"publish": [[index, ssrc, kind], …]}         → {"tracks": [number, …]}
    {"subscribe": [[index, track number], …]}     → {"ssrcs": [ssrc, …]}
    {"fault": text}                               → {} (`session=` is the index of a connection)
    {"count": true}                               → {"received": [packets of each track, …], "sent", "dropped",
                                                     "errors", "connected"}
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import sys
import textwrap
import time
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import ABS_SEND_TIME, AUDIO_LEVEL, MID, TRANSPORT_CC
from rtcctl.server.connection import Connection
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.endpoint import Endpoint
from rtcctl.server.faults.faults import Faults
from rtcctl.server.faults.ledger import Ledger
from rtcctl.server.incoming import IncomingTrack
from rtcctl.server.outgoing import OutgoingTrack
from rtcctl.server.parameters import ReceiveParameters

CODECS = {
    "audio": (Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("nack",)),),
    "video": (Codec("VP8", 96, 90000, 1, "", ("nack", "nack pli")), Codec("rtx", 97, 90000, 1, "apt=96")),
}
EXTENSIONS = {MID: 4, TRANSPORT_CC: 3, AUDIO_LEVEL: 1}
OFFERED = {"audio": {MID: 4, AUDIO_LEVEL: 1}, "video": {MID: 4, ABS_SEND_TIME: 2}}
"What browsers are asked to understand."


class Subject:
    """What the lines refer to, by number."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connections: list[Connection] = []
        self.incoming: list[IncomingTrack] = []
        self.outgoing: list[OutgoingTrack] = []
        self.faults = Faults(
            endpoint, lambda: [(connection, "app", str(i)) for i, connection in enumerate(self.connections)], Ledger()
        )

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

    def publish(self, publications: list[tuple[int, int, str]]) -> dict[str, Any]:
        first = len(self.incoming)
        for index, ssrc, kind in publications:
            parameters = ReceiveParameters(
                mid="0", kind=kind, codecs=CODECS[kind], ssrcs=(ssrc,), extensions=EXTENSIONS
            )
            self.incoming.append(self.connections[index].publish(parameters))
        return {"tracks": list(range(first, len(self.incoming)))}

    def subscribe(self, subscriptions: list[tuple[int, int]]) -> dict[str, Any]:
        ssrcs = []
        for index, number in subscriptions:
            incoming = self.incoming[number]
            track = self.connections[index].sender(mid=str(number), kind=incoming.kind, like=incoming)
            track.subscribe(incoming)
            track.negotiate(CODECS[incoming.kind], OFFERED[incoming.kind])
            self.outgoing.append(track)
            ssrcs.append(track.ssrc)
        return {"ssrcs": ssrcs}

    def fault(self, text: str) -> dict[str, Any]:
        self.faults.set(text)
        return {}

    def count(self, _: bool) -> dict[str, Any]:
        now = time.monotonic()
        receptions = [track.layers[""].reception.totals(now) for track in self.incoming]
        return {
            "received": [reception.packets_received for reception in receptions],
            "sent": sum(track.packets_sent for track in self.outgoing),
            "dropped": self.endpoint.packets_dropped,
            "errors": self.endpoint.errors,
            "connected": sum(c.state is ConnectionState.CONNECTED for c in self.connections),
        }


async def serve() -> None:
    endpoint = Endpoint(random=random.SystemRandom())
    await endpoint.start(["127.0.0.1"], 0)
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


def without_hooks() -> None:
    """Receive as if there were no faults: from the same source, in which nothing asks for them."""
    source = textwrap.dedent(inspect.getsource(Endpoint._receive))
    hook = "connection.impaired is not None"
    assert source.count(hook) == 2, "the data path asks for faults in other words: mend the bench"
    names: dict[str, Any] = {}
    # The compiler leaves the body of `if False` out.
    exec(source.replace(hook, "False"), vars(sys.modules[Endpoint.__module__]), names)
    Endpoint._receive = names["_receive"]  # type: ignore[method-assign]


def main(argv: list[str]) -> int:
    if "--no-hooks" in argv:
        without_hooks()
    if "--uvloop" in argv:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
    return 0
