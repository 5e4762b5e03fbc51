"""Packets on their way from a publisher to its subscribers (Realtime docs: Sessions and tracks, Limits: codecs).

Publishers offer as Chromium does; their subscribers number payload types and header extensions as Firefox does, or
otherwise. What is inside the packets is nothing that could be decoded: nobody on the way does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.rtcp_feedback import GenericNack, PictureLossIndication
from rtcctl.media.rtcp_transport_cc import TransportFeedback
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.sdp import Direction
from rtcctl.media.sdp import SessionDescription as Sdp
from tests.contract.cases import all_pass
from tests.contract.lean import Lean, lean, remote, speaker, ssrc_of
from tests.contract.stream import are_contiguous
from tests.contract.subject import Subject, subject
from tests.support.data_path import until

FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")


def h264(payload_type: int, profile_level_id: str, mode: int) -> Codec:
    parameters = f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile_level_id}"
    return Codec("H264", payload_type, 90000, parameters=parameters, feedback=FEEDBACK)


def video(name: str, payload_type: int, parameters: str = "") -> Codec:
    return Codec(name, payload_type, 90000, parameters=parameters, feedback=FEEDBACK)


CODECS: Mapping[str, tuple[Codec, int]] = {
    # as a publisher offers it, and its payload type at the subscriber; of video, the next one is its RTX
    "opus": (Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("transport-cc",)), 109),
    "PCMU": (Codec("PCMU", 0, 8000), 100),
    "PCMA": (Codec("PCMA", 8, 8000), 8),
    "VP8": (video("VP8", 96), 120),
    "H264 constrained baseline, mode 1": (h264(108, "42e01f", 1), 126),
    "H264 constrained baseline, mode 0": (h264(114, "42e01f", 0), 97),
    "H264 baseline, mode 1": (h264(102, "42001f", 1), 105),
    "H264 main, mode 1": (h264(116, "4d001f", 1), 103),
    "H264 high, mode 1": (h264(112, "64001f", 1), 107),
    "H265": (video("H265", 49, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"), 50),
    "AV1": (video("AV1", 45, "level-idx=5;profile=0;tier=0"), 99),
    "VP9 profile 0": (video("VP9", 98, "profile-id=0"), 122),
    "VP9 profile 2": (video("VP9", 100, "profile-id=2"), 124),
}


def offered(kind: str) -> tuple[Codec, ...]:
    """All of a kind, as the publisher numbers them."""
    codecs = []
    for codec, _ in CODECS.values():
        if (codec.clock_rate_hz == 90000) == (kind == "video"):
            codecs.append(codec)
            if kind == "video":
                codecs.append(rtx(codec.payload_type))
    return tuple(codecs)


def wanted(kind: str) -> tuple[Codec, ...]:
    """The same as the subscriber numbers and orders them."""
    codecs = []
    for codec, payload_type in reversed(CODECS.values()):
        if (codec.clock_rate_hz == 90000) == (kind == "video"):
            codecs.append(replace(codec, payload_type=payload_type))
            if kind == "video":
                codecs.append(rtx(payload_type))
    return tuple(codecs)


def rtx(payload_type: int) -> Codec:
    return Codec("rtx", payload_type + 1, 90000, parameters=f"apt={payload_type}")


async def check_codec(service: Subject, codec: Codec, payload_type: int) -> None:
    kind = "video" if codec.clock_rate_hz == 90000 else "audio"
    async with lean(service) as alice, lean(service) as bob:
        alice.add(kind=kind, codecs=offered(kind), sends=codec)
        await alice.publish("track")
        alice.speak()
        bob.add(Direction.RECVONLY, kind=kind, codecs=wanted(kind))
        ssrc = ssrc_of(await bob.pull_offering(alice, "track"))
        await bob.receives(ssrc, 10)
        headers, payloads = bob.headers(ssrc), bob.payloads(ssrc)
    assert {header.payload_type for header in headers} == {payload_type}
    assert {header.marker for header in headers} == {kind == "video"}
    assert are_contiguous(headers)
    stream = alice.streams["0"]
    steps = {(b.rtp_timestamp - a.rtp_timestamp) & 0xFFFFFFFF for a, b in pairwise(headers)}
    assert steps == {stream.step}
    sent = list(stream.sent.values())
    begin = sent.index(payloads[0])
    assert payloads == sent[begin : begin + len(payloads)]


async def test_codecs() -> None:
    """Packets arrive whole, under the subscriber's payload type for the same codec, profile and packetization."""
    async with subject() as service:
        await all_pass({name: check_codec(service, *case) for name, case in CODECS.items()})


async def test_codecs_by_an_offer_of_the_service() -> None:
    """It has what the publisher sends, each with RTX, in the numbers that the subscriber's own offer has given them."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind="video", codecs=offered("video"))
        await alice.publish("camera")
        alice.speak()
        bob.add(kind="video", codecs=wanted("video"))
        await bob.publish("own")
        document = await bob.pull(alice, "camera")
        media = bob.learn(document["sessionDescription"]).media[1]
        payload_types = {codec.payload_type for codec in media.codecs}
        assert payload_types == {codec.payload_type for codec in wanted("video")}
        headers = await bob.receives(ssrc_of(document))
        assert {header.payload_type for header in headers} == {CODECS["VP8"][1]}


# --- repair


async def test_what_a_subscriber_misses() -> None:
    """A NACK for video is answered with RTX (RFC 4588), on the SSRC and the payload type that were agreed."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind="video", codecs=offered("video"))
        await alice.publish("camera")
        alice.speak()
        bob.add(Direction.RECVONLY, kind="video", codecs=wanted("video"))
        document = await bob.pull_offering(alice, "camera")
        (media,) = bob.learn(document["sessionDescription"]).media
        ((semantics, (ssrc, rtx_ssrc)),) = media.ssrc_groups
        assert semantics == "FID"
        await bob.receives(ssrc)
        (number,) = await bob.lose()
        await bob.receives(ssrc, 1)
        bob.ask_again(ssrc, number)
        (repair,) = await bob.receives(rtx_ssrc, 1)
        assert repair.payload_type == CODECS["VP8"][1] + 1
        (payload,) = bob.payloads(rtx_ssrc)
        assert payload.startswith(number.to_bytes(2, "big"))
        neighbours = {header.sequence_number: (header.rtp_timestamp, content) for header, content in bob.packets}
        before, after = neighbours[(number - 1) & 0xFFFF], neighbours[(number + 1) & 0xFFFF]
        assert (repair.rtp_timestamp - before[0]) & 0xFFFFFFFF == (after[0] - repair.rtp_timestamp) & 0xFFFFFFFF
        sent = list(alice.streams["0"].sent.values())
        assert payload[2:] == sent[sent.index(before[1]) + 1]


async def test_what_a_subscriber_of_audio_misses() -> None:
    """Without RTX a NACK is answered with the packet itself."""
    async with subject() as service, speaker(service, "mic") as alice, lean(service) as bob:
        ssrc = ssrc_of(await bob.pull(alice, "mic"))
        await bob.receives(ssrc)
        numbers = await bob.lose(2)
        bob.ask_again(ssrc, *numbers)
        await until(lambda: set(numbers) <= {header.sequence_number for header in bob.headers(ssrc)}, 15)
        sent = list(alice.streams["0"].sent.values())
        begin = sent.index(bob.payloads(ssrc)[0])
        ordered = sorted(
            bob.packets, key=lambda packet: (packet[0].sequence_number - bob.packets[0][0].sequence_number) & 0xFFFF
        )
        assert [content for _, content in ordered] == sent[begin : begin + len(ordered)]


async def test_what_the_service_misses() -> None:
    """It asks the publisher, and what comes as RTX goes on to subscribers as what it was."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind="video")
        await alice.publish("camera")
        alice.speak()
        ssrc = ssrc_of(await bob.pull(alice, "camera"))
        await bob.receives(ssrc)
        alice.hush()
        stream = alice.streams["0"]
        number = stream.number
        stream.send(is_lost=True)
        stream.send(3)

        def asked() -> list[int]:
            nacks = [packet for _, packet in alice.rtcp if isinstance(packet, GenericNack)]
            return [n for nack in nacks for n in nack.sequence_numbers if nack.media_ssrc == stream.ssrc]

        await until(lambda: number in asked(), 15)
        stream.send_again(number)
        await until(lambda: stream.sent[number] in bob.payloads(ssrc), 15)
        numbers = sorted(
            header.sequence_number - bob.headers(ssrc)[0].sequence_number & 0xFFFF for header in bob.headers(ssrc)
        )
        assert numbers == list(range(len(numbers)))


async def test_key_frames() -> None:
    """The publisher is asked for one when a subscription begins, and when a subscriber asks."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind="video")
        await alice.publish("camera")
        alice.streams["0"].head = b"\x10\x01"
        alice.speak()

        def asked() -> int:
            return sum(isinstance(packet, PictureLossIndication) for _, packet in alice.rtcp)

        ssrc = ssrc_of(await bob.pull(alice, "camera"))
        await until(asked, 15)
        before = asked()
        bob.peer.send_rtcp(PictureLossIndication(bob.peer.ssrc, ssrc))
        await until(lambda: asked() > before, 15)


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_congestion_feedback(kind: str) -> None:
    """Packets with numbers of the whole transport are reported on, of each kind: publishers adapt by that."""
    async with subject() as service, lean(service) as alice:
        alice.add(kind=kind, codecs=offered(kind), extensions={3: extensions.TRANSPORT_CC, 4: extensions.MID})
        document = await alice.publish("track")
        (media,) = alice.learn(document["sessionDescription"]).media
        assert media.extension_id(extensions.TRANSPORT_CC) == 3
        assert "transport-cc" in media.codecs[0].feedback
        for number in range(20):
            alice.streams["0"].elements = {3: number.to_bytes(2, "big")}
            alice.streams["0"].send()

        def reported() -> set[int]:
            packets = [packet for _, packet in alice.rtcp if isinstance(packet, TransportFeedback)]
            return {number for packet in packets for number, _ in packet.received}

        await until(lambda: reported() >= set(range(20)), 15)


# --- header extensions

AUDIO_EXTENSIONS = {
    # URI: id at the publisher, id at the subscriber, value
    extensions.AUDIO_LEVEL: (1, 6, b"\x85"),
    extensions.ABS_CAPTURE_TIME: (2, 3, b"12345678"),
}
VIDEO_EXTENSIONS = {
    extensions.VIDEO_ORIENTATION: (13, 2, b"\x01"),
    extensions.PLAYOUT_DELAY: (5, 9, b"\x00\x00\x0a"),
    extensions.ABS_CAPTURE_TIME: (8, 5, b"12345678"),
    extensions.DEPENDENCY_DESCRIPTOR: (12, 13, b"\x80\x00\x01\x00"),
}
WRITTEN = {extensions.ABS_SEND_TIME: (2, 12), extensions.MID: (4, 7), extensions.TRANSPORT_CC: (3, 4)}
"At the publisher, at the subscriber: what the service says itself, if anybody."


@pytest.mark.parametrize(("kind", "forwarded"), [("audio", AUDIO_EXTENSIONS), ("video", VIDEO_EXTENSIONS)])
async def test_header_extensions(kind: str, forwarded: Mapping[str, tuple[int, int, bytes]]) -> None:
    """What a publisher says of its media goes on under the subscriber's ids; its transport's numbers do not."""
    written = {uri: ids for uri, ids in WRITTEN.items() if uri not in AUDIO_EXTENSIONS or kind == "video"}
    if kind == "audio":
        del written[extensions.ABS_SEND_TIME]
    published = {ids[0]: uri for uri, ids in (written | forwarded).items()}
    subscribed = {ids[1]: uri for uri, ids in (written | forwarded).items()}
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        alice.add(kind=kind, extensions=published)
        await alice.publish("track")
        alice.streams["0"].elements = {here: value for here, _, value in forwarded.values()} | {
            3: b"\x12\x34",
            4: b"0",
        }
        alice.speak()
        bob.add(Direction.RECVONLY, kind=kind, extensions=subscribed)
        document = await bob.pull_offering(alice, "track")
        (media,) = bob.learn(document["sessionDescription"]).media
        assert {media.extension_id(uri) for uri in forwarded} == {there for _, there, _ in forwarded.values()}
        for header in await bob.receives(ssrc_of(document)):
            elements = {there: header.extensions.get(there) for _, there, _ in forwarded.values()}
            assert elements == {there: value for _, there, value in forwarded.values()}
            assert header.extensions.get(4) != b"\x12\x34"
            if 7 in header.extensions:
                assert header.extensions[7] == media.mid.encode()


# --- many at once


async def test_several_publishers_in_one_call() -> None:
    """Each track has an m-section and a source of its own, and all of them flow."""
    async with (
        subject() as service,
        speaker(service, "a", "b") as alice,
        speaker(service, "c") as carol,
        lean(service) as dave,
        lean(service) as bob,
    ):
        dave.add(kind="video")
        await dave.publish("camera")
        dave.speak()
        wanted = [remote(alice, "b"), remote(carol, "c"), remote(dave, "camera"), remote(alice, "a")]
        document = await bob.new_tracks(wanted)
        await bob.accept(document["sessionDescription"])
        items = document["tracks"]
        assert [(i["sessionId"], i["trackName"]) for i in items] == [(w["sessionId"], w["trackName"]) for w in wanted]
        ssrcs = [ssrc_of(document, item["mid"]) for item in items]
        assert len({item["mid"] for item in items}) == len(set(ssrcs)) == 4
        for ssrc, (source, mid) in zip(ssrcs, ((alice, "1"), (carol, "0"), (dave, "0"), (alice, "0")), strict=True):
            await bob.receives(ssrc)
            assert set(bob.payloads(ssrc)) <= set(source.streams[mid].sent.values())


async def test_sixty_four_tracks_in_one_call() -> None:
    """As many as a call may have are published, and pulled."""
    async with subject() as service, lean(service) as alice, lean(service) as bob:
        names = [f"track-{i}" for i in range(64)]
        for _ in names:
            alice.add()
        await alice.publish(*names)
        alice.speak(rate_hz=5)
        document = await bob.pull(alice, *names)
        media = Sdp.parse(document["sessionDescription"]["sdp"]).media
        assert [item["mid"] for item in document["tracks"]] == [section.mid for section in media]
        ssrcs = {section.ssrcs[0].ssrc for section in media}
        assert len(ssrcs) == 64
        await until(lambda: ssrcs <= {header.ssrc for header, _ in bob.packets}, 15)


async def test_subscribers_that_number_differently() -> None:
    """One packet goes to each in its own numbers."""
    async with subject() as service, lean(service) as alice, lean(service) as bob, lean(service) as carol:
        alice.add(kind="video", codecs=offered("video"))
        await alice.publish("camera")
        alice.speak()
        bob.add(Direction.RECVONLY, kind="video", codecs=wanted("video"))
        carol.add(Direction.RECVONLY, kind="video", codecs=offered("video"))
        received: dict[int, list[RtpHeader]] = {}
        for member in (bob, carol):
            document = await member.pull_offering(alice, "camera")
            headers = await member.receives(ssrc_of(document))
            received[headers[0].payload_type] = headers
        assert set(received) == {CODECS["VP8"][1], CODECS["VP8"][0].payload_type}
        await _both(bob, carol)


async def _both(*members: Lean) -> None:
    for member in members:
        await member.receives(member.packets[-1][0].ssrc)
