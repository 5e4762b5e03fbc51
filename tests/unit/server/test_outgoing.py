"""What one subscriber is sent, whatever happens to the layers, the source, the agreement and the connection.

The tracks are real, the connections are fakes: see `tests/support/forwarding.py`.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rtcctl.media.clock import ntp_from_unix
from rtcctl.media.codec import Codec
from rtcctl.media.rtcp import SenderReport
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.simulcast import LayerPreference
from rtcctl.server.incoming import IncomingTrack
from rtcctl.server.outgoing import OutgoingTrack
from tests.support.forwarding import EXTENSIONS, PUBLISHED, VP8, VP8_RTX, Clock, Encoding, Link, Sent, Wire

RIDS = ("f", "q")
AGREEMENTS: tuple[tuple[Codec, ...], ...] = (
    VP8,
    VP8_RTX,
    tuple(replace(codec, payload_type=codec.payload_type + 10) for codec in VP8),
    (),
    (*VP8, Codec("H264", 108, 90000, 1, "packetization-mode=1;profile-level-id=42e01f")),
)
FRAME_S = 1 / 30


class World:
    """Two publishers, one of them with simulcast, and two subscribers."""

    def __init__(self, start: int, timestamp: int) -> None:
        self.clock = Clock()
        wire = Wire()
        self.publishers = [Link(self.clock, wire) for _ in range(2)]
        self.tracks: list[IncomingTrack] = [self.publishers[0].publish(RIDS), self.publishers[1].publish()]
        layers = [layer for track in self.tracks for layer in track.layers.values()]
        self.encodings = [
            Encoding(
                layer,
                tag,
                1000 + tag,
                (start + 0x4321 * tag) & 0xFFFF,
                (timestamp + 0x5432_1000 * tag) & 0xFFFFFFFF,
                start + 999 * tag,
                self.clock,
            )
            for tag, layer in enumerate(layers)
        ]
        self.links = [Link(self.clock, wire) for _ in range(2)]
        self.outgoing: list[OutgoingTrack] = [link.sender(str(i)) for i, link in enumerate(self.links)]

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        for outgoing in self.outgoing:
            outgoing.handle_timer(self.clock.now)
            outgoing.sender_report(0, self.clock.now, self.clock.now)


def numbers(link: Link) -> list[int]:
    """On the wire, in order."""
    return [RtpHeader.parse(packet).sequence_number for packet in link.sent]


def is_contiguous(link: Link) -> bool:
    sent = numbers(link)
    return all((b - a) & 0xFFFF == 1 for a, b in pairwise(sent))


def tags(link: Link) -> list[int]:
    """Which encoding each packet was of."""
    return [Sent.parse(packet).tag for packet in link.sent]


@pytest.fixture
def world() -> World:
    """The first subscriber gets q of the first track; its publisher's three encodings have begun, with key frames."""
    world = World(500, 90_000)
    for encoding in world.encodings:
        encoding.frame(is_key=True)
    world.outgoing[0].negotiate(VP8, {})
    world.outgoing[0].subscribe(world.tracks[0], LayerPreference("q"))
    world.encodings[1].frame(2)
    assert len(world.links[0].sent) == 2
    return world


def test_retransmission_across_other_extensions(world: World) -> None:
    """Sent again, a packet has the header it had, not the one agreed since: a number means one packet for ever."""
    (link, _), outgoing = world.links, world.outgoing[0]
    outgoing.negotiate(VP8, EXTENSIONS[2])
    outgoing.retransmit(numbers(link), world.clock.now)
    assert link.sent[2:] == link.sent[:2]


def test_numbers_after_a_stretch_of_late_packets(world: World) -> None:
    """When nothing but a late packet came between two changes, the numbers go on from the highest."""
    (link, _), outgoing, (full, quarter, _) = world.links, world.outgoing[0], world.encodings
    quarter.number += 1
    quarter.frame(5)
    link.name = object()
    outgoing.update()
    quarter.receive(quarter.number - 6, quarter.payload())
    outgoing.prefer(LayerPreference("f"))
    full.frame(3, is_key=True)
    assert [number - numbers(link)[0] for number in numbers(link)] == [0, 1, 3, 4, 5, 6, 7, 2, 8, 9, 10]


@pytest.mark.parametrize("missing", ["key", "path", "codecs"])
@pytest.mark.parametrize("frames", [1, 65_000])
def test_numbers_after_an_interruption(world: World, missing: str, frames: int) -> None:
    """What was not forwarded in an interruption leaves no gap, however long it was: it goes on at a key frame."""
    (link, _), outgoing, (_, quarter, _) = world.links, world.outgoing[0], world.encodings
    key, path = link.srtp_sender, link.name
    for is_there in (False, True):
        link.srtp_sender = None if missing == "key" and not is_there else key
        link.name = None if missing == "path" and not is_there else path
        if missing == "codecs":
            outgoing.negotiate(VP8 if is_there else (), {})
        outgoing.update()
        if not is_there:
            for _ in range(frames):
                quarter.frame()
    quarter.frame()
    assert len(link.sent) == 2
    quarter.frame(2, is_key=True)
    assert len(link.sent) == 4
    assert is_contiguous(link)


def test_an_interruption_in_which_nothing_was_sent(world: World) -> None:
    """It goes on at once, among the others."""
    (link, other), outgoing, (_, quarter, _) = world.links, world.outgoing, world.encodings
    outgoing[1].negotiate(VP8, {})
    outgoing[1].subscribe(world.tracks[0], LayerPreference("q"))
    quarter.frame()
    link.name = object()
    outgoing[0].update()
    quarter.frame()
    assert is_contiguous(link)
    assert len(other.sent) == 2
    assert len(quarter.layer.groups) == 1


@pytest.mark.parametrize("frames", [10, 0x4000, 0x10000 + 500])
def test_another_path_after_a_long_stretch(world: World, frames: int) -> None:
    """Numbers go on where they were, however many packets ago the stretch began; each is used for one packet."""
    (link, _), outgoing, (_, quarter, _) = world.links, world.outgoing[0], world.encodings
    for _ in range(frames):
        quarter.frame()
    link.name = object()
    outgoing.update()
    quarter.frame(3)
    assert len(link.sent) == frames + 5
    assert is_contiguous(link)


def test_another_path_after_packets_that_were_not_for_all(world: World) -> None:
    """What is late, from before packets that were left out, has a number that belongs to another packet by now."""
    (link, _), outgoing, (_, quarter, _) = world.links, world.outgoing[0], world.encodings
    quarter.number += 1
    quarter.frame(3)
    quarter.frame(payload_type=98)
    quarter.frame(3)
    link.name = object()
    outgoing.update()
    quarter.receive(quarter.number - 8, quarter.payload())
    quarter.frame(3)
    assert [number - numbers(link)[0] for number in numbers(link)] == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]


def test_an_interruption_while_another_layer_is_awaited(world: World) -> None:
    """The present layer comes back with its key frame, and the other one with its own."""
    (link, _), outgoing, (full, quarter, _) = world.links, world.outgoing[0], world.encodings
    outgoing.prefer(LayerPreference("f"))
    path, link.name = link.name, None
    outgoing.update()
    quarter.frame()
    link.name = path
    outgoing.update()
    quarter.frame()
    quarter.frame(2, is_key=True)
    full.frame()
    full.frame(2, is_key=True)
    quarter.frame(1, is_key=True)
    assert tags(link) == [1, 1, 1, 1, 0, 0]
    assert is_contiguous(link)


def test_a_layer_that_begins_in_an_interruption(world: World) -> None:
    """Its key frame was missed, so the next one is awaited."""
    (link, _), outgoing, (full, _, _) = world.links, world.outgoing[0], world.encodings
    outgoing.prefer(LayerPreference("f"))
    path, link.name = link.name, None
    outgoing.update()
    full.frame(2, is_key=True)
    link.name = path
    outgoing.update()
    full.frame(2)
    assert tags(link) == [1, 1]
    full.frame(2, is_key=True)
    assert tags(link) == [1, 1, 0, 0]
    assert is_contiguous(link)
    assert Sent.parse(link.sent[2]).picture == Sent.parse(link.sent[1]).picture + 1


def test_back_to_the_present_layer_in_an_interruption(world: World) -> None:
    """Who wanted another layer, and changes its mind, gets the present one."""
    (link, _), outgoing, (_, quarter, _) = world.links, world.outgoing[0], world.encodings
    path, link.name = link.name, None
    outgoing.update()
    quarter.frame()
    link.name = path
    outgoing.update()
    outgoing.prefer(LayerPreference("f"))
    outgoing.prefer(LayerPreference("q"))
    quarter.frame(2, is_key=True)
    assert is_contiguous(link)
    assert len(link.sent) == 4


def test_wide_steps_of_what_is_not_forwarded(world: World) -> None:
    """A publisher that leaves out a cycle of numbers, in packets that a subscriber does not get, repeats none."""
    (link, _), (_, quarter, _) = world.links, world.encodings
    quarter.frame(50)
    for _ in range(2):
        quarter.number = (quarter.number + 0x7FF0) & 0xFFFF
        quarter.frame(payload_type=98)
    quarter.frame(40)
    assert len(link.sent) == 92
    assert is_contiguous(link)


def test_a_layer_that_has_sent_nothing_yet() -> None:
    """Who wants it does not fix its place on the timeline of the track: its first packet does."""
    world = World(0, 1 << 30)
    full, quarter, _ = world.encodings
    quarter.frame(is_key=True)
    for outgoing, rid in zip(world.outgoing, ("q", "f"), strict=True):
        outgoing.negotiate(VP8, {})
        outgoing.subscribe(world.tracks[0], LayerPreference(rid))
    for _ in range(30):
        world.pass_time(FRAME_S)
        quarter.frame()
    full.frame(is_key=True)
    full.frame()
    assert tags(world.links[1]) == [0, 0]
    world.outgoing[0].prefer(LayerPreference("f"))
    full.frame(is_key=True)
    *_, last, first = (RtpHeader.parse(packet).rtp_timestamp for packet in world.links[0].sent)
    assert tags(world.links[0])[-2:] == [1, 0]
    assert 0 < (first - last) & 0xFFFFFFFF < 90_000


def test_layers_are_looked_at_from_the_start(world: World) -> None:
    """Whether another one should be forwarded is asked soon after a subscription, not with the next report."""
    link, outgoing = world.links[1], world.outgoing[1]
    outgoing.negotiate(VP8, {})
    link.look_at = None
    outgoing.subscribe(world.tracks[0], LayerPreference("f"))
    assert link.look_at == world.clock.now


def test_who_has_not_begun_is_not_asked(world: World) -> None:
    """There is no SSRC to ask for a key frame; when it begins without one, it is asked at once."""
    (publisher, _), outgoing = world.publishers, world.outgoing[1]
    late = publisher.publish(("f", "q"))
    layer = late.layers["f"]
    full = Encoding(layer, 0, 77, 0, 0, 0, world.clock)
    publisher.key_frame_requests.clear()
    outgoing.negotiate(VP8, {})
    outgoing.subscribe(late, LayerPreference("f"))
    world.pass_time(10)
    outgoing.request_key_frame(world.clock.now)
    assert layer.get_timer() is None
    assert publisher.key_frame_requests == []
    full.frame()
    assert layer.get_timer() == world.clock.now
    assert layer.key_frames.handle_timer(world.clock.now)
    full.frame(is_key=True)
    assert layer.get_timer() is None


def test_another_ssrc_is_asked_for_a_key_frame(world: World) -> None:
    """Its encoder knows nothing of what subscribers have; a key frame that it begins with is enough."""
    quarter = world.encodings[1]
    quarter.frame(is_key=True)
    for is_key in (False, True):
        world.pass_time(5)
        quarter.ssrc += 1
        quarter.frame(is_key=is_key)
        assert quarter.layer.get_timer() == (None if is_key else world.clock.now)


def test_nobody_wants_a_key_frame(world: World) -> None:
    """The wish ends with the last who could have had it."""
    (publisher, _), (first, second), layer = world.publishers, world.outgoing, world.encodings[0].layer
    first.prefer(LayerPreference("f"))
    second.negotiate(VP8, {})
    second.subscribe(world.tracks[0], LayerPreference("f"))
    assert publisher.key_frame_requests[-1] is layer
    first.prefer(LayerPreference("q"))
    assert layer.get_timer() is not None
    second.unsubscribe()
    assert layer.get_timer() is None


def test_what_a_subscriber_may_ask_for(world: World) -> None:
    """Asking costs us, whether it is there or not: beyond the packets of a second nobody looks."""
    outgoing, asked = world.outgoing[0], iter(range(0x10000))
    outgoing.retransmit(asked, world.clock.now)
    assert next(asked) <= 65
    world.pass_time(1)
    outgoing.retransmit(numbers(world.links[0]), world.clock.now)
    assert outgoing.statistics.packets_retransmitted == 2


def test_a_closed_subscription_remembers_nothing() -> None:
    """Else each session would keep those alive that it was subscribed to, they theirs, and so on."""
    world = World(0, 0)
    outgoing = world.outgoing[0]
    outgoing.negotiate(VP8, {})
    outgoing.subscribe(world.tracks[0], LayerPreference("q"))
    world.encodings[1].frame(is_key=True)
    outgoing.subscribe(world.tracks[1])
    outgoing.close()
    publisher = weakref.ref(world.publishers[0])
    del world
    gc.collect()
    assert publisher() is None


class Subscribers(RuleBasedStateMachine):
    """All that subscribers may do, but NACK."""

    agreements = AGREEMENTS
    subscribers = st.integers(0, 1)

    @initialize(start=st.integers(0, 0xFFFF), timestamp=st.integers(0, 0xFFFFFFFF))
    def begin(self, start: int, timestamp: int) -> None:
        self.world = World(start, timestamp)
        for outgoing in self.world.outgoing:
            outgoing.negotiate(VP8_RTX, {})
            outgoing.subscribe(self.world.tracks[0], LayerPreference("q"))

    @rule(who=subscribers, track=st.integers(0, 1), rid=st.sampled_from((*RIDS, None)))
    def subscribe(self, who: int, track: int, rid: str | None) -> None:
        self.world.outgoing[who].subscribe(self.world.tracks[track], LayerPreference(rid))

    @rule(who=subscribers, rid=st.sampled_from(RIDS))
    def prefer(self, who: int, rid: str) -> None:
        self.world.outgoing[who].prefer(LayerPreference(rid))

    @rule(who=subscribers)
    def unsubscribe(self, who: int) -> None:
        self.world.outgoing[who].unsubscribe()

    @rule(who=subscribers, agreement=st.integers(0, 4), extensions=st.sampled_from(EXTENSIONS))
    def negotiate(self, who: int, agreement: int, extensions: dict[str, int]) -> None:
        self.world.outgoing[who].negotiate(self.agreements[agreement], extensions)

    @rule(who=subscribers)
    def lose_key(self, who: int) -> None:
        self.world.links[who].srtp_sender = None
        self.world.outgoing[who].update()

    @rule(who=subscribers)
    def renew_key(self, who: int) -> None:
        self.world.links[who].renew_key()
        self.world.outgoing[who].update()

    @rule(who=subscribers, has_path=st.booleans())
    def change_path(self, who: int, has_path: bool) -> None:
        self.world.links[who].name = object() if has_path else None
        self.world.outgoing[who].update()


class AnyInput(Subscribers):
    """`Key.protect` is the assertion: no two packets under one number."""

    encodings = st.integers(0, 2)
    payload_types = st.sampled_from((96, 96, 98))

    @rule(
        which=encodings,
        events=st.lists(
            st.tuples(st.just("frame"), st.integers(1, 4), st.booleans(), payload_types)
            | st.tuples(st.just("again"), st.integers(1, 12), st.booleans(), payload_types)
            | st.tuples(st.just("rtx"), st.integers(-3, 12), st.booleans(), payload_types)
            | st.tuples(st.just("lost"), st.integers(1, 9), st.none(), st.none()),
            min_size=1,
            max_size=8,
        ),
    )
    def media(self, which: int, events: list[tuple[str, int, bool, int]]) -> None:
        """In sequence, with losses.

        What was lost comes late or as RTX; and again with other bytes, as a publisher may send it after a new DTLS
        association.
        """
        encoding = self.world.encodings[which]
        for event, count, is_key, payload_type in events:
            number = (encoding.number - count) & 0xFFFF
            if event == "frame":
                encoding.frame(count, is_key=is_key, payload_type=payload_type)
                self.world.pass_time(FRAME_S)
            elif event == "lost":
                self.skip(which, count)
            elif event == "again":
                encoding.receive(number, encoding.payload(is_key=is_key), payload_type)
            else:
                encoding.receive_rtx(number, encoding.payload(is_key=is_key))

    @rule(which=encodings, step=st.integers(0, 0xFFFF) | st.sampled_from((0x7FFF, 0x8000, 0x7C00, 0xFF00)))
    def skip(self, which: int, step: int) -> None:
        encoding = self.world.encodings[which]
        encoding.number = (encoding.number + step) & 0xFFFF

    @rule(which=encodings, step=st.integers(0, 0xFFFF))
    def other_ssrc(self, which: int, step: int) -> None:
        encoding = self.world.encodings[which]
        self.world.pass_time(0.5)
        encoding.ssrc += 100
        self.skip(which, step)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(which=st.integers(0, 1), is_swapped=st.booleans())
    def renumber(self, which: int, is_swapped: bool) -> None:
        """The publisher swaps the numbers of its codecs."""
        track = self.world.tracks[which]
        vp8, rtx, h264 = PUBLISHED
        codecs = (replace(vp8, payload_type=98), rtx, replace(h264, payload_type=96)) if is_swapped else PUBLISHED
        track.update(replace(track.parameters, codecs=codecs))

    @rule(who=Subscribers.subscribers, back=st.lists(st.integers(-3, 40), max_size=8))
    @precondition(lambda self: any(link.sent for link in self.world.links))
    def nack(self, who: int, back: list[int]) -> None:
        media = [packet for packet in self.world.links[who].sent if packet[11] == 7]
        if media:
            highest = RtpHeader.parse(media[-1]).sequence_number
            self.world.outgoing[who].retransmit([(highest - b) & 0xFFFF for b in back], self.world.clock.now)


class InOrder(Subscribers):
    """Publishers that lose nothing and repeat nothing: what subscribers get has no seams."""

    agreements = (*AGREEMENTS[:4], VP8)
    frames_with = st.tuples(*3 * [st.sampled_from(("delta", "delta", "key", "none"))])

    @initialize()
    def look(self) -> None:
        self.seen: list[tuple[int, Sent | None, float]] = [(0, None, 0.0)] * 2

    @rule(frames=st.lists(st.tuples(frames_with, st.integers(1, 3), st.booleans()), min_size=1, max_size=6))
    def media(self, frames: list[tuple[tuple[str, ...], int, bool]]) -> None:
        """Encodings of a track have their frames at the same times; each may leave some out."""
        for kinds, packets, has_other_codec in frames:
            for encoding, kind in zip(self.world.encodings, kinds, strict=True):
                if kind == "none":
                    encoding.timestamp = (encoding.timestamp + 3000) & 0xFFFFFFFF
                    continue
                if has_other_codec:
                    encoding.receive(encoding.number, b"?", 98)
                    encoding.number = (encoding.number + 1) & 0xFFFF
                encoding.frame(packets, is_key=kind == "key")
            self.check()
            self.world.pass_time(FRAME_S)

    @rule(which=st.integers(0, 2))
    def sender_report(self, which: int) -> None:
        encoding, now = self.world.encodings[which], self.world.clock.now
        if encoding.layer.ssrc is not None:
            report = SenderReport(encoding.ssrc, ntp_from_unix(now), encoding.timestamp, 0, 0)
            encoding.layer.receive_sender_report(report, now)

    def check(self) -> None:
        time = self.world.clock.now
        for who, (link, outgoing) in enumerate(zip(self.world.links, self.world.outgoing, strict=True)):
            count, last, at = self.seen[who]
            sent = link.sent
            for packet in sent[count:]:
                now = Sent.parse(packet)
                if last is not None:
                    self.check_step(last, now, time - at)
                last, at = now, time
            self.seen[who] = len(sent), last, at
            report = outgoing.sender_report(ntp_from_unix(time), time, time)
            if report is not None and last is not None:
                # The time at which the newest frame was taken, by the report and by the clock (lip sync).
                since = (report.rtp_timestamp - last.timestamp + 0x8000_0000 & 0xFFFFFFFF) - 0x8000_0000
                assert abs(since - (time - at) * 90_000) < 10

    @staticmethod
    def check_step(last: Sent, now: Sent, elapsed_s: float) -> None:
        assert now.number == (last.number + 1) & 0xFFFF
        assert (now.timestamp - last.timestamp) & 0xFFFFFFFF <= (elapsed_s + 1) * 90_000
        goes_on = now.tag == last.tag and now.index == last.index + 1
        if goes_on and (now.picture - now.original_picture - last.picture + last.original_picture) & 0x7FFF == 0:
            return
        assert now.starts_key_frame
        assert now.picture == (last.picture + 1) & 0x7FFF


TestAnyInput = AnyInput.TestCase
TestAnyInput.settings = settings(max_examples=100, stateful_step_count=60)
TestInOrder = InOrder.TestCase
TestInOrder.settings = settings(max_examples=100, stateful_step_count=60)
