"""A connection: ICE-lite, DTLS-SRTP, states, RTCP. Lean peers on loopback."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import time
import weakref

import pytest

from rtcctl.media.codec import Codec
from rtcctl.media.extensions import MID, RID
from rtcctl.media.rtcp import GenericNack, ReceiverReport, ReportBlock, SenderReport, SourceDescription
from rtcctl.media.rtp import build_packet
from rtcctl.server.dtls_transport import SILENCE_S, ConnectionState
from tests.support.data_path import OPUS, members, settle, until
from tests.support.fake_endpoint import Clock


@pytest.mark.parametrize("is_dtls_server", [False, True])
async def test_connect(is_dtls_server):
    """A peer connects in either DTLS role; the states are told in order."""
    async with members() as gathered:
        member = gathered.join(is_dtls_server=is_dtls_server)
        states = []
        member.connection.on_state = states.append
        assert member.connection.state is ConnectionState.NEW
        await member.connect()
        assert states == [ConnectionState.CONNECTING, ConnectionState.CONNECTED]
        assert member.connection.silent_s < 1
        assert member.peer.mapped_address == member.peer.sock.getsockname()


async def test_checks_and_hello_before_the_answer():
    """What the client sends before its answer has come is not lost."""
    async with members() as gathered:
        member = gathered.join()
        member.peer.check()
        await until(lambda: member.peer.is_checked)
        await settle()
        assert member.connection.state is ConnectionState.NEW
        member.describe()
        started = time.monotonic()
        assert await member.connection.wait_connected(5)
        assert time.monotonic() - started < 0.8, "without waiting for a retransmission"


async def test_wrong_certificate():
    """A peer whose certificate is not the one of its description is shut out."""
    async with members() as gathered:
        member = gathered.join()
        member.describe(fingerprints=(("sha-256", ":".join(["00"] * 32)),))
        member.peer.check()
        assert not await member.connection.wait_connected(5)
        assert member.connection.state is ConnectionState.CLOSED
        await until(lambda: member.peer.dtls.is_closed)


async def test_certificate_that_changes_later():
    """A later description with another certificate ends the connection."""
    async with members() as gathered:
        member = await gathered.connect()
        member.describe()
        assert member.connection.state is ConnectionState.CONNECTED
        member.describe(fingerprints=())
        assert member.connection.state is ConnectionState.CLOSED


async def test_wait_connected_in_vain():
    """Nobody comes: False, in time; also when the connection is closed meanwhile."""
    async with members() as gathered:
        member = gathered.join()
        assert not await member.connection.wait_connected(0.01)
        asyncio.get_running_loop().call_later(0.02, member.connection.close)
        assert not await member.connection.wait_connected(5)
        member.describe()
        assert member.connection.state is ConnectionState.CLOSED


async def test_close_says_so():
    """Closing sends close_notify; the peer's close_notify closes."""
    async with members() as gathered:
        member = await gathered.connect()
        member.connection.close()
        member.connection.close()
        await until(lambda: member.peer.dtls.is_closed)
        other = await gathered.connect()
        other.peer.dtls.close()
        other.peer._flush_dtls()
        await until(lambda: other.connection.state is ConnectionState.CLOSED)


async def test_a_closed_connection_calls_nobody():
    """It does not keep alive who listened: whoever was subscribed to its tracks remembers it for a while."""

    class Listener:
        states = ()

        def hear(self, news):
            self.states += (news,)

    async with members() as gathered:
        connection, listener = gathered.join().connection, Listener()
        connection.on_state = connection.on_data = listener.hear
        connection.close()
        assert listener.states == (ConnectionState.CLOSED,)
        reference = weakref.ref(listener)
        del listener
        gc.collect()
        assert reference() is None


async def test_a_sign_of_life():
    """A peer that is asked is heard; an answer that its password did not seal, or that comes too late, is none."""
    clock = Clock()
    async with members(clock=clock) as gathered:
        unknown = gathered.join()
        unknown.connection.ask()
        member = await gathered.connect()
        clock.pass_by(3)
        member.connection.ask()
        await until(lambda: member.connection.silent_s == 0)
        clock.pass_by(3)
        pwd, member.peer.pwd = member.peer.pwd, "somebody else's password"
        member.connection.ask()
        await settle()
        member.peer.pwd = pwd
        member.connection.ask()
        gathered.endpoint.expect_no_more()
        await settle()
        assert member.connection.silent_s == 3
        member.connection.age(10)
        assert member.connection.silent_s == 13


async def test_silence():
    """Five seconds without an authenticated packet disconnect; the next one connects again."""
    skew = 0.0
    async with members(clock=lambda: time.monotonic() + skew) as gathered:
        member = await gathered.connect()
        states = []
        member.connection.on_state = states.append
        skew = SILENCE_S + 0.1
        await until(lambda: states == [ConnectionState.DISCONNECTED])
        assert member.connection.silent_s > SILENCE_S
        member.peer.send(b"\x80" + bytes(40))
        await settle()
        assert states == [ConnectionState.DISCONNECTED], "garbage from the right address authenticates nothing"
        member.peer.check()
        await until(lambda: states[-1] is ConnectionState.CONNECTED)
        skew += SILENCE_S + 0.1
        await until(lambda: states[-1] is ConnectionState.DISCONNECTED)
        member.publish()
        member.peer.send_rtp(b"x", 1, 1)
        await until(lambda: states[-1] is ConnectionState.CONNECTED)


async def test_lost_hello_is_sent_again():
    """As DTLS client, the server repeats its flight when nothing comes back."""
    async with members() as gathered:
        member = gathered.join(is_dtls_server=True)
        member.describe()
        heard = []
        receive = member.peer.receive

        def lose_first_hello(data):
            if 20 <= data[0] <= 63 and not heard:
                heard.append(data)
            else:
                receive(data)

        member.peer.receive = lose_first_hello
        member.peer.check()
        assert await member.connection.wait_connected(5)
        assert heard


async def test_ice_restart():
    """Other credentials make other credentials; media moves with the first check, and DTLS goes on."""
    async with members() as gathered:
        publisher, member = await gathered.connect(), await gathered.connect()
        incoming = publisher.publish()
        member.subscribe(incoming)
        old = member.connection.ice_ufrag
        member.describe()
        assert member.connection.ice_ufrag == old, "the same description again is no restart"
        member.peer.ufrag = "restarted"
        member.describe()
        assert member.connection.ice_ufrag != old
        publisher.peer.send_rtp(b"before", 1, 1)
        await until(lambda: member.payloads == [b"before"])
        loop = asyncio.get_running_loop()
        loop.remove_reader(member.peer.sock)
        member.peer.sock.close()
        member.peer.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        member.peer.sock.bind(("127.0.0.1", 0))
        member.peer.sock.setblocking(False)
        loop.add_reader(member.peer.sock, member.peer.read)
        member.peer.remote_ufrag, member.peer.remote_pwd = member.connection.ice_ufrag, member.connection.ice_pwd
        member.peer.check()
        await until(lambda: member.peer.mapped_address == member.peer.sock.getsockname())
        publisher.peer.send_rtp(b"after", 2, 2)
        await until(lambda: member.payloads == [b"before", b"after"])
        member.peer.remote_ufrag = old
        member.peer.check()
        await until(lambda: member.peer.errors == [401])


@pytest.mark.parametrize("says_goodbye", [True, False])
@pytest.mark.parametrize("is_dtls_server", [True, False])
async def test_a_new_transport_under_the_same_tracks(says_goodbye, is_dtls_server):
    """Announced by a description, another DTLS association from another port goes on with tracks, SSRCs and numbers."""
    async with members() as gathered:
        publisher, member = await gathered.connect(), await gathered.connect(is_dtls_server=is_dtls_server)
        incoming, own = publisher.publish(), member.publish()
        outgoing = member.subscribe(incoming)
        publisher.subscribe(own)
        publisher.peer.send_rtp(b"before", 1, 1)
        await until(lambda: member.payloads == [b"before"])
        member.peer.send_rtp(b"mine", 1, 1)
        await until(lambda: publisher.payloads == [b"mine"])
        states = []
        member.connection.on_state = states.append
        member.describe(is_new_transport=True)
        loop = asyncio.get_running_loop()
        loop.remove_reader(member.peer.sock)
        if says_goodbye:
            member.peer.dtls.close()
            member.peer._flush_dtls()
        old = member.peer.sock
        member.peer.begin_anew(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        loop.add_reader(member.peer.sock, member.peer.read)
        member.peer.check()
        if is_dtls_server and not says_goodbye:
            # Whoever is asked by us would not know of it: the old association goes on.
            await until(lambda: member.peer.is_checked)
            old.close()
            return
        await until(lambda: member.peer.srtp is not None)
        await until(lambda: states == [ConnectionState.CONNECTING, ConnectionState.CONNECTED])
        old.close()
        publisher.peer.send_rtp(b"after", 2, 2)
        await until(lambda: member.payloads == [b"before", b"after"])
        first, second = member.headers
        assert (first.ssrc, second.ssrc) == (outgoing.ssrc, outgoing.ssrc)
        assert second.sequence_number == first.sequence_number + 1
        member.peer.send_rtp(b"still mine", 2, 2)
        await until(lambda: publisher.payloads == [b"mine", b"still mine"])
        member.peer.dtls.close()
        member.peer._flush_dtls()
        await until(lambda: states[-1] is ConnectionState.CLOSED)


async def test_a_goodbye_that_comes_after_the_new_transport():
    """As the DTLS client the server says hello, although the new address was selected before the old one was left."""
    async with members() as gathered:
        member = await gathered.connect(is_dtls_server=True)
        member.describe(is_new_transport=True)
        loop = asyncio.get_running_loop()
        loop.remove_reader(member.peer.sock)
        old, association = member.peer.sock, member.peer.dtls
        member.peer.begin_anew(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        loop.add_reader(member.peer.sock, member.peer.read)
        member.peer.check()
        await until(lambda: member.peer.is_checked)
        association.close()
        for datagram in association.datagrams_to_send():
            old.sendto(datagram, member.peer.server)
        await until(lambda: member.peer.srtp is not None)
        await until(lambda: member.connection.state is ConnectionState.CONNECTED)
        old.close()


async def test_application_data():
    """What SCTP sends goes both ways; nothing is sent or told before the certificate is known to be the peer's."""
    async with members() as gathered:
        member = gathered.join()
        heard = []
        member.connection.on_data = heard.append
        member.connection.send_data(b"too early")
        await member.connect()
        member.peer.dtls.send(b"hello")
        member.peer._flush_dtls()
        await until(lambda: heard == [b"hello"])
        assert not member.connection.is_dtls_client
        told = []
        receive = member.peer.dtls.receive_datagram
        member.peer.dtls.receive_datagram = lambda data: told.extend(receive(data)) or []
        member.connection.send_data(b"welcome")
        await until(lambda: told == [b"welcome"])
        member.connection.on_data = None
        member.peer.dtls.send(b"nobody listens")
        member.peer._flush_dtls()
        await settle()
        member.connection.close()
        member.connection.send_data(b"too late")


async def test_reports_to_publisher():
    """A publisher gets receiver reports each second with true loss, and its sender report's time in them."""
    async with members() as gathered:
        member = await gathered.connect()
        member.publish(codecs=(Codec("opus", 111, 48000, 2),))
        for number in range(40):
            if number % 4 != 3:
                member.peer.send_rtp(b"x", 65520 + number, number * 960)
        member.peer.send_sender_report(1_700_000_000.5, 0, 30, 30)
        await until(
            lambda: any(b.last_sr_ntp32 for r in member.rtcp if isinstance(r, ReceiverReport) for b in r.reports)
        )
        report = [r for r in member.rtcp if isinstance(r, ReceiverReport)][-1]
        (block,) = report.reports
        assert block.ssrc == member.peer.ssrc
        assert block.packets_lost == 9  # number 39 is missing too, and nobody knows
        assert block.highest_extended_sequence & 0xFFFF == (65520 + 38) & 0xFFFF
        assert block.last_sr_ntp32 == (1_700_000_000 + 2_208_988_800 & 0xFFFF) << 16 | 0x8000
        assert 0 < block.delay_since_last_sr_q16 < 2 * 65536
        assert any(isinstance(r, SourceDescription) for r in member.rtcp)
        count = len(member.rtcp)
        await asyncio.sleep(1.0)
        assert len(member.rtcp) >= count + 2


async def test_nack_to_publisher():
    """Lost packets are asked for again where the publisher understands it, and only there."""
    async with members() as gathered:
        member = await gathered.connect()
        incoming = member.publish()
        subscriber = await gathered.connect()
        subscriber.subscribe(incoming)
        for number in (10, 11, 14):
            member.peer.send_rtp(bytes([number]), number, number * 960)
        await until(lambda: any(isinstance(r, GenericNack) for r in member.rtcp))
        nack = next(r for r in member.rtcp if isinstance(r, GenericNack))
        assert nack.media_ssrc == member.peer.ssrc
        assert nack.sequence_numbers == (12, 13)
        member.peer.send_rtp(b"\x0c", 12, 12 * 960)
        await until(lambda: subscriber.payloads == [b"\x0a", b"\x0b", b"\x0e", b"\x0c"])
        silent = await gathered.connect()
        silent.publish(codecs=(Codec("opus", 111, 48000, 2),))
        for number in (10, 14):
            silent.peer.send_rtp(b"x", number, 0)
        await asyncio.sleep(0.3)
        assert not any(isinstance(r, GenericNack) for r in silent.rtcp)


async def test_reports_to_subscriber():
    """Subscribers get sender reports on the publisher's clock, with its CNAME; their reports give the round trip."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        outgoing = subscriber.subscribe(publisher.publish())
        for number in range(3):
            publisher.peer.send_rtp(b"12345", number, 90_000 + number)
        publisher.peer.send_sender_report(time.time() + 500, 90_000, 3, 15)
        await until(lambda: any(isinstance(r, SenderReport) for r in subscriber.rtcp))
        report = next(r for r in subscriber.rtcp if isinstance(r, SenderReport))
        assert report.ssrc == outgoing.ssrc
        assert (report.packet_count, report.octet_count) == (3, 15)
        assert 0 <= report.rtp_timestamp - 90_000 < 2 * 48000
        (names,) = (r for r in subscriber.rtcp[:2] if isinstance(r, SourceDescription))
        assert names.cnames == {outgoing.ssrc: publisher.connection.cname}
        assert outgoing.cname == publisher.connection.cname
        ntp32 = report.ntp_timestamp >> 16 & 0xFFFFFFFF
        subscriber.peer.send_receiver_report(
            ReportBlock(outgoing.ssrc, 64, 5, 3, 96, ntp32, 0), ReportBlock(1, 0, 0, 0, 0)
        )
        await until(lambda: outgoing.statistics.rtt_ms is not None)
        statistics = outgoing.statistics
        assert 0 <= statistics.rtt_ms < 2000
        assert statistics.fraction_lost == 0.25
        assert statistics.packets_lost_rfc3550 == 5
        assert statistics.jitter_ms == 2.0


async def test_many_reports_fit_datagrams():
    """Reports about many tracks are split into compound packets that fit a datagram."""
    async with members() as gathered:
        publisher, subscriber = await gathered.connect(), await gathered.connect()
        ssrcs = [1000 + i for i in range(40)]
        for i, ssrc in enumerate(ssrcs):
            subscriber.subscribe(publisher.publish(mid=str(i), ssrcs=(ssrc,)), mid=str(i))
            publisher.peer.send_rtp(b"x", 1, 1, ssrc=ssrc)
        sizes = []
        receive = subscriber.peer.receive
        subscriber.peer.receive = lambda data: (sizes.append(len(data)), receive(data))
        await until(lambda: len({r.ssrc for r in subscriber.rtcp if isinstance(r, SenderReport)}) == 40)
        await until(
            lambda: {b.ssrc for r in publisher.rtcp if isinstance(r, ReceiverReport) for b in r.reports} == {*ssrcs}
        )
        assert max(sizes) <= 1200


async def test_routing():
    """Packets find their track by SSRC, by MID, or by a payload type that only one m-section has."""
    pcmu = (Codec("PCMU", 0, 8000),)
    async with members() as gathered:
        member = await gathered.connect()
        first = member.publish(mid="a", ssrcs=(), extensions={MID: 5})
        second = member.publish(mid="b", ssrcs=(), extensions={MID: 5})
        third = member.publish(mid="c", ssrcs=(), extensions={}, codecs=pcmu)
        member.peer.send_rtp(b"x", 1, 1, ssrc=1, extensions={5: b"b"})
        await until(lambda: second.layers[""].ssrc == 1)
        member.peer.send_rtp(b"x", 1, 1, ssrc=2, payload_type=0)
        await until(lambda: third.layers[""].ssrc == 2)
        member.peer.send_rtp(b"x", 1, 1, ssrc=3)  # Opus in two m-sections
        member.peer.send_rtp(b"x", 1, 1, ssrc=4, extensions={5: b"a"})
        await until(lambda: first.layers[""].ssrc == 4)
        second.close()
        before, first_at = second.last_packet_at, first.last_packet_at
        member.peer.send_rtp(b"x", 2, 2, ssrc=1, extensions={5: b"b"})
        member.peer.send_rtp(b"x", 2, 2, ssrc=4)
        await until(lambda: first.last_packet_at != first_at)
        assert second.last_packet_at == before


async def test_a_closed_track_does_not_speak_in_another():
    """Its packets still come for a while; the payload type alone does not make them those of a track in a pause."""
    async with members() as gathered:
        member = await gathered.connect()
        closed = member.publish(mid="0", ssrcs=(1,))
        other = member.publish(mid="1", ssrcs=(2,))
        member.peer.send_rtp(b"x", 1, 1, ssrc=1)
        await until(lambda: closed.last_packet_at)
        closed.close()
        member.peer.send_rtp(b"secret", 2, 2, ssrc=1)
        await settle()
        assert other.last_packet_at is None
        member.peer.send_rtp(b"x", 3, 3, ssrc=1, extensions={4: b"1"})
        await until(lambda: other.last_packet_at)


async def test_many_tracks_one_after_the_other():
    """What a track used is no stranger after its end, nor what came before its beginning."""
    rids = tuple("abcdef")
    async with members() as gathered:
        member = await gathered.connect()
        for round_ in range(20):

            def send(rid, number, ssrc=1000 * round_):
                member.peer.send_rtp(b"x", number, 1, ssrc=ssrc + ord(rid), extensions={4: b"0", 10: rid.encode()})

            for rid in rids:
                send(rid, 1)
            await settle()
            track = member.publish(ssrcs=(), rids=rids, extensions={MID: 4, RID: 10})
            for rid in rids:
                send(rid, 2)
            await until(lambda track=track: all(layer.last_packet_at for layer in track.layers.values()), 2)
            track.close()
            for rid in rids:
                send(rid, 3)


async def test_foreign_ssrcs_are_bounded():
    """A peer cannot fill our memory with SSRCs that belong nowhere, in packets well-formed or not."""
    async with members() as gathered:
        member = await gathered.connect()
        assert member.peer.srtp is not None
        for ssrc in range(1, 300):
            packet = b"\x90\x6f\0\1" + bytes(4) + ssrc.to_bytes(4) + b"\xbe\xde\0\1\x1f\0\0\0"
            member.peer.send(member.peer.srtp.protect_rtp(packet))
            await asyncio.sleep(0)
        await settle()
        for ssrc in range(1001, 1300):
            member.peer.send_rtp(b"x", 1, 1, ssrc=ssrc)
            await asyncio.sleep(0)
        await settle()
        assert len(member.connection._incoming.strangers) == 64
        track = member.publish()
        member.peer.send_rtp(b"x", 1, 1)
        await until(lambda: track.layers[""].ssrc == member.peer.ssrc)


async def test_ssrcs_that_change_with_each_exchange():
    """Those that are not declared any more are forgotten."""
    async with members() as gathered:
        member = await gathered.connect()
        track = member.publish()
        for ssrc in range(40):
            parameters = member.parameters(ssrcs=(ssrc,), repaired_by={ssrc: ssrc + 100})
            track.update(parameters)
        assert len(member.connection._incoming.by_ssrc) == 2
        member.peer.send_rtp(b"x", 1, 1, ssrc=39)
        await until(lambda: track.layers[""].ssrc == 39)


async def test_ssrcs_of_a_track_are_bounded():
    """Nor with SSRCs that all say they are of one m-section."""
    async with members() as gathered:
        member = await gathered.connect()
        member.publish(ssrcs=())
        for ssrc in range(1, 300):
            member.peer.send_rtp(b"x", 1, 1, ssrc=ssrc, extensions={4: b"0"})
            await asyncio.sleep(0)
        await settle()
        assert len(member.connection._incoming.by_ssrc) == 16
        assert len(member.connection._incoming.strangers) == 64


async def test_hostile_packets_from_an_authenticated_peer():
    """A connected peer may encrypt any garbage: it is dropped, and the session goes on."""
    draw = random.Random(3)
    async with members() as gathered:
        member, other = await gathered.connect(), await gathered.connect()
        incoming = member.publish()
        outgoing = other.subscribe(incoming)
        good = build_packet(b"x", payload_type=111, sequence_number=1, rtp_timestamp=1, ssrc=member.peer.ssrc)
        for i in range(300):
            packet = bytearray(good + draw.randbytes(40))
            packet[0] = 0x80 | draw.randrange(64)
            packet[2:4] = i.to_bytes(2, "big")
            protected = member.peer.srtp.protect_rtp(bytes(packet))
            if protected is not None:
                member.peer.send(protected)
            report = bytes([0x80 | draw.randrange(64), 200 + draw.randrange(8)]) + draw.randbytes(
                10 + draw.randrange(60)
            )
            protected = other.peer.srtp.protect_rtcp(report)
            if protected is not None:
                other.peer.send(protected)
            await asyncio.sleep(0)
        await settle()
        assert member.connection.state is ConnectionState.CONNECTED
        assert other.connection.state is ConnectionState.CONNECTED
        assert outgoing.packets_sent == len(other.packets)


async def test_credentials_are_random():
    """Each connection has its own, long enough for RFC 8445 §5.3."""
    async with members() as gathered:
        connections = [gathered.join().connection for _ in range(20)]
        assert len({c.ice_ufrag for c in connections}) == 20
        assert all(len(c.ice_ufrag) >= 4 and len(c.ice_pwd) >= 22 for c in connections)
        assert OPUS[0].payload_type == 111
