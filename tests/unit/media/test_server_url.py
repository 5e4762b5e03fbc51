"""URLs of STUN and TURN servers (RFC 7064 §3.1, RFC 7065 §3.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.server_url import ServerUrl


@pytest.mark.parametrize(
    ("text", "is_turn", "host", "port", "protocol"),
    [
        ("stun:example.org", False, "example.org", 3478, "udp"),
        ("stun:example.org:19302", False, "example.org", 19302, "udp"),
        ("stuns:example.org", False, "example.org", 5349, "tls"),
        ("turn:example.org", True, "example.org", 3478, "udp"),
        ("turn:example.org?transport=udp", True, "example.org", 3478, "udp"),
        ("turn:example.org:80?transport=tcp", True, "example.org", 80, "tcp"),
        ("turns:example.org", True, "example.org", 5349, "tls"),
        ("turns:example.org:443?transport=tcp", True, "example.org", 443, "tls"),
        ("TURN:example.org?TRANSPORT=TCP", True, "example.org", 3478, "tcp"),
        ("turn:192.0.2.1:53", True, "192.0.2.1", 53, "udp"),
        ("turn:[2001:db8::1]", True, "2001:db8::1", 3478, "udp"),
        ("turn:[2001:db8::1]:65535", True, "2001:db8::1", 65535, "udp"),
        (" turn:example.org\n", True, "example.org", 3478, "udp"),
    ],
)
def test_urls(text: str, is_turn: bool, host: str, port: int, protocol: str):
    """What a URL leaves out is what the RFCs say; it is written as it was given, but for spaces around it."""
    url = ServerUrl.parse(text)
    assert (url.is_turn, url.host, url.port, url.protocol) == (is_turn, host, port, protocol)
    assert str(url) == text.strip()


@pytest.mark.parametrize(
    ("text", "expected", "offset"),
    [
        ("", "stun:HOST", 0),
        ("example.org", "stun:HOST", 0),
        ("http://example.org", "stun:HOST", 0),
        ("turn://example.org", "stun:HOST", 0),
        ("turn:", "stun:HOST", 0),
        ("turn:user@example.org", "stun:HOST", 0),
        ("turn:2001:db8::1", "stun:HOST", 0),
        ("turn:[example.org]", "stun:HOST", 0),
        ("turn:example.org:", "stun:HOST", 0),
        ("turn:example.org:http", "stun:HOST", 0),
        ("turn:example.org?transport=sctp", "stun:HOST", 0),
        ("turn:example.org?transport=tcp&x=1", "stun:HOST", 0),
        ("turn:exam ple.org", "stun:HOST", 0),
        ("turn:example.org:0", "a port from 1", 17),
        ("turn:example.org:65536", "a port from 1", 17),
        ("stun:example.org?transport=udp", "stun: URL without", 27),
        ("stuns:example.org?transport=tcp", "stun: URL without", 28),
        ("turns:example.org?transport=udp", "DTLS is not spoken", 28),
    ],
)
def test_what_is_none_says_what_was_expected(text: str, expected: str, offset: int):
    """And where."""
    with pytest.raises(ParseError, match=expected) as caught:
        ServerUrl.parse(text)
    assert caught.value.offset == offset


@pytest.mark.parametrize(("text", "is_port_53"), [("turn:a:53", True), ("turn:a:5349", False), ("stun:a:53", True)])
def test_port_53_is_known(text: str, is_port_53: bool):
    """Browsers block it."""
    assert ServerUrl.parse(text).is_port_53 is is_port_53


@given(st.text(max_size=30) | st.text(max_size=20).map(lambda rest: f"turn:{rest}"))
def test_any_text_is_a_url_or_a_parse_error(text: str):
    """Nothing else comes out, and what comes out can be parsed again."""
    try:
        url = ServerUrl.parse(text)
    except ParseError:
        return
    assert ServerUrl.parse(str(url)) == url
    assert 0 < url.port < 65536
