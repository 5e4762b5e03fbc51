"""The path of one session while faults concern it: what is held, dropped and written down, on a clock made by hand."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media import ledger as ledger_module
from rtcctl.server.dtls_transport import ConnectionState
from rtcctl.transport.udp import UdpSocket
from tests.support.impaired import DATA, DTLS, PEER, STUN, Impaired, Track, media_faults, rtcp, rtp


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_hold_is_exact(way: str) -> None:
    """Each packet goes on after its delay and not before, where it would have gone; the row says how long it was."""
    impaired = Impaired("delay=40ms")
    send = impaired.up if way == "up" else impaired.down
    send(rtp(1))
    impaired.endpoint.pass_by(0.03)
    send(rtp(2))
    assert impaired.passed == []
    assert [row.fate for row in impaired.rows] == ["held", "held"]
    impaired.endpoint.pass_by(1)
    assert [(pytest.approx(at), direction, data) for at, direction, data in impaired.endpoint.passed] == [
        (100.04, way, rtp(1)),
        (100.07, way, rtp(2)),
    ]
    assert impaired.endpoint.paths == {PEER}
    assert [row.held_s for row in impaired.rows] == [pytest.approx(0.04)] * 2
    assert {row.fate for row in impaired.rows} == {"sent"}
    assert impaired.endpoint.pending == []


def test_a_row_is_complete() -> None:
    """Who, which way, what, when; without secrets."""
    impaired = Impaired("loss=100%")
    impaired.connection.tracks["up", 7] = Track("publisher", "mic")
    impaired.up(rtp(65535))
    (row,) = impaired.rows
    assert (row.app_id, row.session_id, row.direction, row.track) == ("app", "session", "up", "mic")
    assert (row.kind, row.ssrc, row.sequence_number, row.size_bytes) == ("original", 7, 65535, len(rtp(0)))
    assert (row.at, row.fate, row.reason, row.held_s) == (1e9 + 100, "dropped", "loss", None)


def test_without_a_delay_nothing_waits() -> None:
    """A fault that does nothing has packets written down; they pass in the same moment, whatever else is held."""
    impaired = Impaired("loss=0%")
    impaired.up(rtp(1), rtcp(), STUN, DTLS)
    assert impaired.passed == [rtp(1), rtcp(), STUN, DTLS]
    assert [(row.kind, row.ssrc, row.sequence_number, row.held_s) for row in impaired.rows] == [
        ("original", 7, 1, 0.0),
        ("rtcp", 9, None, 0.0),
        ("stun", None, None, 0.0),
        ("dtls", None, None, 0.0),
    ]
    assert impaired.endpoint.timers == []


def test_packets_that_pass_an_overtaken_one_do_not_wait() -> None:
    """Only the overtaken one is held: the others go on in the moment they come."""
    impaired = Impaired("reorder=50%,seed=3")
    for number in range(40):
        impaired.down(rtp(number))
        impaired.endpoint.pass_by(0.02)
    impaired.endpoint.pass_by(1)
    held = [row.held_s for row in impaired.rows if not row.reason]
    overtaken = [row.held_s for row in impaired.rows if row.reason == "reorder"]
    assert held == [0.0] * len(held)
    assert overtaken == [pytest.approx(0.025)] * len(overtaken)
    assert 10 < len(overtaken) < 30


@pytest.mark.parametrize("faults", [("reorder=50%,seed=3", "delay=40ms"), ("delay=40ms", "reorder=50%,seed=3")])
def test_faults_one_behind_the_other(faults: tuple[str, str]) -> None:
    """Each does its own: a delay does not put in order again what another fault has reordered, nor hold the others."""
    impaired = Impaired(*faults)
    for number in range(40):
        impaired.down(rtp(number))
        impaired.endpoint.pass_by(0.02)
    impaired.endpoint.pass_by(1)
    for row in impaired.rows:
        assert row.held_s == pytest.approx(0.065 if row.reason == "reorder" else 0.04)
    numbers = [int.from_bytes(data[2:4], "big") for data in impaired.passed]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(40))


def test_losses_of_two_faults() -> None:
    """What the first drops, the second does not see; a copy of two may be lost, and the packet is sent still."""
    impaired = Impaired("loss=50%,seed=1", "loss=50%,seed=1")
    impaired.up(*(rtp(number) for number in range(1000)))
    assert len(impaired.passed) == pytest.approx(250, abs=50)
    assert [active.met for active in impaired.faults] == [1000, pytest.approx(500, abs=50)]
    doubled = Impaired("dup=100%", "loss=50%,seed=1")
    doubled.up(*(rtp(number) for number in range(1000)))
    assert len(doubled.passed) == pytest.approx(1000, abs=60)
    fates = [row.fate for row in doubled.rows]
    assert fates.count("dropped") == pytest.approx(250, abs=50)
    assert {row.reason for row in doubled.rows} == {"dup", "dup+loss"}
    assert len(set(doubled.passed)) == fates.count("sent")


def test_directions() -> None:
    """`up` is towards the server; the other way is not looked at."""
    impaired = Impaired("delay=40ms,direction=up")
    impaired.down(rtp(1))
    impaired.up(rtp(2))
    assert impaired.passed == [rtp(1)]
    assert [row.direction for row in impaired.rows] == ["up"]


def test_what_sets_sessions_up_is_never_dropped() -> None:
    """STUN and DTLS are held as media is, but not lost, doubled or overtaken; RTCP is as RTP."""
    impaired = Impaired("loss=100%,delay=40ms,dup=100%,reorder=100%")
    impaired.up(STUN, DTLS, rtcp(), rtp(1))
    impaired.endpoint.pass_by(1)
    assert [(pytest.approx(at), data) for at, _, data in impaired.endpoint.passed] == [(100.04, STUN), (100.04, DTLS)]
    assert [(row.kind, row.fate) for row in impaired.rows] == [
        ("stun", "sent"),
        ("dtls", "sent"),
        ("rtcp", "dropped"),
        ("original", "dropped"),
    ]


@pytest.mark.parametrize("selector", ["mic", "publisher/mic"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_fault_of_one_track(way: str, selector: str) -> None:
    """It concerns the RTP of that track, and nothing else: no other track, no RTCP, no STUN, no unknown SSRC."""
    impaired = Impaired(f"loss=100%,track={selector}")
    impaired.connection.tracks = {
        (way, 7): Track("publisher", "mic"),
        (way, 8): Track("publisher", "camera"),
        (way, 9): Track("other", "mic"),
    }
    others = [rtp(1, 8), rtp(1, 10), rtcp(7), STUN, DTLS]
    others += [rtp(1, 9)] if "/" in selector else []
    send = impaired.up if way == "up" else impaired.down
    send(rtp(1), *others)
    assert impaired.passed == others
    assert [(row.track, row.fate) for row in impaired.rows] == [("mic", "dropped")]
    assert [active.met for active in impaired.faults] == [1]


def test_kinds_of_packets() -> None:
    """The same number again is a retransmission; RTX is what the connection says; each way has its own streams."""
    impaired = Impaired("loss=0%")
    impaired.connection.rtx = {("down", 8)}
    impaired.down(rtp(1), rtp(2), rtp(1), rtp(1, 8), rtp(1, 8))
    impaired.up(rtp(1), rtp(1, 8), rtp(1))
    assert [row.kind for row in impaired.rows] == [
        *("original", "original", "retransmission", "rtx", "rtx"),
        *("original", "original", "retransmission"),
    ]


def test_a_dropped_packet_that_is_sent_again() -> None:
    """What the receiver never saw counts as seen here: what comes then is its retransmission."""
    impaired = Impaired("loss=100%")
    impaired.down(rtp(1), rtp(1))
    assert [(row.kind, row.fate) for row in impaired.rows] == [("original", "dropped"), ("retransmission", "dropped")]


def test_numbers_come_round() -> None:
    """After a cycle the same number is another packet."""
    impaired = Impaired("loss=0%")
    impaired.down(*(rtp(number) for number in range(0x10000 + 10)))
    assert {row.kind for row in impaired.rows} == {"original"}


def test_made_up_ssrcs_take_no_memory() -> None:
    """Only the streams that were there last are remembered; one that goes on stays among them."""
    impaired = Impaired("loss=0%")
    for ssrc in range(1000):
        impaired.up(rtp(ssrc, 7), rtp(0, 1000 + ssrc))
    impaired.up(rtp(999, 7))
    assert impaired.rows[-1].kind == "retransmission"
    assert len(impaired.path._seen._streams) == ledger_module._STREAMS


def test_a_stream_that_goes_on_takes_no_more_memory() -> None:
    """What tells a retransmission from a new packet has its size from the first packet on, and it is small."""
    impaired = Impaired("loss=0%")
    impaired.up(rtp(0))
    (seen,) = impaired.path._seen._streams.values()
    size = sys.getsizeof(seen._numbers)
    impaired.up(*(rtp(number) for number in range(1, 10_000)))
    assert list(impaired.path._seen._streams.values()) == [seen]
    assert sys.getsizeof(seen._numbers) == size < 10_000


def test_a_retransmission_is_known_until_its_place_is_needed() -> None:
    """A number is remembered over the next 4,095; the one after those takes its place."""
    impaired = Impaired("loss=0%")
    impaired.up(*(rtp(number) for number in range(ledger_module._REMEMBERED)), rtp(0))
    assert impaired.rows[-1].kind == "retransmission"
    impaired.up(rtp(ledger_module._REMEMBERED), rtp(0))
    assert [row.kind for row in impaired.rows[-2:]] == ["original", "original"]


@given(st.lists(st.tuples(st.sampled_from(["up", "down"]), st.integers(0, 60)), max_size=60))
def test_one_timer_at_most(steps: list[tuple[str, int]]) -> None:
    """However the two ways interleave, one timer is pending, for what is due first, and everything leaves in time."""
    impaired = Impaired("delay=100ms,direction=up", "delay=30ms,jitter=30ms,direction=down")
    for number, (way, gap_ms) in enumerate(steps):
        (impaired.up if way == "up" else impaired.down)(rtp(number))
        assert len(impaired.endpoint.pending) <= 1
        impaired.endpoint.pass_by(gap_ms / 1000)
        assert len(impaired.endpoint.pending) <= 1
    impaired.endpoint.pass_by(1)
    assert sorted(impaired.passed) == sorted(rtp(number) for number in range(len(steps)))
    for way in ("up", "down"):
        passed = [data for _, direction, data in impaired.endpoint.passed if direction == way]
        assert passed == sorted(passed)
    for row in impaired.rows:
        assert row.held_s is not None
        assert -1e-9 <= row.held_s - (0.1 if row.direction == "up" else 0) <= (1e-9 if row.direction == "up" else 0.061)
    assert impaired.endpoint.pending == []


def test_faults_change_while_packets_are_held() -> None:
    """What is held keeps its time; what stays set goes on where it was in its random numbers."""
    first, second = media_faults("delay=40ms", "loss=50%,seed=5")
    impaired = Impaired("loss=0%")
    impaired.path.set([first, second])
    alone = Impaired("loss=50%,seed=5")
    alone.up(*(rtp(number) for number in range(100)))
    impaired.up(*(rtp(number) for number in range(50)))
    impaired.path.set([second])
    impaired.up(*(rtp(number) for number in range(50, 100)))
    assert all(int.from_bytes(data[2:4], "big") >= 50 for data in impaired.passed)
    impaired.endpoint.pass_by(0.04)
    assert sorted(impaired.passed) == alone.passed


def test_seeds() -> None:
    """With one, the same packets are lost each time; without, it is drawn."""

    def lost(text: str, seed: int) -> list[str]:
        impaired = Impaired(text, seed=seed)
        impaired.up(*(rtp(number) for number in range(100)))
        return [row.fate for row in impaired.rows]

    assert lost("loss=50%,seed=7", 1) == lost("loss=50%,seed=7", 2)
    assert lost("loss=50%", 1) != lost("loss=50%", 2)
    assert lost("loss=50%", 1) == lost("loss=50%", 1)


@given(st.lists(st.sampled_from([rtcp(), DATA, STUN, rtp(3, 8), rtp(3, 9)]), max_size=40), st.integers(0, 40))
def test_what_comes_between_does_not_matter(others: list[bytes], at: int) -> None:
    """With a seed a track loses the same packets, whenever RTCP, messages, retransmissions and other tracks come."""

    def lost(between: list[bytes]) -> list[str]:
        impaired = Impaired("loss=50%,seed=7")
        impaired.connection.tracks = {("up", 7): Track("publisher", "mic"), ("up", 8): Track("publisher", "camera")}
        for number in range(40):
            impaired.up(rtp(number))
            if number >= at:
                impaired.up(*between[number - at :: 7], *([rtp(number)] if between else []))
        return [row.fate for row in impaired.rows if (row.kind, row.track) == ("original", "mic")]

    assert lost(others) == lost([])


def test_release_all() -> None:
    """When no fault is left, what is held goes on at once, in order, and no timer stays."""
    impaired = Impaired("delay=40ms")
    impaired.down(rtp(1), rtp(2))
    impaired.up(rtp(3), rtp(4))
    impaired.endpoint.pass_by(0.01)
    impaired.path.release_all()
    assert impaired.passed == [rtp(1), rtp(2), rtp(3), rtp(4)]
    assert [row.held_s for row in impaired.rows] == [pytest.approx(0.01)] * 4
    assert impaired.endpoint.pending == []


@pytest.mark.parametrize("by", ["release_all", "time"])
def test_a_held_packet_that_ends_the_connection(by: str) -> None:
    """What was held behind a close_notify reaches nobody: there are no keys and no sockets any more."""
    impaired = Impaired("delay=40ms")

    def end(data: bytes) -> None:
        if data == DTLS:
            impaired.connection.state = ConnectionState.CLOSED

    impaired.endpoint.on_deliver = end
    impaired.up(rtp(1), DTLS, rtp(2), STUN)
    if by == "time":
        impaired.endpoint.pass_by(1)
    else:
        impaired.path.release_all()
    assert impaired.passed == [rtp(1), DTLS]
    assert [row.fate for row in impaired.rows] == ["sent", "sent", "discarded", "discarded"]


def test_close() -> None:
    """What is held when the connection ends is discarded; what went stays what it was; nothing fires any more."""
    impaired = Impaired("dup=100%", "delay=40ms,jitter=40ms,seed=4")
    impaired.up(rtp(1), STUN)
    (first, second), timers = impaired.rows, impaired.endpoint.pending
    impaired.endpoint.pass_by(timers[0].at - impaired.endpoint.time)
    assert len(impaired.passed) == 1
    impaired.path.close()
    assert (first.fate, second.fate) == ("sent", "discarded")
    assert impaired.endpoint.pending == []


def test_goodbyes_are_understood() -> None:
    """What DTLS said last goes before its close_notify, or the peer, without keys yet, could not read that."""
    impaired = Impaired("delay=40ms")
    impaired.down(DTLS, rtp(1), STUN, DTLS + b"2")
    impaired.up(DTLS)
    impaired.path.close()
    assert impaired.endpoint.passed == [(100.0, "down", DTLS), (100.0, "down", DTLS + b"2")]
    assert [row.fate for row in impaired.rows] == ["sent", "discarded", "discarded", "sent", "discarded"]
    assert impaired.endpoint.pending == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x00", "stun"),
        (b"\x14", "dtls"),
        (b"\x17", "data"),
        (b"\x80", "dtls"),
        (bytes(3), "stun"),
        (b"\x80\xc8" + bytes(9), "dtls"),
        (b"\x80\xc0" + bytes(10), "rtcp"),
        (b"\x80\xdf" + bytes(10), "rtcp"),
        (b"\x80\xbf" + bytes(10), "original"),
        (b"\x80\xe0" + bytes(10), "original"),
        (b"\xff" * 12, "original"),
    ],
)
def test_by_the_first_bytes(data: bytes, kind: str) -> None:
    """RFC 7983 and RFC 5761; what is too short to be media is not called media, and nothing makes it fail."""
    impaired = Impaired("loss=0%")
    impaired.up(data)
    impaired.down(data)
    assert [row.kind for row in impaired.rows] == [kind, kind]
    assert impaired.passed == [data, data]


def test_sockets() -> None:
    """One stand-in for each socket, which stays the same while the path does."""
    impaired = Impaired("loss=0%")
    udp = UdpSocket.__new__(UdpSocket)
    assert impaired.path.socket(udp, 0) is impaired.path.socket(udp, 0)
    assert impaired.path.socket(udp, 0) is not impaired.path.socket(udp, 1)
    tap = impaired.path.socket(udp, 3)
    tap.put(rtcp(), tap.name_of(("192.0.2.1", 4000))[0])
    assert impaired.endpoint.paths == {("192.0.2.1", 4000, 3)}
    assert impaired.endpoint.passed == [(100.0, "down", rtcp())]
