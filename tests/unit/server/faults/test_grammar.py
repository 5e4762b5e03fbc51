"""How faults are written: one grammar for flags, commands and tests."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcctl.media.impair import KEYS, Impairment
from rtcctl.server.faults.grammar import (
    ACTIONS,
    ANY,
    OPERATIONS,
    ApiFault,
    Concerned,
    MediaFault,
    has_items,
    parse,
)
from rtcctl.units import SpellingError

EVERYBODY = Concerned()
BOTH = frozenset({"up", "down"})
REFUSED = {
    "short-ttl": lambda operation: operation not in ("turn/generate-ice-servers", "turn/generate"),
    "empty-mid": lambda operation: operation not in ("tracks/new", "tracks/update"),
    "expire": lambda operation: operation.startswith("turn/"),
}
"Where an action makes no sense."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "tracks/new=425,times=3",
            ApiFault("tracks/new", "status", EVERYBODY, status=425, code="session_error", times=3),
        ),
        (
            "loss=5%,delay=40ms,direction=down,seed=7",
            MediaFault(Impairment(loss=0.05, delay_s=0.04, seed=7), EVERYBODY, frozenset({"down"})),
        ),
        ("loss=0%", MediaFault(Impairment(), EVERYBODY, BOTH)),
        ("loss=1%,direction=both", MediaFault(Impairment(loss=0.01), EVERYBODY, BOTH)),
        ("direction=up,loss=1%", MediaFault(Impairment(loss=0.01), EVERYBODY, frozenset({"up"}))),
        (
            "loss=1%,app=a,session=s,track=p/my mic=1",
            MediaFault(Impairment(loss=0.01), Concerned("a", "s", "p/my mic=1"), BOTH),
        ),
        (
            "*=503,app=a,session=s,track=t,skip=2",
            ApiFault(ANY, "status", Concerned("a", "s", "t"), status=503, code="temporarily_unavailable_error", skip=2),
        ),
        (
            "renegotiate=406",
            ApiFault(
                "renegotiate",
                "status",
                EVERYBODY,
                status=406,
                code="signaling_state_not_stable",
                subcode="invalid_modification_have_local_offer",
            ),
        ),
        (
            "renegotiate=406,code=invalid_session_description",
            ApiFault("renegotiate", "status", EVERYBODY, status=406, code="invalid_session_description"),
        ),
        (
            "sessions/get=429,retry-after=1.5s,code=rate_limited,subcode=really",
            ApiFault(
                "sessions/get",
                "status",
                EVERYBODY,
                status=429,
                code="rate_limited",
                subcode="really",
                retry_after_s=1.5,
            ),
        ),
        (
            "sessions/new=502",
            ApiFault("sessions/new", "status", EVERYBODY, status=502, code="backend_error", is_json=False),
        ),
        (
            "sessions/new=520,body=json",
            ApiFault("sessions/new", "status", EVERYBODY, status=520, code="backend_error"),
        ),
        (
            "sessions/new=500,body=html",
            ApiFault("sessions/new", "status", EVERYBODY, status=500, code="internal_error", is_json=False),
        ),
        ("sessions/new=418,code=teapot", ApiFault("sessions/new", "status", EVERYBODY, status=418, code="teapot")),
        (
            "tracks/new=200,code=brand_new_error",
            ApiFault("tracks/new", "code", EVERYBODY, code="brand_new_error"),
        ),
        (
            "tracks/new=not_found_track_error,track=mic",
            ApiFault("tracks/new", "code", Concerned("", "", "mic"), code="not_found_track_error"),
        ),
        ("tracks/close=hang", ApiFault("tracks/close", "hang", EVERYBODY)),
        ("tracks/close=lost", ApiFault("tracks/close", "lost", EVERYBODY)),
        ("tracks/new=slow", ApiFault("tracks/new", "slow", EVERYBODY, seconds=3.0)),
        ("tracks/new=slow,for=20ms", ApiFault("tracks/new", "slow", EVERYBODY, seconds=0.02)),
        ("tracks/new=slow,for=0s", ApiFault("tracks/new", "slow", EVERYBODY)),
        ("sessions/get=expire", ApiFault("sessions/get", "expire", EVERYBODY)),
        ("sessions/get=expire,after=2m", ApiFault("sessions/get", "expire", EVERYBODY, seconds=120.0)),
        ("turn/generate=short-ttl", ApiFault("turn/generate", "short-ttl", EVERYBODY, seconds=10.0)),
        ("turn/generate=short-ttl,ttl=1h", ApiFault("turn/generate", "short-ttl", EVERYBODY, seconds=3600.0)),
        (" tracks/new = 425 , times = 3 ", parse("tracks/new=425,times=3")),
    ],
)
def test_what_can_be_written(text: str, fault: ApiFault | MediaFault) -> None:
    """Operation and action, or impairments; then options, in any order, with spaces or without."""
    assert parse(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not KEY=VALUE; write for example tracks/new=425"),
        ("tracks/new", "'tracks/new' is not KEY=VALUE"),
        ("tracks/new=", "'tracks/new=' is not KEY=VALUE"),
        ("=425", "'=425' is not KEY=VALUE"),
        ("tracks/new=425,", "'' is not KEY=VALUE"),
        ("tracks/new=425,,times=1", "'' is not KEY=VALUE"),
        ("tracks/new=425,times=1,times=2", "times is there twice"),
        ("tracks/new=425,tracks/new=425", "tracks/new is there twice"),
        (
            "tracks/old=425",
            r"'tracks/old' is neither an operation of the API \(sessions/new, .*, \*\), nor .* media \(loss,",
        ),
        ("tracks=425", "'tracks' is neither an operation of the API .* nor anything that can be done to media"),
        ("expire=10s", "'expire' is neither an operation of the API .* nor anything"),
        ("tracks/new=teapot", "'teapot' is neither a status, nor an error code that is known, nor one of hang, slow"),
        ("tracks/new=301", "301 is no status of a fault: 400 to 599, or 200 with code="),
        ("tracks/new=399", "399 is no status"),
        ("tracks/new=600", "600 is no status"),
        ("tracks/new=" + "4" * 5000, "'444.* is neither a status"),
        ("tracks/new=४२५", "'४२५' is neither a status"),
        ("tracks/new=200", "code: what the service says with 200 is not known; add code="),
        ("tracks/new=418", "code: what the service says with 418 is not known; add code="),
        ("tracks/new=418,code=I am", "code: 'I am' is none"),
        ("tracks/new=418,code=" + "x" * 81, "code: 'x+' is none"),
        ("tracks/new=425,subcode=-", "subcode: '-' is none"),
        ("tracks/new=200,code=x,body=html", "'body' does not go with tracks/new=200, whose items fail"),
        ("tracks/new=200,code=x,retry-after=1s", "'retry-after' does not go with tracks/new=200"),
        ("tracks/new=425,for=3s", "'for' does not go with tracks/new=425; options there: code, .*, times, .*, track"),
        ("tracks/new=hang,for=3s", "'for' does not go with tracks/new=hang; options there: times, skip"),
        ("tracks/new=track_error,code=x", "'code' does not go with tracks/new=track_error"),
        ("tracks/new=425,sessions/new=425", "'sessions/new' does not go with"),
        ("tracks/new=425,loss=5%", "'loss' does not go with"),
        ("tracks/new=425,body=xml", "body: 'xml' is neither json nor html"),
        ("tracks/new=425,retry-after=3", "retry-after: a duration needs its unit: 3s"),
        ("tracks/new=slow,for=3", "for: a duration needs its unit"),
        ("tracks/new=expire,after=soon", "after: 'soon' is not a duration"),
        ("turn/generate=short-ttl,ttl=-1s", "ttl: '-1s' is not a duration"),
        ("tracks/new=425,times=0", "times: '0' is not a whole number, at least 1"),
        ("tracks/new=425,times=1.5", "times: '1.5' is not a whole number"),
        ("tracks/new=425,times=1234567890", "times: '1234567890' is not a whole number"),
        ("tracks/new=425,skip=-1", "skip: '-1' is not a whole number, at least 0"),
        ("tracks/new=short-ttl", "short-ttl is about TURN credentials: turn/generate-ice-servers=short-ttl"),
        ("turn/revoke=short-ttl", "short-ttl is about TURN credentials"),
        ("renegotiate=empty-mid", "empty-mid is about tracks: tracks/new=empty-mid"),
        ("turn/generate=expire", "expire is about sessions: sessions/new=expire"),
        ("tracks/new=425,app=é", "app: 'é' is none"),
        ("tracks/new=425,session=" + "x" * 257, "session: 'x+' is none"),
        ("renegotiate=425,track=mic", "track: requests of renegotiate name none"),
        ("tracks/close=425,track=mic", "track: requests of tracks/close name none"),
        ("sessions/new=425,session=x", "session: requests of sessions/new are of none"),
        ("turn/generate=500,session=x", "session: requests of turn/generate are of none"),
        ("times=3,tracks/new=425", "'times' is neither an operation of the API .* nor anything"),
        ("loss=5%,for=3s", "'for' is nothing that can be done to media; there are loss, .*, track"),
        ("loss=5%,loss=5%", "loss is there twice"),
        ("direction=up", "nothing is done to media; write for example"),
        ("seed=7,session=x", "nothing is done to media"),
        ("loss=5%,direction=sideways", r"direction: 'sideways' is neither up \(towards the server\), down nor both"),
        ("loss=5", "loss: a ratio needs its unit: 5%"),
        ("delay=40", "delay: '40' is not a duration; write for example 40ms or 1.5s$"),
        ("jitter=2h", "jitter: at most 60s, not 2h"),
        ("rate=64", "rate: a bit rate needs its unit"),
        ("loss=5%,track=" + "\x07", "track: .* is none"),
    ],
)
def test_what_cannot(text: str, message: str) -> None:
    """The message names what is wrong, and how it is written."""
    with pytest.raises(SpellingError, match=f"^{message}"):
        parse(text)


@pytest.mark.parametrize("operation", [*OPERATIONS, ANY])
@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_of_every_operation(operation: str, action: str) -> None:
    """Each goes with each, but for those that make no sense there."""
    if action in REFUSED and REFUSED[action](operation):
        with pytest.raises(SpellingError, match=f"{action} is about .*={action}$") as caught:
            parse(f"{operation}={action}")
        assert parse(str(caught.value).rpartition(": ")[2]), "what is proposed can be written"
        return
    fault = parse(f"{operation}={action}")
    assert isinstance(fault, ApiFault)
    assert (fault.operation, fault.action, fault.status, fault.code) == (operation, action, 200, "")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 406, 409, 410, 413, 425, 429, 500, 502, 503, 504, 520, 530, 599]
)
def test_every_status_of_every_operation(operation: str, status: int) -> None:
    """With the code that the service would give; the front end's answers are no JSON."""
    fault = parse(f"{operation}={status}")
    assert isinstance(fault, ApiFault)
    assert (fault.action, fault.status) == ("status", status)
    assert fault.code
    assert fault.is_json == (status not in (502, 504, 520, 530))


def test_operations_with_items() -> None:
    """Tracks and data channels; not what is about a session, its descriptions or TURN."""
    assert {name for name in OPERATIONS if not has_items(name)} == {
        "sessions/new",
        "sessions/get",
        "renegotiate",
        "turn/generate-ice-servers",
        "turn/generate",
        "turn/revoke",
    }


def test_whom_a_fault_concerns() -> None:
    """An empty field is everybody; a track is named alone, or with its publisher's session."""
    assert EVERYBODY.includes("app", "session")
    assert EVERYBODY.includes_track("session", "mic")
    concerned = Concerned("app", "session", "publisher/mic")
    assert concerned.includes("app", "session")
    assert not concerned.includes("other", "session")
    assert not concerned.includes("app", "other")
    assert concerned.includes_track("publisher", "mic")
    assert not concerned.includes_track("other", "mic")
    assert not concerned.includes_track("publisher", "camera")
    assert Concerned(track="mic").includes_track("anybody", "mic")


PIECES = st.sampled_from(
    [
        *(*OPERATIONS, *ACTIONS, *KEYS, "direction", "app", "session", "track", "times", "skip", "code", "subcode"),
        *("retry-after", "body", "for", "after", "ttl", "*", "=", "=", "=", ",", ",", ",", " ", "425", "200", "502"),
        *("5%", "40ms", "64kbps", "up", "html", "track_error", "1", "9" * 5000, "x"),
    ]
)


@given(st.text() | st.lists(PIECES, max_size=12).map("".join))
@example("tracks/new=" + "4" * 5000)
@example("*=\x00")
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text makes it fail in another way."""
    with suppress(SpellingError):
        assert isinstance(parse(text), ApiFault | MediaFault)


@given(st.text(max_size=20), st.sampled_from([*KEYS, "direction", "app", "session", "track"]))
def test_any_value_of_media(value: str, key: str) -> None:
    """The same of each value."""
    with suppress(SpellingError):
        assert isinstance(parse(f"{key}={value},loss=1%"), MediaFault)
