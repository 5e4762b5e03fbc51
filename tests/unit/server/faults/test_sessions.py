"""Faults of media on the server's data path: lean peers on loopback, real keys."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from rtcctl.media.rtcp import GenericNack, ReceiverReport
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.server.faults.faults import Faults
from rtcctl.server.faults.ledger import Ledger, PacketRow
from rtcctl.server.incoming import IncomingTrack
from tests.support.data_path import Member, Members, endpoint, members, until
from tests.unit.server.test_video import DELTA, KEY, SUBSCRIBER_VP8, Encoding, simulcast, video


class World:
    """Members whose place in the list is the id of their session, and the faults of their server."""

    def __init__(self, gathered: Members) -> None:
        self.members = gathered
        self.ledger = Ledger()
        self.faults = Faults(
            gathered.endpoint,
            lambda: [(member.connection, "app", str(i)) for i, member in enumerate(gathered.all)],
            self.ledger,
        )

    def rows(self, session_id: int, direction: str) -> list[PacketRow]:
        """Of media."""
        return [
            row
            for row in self.ledger.packets
            if (row.session_id, row.direction) == (str(session_id), direction) and row.sequence_number is not None
        ]

    def set(self, text: str) -> None:
        self.faults.set(text)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with members() as gathered:
        yield World(gathered)


class Voice:
    """What a member says: packets of audio that tell their number."""

    def __init__(self, member: Member) -> None:
        self.peer = member.peer
        self.number = 100

    def say(self, count: int = 1) -> None:
        for _ in range(count):
            self.peer.send_rtp(b"%d" % self.number, self.number, self.number * 960)
            self.number += 1


def are_contiguous(member: Member) -> bool:
    return all(b.sequence_number - a.sequence_number == 1 for a, b in pairwise(member.headers))


def publish(member: Member, **overrides: object) -> IncomingTrack:
    track = member.publish(**overrides)
    track.session_id, track.track_name = "0", "mic"
    return track


async def test_a_fault_while_a_subscription_runs() -> None:
    """Media goes on under the same SSRC and the next number; when the fault is cleared, too."""
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        outgoing, voice = bob.subscribe(publish(alice)), Voice(alice)
        for step, text in enumerate(("", "delay=1ms", "loss=0%,direction=up", "jitter=1ms")):
            if text:
                at.set(text)
            voice.say(5)
            await until(lambda expected=5 * (step + 1): len(bob.packets) == expected)
        at.faults.clear()
        voice.say(5)
        await until(lambda: len(bob.packets) == 25)
        assert are_contiguous(bob)
        assert {header.ssrc for header in bob.headers} == {outgoing.ssrc}
        assert bob.payloads == [b"%d" % number for number in range(100, 125)]
        assert alice.connection.impaired is bob.connection.impaired is None
        assert outgoing.packets_sent == 25


async def test_one_of_a_group() -> None:
    """Subscribers of one group of whom a fault concerns one: that one leaves it, and comes back with the others."""
    async with world() as at:
        alice, bob, carol = [await at.members.connect() for _ in range(3)]
        track, voice = publish(alice), Voice(alice)
        for member in (bob, carol):
            member.subscribe(track)
        layer = track.layers[""]
        voice.say(5)
        await until(lambda: len(bob.packets) == len(carol.packets) == 5)
        assert len(layer.groups) == 1
        at.set("loss=100%,direction=down,session=1")
        voice.say(5)
        await until(lambda: len(carol.packets) == 10)
        assert len(layer.groups) == 2
        at.faults.clear()
        voice.say(5)
        await until(lambda: len(bob.packets) == 10)
        await until(lambda: len(carol.packets) == 15)
        assert len(layer.groups) == 1
        assert bob.payloads == carol.payloads[:5] + carol.payloads[10:]
        assert [row.fate for row in at.rows(1, "down")] == ["dropped"] * 5
        assert at.rows(2, "down") == []
        first, last = bob.headers[4], bob.headers[5]
        assert last.sequence_number - first.sequence_number == 6, "what was lost was sent, and has its numbers"


async def test_video_goes_on() -> None:
    """No key frame is awaited when a fault is set or cleared: nothing was missed, and the numbers go on."""
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        bob.subscribe(video(alice), codecs=SUBSCRIBER_VP8)
        number = 0

        async def frames(count: int, payload: bytes = DELTA) -> None:
            nonlocal number
            for _ in range(count):
                number += 1
                content = payload + b"%d" % number
                alice.peer.send_rtp(content, number, number * 3000, payload_type=96, extensions={4: b"0"})
            await until(lambda: len(bob.packets) == number)

        await frames(1, KEY)
        await frames(4)
        for text in ("delay=2ms", "delay=1ms,jitter=1ms,session=1"):
            at.set(text)
            await frames(5)
            at.faults.clear()
            await frames(5)
        assert are_contiguous(bob)
        assert [int(payload[2:]) for payload in bob.payloads] == list(range(1, number + 1))


async def test_loss_on_the_way_up_is_no_arrival() -> None:
    """The server never sees what is lost there: subscribers miss it, and the publisher is asked for it again."""
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        track = video(alice)
        bob.subscribe(track, codecs=SUBSCRIBER_VP8)
        at.set("loss=0%")

        def send(number: int, payload: bytes = DELTA) -> None:
            alice.peer.send_rtp(payload, number, number * 3000, payload_type=96, extensions={4: b"0"})

        send(1, KEY)
        await until(lambda: len(bob.packets) == 1)
        at.set("loss=100%,direction=up")
        send(2)
        await until(lambda: len(at.rows(0, "up")) == 2)
        at.faults.clear()
        at.set("loss=0%")
        send(3)
        await until(lambda: any(isinstance(packet, GenericNack) for packet in alice.rtcp))
        nack = next(packet for packet in alice.rtcp if isinstance(packet, GenericNack))
        assert nack.sequence_numbers == (2,)
        alice.peer.send_rtp((2).to_bytes(2) + DELTA, 900, 6000, ssrc=77, payload_type=97, extensions={4: b"0"})
        await until(lambda: len(bob.packets) == 3)
        assert sorted(header.sequence_number - bob.headers[0].sequence_number for header in bob.headers) == [0, 1, 2]
        assert [(row.kind, row.fate) for row in at.rows(0, "up")] == [
            ("original", "sent"),
            ("original", "dropped"),
            ("original", "sent"),
            ("rtx", "sent"),
        ]


@pytest.mark.parametrize("kind", ["retransmission", "rtx"])
async def test_what_a_subscriber_asks_for_again(kind: str) -> None:
    """A lost packet is sent again, as RTX where that was agreed; the ledger tells it from originals."""
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        track = video(alice)
        outgoing = bob.subscribe(track, codecs=SUBSCRIBER_VP8 if kind == "rtx" else SUBSCRIBER_VP8[:1])
        at.set("loss=0%,direction=down")
        for number in range(1, 4):
            payload = KEY if number == 1 else DELTA
            alice.peer.send_rtp(payload, number, number * 3000, payload_type=96, extensions={4: b"0"})
        await until(lambda: len(bob.packets) == 3)
        at.set("loss=100%,direction=down,session=1")
        lost = bob.headers[1].sequence_number
        nack = GenericNack(1, outgoing.ssrc, (lost,))
        bob.peer.send_rtcp(ReceiverReport(1), nack)
        await until(lambda: len(at.rows(1, "down")) == 4)
        at.faults.clear()
        at.set("loss=0%,direction=down")
        bob.peer.send_rtcp(ReceiverReport(1), nack)
        await until(lambda: len(at.rows(1, "down")) == 5)
        found = [(row.kind, row.fate) for row in at.rows(1, "down")[:4]]
        assert found == [("original", "sent")] * 3 + [(kind, "dropped")]
        ssrc = outgoing.rtx_ssrc if kind == "rtx" else outgoing.ssrc
        assert {row.ssrc for row in at.rows(1, "down")[3:]} == {ssrc}


async def test_a_track_with_simulcast() -> None:
    """A fault of that track concerns all its encodings on the way up, by the header extensions of their packets, and
    no other track of the same session.
    """
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        camera, mic = simulcast(alice), publish(alice, mid="1")
        camera.session_id, camera.track_name = "0", "camera"
        at.set("loss=100%,track=0/camera")
        encodings = [Encoding(alice, rid, 500 + i) for i, rid in enumerate("fhq")]
        bob.subscribe(mic)
        for encoding in encodings:
            encoding.send(KEY)
            encoding.send()
        Voice(alice).say(2)
        await until(lambda: len(bob.packets) == 2)
        assert [(row.track, row.ssrc, row.kind, row.fate) for row in at.rows(0, "up")] == [
            ("camera", ssrc, "original", "dropped") for ssrc in (500, 500, 501, 501, 502, 502)
        ]
        assert camera.last_packet_at is None
        at.faults.clear()
        encodings[0].send(KEY)
        await until(lambda: camera.last_packet_at)
        bob.subscribe(camera, mid="8", codecs=SUBSCRIBER_VP8)
        at.set("loss=100%,track=camera,direction=down")
        encodings[0].send(KEY)
        await until(lambda: at.rows(1, "down"))
        assert {(row.track, row.fate) for row in at.rows(1, "down")} == {("camera", "dropped")}
        assert len(bob.packets) == 2


async def test_an_ice_restart_with_a_delay() -> None:
    """Checks with the new credentials go the way of the faults; media moves, numbers go on, nothing goes around."""
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        bob.subscribe(publish(alice))
        voice = Voice(alice)
        at.set("delay=2ms,session=1")
        voice.say(3)
        await until(lambda: len(bob.packets) == 3)
        bob.peer.ufrag = "restarted"
        bob.describe()
        loop = asyncio.get_running_loop()
        bob.leave()
        bob.peer.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bob.peer.sock.bind(("127.0.0.1", 0))
        bob.peer.sock.setblocking(False)
        loop.add_reader(bob.peer.sock, bob.peer.read)
        bob.peer.remote_ufrag, bob.peer.remote_pwd = bob.connection.ice_ufrag, bob.connection.ice_pwd
        bob.peer.check()
        await until(lambda: bob.peer.mapped_address == bob.peer.sock.getsockname())
        voice.say(3)
        await until(lambda: len(bob.packets) == 6)
        assert are_contiguous(bob)
        assert len(at.rows(1, "down")) == 6


async def test_a_new_transport_with_a_delay() -> None:
    """Another DTLS association, from another port: what was held under the old keys does no harm."""
    async with world() as at:
        alice, bob = [await at.members.connect() for _ in range(2)]
        at.set("delay=2ms,session=1")
        bob.subscribe(publish(alice))
        voice = Voice(alice)
        voice.say(3)
        await until(lambda: len(bob.packets) == 3)
        bob.describe(is_new_transport=True)
        loop = asyncio.get_running_loop()
        loop.remove_reader(bob.peer.sock)
        voice.say(3)
        with bob.peer.sock:
            bob.peer.begin_anew(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            loop.add_reader(bob.peer.sock, bob.peer.read)
            bob.peer.check()
            await until(lambda: bob.peer.srtp is not None)
            await until(lambda: bob.connection.state is ConnectionState.CONNECTED)
        voice.say(3)
        await until(lambda: len(bob.packets) == 6)
        assert [bob.payloads[i] for i in (0, 5)] == [b"100", b"108"]


@pytest.mark.parametrize("text", ["loss=0%", "delay=5ms,jitter=5ms", "loss=30%,dup=30%,reorder=30%"])
async def test_sessions_can_always_be_set_up(text: str) -> None:
    """Nothing of STUN and DTLS is lost; a fault that is set before a session is there concerns it from its start."""
    async with world() as at:
        at.set(text)
        member = at.members.join()
        at.faults.attach(member.connection, "app", "0")
        await member.connect()
        kinds = {(row.kind, row.direction) for row in at.ledger.packets}
        assert kinds >= {("stun", "up"), ("stun", "down"), ("dtls", "up"), ("dtls", "down")}
        assert {row.fate for row in at.ledger.packets if row.kind in ("stun", "dtls")} <= {"sent", "held"}


async def test_a_connection_to_another_server() -> None:
    """One with sockets of its own goes through faults as well, and takes what is held with it when it ends."""
    async with endpoint() as ours, endpoint() as theirs:
        asking, answering = ours.open(is_controlling=True), theirs.open()
        faults = Faults(ours, lambda: [(asking, "app", "0")], Ledger())
        faults.set("delay=5ms")
        answering.set_remote(
            ice_ufrag=asking.ice_ufrag,
            ice_pwd=asking.ice_pwd,
            fingerprints=[("sha-256", ours.fingerprint)],
            setup="actpass",
        )
        asking.set_remote(
            ice_ufrag=answering.ice_ufrag,
            ice_pwd=answering.ice_pwd,
            fingerprints=[("sha-256", theirs.fingerprint)],
            setup="passive",
            candidates=theirs.candidates,
            is_ice_lite=True,
        )
        assert await asking.wait_connected(5)
        assert await answering.wait_connected(5)
        faults.set("delay=1m")
        asking.send_data(b"held")
        # The other side says goodbye: that is held, too, until the last fault is cleared.
        answering.close()
        await until(lambda: faults.ledger.packets[-1].kind == "dtls" and faults.ledger.packets[-1].direction == "up")
        assert asking.state is ConnectionState.CONNECTED
        faults.clear()
        assert asking.state is ConnectionState.CLOSED
        assert "held" not in {row.fate for row in faults.ledger.packets}


async def test_the_end_of_a_session_with_packets_held() -> None:
    """They are discarded, no timer fires later, and the other sessions do not notice."""
    async with world() as at:
        alice, bob, carol = [await at.members.connect() for _ in range(3)]
        track, voice = publish(alice), Voice(alice)
        for member in (bob, carol):
            member.subscribe(track)
        at.set("delay=20ms,session=1")
        voice.say(3)
        await until(lambda: len(carol.packets) == 3)
        bob.connection.close()
        assert [row.fate for row in at.rows(1, "down")] == ["discarded"] * 3
        voice.say(3)
        await until(lambda: len(carol.packets) == 6)
        await until(lambda: bob.peer.dtls.is_closed)
        assert bob.packets == []


async def test_ids_of_faults() -> None:
    """Each has its own, for ever; clearing one leaves the others where they are, clearing none changes nothing."""
    async with world() as at:
        first, second, third = [at.faults.set(text) for text in ("loss=1%", "renegotiate=406", "loss=2%")]
        assert [active.fault_id for active in at.faults.active] == [1, 2, 3]
        assert at.faults.has_api_faults
        assert at.faults.clear(2) == [second]
        assert not at.faults.has_api_faults
        assert at.faults.clear(2) == []
        assert at.faults.clear(7) == []
        assert at.faults.active == [first, third]
        assert at.faults.clear() == [first, third]
        assert at.faults.set("loss=3%").fault_id == 4
        assert first.document() == {"id": 1, "fault": "loss=1%", "is_media": True, "met": 0, "times": None}
        assert second.document() == {"id": 2, "fault": "renegotiate=406", "is_media": False, "met": 0, "times": None}
