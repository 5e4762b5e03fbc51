"""Two probes, one on each end of a loopback path: what is measured is what was done."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtcctl.errors import ApiError, NetworkError
from rtcctl.probe.lag import LoopMonitor
from rtcctl.probe.peer import Peer, Receiver, Sender
from rtcctl.probe.sources.tone import ToneSource
from rtcctl.probe.transport import Arrival

CONNECT_S = 10.0
FIRST_PACKET_S = 5.0


async def connect(alice: Peer, bob: Peer) -> None:
    """Offer by `alice`, answer by `bob`, connected."""
    await alice.set_answer(await bob.answer(await alice.create_offer()))
    await asyncio.gather(alice.wait_connected(CONNECT_S), bob.wait_connected(CONNECT_S))


@asynccontextmanager
async def subscribed(source: ToneSource, bob: Peer | None = None) -> AsyncIterator[tuple[Peer, Sender, Peer, Receiver]]:
    """`alice` sends `source` to `bob`, and the first packet has arrived."""
    async with Peer(include_loopback=True) as alice, bob or Peer(include_loopback=True, verify=True) as bob:
        sender = alice.add_sender(source)
        await connect(alice, bob)
        assert sender.mid is not None
        receiver = bob.receiver(sender.mid)
        await receiver.wait_first_packet(FIRST_PACKET_S)
        yield alice, sender, bob, receiver


async def clock_after(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return time.monotonic()


async def test_the_tone_arrives_as_it_was_sent():
    """Frequency, loss, latency, rate and round trip of a clean path on loopback."""
    async with LoopMonitor() as lag, subscribed(ToneSource(440)) as (_, sender, bob, receiver):
        now = await clock_after(2.5)
        received, sent = receiver.statistics(now), sender.statistics(now)
        if lag.reason is not None:
            pytest.skip(lag.reason)
    assert received.tone_hz == pytest.approx(440, rel=0.005)
    assert received.tone_level_db == pytest.approx(-12, abs=1.5)
    assert received.tone_snr_db is not None
    assert received.tone_snr_db > 20
    assert received.audio_gaps == 0
    assert received.concealed_ms == 0
    assert received.packets_lost == 0
    assert received.fraction_lost == 0
    assert received.packets_received >= 100
    assert received.latency_ms is not None
    assert 0 < received.latency_ms.p50 < 20
    assert received.jitter_ms is not None
    assert received.jitter_ms < 20
    assert received.bitrate_bps == pytest.approx(74_000, rel=0.15)
    assert received.rtt_source == "stun"
    assert received.rtt_ms is not None
    assert 0 < received.rtt_ms < 100
    assert sent.packets_sent == pytest.approx(sent.nominal_packets, abs=2)
    assert sent.nominal_packets == pytest.approx(sent.interval_s * 50, abs=2)
    assert sent.packets_lost == 0
    assert sent.fraction_lost == 0
    assert receiver.codec == "opus/48000/2"
    assert bob.unrouted_packets == 0


async def test_another_tone_is_recognised():
    """The frequency is measured in what was decoded, not assumed."""
    async with subscribed(ToneSource(850)) as (_, _, _, receiver):
        statistics = receiver.statistics(await clock_after(1.2))
    assert statistics.tone_hz == pytest.approx(850, rel=0.005)


async def test_silence_has_no_tone():
    """Opus packets that decode to silence are received, and are no tone."""
    source = ToneSource(440, level_db=-120)
    async with subscribed(source) as (_, _, _, receiver):
        statistics = receiver.statistics(await clock_after(1.2))
    assert statistics.packets_received > 30
    assert statistics.tone_hz is None


class LossyPeer(Peer):
    """Never sees every seventh packet, and keeps a ledger."""

    def __init__(self) -> None:
        super().__init__(include_loopback=True, verify=True)
        self.ledger: list[bool] = []

    def rtp_received(self, packet: bytes, arrival: Arrival) -> None:
        dropped = len(self.ledger) % 7 == 3
        self.ledger.append(dropped)
        if not dropped:
            super().rtp_received(packet, arrival)


async def test_loss_is_exact():
    """Packets lost is what was dropped between the first and the last packet that arrived."""
    bob = LossyPeer()
    async with subscribed(ToneSource(440), bob) as (alice, _, _, receiver):
        await asyncio.sleep(2)
        await alice.close()
        statistics = receiver.statistics(await clock_after(0.1))
        last = max(i for i, is_dropped in enumerate(bob.ledger) if not is_dropped)
        dropped = sum(bob.ledger[:last])
        arrived = last + 1 - dropped
    assert dropped >= 10
    assert statistics.packets_received == arrived
    assert statistics.packets_lost == dropped
    assert statistics.fraction_lost == pytest.approx(dropped / (dropped + arrived))
    assert statistics.packets_lost_rfc3550 == dropped
    assert statistics.concealed_ms == pytest.approx(20 * dropped, abs=100)


async def test_intervals_add_up():
    """What is reported each second sums to the totals."""
    async with subscribed(ToneSource(440)) as (_, sender, _, receiver):
        sent, received = [], []
        for _ in range(3):
            now = await clock_after(0.5)
            sent.append(sender.interval(now))
            received.append(receiver.interval(now))
        total_sent, total_received = sender.statistics(now), receiver.statistics(now)
    assert sum(i.packets_sent for i in sent) == total_sent.packets_sent
    assert sum(i.nominal_packets for i in sent) == total_sent.nominal_packets
    assert sum(i.packets_received for i in received) == total_received.packets_received
    assert sum(i.bytes_received for i in received) == total_received.bytes_received
    assert sum(i.interval_s for i in received) == pytest.approx(total_received.interval_s)
    assert all(i.tone_hz == pytest.approx(440, rel=0.01) for i in received)


async def test_start_measuring_resets_the_counted_range():
    """What came before does not count, and nothing at the border counts as lost."""
    async with subscribed(ToneSource(440)) as (_, _, _, receiver):
        receiver.start_measuring(await clock_after(0.6))
        statistics = receiver.statistics(await clock_after(0.6))
    assert 20 < statistics.packets_received < 40
    assert statistics.packets_lost == 0
    assert statistics.interval_s == pytest.approx(0.6, abs=0.3)


async def test_the_candidate_pair_is_loopback():
    """Loopback candidates are gathered and come first; the path and its times are told."""
    async with Peer(include_loopback=True) as alice, Peer(include_loopback=True) as bob:
        alice.add_receiver("audio")
        await connect(alice, bob)
        timing = await alice.wait_connected(0)
    assert timing.candidate_pair.startswith("127.0.0.1:")
    assert " → 127.0.0.1:" in timing.candidate_pair
    assert timing.candidate_pair.endswith(" host/udp")
    assert timing.candidate_type == "host"
    assert timing.ice_ms > 0
    assert timing.dtls_ms > 0


async def test_closing_leaves_nothing():
    """No task and no thread but the executor's is left, and closing twice is harmless."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")}
    async with subscribed(ToneSource(440)) as (alice, _, bob, _):
        started = time.monotonic()
        await alice.close()
        await bob.close()
        await bob.close()
        assert time.monotonic() - started < 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")} == threads
    assert (alice.state, bob.state) == ("closed", "closed")


async def test_closing_early_leaves_nothing():
    """A peer can be closed at any stage: before an offer, after it, while it connects."""
    async with Peer(include_loopback=True) as unused:
        assert unused.state == "new"
    async with Peer(include_loopback=True) as offered:
        offered.add_sender(ToneSource(440))
        await offered.create_offer()
    async with Peer(include_loopback=True) as alice, Peer(include_loopback=True) as bob:
        alice.add_sender(ToneSource(440))
        await alice.set_answer(await bob.answer(await alice.create_offer()))
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_end_of_the_other_side_is_noticed_at_once():
    """DTLS close_notify ends `wait_lost` long before silence would."""
    async with subscribed(ToneSource(440)) as (alice, _, bob, _):
        await alice.close()
        async with asyncio.timeout(1):
            await bob.wait_lost(60)


class DeafPeer(Peer):
    """Stops hearing from outside: its clock of the last packet stands still."""

    deaf = False

    def datagram_received(self, arrival: Arrival) -> None:
        if not self.deaf:
            super().datagram_received(arrival)


async def test_silence_is_noticed():
    """Without any packet `wait_lost` returns after the silence it was told, and not before."""
    bob = DeafPeer(include_loopback=True)
    async with subscribed(ToneSource(440), bob):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await bob.wait_lost(0.3)
        bob.deaf = True
        async with asyncio.timeout(2):
            await bob.wait_lost(0.3)


async def test_consent_checks_keep_a_quiet_connection_alive():
    """STUN alone is a sign of life: a connection without media is not an outage after five seconds."""
    async with Peer(include_loopback=True) as alice, Peer(include_loopback=True) as bob:
        alice.add_receiver("audio")
        await connect(alice, bob)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(6):
                await alice.wait_lost(5)
        assert alice.rtt_ms is not None


async def test_no_path_is_a_network_error_of_ice():
    """ICE that reaches nobody ends within the time given, and names both ends."""
    async with Peer(include_loopback=True) as alice, Peer(include_loopback=True) as bob:
        alice.add_sender(ToneSource(440))
        answer = await bob.answer(await alice.create_offer())
        await bob.close()
        await alice.set_answer(answer)
        with pytest.raises(NetworkError, match=r"ICE found no path.*127\.0\.0\.1") as caught:
            await alice.wait_connected(0.5)
    assert caught.value.phase == "ice"
    assert caught.value.hint


async def test_a_wrong_fingerprint_is_a_network_error_of_dtls():
    """Media never flows to a peer whose certificate is not the one in its SDP."""
    async with Peer(include_loopback=True) as alice, Peer(include_loopback=True) as bob:
        alice.add_sender(ToneSource(440))
        answer = await bob.answer(await alice.create_offer())
        lines = answer.splitlines(keepends=True)
        await alice.set_answer(
            "".join(f"a=fingerprint:sha-256 {'00:' * 31}00\r\n" if "a=fingerprint:" in x else x for x in lines)
        )
        with pytest.raises(NetworkError) as caught:
            await alice.wait_connected(CONNECT_S)
    assert caught.value.phase == "dtls"


@pytest.mark.parametrize("sdp", ["", "v=0\r\n", "no sdp at all", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"])
async def test_a_description_that_cannot_be_used_is_an_api_error(sdp: str):
    """Whatever the service sends as SDP, the caller sees an error that says so."""
    async with Peer(include_loopback=True) as alice:
        alice.add_sender(ToneSource(440))
        await alice.create_offer()
        with pytest.raises(ApiError, match="answer cannot be used"):
            await alice.set_answer(sdp)


async def test_a_track_added_by_a_later_offer_is_measured_without_ssrc():
    """A second m-section whose packets are known by MID only receives as the first one does."""
    async with subscribed(ToneSource(440)) as (alice, _, bob, first):
        second_sender = alice.add_sender(ToneSource(700))
        offer = await alice.create_offer()
        stripped = "".join(x for x in offer.splitlines(keepends=True) if not x.startswith(("a=ssrc", "a=msid")))
        await alice.set_answer(await bob.answer(stripped))
        assert second_sender.mid is not None
        second = bob.receiver(second_sender.mid)
        await second.wait_first_packet(FIRST_PACKET_S)
        now = await clock_after(1.2)
        assert second.statistics(now).tone_hz == pytest.approx(700, rel=0.005)
        assert first.statistics(now).tone_hz == pytest.approx(440, rel=0.005)
        assert second.statistics(now).packets_lost == 0
        assert bob.unrouted_packets == 0


def test_it_works_under_uvloop():
    """The same path under the faster event loop."""
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        async with subscribed(ToneSource(440)) as (_, _, _, receiver):
            statistics = receiver.statistics(await clock_after(1.5))
        assert statistics.tone_hz == pytest.approx(440, rel=0.005)
        assert statistics.packets_lost == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    uvloop.run(run())
