"""Which relays are used, and whether media went through them."""

from __future__ import annotations

import pytest

from rtcctl.errors import UsageError
from rtcctl.media.server_url import ServerUrl
from rtcctl.ops.relay import RelayPolicy, calls, check, chosen
from rtcctl.probe.peer import ConnectionTiming
from rtcctl.probe.turn.relay import RelaySettings, TurnServer
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import CheckStatus
from rtcctl.units import SpellingError, Via

URLS = (
    "turn:turn.example:3478?transport=udp",
    "turn:turn.example:3478?transport=tcp",
    "turn:turn.example:80?transport=tcp",
    "turns:turn.example:5349?transport=tcp",
    "turns:turn.example:443?transport=tcp",
)
ALL = RelaySettings(tuple(TurnServer(ServerUrl.parse(url), "user", "a-password") for url in URLS))
PROFILE = Profile(name="test", api_base="https://rtc.example/v1", turn_key_id="key")


def timing(type_: str, protocol: str | None = None) -> ConnectionTiming:
    return ConnectionTiming(1.0, 2.0, f"a → b {type_}/udp", type_, protocol)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("via", "indices"),
    [(None, (0, 1, 2, 3, 4)), ("udp", (0,)), ("tcp", (1, 2)), ("tcp:80", (2,)), ("tls", (3, 4)), ("tls:443", (4,))],
)
def test_via_chooses_by_protocol_and_port(via: str | None, indices: tuple[int, ...]):
    """All of one protocol, or those of one port."""
    used = chosen(RelayPolicy(None if via is None else Via.parse(via)), ALL)
    assert [server.url.text for server in used.servers] == [URLS[index] for index in indices]


def test_what_there_is_not_is_named_with_what_there_is():
    """A usage error that lists the URLs, and shows no password."""
    with pytest.raises(UsageError) as wrong:
        chosen(RelayPolicy(Via.parse("udp:53")), ALL)
    assert "udp:53" in wrong.value.message
    assert all(url in wrong.value.message for url in URLS)
    assert "a-password" not in wrong.value.message + repr(ALL)
    with pytest.raises(UsageError) as none:
        chosen(RelayPolicy(), RelaySettings(()))
    assert "coturn" in none.value.hint


@pytest.mark.parametrize("text", ["", "quic", "UDP", "tls:", "tls:0", "tls:65536", "tls:443:1", "443", "udp,tcp"])
def test_other_ways_have_no_spelling(text: str):
    """The message has the right one."""
    with pytest.raises(SpellingError, match="tls:443"):
        Via.parse(text)


def test_a_way_prints_as_it_is_typed():
    """With its parts."""
    assert [(str(via), via.protocol, via.port) for via in (Via.parse("tls:443"), Via.parse("udp"))] == [
        ("tls:443", "tls", 443),
        ("udp", "udp", None),
    ]
    assert list(RelayPolicy(Via.parse("tls:443")).options()) == ["--relay-via", "tls:443"]
    assert list(RelayPolicy().options()) == ["--relay"]


@pytest.mark.parametrize(
    ("via", "paths", "status"),
    [
        (None, [timing("relay", "tcp"), timing("relay", "udp")], CheckStatus.PASSED),
        ("tls:443", [timing("relay", "tls")], CheckStatus.PASSED),
        ("tls", [timing("relay", "tls"), timing("relay", "tcp")], CheckStatus.FAILED),
        (None, [timing("relay", "udp"), timing("host")], CheckStatus.FAILED),
        ("udp", [timing("prflx")], CheckStatus.FAILED),
    ],
)
def test_another_path_than_asked_for_fails(via: str | None, paths: list[ConnectionTiming], status: CheckStatus):
    """Of either end; what went wrong is what was observed."""
    (judged,) = check(RelayPolicy(None if via is None else Via(via)), *paths)
    assert judged.status is status
    if status is CheckStatus.FAILED:
        assert judged.observed != judged.limit
        last = paths[-1]
        assert judged.observed == " ".join(filter(None, (last.candidate_type, last.relay_protocol)))
    assert paths[0].candidate_pair in judged.detail


def test_nothing_is_judged_unless_asked_for():
    """Without `--relay` there is no such check."""
    assert check(None, timing("host")) == ()


@pytest.mark.parametrize(
    ("for_s", "ttl_s"), [(5, 3600), (3600, 4200), (None, 172_800), (10 * 86_400, 172_800), (172_000, 172_600)]
)
def test_the_credential_outlives_the_run(for_s: float | None, ttl_s: int):
    """At least an hour, at most what the service grants, a day where there is no end."""
    (call,) = calls(RelayPolicy(), for_s, PROFILE)
    assert call.body == {"ttl": ttl_s}
    assert call.path == "/turn/keys/key/credentials/generate-ice-servers"
    assert calls(None, for_s, PROFILE) == ()
