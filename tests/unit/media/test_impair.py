"""What a bad network does: seeded, in order unless asked otherwise, and no more than asked."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.impair import QUEUE_S, REORDER_S, DelayLine, Fate, Impairer, Impairment, parse_path
from rtcctl.units import SpellingError

ratios = st.floats(0, 1)
impairments = st.builds(
    Impairment,
    loss=ratios,
    delay_s=st.floats(0, 2),
    jitter_s=st.floats(0, 2),
    reorder=ratios,
    duplicate=ratios,
    rate_bps=st.none() | st.floats(1000, 1e9),
)
packets = st.lists(st.tuples(st.floats(0, 0.1), st.integers(1, 1500)), max_size=60)
"Seconds since the one before, and bytes."


def fates(impairment: Impairment, packets: list[tuple[float, int]], seed: int = 7) -> list[Fate]:
    """Of packets that come one after the other."""
    impairer, now, found = Impairer(impairment, drawing(seed)), 100.0, []
    for gap, size in packets:
        now += gap
        found.append(impairer.decide(size, now, "one"))
    return found


def drawing(seed: int) -> Callable[[str], float]:
    """Random numbers of two streams."""
    streams = {"one": Random(seed), "other": Random(seed + 1)}
    return lambda stream: streams[stream].random()


def taken(text: str) -> Impairment:
    options = dict(part.split("=", 1) for part in text.split(","))
    impairment = Impairment.take(options)
    assert not options
    return impairment


# --- how it is written


def test_everything_that_can_be_written() -> None:
    """Each key with its unit; what is not there does nothing."""
    text = "loss=5%,delay=40ms,jitter=10ms,reorder=1%,dup=0.5%,rate=64kbps,seed=7"
    assert taken(text) == Impairment(0.05, 0.04, 0.01, 0.01, 0.005, 64000.0, 7)
    assert Impairment.take({}) == Impairment()


def test_other_options_stay() -> None:
    """Who asks takes out its own keys alone."""
    options = {"loss": "1%", "direction": "up"}
    Impairment.take(options)
    assert options == {"direction": "up"}


@pytest.mark.parametrize(
    "text",
    [
        "loss=5",
        "loss=101%",
        "delay=40",
        "delay=61s",
        "delay=-1ms",
        "jitter=fast",
        "jitter=2h",
        "reorder=0.1",
        "dup=twice",
        "rate=64",
        "rate=0kbps",
        "rate=999bps",
        "seed=-1",
        "seed=1.5",
        "seed=٣",
        "seed=1000000000000000",
    ],
)
def test_errors_name_the_key(text: str) -> None:
    """What cannot be read, or makes no sense, says whose value it was."""
    with pytest.raises(SpellingError, match=rf"^{text.partition('=')[0]}: \S"):
        taken(text)


# --- the fate of a packet


@given(packets)
def test_nothing_happens_to_packets_of_no_impairment(packets: list[tuple[float, int]]) -> None:
    """They go on when they come."""
    now = 100.0
    for (gap, _), fate in zip(packets, fates(Impairment(), packets), strict=True):
        now += gap
        assert fate == Fate((now,))


@given(impairments, packets, st.integers(0, 2**32), st.data())
def test_the_fate_of_a_packet_depends_on_its_number(
    impairment: Impairment, packets: list[tuple[float, int]], seed: int, data: st.DataObject
) -> None:
    """A stream's n-th is lost, doubled and overtaken by the seed and n alone, whatever size and time packets have, and
    whatever comes between."""
    unlimited = Impairment(impairment.loss, 0.0, 0.0, impairment.reorder, impairment.duplicate)
    others = [(data.draw(st.floats(0, 1)), data.draw(st.integers(1, 1500))) for _ in packets]
    expected = [(len(fate.releases), fate.reason) for fate in fates(unlimited, packets, seed)]
    assert [(len(fate.releases), fate.reason) for fate in fates(unlimited, others, seed)] == expected
    impairer = Impairer(unlimited, drawing(seed))
    between = []
    for _, size in packets:
        for stream in data.draw(st.lists(st.sampled_from(["other", None]), max_size=3)):
            fate = impairer.decide(size, 100.0, stream)
            assert stream or len(fate.releases) == 1
        fate = impairer.decide(size, 100.0, "one")
        between.append((len(fate.releases), fate.reason))
    assert between == expected


@given(impairments, packets)
def test_nobody_overtakes_but_by_reordering(impairment: Impairment, packets: list[tuple[float, int]]) -> None:
    """Releases are in order, none is before the arrival, and jitter keeps its bounds when there is no queue."""
    now, before = 100.0, 0.0
    for (gap, _), fate in zip(packets, fates(impairment, packets), strict=True):
        now += gap
        for release in fate.releases:
            assert release >= max(now, before)
            before = release
        assert fate.late_s == (REORDER_S if fate.reason == "reorder" else 0.0)
        assert (fate.releases == ()) == (fate.reason in ("loss", "rate"))
        assert (len(fate.releases) == 2) == (fate.reason == "dup")
        if impairment.rate_bps is None and fate.releases:
            assert fate.releases[0] <= now + impairment.delay_s + impairment.jitter_s + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("name", ["loss", "reorder", "duplicate"])
def test_shares(name: str, share: float) -> None:
    """As many as were asked for; none and all are exact."""
    found = fates(Impairment(**{name: share}), [(0.02, 100)] * 5000)
    count = sum(bool(fate.reason) for fate in found)
    assert count == pytest.approx(share * 5000, abs=0 if share in (0.0, 1.0) else 200)
    assert {fate.reason for fate in found} <= {"", {"duplicate": "dup"}.get(name, name)}


def test_losses_are_of_single_packets() -> None:
    """Two losses in a row are as likely as independence has it."""
    found = [fate.reason == "loss" for fate in fates(Impairment(loss=0.2), [(0.02, 100)] * 5000)]
    assert sum(a and b for a, b in pairwise(found)) == pytest.approx(0.04 * 5000, abs=60)


def test_jitter_spreads_evenly_about_the_delay() -> None:
    """Packets far apart are not kept in order by waiting: their delays are 30 ms to 50 ms, 40 ms on average."""
    found = fates(Impairment(delay_s=0.04, jitter_s=0.01), [(1.0, 100)] * 2000)
    delays = [fate.releases[0] - 101.0 - i for i, fate in enumerate(found)]
    assert 0.03 <= min(delays) < 0.031
    assert 0.049 < max(delays) <= 0.0501
    assert sum(delays) / 2000 == pytest.approx(0.04, abs=0.001)


def test_a_jitter_beyond_the_delay() -> None:
    """Nothing goes on before it has come."""
    found = fates(Impairment(delay_s=0.0, jitter_s=0.01), [(1.0, 100)] * 500)
    assert all(fate.releases[0] >= 101.0 + i for i, fate in enumerate(found))
    assert sum(fate.releases[0] == 101.0 + i for i, fate in enumerate(found)) == pytest.approx(250, abs=50)


def test_an_overtaken_packet() -> None:
    """The next of 20 ms of audio passes it, and no second one."""
    (first, *_), *_ = [fate.releases for fate in fates(Impairment(reorder=1.0), [(0.02, 100)])]
    assert first + 0.02 < first + REORDER_S < first + 0.04


@pytest.mark.parametrize("rate_bps", [8_000.0, 64_000.0, 2e6])
@pytest.mark.parametrize("size", [100, 1200])
def test_a_rate_is_bits_per_second(rate_bps: float, size: int) -> None:
    """In the long run what goes on is the rate; nothing waits longer than the queue allows, and the rest is dropped."""
    gap = size * 8 / rate_bps / 3  # three times too fast
    found = fates(Impairment(rate_bps=rate_bps), [(gap, size)] * 6000)
    arrivals = [100.0 + gap * (i + 1) for i in range(6000)]
    passed = [(at, fate.releases[0]) for at, fate in zip(arrivals, found, strict=True) if fate.releases]
    took = passed[-1][1] - passed[0][0]
    assert len(passed) * size * 8 / took == pytest.approx(rate_bps, rel=0.01)
    assert max(release - at for at, release in passed) <= QUEUE_S + size * 8 / rate_bps + 1e-6
    assert {fate.reason for fate in found if not fate.releases} == {"rate"}


def test_below_the_rate_only_the_wire_takes_time() -> None:
    """A packet of 1000 bytes at 1 Mbit/s is 8 ms late; none is dropped."""
    found = fates(Impairment(rate_bps=1e6), [(0.01, 1000)] * 100)
    assert [fate.releases[0] - 100 - 0.01 * (i + 1) for i, fate in enumerate(found)] == pytest.approx([0.008] * 100)


def test_what_may_not_be_dropped() -> None:
    """It waits behind the others, and takes no part in the draw: never lost, doubled or overtaken."""
    impairer = Impairer(Impairment(1.0, 0.04, 0.01, 1.0, 1.0, 8000.0), lambda _: 0.0)
    assert impairer.decide(1000, 0.0, "one").reason == "loss"
    found = [impairer.decide(1000, 0.0, None) for _ in range(3)]
    assert [fate.releases for fate in found] == [pytest.approx((n + 0.04,)) for n in (1, 2, 3)]
    assert {(fate.reason, fate.late_s) for fate in found} == {("", 0.0)}


# --- the line


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20))))
def test_a_delay_line_is_in_order(pushes: list[tuple[int, int]]) -> None:
    """What is held leaves by its time, of the same time as it came, and none before; as a naive list has it."""
    line: DelayLine[tuple[int, int]] = DelayLine()
    held: list[tuple[int, int]] = []
    for number, (release, now) in enumerate(pushes):
        line.push(release, (release, number))
        held.append((release, number))
        while (item := line.pop(now)) is not None:
            assert item == min(held)
            assert item[0] <= now
            held.remove(item)
        assert all(release > now for release, _ in held)
        assert len(line) == len(held)
        assert line.get_timer() == min((release for release, _ in held), default=None)
    assert line.clear() == sorted(held)
    assert (len(line), line.get_timer(), line.pop(100)) == (0, None, None)


# --- the path of a peer


def test_a_path_is_written_as_a_fault_of_media_is() -> None:
    """Both ways unless a direction is given: `up` is out of the peer, `down` is into it."""
    one = Impairment(loss=0.05, seed=7)
    assert parse_path("loss=5%,seed=7") == {"up": one, "down": one}
    assert parse_path(" loss = 5% , direction=up,seed=7") == parse_path("loss=5%,direction=out,seed=7") == {"up": one}
    assert parse_path("loss=5%,direction=down,seed=7") == parse_path("direction=in,loss=5%,seed=7") == {"down": one}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not KEY=VALUE; write for example loss=5%,delay=40ms,direction=down"),
        ("loss", "'loss' is not KEY=VALUE"),
        ("loss=5", "loss: a ratio needs its unit: 5%"),
        ("delay=40", "delay: '40' is not a duration; write for example 40ms"),
        ("rate=2", "rate: a bit rate needs its unit: 2kbps or 2Mbps"),
        ("drop=5%", "'drop' is nothing that can be done to packets; there are loss, delay"),
        ("track=mic,loss=5%", "'track' is nothing that can be done to packets"),
        ("seed=7,direction=up", "nothing is done to packets"),
        ("loss=5%,loss=6%", "loss is there twice"),
        ("loss=5%,direction=left", "direction: 'left' is neither up (towards the server), down nor both"),
    ],
)
def test_a_path_that_is_misspelt_is_explained(text: str, says: str) -> None:
    """With what is right."""
    with pytest.raises(SpellingError) as caught:
        parse_path(text)
    assert says in str(caught.value)
