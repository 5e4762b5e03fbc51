"""Relayed candidates."""

from __future__ import annotations

import pytest

from rtcctl.media.sdp import Candidate
from rtcctl.probe.turn.relay import candidate


def test_a_relayed_candidate_says_nothing_of_where_we_are():
    """As RFC 8839 §5.1 has it where the related address is not told, for both families; browsers have port 0."""
    made = candidate(("192.0.2.7", 50000), "udp", 0)
    assert str(made) == f"1 1 udp {made.priority} 192.0.2.7 50000 typ relay raddr 0.0.0.0 rport 9"
    assert Candidate.parse(str(made)) == made
    assert candidate(("2001:db8::7", 50000), "udp", 0).extensions == "raddr :: rport 9"


def test_udp_comes_before_tcp_before_tls_and_each_is_its_own():
    """Type preference 0 (RFC 8445 §5.1.2.2); of one protocol, the URL that was named first."""
    protocols = ("tls", "udp", "tcp", "udp", "tls")
    made = [candidate(("192.0.2.7", 50000 + i), protocol, i) for i, protocol in enumerate(protocols)]
    best_first = sorted(range(len(made)), key=lambda i: -made[i].priority)
    assert best_first == [1, 3, 2, 0, 4]
    assert len({one.foundation for one in made}) == len(made)
    assert all(one.priority >> 24 == 0 and one.priority & 0xFF == 255 for one in made)


@pytest.mark.parametrize("index", [255, 256, 1000])
def test_many_urls_do_not_change_the_order_of_protocols(index: int):
    """However many there are."""
    last_udp, first_tcp = candidate(("192.0.2.7", 1), "udp", index), candidate(("192.0.2.7", 2), "tcp", 0)
    assert last_udp.priority > first_tcp.priority
