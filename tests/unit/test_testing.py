"""What an application said to the API, as its tests see it: rows of the ledger, explained and told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtcctl.server.faults.ledger import RequestRow
from rtcctl.server.faults.requests import BODY_KEPT
from rtcctl.testing.requests import SHOWN, ApiRequest, told
from rtcctl.testing.threads import LoopThread
from tests.support.sdp import offer_of, section

APP = "a" * 32
SESSION = "b" * 32


def row(path: str, *, method: str = "POST", body: Any = None, answer: Any = None, **fields: Any) -> RequestRow:
    return RequestRow(
        at=0.0,
        client="127.0.0.1:1",
        user_agent="",
        method=method,
        path=f"/v1/apps/{APP}/{path}",
        body=body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode(),
        answer=b"" if answer is None else json.dumps(answer).encode(),
        **fields,
    )


def texts(request: ApiRequest) -> str:
    return "\n".join(map(str, request.findings))


def test_a_good_request_has_no_findings() -> None:
    """Nothing is said where nothing is wrong."""
    request = ApiRequest.of(row("sessions/new", status=201, answer={"sessionId": SESSION}), APP)
    assert (request.findings, request.json, request.answer) == ((), None, {"sessionId": SESSION})
    assert told([request], APP) == "POST …/sessions/new  201"


def test_what_was_wrong_is_said_once() -> None:
    """What the request itself shows goes before what its error code means in general."""
    answer = {"errorCode": "decoding_error", "errorDescription": "Body JSON validation error: sessionDescription"}
    request = ApiRequest.of(row("sessions/new", status=400, error_code="decoding_error", body={}, answer=answer), APP)
    (finding,) = request.findings
    assert finding.where == "body"


@pytest.mark.parametrize("status", [201, 404])
def test_the_account_api_is_another(status: int) -> None:
    """The rules of the Realtime API are not its."""
    account = row("", status=status, operation="apps/create", body={"name": "n"}, answer={"success": status == 201})
    account.path = "/client/v4/accounts/account/calls/apps"
    assert ApiRequest.of(account, APP).findings == ()


def test_what_a_status_means() -> None:
    """A good request that was refused at a bad moment is explained by its answer."""
    answer = {"errorCode": "session_error", "errorDescription": "Session appears to be disconnected."}
    request = ApiRequest.of(
        row(f"sessions/{SESSION}", method="GET", status=410, error_code="session_error", answer=answer), APP
    )
    assert texts(request).startswith("answer: session_error: Session appears to be disconnected. The session is gone")


def test_items_that_failed_inside_an_answer() -> None:
    """Each is named, with what it means."""
    tracks = [{"location": "remote", "sessionId": SESSION, "trackName": name} for name in ("mic", "mike")]
    answer = {"tracks": [{"mid": "0"}, {"mid": "", "errorCode": "not_found_track_error", "errorDescription": "No."}]}
    codes = ("not_found_track_error",)
    request = ApiRequest.of(
        row(
            f"sessions/{SESSION}/tracks/new",
            status=200,
            body={"tracks": tracks},
            answer=answer,
            item_codes=codes,
            session_id=SESSION,
            operation="tracks/new",
        ),
        APP,
    )
    assert texts(request).startswith("tracks[1] of the answer: not_found_track_error: No. The SFU has no media")
    assert told([request], APP).startswith(f"POST …/sessions/{SESSION}/tracks/new  200 not_found_track_error\n       ")


def test_what_a_fault_refuses_has_no_reason() -> None:
    """The fault is named as the test wrote it, and nothing is explained by the code it made up."""
    fault = f"sessions/new=503,app={APP}"
    answer = {"errorCode": "temporarily_unavailable_error", "errorDescription": "Fault 1"}
    fields = {"status": 503, "error_code": "temporarily_unavailable_error", "fault": fault, "answer": answer}
    request = ApiRequest.of(row("sessions/new", **fields), APP)
    assert request.findings == ()
    assert str(request).endswith("503 temporarily_unavailable_error (fault: sessions/new=503)")
    hanging = ApiRequest.of(row("sessions/new", fault="sessions/new=hang"), APP)
    assert told([hanging], APP) == "POST …/sessions/new  no answer (fault: sessions/new=hang)"


def test_an_offer_that_was_never_answered() -> None:
    """The commonest mistake of a backend is one that no single call shows; a refused answer is none."""
    path = f"sessions/{SESSION}"
    offer = {"sessionDescription": {"type": "offer", "sdp": "v=0"}, "requiresImmediateRenegotiation": True}
    pull = ApiRequest.of(
        row(f"{path}/tracks/new", status=200, answer=offer, session_id=SESSION, operation="tracks/new"), APP
    )

    def renegotiated(status: int) -> ApiRequest:
        path_ = f"{path}/renegotiate"
        return ApiRequest.of(row(path_, method="PUT", status=status, session_id=SESSION, operation="renegotiate"), APP)

    said = f"session {SESSION}: its offer was never answered (PUT …/sessions/{SESSION}/renegotiate)"
    for requests in ([pull], [pull, renegotiated(406)], [pull, renegotiated(200), pull]):
        assert told(requests, APP).splitlines()[-1] == said
    for requests in ([pull, renegotiated(200)], [renegotiated(200)]):
        assert "never answered" not in told(requests, APP)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[1]", b"null"])
def test_any_body(body: bytes) -> None:
    """What is no JSON is None, and said to be none."""
    request = ApiRequest.of(row(f"sessions/{SESSION}/tracks/new", status=400, body=body), APP)
    assert request.json in (None, [1])
    assert request.findings


def test_a_body_that_was_cut_off_is_not_judged() -> None:
    """The ledger keeps the beginning of a long one, which is wrong by itself only here."""
    long = json.dumps({"tracks": [{"location": "local", "mid": "0", "trackName": "x" * BODY_KEPT}]}).encode()
    request = ApiRequest.of(row(f"sessions/{SESSION}/tracks/new", status=200, body=long[:BODY_KEPT]), APP)
    assert (request.json, request.findings) == (None, ())


def test_no_sdp_is_told() -> None:
    """Neither in the text nor in the representation."""
    description = offer_of(section("0")).to_wire()
    body = {"sessionDescription": {**description, "type": "answer"}, "tracks": []}
    request = ApiRequest.of(row(f"sessions/{SESSION}/tracks/new", status=400, body=body), APP)
    assert request.findings
    assert "v=0" not in told([request], APP) + repr(request)


def test_calls_that_repeat_are_one_line() -> None:
    """With how often; the oldest of many are counted alone."""
    same = [ApiRequest.of(row("sessions/new", status=425), APP) for _ in range(3)]
    assert told(same, APP).splitlines()[0] == "POST …/sessions/new  425 (3 times)"
    many = [ApiRequest.of(row(f"sessions/{number}", method="GET", status=200), APP) for number in range(SHOWN + 5)]
    lines = told(many, APP).splitlines()
    assert (lines[0], len(lines)) == ("(5 earlier calls)", SHOWN + 1)
    assert told([], APP) == "The API was not called."


@pytest.mark.timeout(10)
def test_a_loop_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that has used up its file descriptors is told so, and does not wait for ever."""

    def exhausted() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "SelectorEventLoop", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        LoopThread("rtcctl server")
