"""A client's peer connection: aiortc, as the independent witness of what the service negotiates."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from tests.contract.subject import Subject


class Loud(AudioStreamTrack):
    """A square wave, where `AudioStreamTrack` is silence."""

    _HALF_WAVE = b"\x00\x20" * 8 + b"\x00\xe0" * 8
    "500 Hz at 8 kHz, 16 bit."

    async def recv(self) -> Any:
        frame = await super().recv()
        for plane in frame.planes:
            plane.update(self._HALF_WAVE * (plane.buffer_size // len(self._HALF_WAVE)))
        return frame


class Peer:
    """One session of a subject with its peer connection."""

    def __init__(self, subject: Subject, session_id: str) -> None:
        self.subject = subject
        self.session_id = session_id
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.received: list[MediaStreamTrack] = []
        self.pc.on("track", self.received.append)

    async def offer(self) -> dict[str, str]:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return {"type": "offer", "sdp": self.pc.localDescription.sdp}

    async def apply(self, description: dict[str, str]) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(**description))

    async def answer(self, offer: dict[str, str]) -> dict[str, str]:
        await self.apply(offer)
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return {"type": "answer", "sdp": self.pc.localDescription.sdp}

    async def publish(self, *names: str, source: type[AudioStreamTrack] = AudioStreamTrack) -> dict[str, Any]:
        """Publish audio under each name, with an offer of ours; the answer of the service."""
        transceivers = [self.pc.addTransceiver(source(), "sendonly") for _ in names]
        offer = await self.offer()
        tracks = [
            {"location": "local", "mid": transceiver.mid, "trackName": name}
            for transceiver, name in zip(transceivers, names, strict=True)
        ]
        answer = await self.subject.tracks_new(self.session_id, tracks=tracks, sessionDescription=offer)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        await self.apply(document["sessionDescription"])
        return document

    async def pull(self, publisher: Peer, *names: str) -> dict[str, Any]:
        """Subscribe by the offer of the service, and answer it; what the service said to the pull."""
        tracks = [{"location": "remote", "sessionId": publisher.session_id, "trackName": name} for name in names]
        answer = await self.subject.tracks_new(self.session_id, tracks=tracks)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        if document["requiresImmediateRenegotiation"]:
            renegotiated = await self.subject.renegotiate(
                self.session_id, await self.answer(document["sessionDescription"])
            )
            assert (renegotiated.status_code, renegotiated.json()) == (200, {})
        return document

    async def pull_offering(self, publisher: Peer, *names: str) -> dict[str, Any]:
        """Subscribe by an offer of ours, with an m-section for each track; what the service said."""
        for _ in names:
            self.pc.addTransceiver("audio", "recvonly")
        tracks = [{"location": "remote", "sessionId": publisher.session_id, "trackName": name} for name in names]
        answer = await self.subject.tracks_new(self.session_id, tracks=tracks, sessionDescription=await self.offer())
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        await self.apply(document["sessionDescription"])
        return document

    async def answer_speaking(self, offer: dict[str, str]) -> dict[str, str]:
        """Take an offer of the service, and send silence wherever it can receive."""
        await self.apply(offer)
        for transceiver in self.pc.getTransceivers():
            if transceiver.sender.track is None:
                transceiver.sender.replaceTrack(AudioStreamTrack())
                transceiver.direction = "sendrecv"
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return {"type": "answer", "sdp": self.pc.localDescription.sdp}

    async def connected(self, timeout_s: float = 15) -> None:
        async with asyncio.timeout(timeout_s):
            while self.pc.connectionState != "connected":
                assert self.pc.connectionState not in ("failed", "closed")
                await asyncio.sleep(0.02)

    async def frames(self, count: int = 3, *, track: int = -1) -> None:
        """Wait until decoded audio has come."""
        async with asyncio.timeout(15):
            for _ in range(count):
                await self.received[track].recv()

    async def sound(self, *, track: int = -1) -> None:
        """Wait until decoded audio is not silence."""
        async with asyncio.timeout(15):
            while max(array("h", bytes((await self.received[track].recv()).planes[0]))) < 1000:
                pass


@asynccontextmanager
async def peer(subject: Subject) -> AsyncIterator[Peer]:
    """A new session with a peer connection that is not connected yet."""
    made = Peer(subject, await subject.new_session())
    try:
        yield made
    finally:
        await made.pc.close()


@asynccontextmanager
async def publisher(
    subject: Subject, *names: str, source: type[AudioStreamTrack] = AudioStreamTrack
) -> AsyncIterator[Peer]:
    """A session that is connected and publishes audio under each name."""
    async with peer(subject) as made:
        await made.publish(*names, source=source)
        await made.connected()
        yield made
