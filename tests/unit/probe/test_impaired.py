"""The path of one peer as `--impair` makes it, on a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.impair import REORDER_S, parse_path
from rtcctl.media.ledger import PacketRow
from rtcctl.media.reception import ReceptionStatistics
from rtcctl.ops.impair import Impairing
from rtcctl.probe.impaired import ImpairedPath, ImpairedTransport
from rtcctl.probe.lean import LeanTransport
from rtcctl.probe.turn.datagrams import RelayedDatagrams
from rtcctl.probe.turn.relay import Relays, RelaySettings
from tests.support.impaired import DATA, DTLS, STUN, FakeEndpoint, rtcp, rtp

RTX = 97


@dataclass
class Path:
    """One path. What leaves it is noted with its time."""

    text: str
    number: int = 1
    world: FakeEndpoint = field(default_factory=FakeEndpoint)
    rows: list[PacketRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = ImpairedPath(
            parse_path(self.text),
            number=self.number,
            app_id="app",
            clock=self.world.now,
            wallclock=self.world.wallclock,
            write=self.rows.append,
            call_later=self._call_later,
        )
        self.path.session_id = "session"
        self.path.is_rtx = lambda payload_type: payload_type == RTX

    def _call_later(self, delay: float, callback: Any) -> Any:
        return self.world.call_at(self.world.now() + delay, callback)

    def out(self, *packets: bytes) -> None:
        for packet in packets:
            self.path.send(packet, lambda data: self.world.send(data, None))

    def come(self, *packets: bytes) -> None:
        for packet in packets:
            self.path.receive(packet, lambda data: self.world.passed.append((self.world.now(), "in", data)))

    def fates(self, count: int = 200) -> list[str]:
        """Of that many packets of one stream, 20 ms apart."""
        for number in range(count):
            self.out(rtp(number))
            self.world.pass_by(0.02)
        return [row.fate for row in self.rows]


def test_a_hold_is_exact_both_ways() -> None:
    """Out and in, a packet is let through after its delay and not before; the row is written then, with the hold."""
    path = Path("delay=40ms,seed=1")
    path.out(rtp(1))
    path.come(rtp(2))
    path.world.pass_by(0.0399)
    assert path.world.passed == []
    assert path.rows == []
    path.world.pass_by(1)
    assert [(at, way) for at, way, _ in path.world.passed] == [(100.04, "down"), (100.04, "in")]
    assert [(row.direction, row.fate, row.held_s) for row in path.rows] == [
        ("up", "sent", pytest.approx(0.04)),
        ("down", "sent", pytest.approx(0.04)),
    ]
    assert path.world.pending == []


def test_a_row_says_what_the_packet_is() -> None:
    """In the words of the server's ledger, with the payload type."""
    path = Path("loss=0%,seed=1")
    path.out(rtp(65535, 7), rtp(65535, 7), rtp(3, 8, payload_type=RTX), rtcp(9), STUN, DTLS, DATA)
    assert [(r.kind, r.ssrc, r.sequence_number, r.payload_type) for r in path.rows] == [
        ("original", 7, 65535, 111),
        ("retransmission", 7, 65535, 111),
        ("rtx", 8, 3, RTX),
        ("rtcp", 9, None, None),
        ("stun", None, None, None),
        ("dtls", None, None, None),
        ("data", None, None, None),
    ]
    (row, *_) = path.rows
    assert (row.at, row.app_id, row.session_id, row.direction) == (1e9 + 100, "app", "session", "up")
    assert (row.fate, row.reason, row.held_s, row.size_bytes) == ("sent", "", 0.0, len(rtp(0)))


def test_everything_is_lost_on_a_dead_network() -> None:
    """STUN and handshakes too: that is how a network is, and no fault of a server."""
    path = Path("loss=100%,seed=1")
    path.out(STUN, DTLS, DATA, rtcp(), rtp(1))
    path.come(STUN, DTLS, DATA, rtcp(), rtp(1))
    assert path.world.passed == []
    assert [(row.fate, row.reason) for row in path.rows] == [("dropped", "loss")] * 10


def test_a_direction_without_impairment_passes_and_is_not_written_down() -> None:
    """`in` is down and `out` is up."""
    path = Path("loss=100%,direction=in,seed=1")
    path.out(rtp(1))
    path.come(rtp(2))
    assert [data for _, _, data in path.world.passed] == [rtp(1)]
    assert [(row.direction, row.fate) for row in path.rows] == [("down", "dropped")]


def test_a_seed_decides_and_what_comes_between_does_not() -> None:
    """The n-th packet of the n-th stream meets the same in each run, whatever its SSRC; another peer meets another."""
    first, again, other = (Path("loss=20%,seed=7"), Path("loss=20%,seed=7"), Path("loss=20%,seed=7", number=2))
    for number in range(200):
        first.out(rtp(number, ssrc=1))
        again.out(STUN, rtp(number, ssrc=2), rtcp(), rtp(number, ssrc=3))
        other.out(rtp(number, ssrc=1))
    fates = [row.fate for row in first.rows]
    assert fates == [row.fate for row in again.rows if row.ssrc == 2]
    assert fates != [row.fate for row in again.rows if row.ssrc == 3]
    assert fates != [row.fate for row in other.rows]
    assert 20 < fates.count("dropped") < 60


def test_two_of_one_are_one_row() -> None:
    """A packet that is sent twice goes on twice, and its row says so once."""
    path = Path("dup=100%,delay=10ms,seed=1")
    path.out(rtp(1))
    path.world.pass_by(1)
    assert [data for _, _, data in path.world.passed] == [rtp(1)] * 2
    assert [(row.fate, row.reason) for row in path.rows] == [("sent", "dup")]


def test_what_is_overtaken_is_held_for_longer() -> None:
    """And the others are not."""
    path = Path("reorder=30%,seed=3")
    path.fates(50)
    path.world.pass_by(1)
    held = {reason: [row.held_s for row in path.rows if row.reason == reason] for reason in ("", "reorder")}
    assert held[""] == [0.0] * len(held[""])
    assert held["reorder"] == [pytest.approx(REORDER_S)] * len(held["reorder"])
    sequence = [data for _, _, data in path.world.passed]
    assert sequence != sorted(sequence)


def test_the_end_lets_the_goodbye_through() -> None:
    """What is on its way out goes on at once, in order; what has come in is for nobody. Nothing is held any more."""
    path = Path("delay=40ms,seed=1")
    path.out(rtp(1), rtcp(), DTLS)
    path.come(rtp(2))
    path.path.close()
    assert [data for _, _, data in path.world.passed] == [rtp(1), rtcp(), DTLS]
    assert sorted((row.direction, row.fate) for row in path.rows) == [("down", "discarded"), *[("up", "sent")] * 3]
    assert path.world.pending == []
    path.out(DTLS)
    assert len(path.world.passed) == 4


def test_what_vanishes_says_nothing_any_more() -> None:
    """As by a crash: not even what was on its way."""
    path = Path("delay=40ms,seed=1")
    path.out(DTLS)
    path.come(rtp(2))
    path.path.vanish()
    path.out(DTLS)
    path.come(rtp(3))
    path.world.pass_by(1)
    assert path.world.passed == []
    assert path.world.pending == []


def test_what_is_held_when_its_socket_is_closed_goes_nowhere() -> None:
    """aioice closes its sockets by itself when consent to send is over."""
    path = Path("delay=40ms,seed=1")
    transport = Mock()
    transport.is_closing.side_effect = [False, True]
    impaired = ImpairedTransport(transport, path.path)
    impaired.sendto(STUN, ("192.0.2.1", 1))
    impaired.sendto(DTLS, ("192.0.2.1", 1))
    assert not transport.sendto.called
    path.world.pass_by(1)
    transport.sendto.assert_called_once_with(STUN, ("192.0.2.1", 1))
    assert impaired.get_extra_info is transport.get_extra_info


def test_made_up_ssrcs_take_no_memory() -> None:
    """Streams beyond a number share their random numbers."""
    path = Path("loss=50%,seed=1")
    for ssrc in range(1000):
        path.come(rtp(0, ssrc))
    assert len(path.path._streams) == 256
    assert {row.fate for row in path.rows[256:]} == {"sent", "dropped"}


def test_a_seed_that_was_drawn_is_in_the_text() -> None:
    """Repeated with these texts, a command meets the same; a given seed stays."""
    made = Impairing.parse(["loss=5%,direction=up", "delay=40ms,direction=down,seed=7"], Random(1))
    assert made.has_drawn
    first, second = made.texts
    assert first.startswith("loss=5%,direction=up,seed=")
    assert second == "delay=40ms,direction=down,seed=7"
    again = Impairing.parse(made.texts, Random(2))
    assert not again.has_drawn
    assert (again.by_way, again.texts) == (made.by_way, made.texts)
    assert made.options() == ["--impair", first, "--impair", second]


@given(
    loss=st.integers(0, 60),
    delay=st.integers(0, 50),
    jitter=st.integers(0, 50),
    reorder=st.sampled_from([0, 20]),
    seed=st.integers(0, 99),
)
def test_what_is_measured_is_what_the_ledger_says(loss: int, delay: int, jitter: int, reorder: int, seed: int) -> None:
    """Exactly: packets lost between the first that came and the last, and the jitter of RFC 3550 A.8."""
    path = Path(f"loss={loss}%,delay={delay}ms,jitter={jitter}ms,reorder={reorder}%,seed={seed}")
    statistics = ReceptionStatistics(48_000, min_sequential=0)
    arrivals: list[tuple[int, float]] = []

    def arrive(data: bytes) -> None:
        number = int.from_bytes(data[2:4])
        arrivals.append((number, path.world.now()))
        statistics.receive(number, 960 * number, 1, path.world.now())

    for number in range(100):
        path.path.send(rtp(number), arrive)
        path.world.pass_by(0.02)
    path.world.pass_by(1)
    if len(arrivals) < 2:
        return
    measured = statistics.totals(path.world.now(), is_final=True)
    rows = sorted((row for row in path.rows), key=lambda row: row.sequence_number or 0)
    first, last = arrivals[0][0], max(number for number, _ in arrivals)
    dropped = [row.sequence_number for row in rows if row.fate == "dropped"]
    assert measured.packets_lost == sum(first < (number or 0) < last for number in dropped)
    if reorder:
        return
    left = [(row.at + row.held_s, row.sequence_number or 0) for row in rows if row.held_s is not None]
    jitter_s = 0.0
    for (before, one), (after, other) in pairwise(left):
        jitter_s += (abs(after - before - 0.02 * (other - one)) - jitter_s) / 16
    assert measured.jitter_ms == pytest.approx(jitter_s * 1000, abs=1e-3)


def test_the_relay_that_brought_a_packet_is_known_when_it_is_let_through() -> None:
    """The path that is selected is that of the answer, not that of what has come meanwhile through another relay."""
    path = Path("delay=10ms,seed=1")
    transport = LeanTransport(
        Mock(), clock=path.world.now, include_loopback=True, relays=Relays(RelaySettings(())), impaired=path.path
    )
    datagrams = transport._datagrams
    assert isinstance(datagrams, RelayedDatagrams)
    heard: list[Any] = []
    transport._received = lambda size, addr: heard.append((datagrams.heard, size))  # type: ignore[method-assign]
    near: Any = Mock(name="near")
    far: Any = Mock(name="far")
    datagrams._received(near, STUN, ("192.0.2.1", 1))
    path.world.pass_by(0.005)
    datagrams._received(far, STUN, ("192.0.2.1", 1))
    path.world.pass_by(1)
    assert heard == [(near, len(STUN)), (far, len(STUN))]
