"""Lists of STUN and TURN servers: what browsers refuse, and what only costs time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.realtime.explain.ice_servers import explain_ice_servers, is_port_53

TURN = {"urls": ["turn:turn.cloudflare.com:3478?transport=udp"], "username": "a", "credential": "secret-of-turn"}


@pytest.mark.parametrize(
    "servers",
    [
        [{"urls": ["stun:stun.cloudflare.com:3478"]}, TURN],
        {"iceServers": [{"urls": "stun:[2001:db8::1]"}, TURN]},
        [{**TURN, "urls": ["turns:turn.cloudflare.com:5349?transport=tcp", "turn:turn.cloudflare.com"]}],
    ],
)
def test_good_lists(servers: Any) -> None:
    """As the service answers today."""
    assert explain_ice_servers(servers) == []


@pytest.mark.parametrize(
    ("servers", "where", "what"),
    [
        ([], "iceServers", "no list of servers"),
        (None, "iceServers", "no list of servers"),
        ("stun:a", "iceServers", "no list of servers"),
        ({"iceServers": TURN}, "iceServers", "one object, no list"),
        ([{}], "iceServers[0].urls", "no URLs"),
        (["stun:a"], "iceServers[0].urls", "no URLs"),
        ([{"urls": []}], "iceServers[0].urls", "no URLs"),
        ([{"urls": ["http://a"]}], "iceServers[0].urls[0]", "no URL of a STUN or TURN server"),
        ([{"urls": [5]}], "iceServers[0].urls[0]", "no URL of a STUN or TURN server"),
        ([{**TURN, "urls": "turn:user@a"}], "iceServers[0].urls[0]", "no URL of a STUN or TURN server"),
        ([{"urls": "stun:a?transport=udp"}], "iceServers[0].urls[0]", "query"),
        ([{**TURN, "urls": "turn:a?transport=sctp"}], "iceServers[0].urls[0]", "query"),
        ([{**TURN, "urls": "turns:a?transport=udp"}], "iceServers[0].urls[0]", "TURN over DTLS"),
        ([{"urls": "turn:a"}], "iceServers[0]", "without `username` and `credential`"),
    ],
)
def test_mistakes(servers: Any, where: str, what: str) -> None:
    """The first finding is the mistake."""
    finding = explain_ice_servers(servers)[0]
    assert (finding.where, finding.is_error) == (where, True)
    assert what in finding.what


def test_port_53_costs_time() -> None:
    """A warning for each such URL, errors before it."""
    servers = [{"urls": ["stun:stun.cloudflare.com:53"]}, {**TURN, "urls": "turn:turn.cloudflare.com:53?transport=udp"}]
    assert [(f.where, f.is_error) for f in explain_ice_servers(servers)] == [
        ("iceServers[0].urls[0]", False),
        ("iceServers[1].urls[0]", False),
    ]
    assert explain_ice_servers([*servers, {"urls": "turn:a"}])[0].is_error


def test_many_urls() -> None:
    """From five on Firefox warns."""
    (finding,) = explain_ice_servers([{"urls": [f"stun:s{i}.example" for i in range(5)]}])
    assert "5 URLs" in finding.what
    assert not finding.is_error


@pytest.mark.parametrize(
    ("url", "expected"),
    [("stun:a:53", True), ("turn:[::1]:53?transport=udp", True), (" STUN:a:053 ", True), ("stun:a:5353", False)],
)
def test_is_port_53(url: str, expected: bool) -> None:
    """By number, whatever stands around it."""
    assert is_port_53(url) is expected


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["urls", "iceServers", "username"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_anything_is_explained(servers: Any) -> None:
    """Nothing raises; no secret, one line."""
    for finding in explain_ice_servers(servers):
        assert str(finding).isprintable()
