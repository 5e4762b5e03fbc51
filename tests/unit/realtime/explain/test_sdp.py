"""Mistakes in SDP, one by one: each is found where it is, and a good description has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.realtime.explain.sdp import Role, explain_sdp, sections

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
FINGERPRINT = ":".join(["AB"] * 32)


def vector(name: str) -> str:
    return (VECTORS / f"{name}.sdp").read_bytes().decode("utf-8")


AUDIO = vector("chromium-publish-audio")
SIMULCAST = vector("chromium-publish-simulcast-datachannel")
ANSWER = vector("chromium-answer")


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.sdp")), ids=lambda path: path.stem)
def test_what_browsers_write_is_fine(path: Path) -> None:
    """No finding at all, not even a warning."""
    role: Role = "answer" if "answer" in path.stem else "offer"
    assert explain_sdp(path.read_bytes().decode("utf-8"), role) == []


@pytest.mark.parametrize(
    ("sdp", "where", "what"),
    [
        ("", "SDP", "empty"),
        ("  \r\n", "SDP", "empty"),
        (AUDIO.strip(), "SDP", "CRLF is missing"),
        (AUDIO.replace("\r\n", "\\r\\n"), "SDP", r"the characters \r\n"),
        (AUDIO.replace("\r\n", "\\n"), "SDP", r"the characters \r\n"),
        (f"\r\n{AUDIO}", "SDP", "does not begin with v=0"),
        ('{"type": "offer"}\n', "SDP", "does not begin with v=0"),
        (AUDIO[: AUDIO.index("m=audio")], "SDP", "no m-section"),
        (AUDIO.replace("a=mid:0\r\n", ""), "m-section 0 (audio)", "no a=mid"),
        (AUDIO.replace("a=ice-ufrag:", "a=x:"), "m-section 0 (audio, mid '0')", "no a=ice-ufrag"),
        (AUDIO.replace("a=ice-pwd:", "a=x:"), "m-section 0 (audio, mid '0')", "no a=ice-pwd"),
        (AUDIO.replace("a=fingerprint:", "a=x:"), "m-section 0 (audio, mid '0')", "no a=fingerprint"),
        (AUDIO.replace("a=setup:actpass", "a=setup:holdconn"), "m-section 0 (audio, mid '0')", "holdconn"),
        (AUDIO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "m-section 0 (audio, mid '0')", "no DTLS"),
        (AUDIO.replace("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio\r\na=x:9"), "m-section 0 (audio, mid '0')", "no DTLS"),
        (SIMULCAST.replace("a=mid:1", "a=mid:0"), "SDP", "two m-sections have the mid '0'"),
        (SIMULCAST.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3"), "SDP", "names the mid '3', which no m-section has"),
        (SIMULCAST.replace("m=video 9", "m=video 0"), "SDP", "mid '1', whose m-section is rejected"),
        (SIMULCAST.replace("a=rid:h send\r\n", ""), "m-section 1 (video, mid '1')", "the rid 'h', which no a=rid"),
        (SIMULCAST.replace("UDP/DTLS/SCTP", "TCP/TLS"), "m-section 2 (application, mid '2')", "no data channel"),
        (AUDIO.replace("a=sendonly", "a=rtpmap:x"), "SDP line 21", "belongs there"),
    ],
)
def test_what_is_refused(sdp: str, where: str, what: str) -> None:
    """The first finding is an error, says where it is, and what to do."""
    findings = [finding for finding in explain_sdp(sdp, "offer") if finding.is_error]
    assert findings[0].where == where
    assert what in findings[0].what
    assert findings[0].hint


@pytest.mark.parametrize(
    ("sdp", "at"),
    [
        (AUDIO.replace("a=setup:actpass", "a=setup:holdconn"), "a=setup:"),
        (AUDIO.replace("a=ice-pwd:", "a=x:"), "m=audio"),
        (AUDIO.replace("a=mid:0\r\n", ""), "m=audio"),
        (AUDIO.replace("a=group", "a=ice-lite\r\na=group"), "a=ice-lite"),
        (AUDIO.replace("a=rtcp-mux", "a=rtcp-mux\r\na=crypto:1 X inline:secret"), "a=crypto:"),
        (AUDIO.replace("a=sendonly", "a=rtpmap:x"), "a=rtpmap:x"),
        (SIMULCAST.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3"), "a=group:BUNDLE"),
        (SIMULCAST.replace("m=video 9", "m=video 0"), "a=group:BUNDLE"),
        (SIMULCAST.replace("BUNDLE 0 1 2", "BUNDLE 0 2"), "m=video"),
        (SIMULCAST.replace("a=rid:h send\r\n", ""), "a=simulcast:"),
        (SIMULCAST.replace("a=simulcast:", "a=x:"), "a=rid:f"),
        (SIMULCAST.replace("f;h;q", "h;f;q"), "a=simulcast:"),
        (SIMULCAST.replace("UDP/DTLS/SCTP", "TCP/TLS"), "m=application"),
    ],
)
def test_the_line_is_named(sdp: str, at: str) -> None:
    """Where the mistake stands; where something is missing, the m-section that lacks it."""
    lines = sdp.split("\r\n")
    findings = explain_sdp(sdp, "offer")
    assert findings[0].line == 1 + next(index for index, line in enumerate(lines) if line.startswith(at))


def test_the_second_of_two_mids_is_named() -> None:
    """The first one is right."""
    sdp = SIMULCAST.replace("a=mid:1", "a=mid:0")
    assert explain_sdp(sdp, "offer")[0].line == sdp[: sdp.rindex("a=mid:0")].count("\n") + 1


@pytest.mark.parametrize(
    ("sdp", "role", "what"),
    [
        (AUDIO.replace("\r\n", "\n"), "offer", "LF alone"),
        (AUDIO.replace("m=audio 9", "m=audio 0").replace("BUNDLE 0", "BUNDLE"), "offer", "every m-section is rejected"),
        (SIMULCAST.replace("a=group:BUNDLE 0 1 2\r\n", ""), "offer", "no BUNDLE group"),
        (SIMULCAST.replace("BUNDLE 0 1 2", "BUNDLE 0 2"), "offer", "mid '1' is outside of its BUNDLE group"),
        (AUDIO.replace("a=group", "a=ice-lite\r\na=group"), "offer", "ICE-lite"),
        (AUDIO.replace("a=rtcp-mux\r\n", ""), "offer", "no a=rtcp-mux"),
        (AUDIO.replace("a=rtcp-mux", "a=rtcp-mux\r\na=crypto:1 X inline:secret"), "offer", "a=crypto offers keys"),
        (AUDIO.replace(" 111 63 9 0 8 13 110 126", " 63 9 13"), "offer", "no codec that the SFU forwards"),
        (AUDIO.replace("m=audio", "m=text"), "offer", "audio, video and application"),
        (SIMULCAST.replace("a=simulcast:", "a=x:"), "offer", "no a=simulcast line"),
        (ANSWER.replace("a=recvonly", "a=inactive"), "answer", "no m-section sends or receives"),
    ],
)
def test_what_is_accepted_and_means_something_else(sdp: str, role: Role, what: str) -> None:
    """Warnings only: the service takes it."""
    (finding,) = explain_sdp(sdp, role)
    assert what in finding.what
    assert not finding.is_error


def test_an_answer_decides_who_begins() -> None:
    """`actpass` is for offers; in an answer each m-section says so."""
    findings = explain_sdp(ANSWER.replace("a=setup:active", "a=setup:actpass"), "answer")
    assert findings
    assert all("actpass" in finding.what and finding.is_error for finding in findings)


@pytest.mark.parametrize(
    ("rids", "is_fine"),
    [
        ("f;h;q", True),
        ("q;h;f", True),
        ("a;b;c", True),
        ("high;low", True),
        ("high;med;low", False),
        ("low;mid;high", False),
        ("full;half;quarter", True),
        ("hi,hx;~mid;lo", False),
    ],
)
def test_rids_that_do_not_sort(rids: str, is_fine: bool) -> None:
    """Fallback goes a to z, so names must sort as the layers do; the warning says what comes out."""
    names = [name.lstrip("~") for stream in rids.split(";") for name in stream.split(",")]
    lines = "".join(f"a=rid:{name} send\r\n" for name in names)
    sdp = SIMULCAST.replace("a=rid:f send\r\na=rid:h send\r\na=rid:q send\r\n", lines).replace("f;h;q", rids)
    assert lines in sdp
    findings = explain_sdp(sdp, "offer")
    assert [finding.what for finding in findings] == ([] if is_fine else ["its rids do not sort from best to worst"])
    if rids == "high;med;low":
        assert "'high', 'low', 'med'" in findings[0].hint


def test_one_layer_is_no_simulcast() -> None:
    """A single rid without a=simulcast is nothing to speak of, and so is simulcast that only receives."""
    one = SIMULCAST.replace("a=rid:h send\r\na=rid:q send\r\n", "").replace("a=simulcast:send f;h;q\r\n", "")
    assert explain_sdp(one, "offer") == []
    assert explain_sdp(one.replace("a=rid:f send", "a=rid:f recv\r\na=simulcast:recv f"), "offer") == []


def test_sections_inherit_what_the_session_says() -> None:
    """Direction, credentials and fingerprint may stand once, above all m-sections."""
    sdp = (
        f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=recvonly\r\na=ice-ufrag:user\r\na=ice-pwd:{'p' * 22}\r\n"
        f"a=fingerprint:sha-256 {FINGERPRINT}\r\na=setup:actpass\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\n"
    )
    assert explain_sdp(sdp, "offer") == []
    ((section,), _) = sections(sdp)
    assert (section.direction, section.sends, section.receives) == ("recvonly", False, True)
    assert section.codecs == ("pcmu",)
    assert not sections("m=audio 0 X 0\r\na=bundle-only\r\n")[0][0].is_rejected


def test_findings_repeat_no_sdp() -> None:
    """Credentials and fingerprints are in none; a mid is quoted and cut."""
    broken = AUDIO.replace("a=mid:0", f"a=mid:\x07{'x' * 500}").replace("a=setup:actpass", "a=setup:holdconn")
    said = " ".join(map(str, explain_sdp(broken, "offer")))
    assert len(said) < 1500
    assert said.isprintable()
    for line in AUDIO.splitlines():
        assert line.startswith(("v=", "s=", "t=")) or line not in said


@given(
    st.text(alphabet="v=0\r\nm a:udiocBUNDLEmid12groupsetpatpx\\", max_size=300), st.sampled_from(["offer", "answer"])
)
def test_any_text_is_explained(text: str, role: Role) -> None:
    """Nothing raises, everything stays one line."""
    for finding in explain_sdp(f"v=0\r\n{text}", role):
        assert str(finding).isprintable()
