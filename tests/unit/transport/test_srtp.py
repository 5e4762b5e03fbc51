"""SRTP by libsrtp, in place and by copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import NetworkError
from rtcctl.media.rtcp import ReceiverReport, SourceDescription, compound
from rtcctl.media.rtp import build_packet
from rtcctl.transport.srtp import PROFILES, SrtpKeys, SrtpProfile, SrtpSession


@pytest.fixture(params=PROFILES, ids=lambda profile: profile.openssl_name.decode())
def sessions(request):
    profile = request.param
    size = profile.key_size + profile.salt_size
    a, b = bytes(range(size)), bytes(range(size, 2 * size))
    pair = SrtpSession(SrtpKeys(profile, a, b)), SrtpSession(SrtpKeys(profile, b, a))
    yield pair
    for session in pair:
        session.close()


def packet(number, payload=b"payload"):
    return build_packet(payload, payload_type=111, sequence_number=number, rtp_timestamp=0, ssrc=5)


def test_rtp(sessions):
    """A packet gets through once; a repeated or changed one does not."""
    ours, theirs = sessions
    protected = ours.protect_rtp(packet(1))
    assert b"payload" not in protected
    assert theirs.unprotect_rtp(protected[:-1] + bytes([protected[-1] ^ 1])) is None
    assert theirs.unprotect_rtp(protected) == packet(1)
    assert theirs.unprotect_rtp(protected) is None


def test_kept_buffer(sessions):
    """What is protected without a copy is the same, until the next packet; what does not fit is refused."""
    ours, theirs = sessions
    assert bytes(ours.protect_rtp_kept(packet(1))) == ours.protect_rtp(packet(1))
    long, short = ours.protect_rtp_kept(packet(2, b"x" * 1200)), ours.protect_rtp_kept(packet(3))
    assert theirs.unprotect_rtp(bytes(short)) == packet(3)
    assert theirs.unprotect_rtp(bytes(long)) is None
    most = 2048 - 20 - 12
    assert theirs.unprotect_rtp(bytes(ours.protect_rtp_kept(packet(4, bytes(most))))) == packet(4, bytes(most))
    assert ours.protect_rtp_kept(packet(5, bytes(most + 1))) is None
    assert ours.protect_rtp_kept(b"no RTP") is None


def test_retransmission_is_the_same_packet(sessions):
    """The same packet protected again has the same bytes, so a repeated number gives nothing away."""
    ours, _ = sessions
    first = ours.protect_rtp(packet(1))
    ours.protect_rtp(packet(2))
    assert ours.protect_rtp(packet(1)) == first


def test_late_packets(sessions):
    """A packet may come a thousand numbers late."""
    ours, theirs = sessions
    late = ours.protect_rtp(packet(0))
    for number in range(1, 1000):
        assert theirs.unprotect_rtp(ours.protect_rtp(packet(number))) is not None
    assert theirs.unprotect_rtp(late) == packet(0)


def test_rtcp(sessions):
    """The same for RTCP."""
    ours, theirs = sessions
    report = compound(ReceiverReport(1), SourceDescription.of(1, "name"))
    protected = ours.protect_rtcp(report)
    assert theirs.unprotect_rtcp(protected) == report
    assert theirs.unprotect_rtcp(protected) is None
    assert theirs.unprotect_rtcp(b"\x80\xc9") is None


@given(data=st.binary(max_size=200))
def test_noise(data):
    """Garbage is dropped, both kinds, at any length."""
    keys = SrtpKeys(PROFILES[0], bytes(28), bytes(28))
    session = SrtpSession(keys)
    assert session.unprotect_rtp(data) is None
    assert session.unprotect_rtcp(data) is None
    session.close()


def test_profile_that_libsrtp_does_not_have():
    """A profile unknown to libsrtp is refused when the session is made, and never stands for no encryption."""
    profile = SrtpProfile(b"SRTP_NONE", 99, 16, 12, 16)
    with pytest.raises(NetworkError, match="libsrtp refuses SRTP_NONE"):
        SrtpSession(SrtpKeys(profile, bytes(28), bytes(28)))
