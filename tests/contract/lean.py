"""A client that writes its own descriptions, packets and reports: whatever no library here can send, or would.

It shares the transport code of the embedded server, so what it proves is the signalling and what happens to packets;
that the transport is right is for aiortc (`peer.py`) and browsers to say.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from rtcctl.media.codec import Codec
from rtcctl.media.rtcp import Packet
from rtcctl.media.rtcp_feedback import GenericNack
from rtcctl.media.rtp import RtpHeader, is_rtcp, is_rtp
from rtcctl.media.sdp import Direction, MediaSection, Setup, Source
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.bench.load import LeanPeer
from tests.contract.stream import PACKETS_PER_SECOND, Stream
from tests.contract.subject import Subject
from tests.support.data_path import certificate, until
from tests.support.sdp import OPUS, VP8, VP8_RTX, section, video

_TIMER_S = 0.05
_CHECK_S = 1.0
"How often consent is shown (RFC 7675)."
_ANSWERED = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
_AUDIO = (OPUS,)
_VIDEO = (VP8, VP8_RTX)


class Lean:
    """One session of a subject with its client."""

    def __init__(self, service: Subject, session_id: str, *, is_dtls_server: bool = False) -> None:
        self.service = service
        self.session_id = session_id
        host = "" if "RTCCTL_CONTRACT_API_BASE" in os.environ else "127.0.0.1"
        self.peer = LeanPeer(certificate(), ("", 0), "", "", (), host=host, is_dtls_server=is_dtls_server)
        self.lost: list[int] = []
        "Sequence numbers of the packets that `lose` has taken."
        self._to_lose = 0
        self._receive_datagram = self.peer.receive
        self.peer.receive = self._take  # type: ignore[method-assign]
        self.peer.on_rtp = self._receive
        self.peer.on_rtcp = self._receive_rtcp
        self.sections: list[MediaSection] = []
        "As this client last described them."
        self.streams: dict[str, Stream] = {}
        "What it sends, by mid (and rid)."
        self.packets: list[tuple[RtpHeader, bytes]] = []
        "What has arrived: header and payload."
        self.rtcp: list[tuple[float, Packet]] = []
        "With the time of its arrival, in monotonic seconds."
        self._turned: dict[str, Direction] = {}
        self._added = 0
        "M-sections, by either side, in which it sends."
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.peer.sock, self.peer.read)
        self._speaking: list[Stream] = []
        self._pause_s = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._checked_at = 0.0

    # --- descriptions

    def add(
        self,
        direction: Direction = Direction.SENDONLY,
        *,
        kind: str = "audio",
        codecs: Sequence[Codec] = (),
        sends: Codec | None = None,
        mid: str | None = None,
        at: int | None = None,
        **fields: Any,
    ) -> MediaSection:
        """Another m-section for the next offer, as a browser has it, or one in the place `at` of a stopped one.

        `sends`: of `codecs` that of the packets, by default the first. `rids`: simulcast, with a stream for each.
        """
        codecs = codecs or (_VIDEO if kind == "video" else _AUDIO)
        mid = mid or str(len(self.sections) if at is None else 100 + at)
        ssrc = self.peer.ssrc + 8 * self._added & 0xFFFFFFFF
        self._added += 1
        known = self._transport | {"codecs": tuple(codecs)}
        if direction.sends and not fields.get("rids"):
            # Browsers name no SSRCs of simulcast.
            known |= self._sources(mid, ssrc, has_rtx=any(codec.repairs is not None for codec in codecs))
        media = (video if kind == "video" else section)(mid, direction, **(known | fields))
        if at is None:
            self.sections.append(media)
        else:
            self.sections[at] = media
        if direction.sends:
            for index, rid in enumerate(fields.get("rids", ("",))):
                self.streams[mid + rid] = Stream(
                    self.peer, media, sends or codecs[0], ssrc + 2 * index & 0xFFFFFFFF, rid
                )
        return media

    def turn(self, mid: str, direction: Direction) -> None:
        """Another direction for an m-section, in the next offer and in all later answers."""
        self._turned[mid] = direction
        index = self._index(mid)
        self.sections[index] = replace(self.sections[index], direction=direction)

    def stop(self, mid: str) -> None:
        """Stop the transceiver: port 0 in the next offer, and its place is free (RFC 8829 §5.2.2)."""
        index = self._index(mid)
        self.sections[index] = replace(self.sections[index], port=0, direction=Direction.INACTIVE, ssrcs=())
        self.streams.pop(mid, None)

    def restart_ice(self) -> None:
        """Other credentials in the next offer, and another socket, as in another network (RFC 8445 §2.4)."""
        address = self.peer.sock.getsockname()[0]
        self._loop.remove_reader(self.peer.sock)
        self.peer.sock.close()
        self.peer.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.sock.setblocking(False)
        self.peer.sock.bind((address, 0))
        self._loop.add_reader(self.peer.sock, self.peer.read)
        self.peer.ufrag, self.peer.pwd = self.peer.ufrag[::-1] + "x", self.peer.pwd[::-1] + "x"
        ufrag, pwd = self.peer.ufrag, self.peer.pwd
        self.sections = [replace(media, ice_ufrag=ufrag, ice_pwd=pwd) for media in self.sections]

    @property
    def offer(self) -> dict[str, str]:
        """All m-sections."""
        return {"type": "offer", "sdp": self._sdp(self.sections)}

    def answer(self, offer: Mapping[str, str], *, refusing: Iterable[str] = ()) -> dict[str, str]:
        """Take what is offered, but for the mids `refusing`; what is to be sent is a stream then."""
        offered = Sdp.parse(offer["sdp"]).media
        self.sections = [self._answered(media, is_refused=media.mid in set(refusing)) for media in offered]
        return {"type": "answer", "sdp": self._sdp(self.sections)}

    def learn(self, description: Mapping[str, str]) -> Sdp:
        """Where the service is; `connect` goes there."""
        sdp = Sdp.parse(description["sdp"])
        media = next(media for media in sdp.media if not media.is_rejected)
        self.peer.remote_ufrag, self.peer.remote_pwd = media.ice_ufrag, media.ice_pwd
        self.peer.remote_fingerprints = media.fingerprints
        candidate = next(candidate for candidate in media.candidates if ":" not in candidate.address)
        self.peer.server = candidate.address, candidate.port
        return sdp

    def _answered(self, media: MediaSection, *, is_refused: bool) -> MediaSection:
        direction = _ANSWERED.get(media.direction, media.direction)
        if (turned := self._turned.get(media.mid)) is not None:
            direction = Direction.of(
                sends=direction.sends and turned.sends, receives=direction.receives and turned.receives
            )
        known: dict[str, Any] = {"kind": media.kind, "codecs": media.codecs, "extensions": media.extensions}
        known |= self._transport | {"setup": Setup.PASSIVE if self.peer.is_dtls_server else Setup.ACTIVE}
        if is_refused or media.is_rejected:
            return section(media.mid, Direction.INACTIVE, port=0, **known)
        if not media.is_rtp:
            fields = {"protocol": media.protocol, "formats": media.formats, "sctp_port": media.sctp_port}
            return section(media.mid, rtcp_mux=False, **known | fields)
        if not direction.sends:
            return section(media.mid, direction, **known)
        if media.mid in self.streams:
            ssrc = self.streams[media.mid].ssrc
        else:
            ssrc = self.peer.ssrc + 8 * self._added & 0xFFFFFFFF
            self._added += 1
        known |= self._sources(media.mid, ssrc, has_rtx=any(codec.repairs is not None for codec in media.codecs))
        answered = section(media.mid, direction, **known)
        self.streams.setdefault(media.mid, Stream(self.peer, answered, answered.codecs[0], ssrc))
        return answered

    @property
    def _transport(self) -> dict[str, Any]:
        return {
            "ice_ufrag": self.peer.ufrag,
            "ice_pwd": self.peer.pwd,
            "fingerprints": (("sha-256", certificate().fingerprint),),
            "setup": Setup.PASSIVE if self.peer.is_dtls_server else Setup.ACTPASS,
        }

    def _sources(self, mid: str, ssrc: int, *, has_rtx: bool) -> dict[str, Any]:
        ssrcs = (ssrc, ssrc + 1 & 0xFFFFFFFF) if has_rtx else (ssrc,)
        return {
            "msid": f"- {mid}",
            "ssrcs": tuple(Source(number, "lean", f"- {mid}") for number in ssrcs),
            "ssrc_groups": (("FID", ssrcs),) if has_rtx else (),
        }

    def _sdp(self, sections: Iterable[MediaSection]) -> str:
        media = tuple(sections)
        return str(Sdp(media=media, bundle=tuple(m.mid for m in media if not m.is_rejected)))

    def _index(self, mid: str) -> int:
        return next(index for index, media in enumerate(self.sections) if media.mid == mid)

    # --- operations

    async def publish(self, *names: str, connects: bool = True) -> dict[str, Any]:
        """Publish the last m-sections of the offer under these names, and connect. Nothing is sent yet."""
        added = self.sections[len(self.sections) - len(names) :]
        tracks = [
            {"location": "local", "mid": media.mid, "trackName": name} for media, name in zip(added, names, strict=True)
        ]
        document = await self.new_tracks(tracks, self.offer)
        self.learn(document["sessionDescription"])
        if connects:
            await self.connect()
        return document

    async def pull(self, publisher: Lean | str, *names: str, connects: bool = True, **fields: Any) -> dict[str, Any]:
        """Subscribe by an offer of the SFU; what it said to the pull."""
        document = await self.new_tracks([remote(publisher, name, **fields) for name in names])
        if offer := document.get("sessionDescription"):
            await self.accept(offer, connects=connects)
        return document

    async def pull_offering(self, publisher: Lean | str, *names: str, **fields: Any) -> dict[str, Any]:
        """Subscribe by an offer of ours, whose m-sections have been added."""
        document = await self.new_tracks([remote(publisher, name, **fields) for name in names], self.offer)
        if answer := document.get("sessionDescription"):
            self.learn(answer)
            await self.connect()
        return document

    async def accept(self, offer: Mapping[str, str], *, connects: bool = True, **options: Any) -> None:
        """Answer an offer of the SFU by `renegotiate`."""
        renegotiated = await self.service.renegotiate(self.session_id, self.answer(offer, **options))
        assert (renegotiated.status_code, renegotiated.json()) == (200, {})
        self.learn(offer)
        if connects:
            await self.connect()

    async def new_tracks(self, tracks: list[dict[str, Any]], offer: dict[str, str] | None = None) -> dict[str, Any]:
        """`tracks/new` that is a 200."""
        described = {"sessionDescription": offer} if offer else {}
        answer = await self.service.tracks_new(self.session_id, tracks=tracks, **described)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    # --- the transport

    async def connect(self) -> None:
        """Until both ends have keys; from then on consent is shown."""
        if "timer" not in self._timers:
            self._handle_timer()
        await until(lambda: self.peer.srtp is not None, 15)

    def vanish(self) -> None:
        """Send nothing any more, and hear nothing."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._speaking.clear()
        self._loop.remove_reader(self.peer.sock)

    async def come_back(self) -> None:
        """After `vanish`: show consent, and wait until that is answered."""
        self._loop.add_reader(self.peer.sock, self.peer.read)
        self.peer.mapped_address = None
        self.peer.check()
        self._handle_timer()
        await until(lambda: self.peer.mapped_address is not None, 15)

    def leave(self) -> None:
        """Close the transport as a browser does, with a DTLS close_notify."""
        self.vanish()
        self.peer.close()

    def close(self) -> None:
        if self.peer.sock.fileno() >= 0:
            self.vanish()
            self.peer.sock.close()

    def _handle_timer(self) -> None:
        now = time.monotonic()
        if self.peer.srtp is None:
            self.peer.handle_timer()
        elif now - self._checked_at > _CHECK_S:
            self._checked_at = now
            self.peer.check()
        self._timers["timer"] = self._loop.call_later(_TIMER_S, self._handle_timer)

    # --- media

    def speak(self, *mids: str, rate_hz: int = PACKETS_PER_SECOND) -> None:
        """Send so many packets a second on these m-sections, by default on all."""
        self._speaking = [self.streams[mid] for mid in mids or self.streams]
        self._pause_s = 1 / rate_hz
        if "speaking" not in self._timers:
            self._speak(self._loop.time())

    def hush(self) -> None:
        """Send no packets of media any more."""
        self._speaking = []

    def _speak(self, due: float) -> None:
        for stream in self._speaking:
            stream.send()
        due += self._pause_s
        self._timers["speaking"] = self._loop.call_at(due, self._speak, due)

    def headers(self, ssrc: int) -> list[RtpHeader]:
        """Of the packets that have arrived from this source."""
        return [header for header, _ in self.packets if header.ssrc == ssrc]

    def payloads(self, ssrc: int) -> list[bytes]:
        return [payload for header, payload in self.packets if header.ssrc == ssrc]

    async def receives(self, ssrc: int, count: int = 3) -> list[RtpHeader]:
        """Wait for so many more packets from a source; their headers."""
        before = len(self.headers(ssrc))
        await until(lambda: len(self.headers(ssrc)) >= before + count, 15)
        return self.headers(ssrc)[before:]

    def ask_again(self, ssrc: int, *numbers: int) -> None:
        """NACK."""
        self.peer.send_rtcp(GenericNack(self.peer.ssrc, ssrc, numbers))

    async def lose(self, count: int = 1) -> list[int]:
        """Let the next packets of media get lost on their way to this client; their numbers."""
        before = len(self.lost)
        self._to_lose = count
        await until(lambda: len(self.lost) == before + count, 15)
        return self.lost[before:]

    def _take(self, datagram: bytes) -> None:
        if self._to_lose and is_rtp(datagram) and not is_rtcp(datagram):
            self._to_lose -= 1
            self.lost.append(int.from_bytes(datagram[2:4], "big"))
        else:
            self._receive_datagram(datagram)

    def _receive(self, packet: bytes) -> None:
        header = RtpHeader.parse(packet)
        self.packets.append((header, packet[header.header_size : len(packet) - header.padding_size]))

    def _receive_rtcp(self, packets: list[Packet]) -> None:
        self.rtcp += [(time.monotonic(), packet) for packet in packets]


def remote(publisher: Lean | str, name: str, **fields: Any) -> dict[str, Any]:
    """A track to pull; `publisher` may be a session id."""
    session_id = publisher if isinstance(publisher, str) else publisher.session_id
    return {"location": "remote", "sessionId": session_id, "trackName": name} | fields


def ssrc_of(document: Mapping[str, Any], mid: str | None = None) -> int:
    """What the service says it sends on an m-section: of its last description, by default the first track's."""
    mid = mid if mid is not None else document["tracks"][0]["mid"]
    media = next(m for m in Sdp.parse(document["sessionDescription"]["sdp"]).media if m.mid == mid)
    return media.ssrcs[0].ssrc


@asynccontextmanager
async def lean(service: Subject, **options: Any) -> AsyncIterator[Lean]:
    """A new session, not connected yet."""
    made = Lean(service, await service.new_session(), **options)
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def speaker(service: Subject, *names: str) -> AsyncIterator[Lean]:
    """A session that is connected and sends audio under each name."""
    async with lean(service) as made:
        for _ in names:
            made.add()
        await made.publish(*names)
        made.speak()
        yield made
