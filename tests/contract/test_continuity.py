"""What a receiver takes for one stream stays one: numbers, clocks, sync (RFC 3550 §5.1, §6.4.1)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise

from rtcctl.media.clock import unix_from_ntp
from rtcctl.media.rtcp import SenderReport, SourceDescription
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.stream import FIRST_TIMESTAMP, Stream, are_contiguous
from tests.contract.subject import subject
from tests.support.data_path import until

IN_SYNC_S = 0.005


def moves_forward(headers: list[RtpHeader]) -> bool:
    """Whether no timestamp is before the one of the packet that was sent before."""
    return all((b.rtp_timestamp - a.rtp_timestamp) & 0xFFFFFFFF < 0x80000000 for a, b in pairwise(headers))


def check_stream(client: Lean, ssrc: int) -> None:
    """All that came from a source is one stream: no gap in its numbers, and its clock never goes back."""
    headers = client.headers(ssrc)
    assert are_contiguous(headers)
    assert moves_forward(headers)
    assert len({header.payload_type for header in headers}) == 1


async def come_from(client: Lean, ssrc: int, stream: Stream, count: int = 3) -> None:
    """Wait until packets of that source are those of `stream`."""

    def arrived() -> int:
        return sum(payload in stream.sent.values() for payload in client.payloads(ssrc)[begin:])

    begin = len(client.payloads(ssrc))
    await until(lambda: arrived() >= count, 15)


# --- numbers


async def test_another_track_on_an_m_section() -> None:
    """By `tracks/update` and by a pull into it: the source stays, its numbers go on, and so does its clock."""
    async with (
        subject() as service,
        speaker(service, "a", "b") as alice,
        speaker(service, "c") as carol,
        lean(service) as bob,
    ):
        # So that the names in the payloads tell them apart.
        carol.streams["0"].head = b"carol "
        document = await bob.pull(alice, "a")
        ssrc, mid = ssrc_of(document), document["tracks"][0]["mid"]
        await come_from(bob, ssrc, alice.streams["0"])
        for publisher, name, stream in (
            (alice, "b", alice.streams["1"]),
            (carol, "c", carol.streams["0"]),
            (alice, "a", alice.streams["0"]),
        ):
            answer = await service.tracks_update(bob.session_id, remote(publisher, name, mid=mid))
            assert "errorCode" not in answer.json()["tracks"][0]
            await come_from(bob, ssrc, stream)
        await bob.new_tracks([remote(carol, "c", mid=mid)])
        await come_from(bob, ssrc, carol.streams["0"])
        check_stream(bob, ssrc)


async def test_an_m_section_that_is_used_again() -> None:
    """A track that is pulled into the m-section of one that was closed goes on with its source and its numbers."""
    async with subject() as service, speaker(service, "a", "b") as alice, lean(service) as bob:
        ssrcs: dict[str, int] = {}
        for index in range(5):
            document = await bob.pull(alice, "ab"[index % 2])
            mid = document["tracks"][0]["mid"]
            ssrc = ssrc_of(document)
            assert ssrcs.setdefault(mid, ssrc) == ssrc
            await come_from(bob, ssrc, alice.streams[str(index % 2)])
            await service.close(bob.session_id, [mid])
        assert len(ssrcs) < 5
        for ssrc in ssrcs.values():
            check_stream(bob, ssrc)


async def test_layers() -> None:
    """From layer to layer by `tracks/update`: one stream, and the layer that was asked for."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind="video", rids=("f", "h", "q"))
        await alice.publish("camera")
        alice.speak()
        document = await bob.pull(alice, "camera", simulcast={"preferredRid": "q"})
        ssrc, (item,) = ssrc_of(document), document["tracks"]
        assert item["simulcast"] == {"preferredRid": "q"}
        await come_from(bob, ssrc, alice.streams["0q"])
        for rid in ("h", "f", "q", "f"):
            track = remote(alice, "camera", mid=item["mid"], simulcast={"preferredRid": rid})
            answer = await service.tracks_update(bob.session_id, track)
            assert "errorCode" not in answer.json()["tracks"][0]
            await come_from(bob, ssrc, alice.streams[f"0{rid}"])
        check_stream(bob, ssrc)


async def test_a_layer_that_stops() -> None:
    """Where the policy allows it the next one in the order of the alphabet takes its place, until it is back.

    Without a policy a subscription is pinned to what it prefers.
    """
    async with subject() as service, lean(service) as alice, lean(service) as bob, lean(service) as carol:
        alice.add(kind="video", rids=("f", "h", "q"))
        await alice.publish("camera")
        alice.speak()
        document = await carol.pull(alice, "camera", simulcast={"preferredRid": "f"})
        pinned = ssrc_of(document)
        policy = {"preferredRid": "f", "ridNotAvailable": "asciibetical"}
        document = await bob.pull(alice, "camera", simulcast=policy)
        assert document["tracks"][0]["simulcast"] == policy
        ssrc = ssrc_of(document)
        await come_from(bob, ssrc, alice.streams["0f"])
        await come_from(carol, pinned, alice.streams["0f"])
        alice.speak("0h", "0q")
        await come_from(bob, ssrc, alice.streams["0h"])
        alice.speak()
        await come_from(bob, ssrc, alice.streams["0f"])
        await come_from(carol, pinned, alice.streams["0f"])
        check_stream(bob, ssrc)
        check_stream(carol, pinned)
        others = {*alice.streams["0h"].sent.values(), *alice.streams["0q"].sent.values()}
        assert not others & set(carol.payloads(pinned))


async def test_a_publisher_that_pauses() -> None:
    """Nothing is sent for a while, as when a microphone is muted: the stream goes on where it was."""
    async with subject() as service, speaker(service, "a") as alice, lean(service) as bob:
        ssrc = ssrc_of(await bob.pull(alice, "a"))
        await come_from(bob, ssrc, alice.streams["0"])
        alice.hush()
        await asyncio.sleep(0.1)
        alice.speak()
        await come_from(bob, ssrc, alice.streams["0"])
        check_stream(bob, ssrc)


# --- clocks


@dataclass(slots=True)
class Clock:
    """A publisher's wall clock, far from ours, and when on it the first packet of each stream was made."""

    offset_s: float
    started: dict[str, float]

    def capture_s(self, stream: Stream, number: int) -> float:
        """When the packet with this index was made."""
        return self.started[stream.mid] + number / 50

    def report(self, stream: Stream) -> None:
        """A sender report of this moment."""
        now = time.monotonic() + self.offset_s
        # The first packet has the timestamp with which all streams here begin.
        elapsed = round((now - self.started[stream.mid]) * stream.codec.clock_rate_hz)
        stream.report(now, FIRST_TIMESTAMP + elapsed)


def playout_s(client: Lean, ssrc: int, stream: Stream) -> tuple[int, float]:
    """The index of a packet at its publisher, and when it was made as the subscriber reckons, by its sender report."""
    report = next(
        packet for _, packet in reversed(client.rtcp) if isinstance(packet, SenderReport) and packet.ssrc == ssrc
    )
    header, payload = next(packet for packet in reversed(client.packets) if packet[0].ssrc == ssrc)
    behind = (header.rtp_timestamp - report.rtp_timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
    index = list(stream.sent.values()).index(payload)
    return index, unix_from_ntp(report.ntp_timestamp) + behind / stream.codec.clock_rate_hz


async def check_sync(clock: Clock, bob: Lean, audio: tuple[int, Stream], video: tuple[int, Stream]) -> None:
    """Sender reports relate both clocks as those of the publisher did."""
    before = time.monotonic()

    def has_reports() -> bool:
        fresh = {p.ssrc for at, p in bob.rtcp if at > before and isinstance(p, SenderReport)}
        return {audio[0], video[0]} <= fresh

    await until(has_reports, 15)
    heard, heard_s = playout_s(bob, *audio)
    seen, seen_s = playout_s(bob, *video)
    expected = clock.capture_s(audio[1], heard) - clock.capture_s(video[1], seen)
    assert abs(heard_s - seen_s - expected) < IN_SYNC_S


async def test_audio_and_video_are_in_sync() -> None:
    """At the subscriber as at the publisher, within 5 ms: in one call, and on an m-section that had another track."""
    async with subject() as service, speaker(service, "noise") as dave, lean(service) as alice, lean(service) as bob:
        alice.add()
        alice.add(kind="video")
        await alice.publish("mic", "camera")
        mic, camera = alice.streams["0"], alice.streams["1"]
        # The camera takes longer until its packets leave, and both clocks are an hour ahead.
        now = time.monotonic() + 3600
        clock = Clock(3600, {"0": now, "1": now - 0.137})
        alice.speak()
        clock.report(mic)
        other = await bob.pull(dave, "noise")
        await asyncio.sleep(0.1)
        clock.report(camera)
        pulled = await bob.pull(alice, "mic", "camera")
        audio, video = (ssrc_of(pulled, item["mid"]) for item in pulled["tracks"])
        await check_sync(clock, bob, (audio, mic), (video, camera))
        check_names(bob, pulled, audio, video)
        # Once more, where somebody else was heard before.
        mid = other["tracks"][0]["mid"]
        await bob.receives(ssrc_of(other))
        await service.tracks_update(bob.session_id, remote(alice, "mic", mid=mid))
        await come_from(bob, ssrc_of(other), mic)
        await check_sync(clock, bob, (ssrc_of(other), mic), (video, camera))


def check_names(client: Lean, document: dict[str, object], *ssrcs: int) -> None:
    """Only sources of one CNAME and of one media stream are synchronised."""
    names = [
        dict(packet.cnames) for _, packet in client.rtcp if isinstance(packet, SourceDescription) and packet.cnames
    ]
    assert len({cname for known in names for ssrc, cname in known.items() if ssrc in ssrcs}) == 1
    description = document["sessionDescription"]
    assert isinstance(description, dict)
    sending = [media for media in Sdp.parse(description["sdp"]).media if media.direction is Direction.SENDONLY]
    streams = [media.msid.split()[0] for media in sending if media.ssrcs[0].ssrc in ssrcs]
    assert len(streams) == len(ssrcs)
    assert len(set(streams)) == 1


async def test_reports_count_what_was_sent() -> None:
    """Packets and bytes of a sender report are those that the subscriber was sent."""
    async with subject() as service, speaker(service, "a") as alice, lean(service) as bob:
        ssrc = ssrc_of(await bob.pull(alice, "a"))

        def report() -> SenderReport | None:
            reports = [p for _, p in bob.rtcp if isinstance(p, SenderReport) and p.ssrc == ssrc]
            return reports[-1] if reports else None

        await until(lambda: (latest := report()) is not None and latest.packet_count > 5, 15)
        latest = report()
        assert latest is not None
        payloads = bob.payloads(ssrc)
        assert latest.octet_count == sum(map(len, payloads[: latest.packet_count]))
