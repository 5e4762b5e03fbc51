"""Descriptions that nobody expects, at any moment: agreed to or refused, and the session goes on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rtcctl.media.sdp import SessionDescription as Sdp
from rtcctl.web.refusal import Refusal
from tests.support.sdp import answer_to, video
from tests.support.world import OPERATIONS, VECTORS, World, connect, operate, pull

NAMES = sorted(VECTORS.glob("*.sdp"))
LINES = sorted({line for name in NAMES for line in name.read_text().splitlines()})
HOSTILE = [
    "m=audio 0 UDP/TLS/RTP/SAVPF 111",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=mid:0",
    "a=mid:1",
    f"a=mid:{'9' * 255}",
    "a=group:BUNDLE 0 1",
    "a=group:BUNDLE 1 0",
    "a=bundle-only",
    "a=extmap:300 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=rtpmap:111 opus/0/0",
    "a=rtpmap:0 opus/48000/2",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=97",
    "a=fmtp:97 apt=96",
    "a=fmtp:96 profile-level-id=zz;;=;packetization-mode",
    "a=rtcp-fb:* nack",
    "a=fingerprint:sha-1 AB:CD",
    "a=setup:holdconn",
    "a=setup:passive",
    "a=sendrecv",
    "a=recvonly",
    "a=inactive",
    "a=ssrc:1 cname:x",
    "a=ssrc:2 cname:x",
    "a=ssrc-group:FID 1 2",
    "a=ssrc-group:FID 1 1",
    "a=ssrc-group:FID 1 2 3",
    "a=rid:f send",
    "a=simulcast:send f,~h;f",
    "a=sctp-port:0",
    "a=max-message-size:0",
    "a=candidate:1 1 udp 1 fe80::1%25lo 9 typ host",
    "a=ice-lite",
]


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """What a real client said, with lines of others in it."""
    lines = draw(st.sampled_from(NAMES)).read_text().splitlines()
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(1, len(lines)))
        replaced = draw(st.integers(0, 3))
        lines[at : at + replaced] = draw(st.lists(st.sampled_from(HOSTILE + LINES), max_size=3))
    return "".join(f"{line}\r\n" for line in lines)


@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), mangled()), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
async def test_descriptions_that_nobody_expects(steps: list[tuple[str, str]], answers: bool) -> None:
    """No bug, no session that ends; afterwards it can pull, unless an offer of the SFU is still open."""
    world = World()
    publisher, session = await world.publisher("camera", video("0", rids=("f", "h"))), world.session()
    refusals: list[Refusal] = []
    for operation, sdp in [*steps, ("ask", "")]:
        try:
            with session.boundary(world.registry.count_bug):
                await operate(session, publisher, operation, sdp)
        except Refusal as refusal:
            refusals.append(refusal)
        if session.connection:
            connect(session)
        if answers and session._signalling.awaits_answer:
            offered = Sdp(media=tuple(transceiver.local for transceiver in session._signalling.transceivers))
            with session.boundary(world.registry.count_bug):
                await session.renegotiate(answer_to(offered))
                connect(session)
    assert {refusal.status for refusal in refusals} <= {400, 406, 425}
    assert world.registry.bugs == 0
    assert not session.is_gone
    if answers:
        with session.boundary(world.registry.count_bug):
            (track,) = (await pull(session, publisher, "camera")).tracks or []
        assert track.mid
    world.registry.close()
