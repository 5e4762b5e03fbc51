"""One exchange: what is tried again, how long, and what each failure becomes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ApiError, AuthError, DeadlineError, NetworkError, UsageError
from rtcctl.realtime.development import DEVELOPMENT_APP_SECRET, DEVELOPMENT_TURN_KEY_TOKEN
from rtcctl.realtime.exchange import Exchange
from rtcctl.realtime.http import MAX_ANSWER_BYTES, HttpApi, SecretKind, parse_retry_after
from rtcctl.realtime.masking import MASK
from rtcctl.realtime.profile import Profile
from tests.unit.realtime.wire import APP_SECRET, PROFILE, Service, Time, json_reply

URL = PROFILE.api_base + "/apps/app/sessions/s"
OK = json_reply(200, {"tracks": []}, cf_ray="8f-FRA")


async def call(
    service: Service,
    method: str = "GET",
    body: object = None,
    *,
    url: str = URL,
    profile: Profile = PROFILE,
    deadline_s: float | None = None,
    secret: SecretKind = SecretKind.APP,
    item_failures: int | None = None,
):
    api = HttpApi(
        profile,
        clock=service.time.clock,
        random=Random(1),
        deadline_s=deadline_s,
        transport=service,
        sleep=service.time.sleep,
    )
    async with api:
        answer = await api.call(method, url, body, secret=secret, item_failures=item_failures)
    return api, answer


async def test_an_answer_comes_with_its_ray_and_round_trip():
    """What `smoke` shows of the API."""
    api, answer = await call(Service(OK, takes_s=0.05))
    assert (answer.status, answer.body, answer.ray) == (200, {"tracks": []}, "8f-FRA")
    assert api.last_ray == "8f-FRA"
    assert api.last_round_trip_ms == pytest.approx(50)


async def test_no_body_is_no_body():
    """Neither bytes nor a content type: `{}` would be refused."""
    service = Service(OK)
    await call(service, "POST")
    (request,) = service.requests
    assert request.content == b""
    assert request.headers.get("content-length", "0") == "0"
    assert "content-type" not in request.headers
    assert request.headers["authorization"] == f"Bearer {APP_SECRET}"


async def test_a_body_is_json():
    """With its content type."""
    service = Service(OK)
    await call(service, "PUT", {"force": True})
    assert service.requests[0].headers["content-type"] == "application/json"
    assert service.bodies == [{"force": True}]


# --- what is tried again


@pytest.mark.parametrize("status", [425, 429, 500, 502, 503, 504])
async def test_busy_services_are_asked_again(status: int):
    """425, 429 and 5xx: waits double from about a second."""
    time = Time()
    _, answer = await call(Service(*[json_reply(status, {})] * 3, OK, time=time))
    assert answer.status == 200
    assert [round(wait / 2**n, 2) for n, wait in enumerate(time.waits)] == pytest.approx([1, 1, 1], abs=0.25)
    assert len(set(time.waits)) == 3, "with jitter"


async def test_five_attempts_are_enough():
    """Then the last answer is the error."""
    service = Service(json_reply(503, {"errorCode": "temporarily_unavailable_error"}))
    with pytest.raises(ApiError, match="503 temporarily_unavailable_error"):
        await call(service)
    assert len(service.requests) == 5


async def test_retry_after_is_honoured():
    """The service knows best when to come back."""
    time = Time()
    await call(Service(json_reply(429, {}, retry_after="7"), OK, time=time))
    assert time.waits == [7]


async def test_retry_after_beyond_the_deadline_is_not_waited_for():
    """Waiting in vain helps nobody; the answer says how long it would have been."""
    time = Time()
    with pytest.raises(ApiError) as caught:
        await call(Service(json_reply(429, {}, retry_after="60"), time=time), deadline_s=15)
    assert time.waits == []
    assert caught.value.retry_after_s == 60


async def test_nobody_waits_for_an_hour():
    """Also without a deadline."""
    time = Time()
    with pytest.raises(ApiError):
        await call(Service(json_reply(503, {}, retry_after="3600"), time=time))
    assert time.waits == []


@pytest.mark.parametrize(
    "body",
    [
        {"errorCode": "signaling_state_not_stable"},
        {"errorCode": "invalid_session_description", "errorSubcode": "invalid_modification_have_local_offer"},
    ],
)
@pytest.mark.parametrize("status", [406, 409])
async def test_a_pending_negotiation_is_waited_out(status: int, body: dict[str, str]):
    """Three more tries in place, 50 ms × n."""
    service = Service(json_reply(status, body))
    with pytest.raises(ApiError):
        await call(service, "PUT", {})
    assert service.time.waits == pytest.approx([0.05, 0.1, 0.15])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "decoding_error"),
        (404, "not_found"),
        (405, None),
        (406, "invalid_params"),
        (406, "invalid_modification_stable"),
        (409, "repeated_local_track_error"),
        (410, "session_error"),
        (413, "payload_too_large"),
    ],
)
async def test_refusals_are_final(status: int, code: str | None):
    """What cannot change is not asked again."""
    service = Service(json_reply(status, {"errorCode": code, "errorDescription": "because"}, cf_ray="r"))
    with pytest.raises(ApiError) as caught:
        await call(service, "PUT", {})
    assert len(service.requests) == 1
    error = caught.value
    assert (error.status, error.code, error.description, error.ray) == (status, code, "because", "r")
    assert error.request == "PUT /apps/app/sessions/s"
    assert error.is_gone == (status == 410)
    assert error.hint


async def test_a_lost_answer_is_not_asked_for_again():
    """No operation has an idempotency key: the first request may have been done."""
    service = Service(httpx.ReadError("reset"), OK)
    with pytest.raises(NetworkError) as caught:
        await call(service, "POST")
    assert caught.value.phase == "http"
    assert "may have been done" in caught.value.hint
    assert len(service.requests) == 1


# --- errors inside answers


async def test_a_2xx_with_an_error_code_is_a_failure():
    """200 and `errorCode` at the top."""
    with pytest.raises(ApiError) as caught:
        await call(Service(json_reply(200, {"errorCode": "invalid_session_description", "errorDescription": "x"})))
    assert (caught.value.status, caught.value.code) == (200, "invalid_session_description")


async def test_an_empty_error_code_is_none():
    """Some serializers write absent strings so."""
    _, answer = await call(Service(json_reply(200, {"errorCode": "", "tracks": []})))
    assert answer.status == 200


async def test_item_failures_of_adapters_are_an_answer():
    """503 with items is not trouble of the service; without items it is."""
    body = {"tracks": [{"errorCode": "websocket_handshake_failed"}]}
    _, answer = await call(Service(json_reply(503, body)), item_failures=503)
    assert answer.body == body
    with pytest.raises(ApiError):
        await call(Service(json_reply(503, {"tracks": []})), item_failures=503)


async def test_the_account_apis_envelope_is_read():
    """Its codes are numbers, inside `errors`."""
    reply = json_reply(400, {"success": False, "errors": [{"code": 7003, "message": "No route"}], "result": None})
    with pytest.raises(ApiError, match="400 7003: No route"):
        await call(Service(reply))
    with pytest.raises(ApiError, match="200 unknown"):
        await call(Service(json_reply(200, {"success": False, "errors": []})))


async def test_html_of_a_gateway_is_shown_shortly():
    """A non-JSON 5xx is an `ApiError` too."""
    page = f"<html>\n<h1>Bad gateway</h1> {APP_SECRET} {'x' * 1000}</html>"
    with pytest.raises(ApiError) as caught:
        await call(Service(httpx.Response(502, text=page)))
    assert "<h1>Bad gateway</h1> •••" in caught.value.message
    assert APP_SECRET not in caught.value.message
    assert len(caught.value.message) < 400


async def test_a_200_that_is_no_json_is_a_failure():
    """A captive portal answers everything with a page."""
    with pytest.raises(ApiError, match=r"\(200\) is no JSON"):
        await call(Service(httpx.Response(200, text="<html>Welcome to our hotel</html>")))


async def test_a_redirect_is_not_followed():
    """The secret stays with the host it is meant for."""
    service = Service(httpx.Response(301, headers={"location": "https://elsewhere.example/"}))
    with pytest.raises(ApiError, match="301") as caught:
        await call(service)
    assert "API base" in caught.value.hint
    assert len(service.requests) == 1


async def test_descriptions_are_masked():
    """The service may echo what it was sent."""
    said = f"secret {APP_SECRET}, sdp v=0\r\na=ice-pwd:verysecret"
    with pytest.raises(ApiError) as caught:
        await call(Service(json_reply(400, {"errorCode": f"x{APP_SECRET}", "errorDescription": said})))
    told = f"{caught.value.message}{caught.value.description}{caught.value.code}"
    assert APP_SECRET not in told
    assert "verysecret" not in told


async def test_a_ray_is_masked():
    """Whoever is no Cloudflare may put anything there, and rays are shown in errors and in reports."""
    token = "eyJhbGciOiJFUzI1NiJ9.eyJyb29tIjoiYm9keSJ9.Ym9keS10b2tlbi1pcy1zZWNyZXQ"
    ray, shown = f"{APP_SECRET} {token}", f"{MASK} {MASK}"
    api, answer = await call(Service(json_reply(200, {"tracks": []}, cf_ray=ray)))
    assert (answer.ray, api.last_ray) == (shown, shown)
    with pytest.raises(AuthError) as refused:
        await call(Service(json_reply(401, {"errorCode": "unauthorized"}, cf_ray=ray)))
    with pytest.raises(ApiError) as failed:
        await call(Service(json_reply(400, {"errorCode": "invalid_params"}, cf_ray=ray)))
    assert (refused.value.ray, failed.value.ray) == (shown, shown)


async def test_an_endless_answer_is_cut():
    """Memory is ours, not the service's."""
    service = Service(lambda _: httpx.Response(200, content=b"x" * (MAX_ANSWER_BYTES + 1)))
    with pytest.raises(ApiError, match="larger than 8 MiB"):
        await call(service)


# --- secrets


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_an_auth_error(status: int):
    """Both statuses are seen; nothing is asked again."""
    service = Service(json_reply(status, {"errorCode": "unauthorized"}, cf_ray="r"))
    with pytest.raises(AuthError) as caught:
        await call(service)
    error = caught.value
    assert (error.status, error.code, error.ray) == (status, "unauthorized", "r")
    assert "config check" in error.hint
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (replace(PROFILE, app_secret=DEVELOPMENT_TURN_KEY_TOKEN), "TURN key token of `rtcctl dev`, used as App Secret"),
        (
            replace(PROFILE, app_secret=DEVELOPMENT_APP_SECRET, api_base="https://rtc.live.cloudflare.com/v1"),
            "public development App Secret",
        ),
        (replace(PROFILE, turn_key_token=APP_SECRET), "same value is set as App Secret and as TURN key token"),
        (replace(PROFILE, app_secret="a" * 40), "as long as an account API token"),
    ],
)
async def test_a_secret_in_the_wrong_place_is_recognised(profile: Profile, said: str):
    """By value or by length; the value itself is not shown."""
    with pytest.raises(AuthError) as caught:
        await call(Service(json_reply(401, {})), profile=profile)
    assert said in caught.value.hint
    assert profile.app_secret not in caught.value.hint


async def test_a_missing_secret_is_not_sent():
    """`Bearer ` would be refused with a riddle."""
    service = Service(OK)
    with pytest.raises(UsageError, match="Profile test has no account API token"):
        await call(service, secret=SecretKind.ACCOUNT)
    assert service.requests == []


@pytest.mark.parametrize("secret", ["two words", "line\n", "schlüssel-schlüssel"])
async def test_a_secret_with_more_than_the_secret_is_refused(secret: str):
    """It would break the header, and it never is right."""
    with pytest.raises(UsageError) as caught:
        await call(Service(OK), profile=replace(PROFILE, app_secret=secret))
    assert secret not in caught.value.message


# --- the deadline


async def test_no_attempt_starts_after_the_deadline():
    """What was awaited is named."""
    service = Service(OK)
    api = HttpApi(
        PROFILE, clock=service.time.clock, random=Random(1), deadline_s=3, transport=service, sleep=service.time.sleep
    )
    async with api:
        service.time.now += 3
        with pytest.raises(DeadlineError) as caught:
            await api.call("GET", URL, secret=SecretKind.APP)
    assert caught.value.awaited == "the answer to GET /apps/app/sessions/s"
    assert caught.value.after_s == 3
    assert service.requests == []


async def test_retries_stop_at_the_deadline_with_the_last_answer():
    """ "Not ready" says more than "too late"."""
    service = Service(json_reply(425, {"errorCode": "session_error"}))
    with pytest.raises(ApiError, match="425"):
        await call(service, deadline_s=4)
    assert service.time.now < 1004


async def test_an_attempt_that_is_cut_off_does_not_hide_the_last_answer():
    """Refused as not ready, asked again, and then the time was over: it was not ready."""
    service = Service(json_reply(425, {"errorCode": "session_error"}), httpx.ReadTimeout("slow"))
    with pytest.raises(ApiError, match="425"):
        await call(service, deadline_s=15)
    assert len(service.requests) == 2


async def test_timeouts_are_cut_to_the_deadline():
    """And never longer than an exchange may take."""
    service = Service(OK)
    await call(service, deadline_s=2)
    await call(service)
    first, second = (request.extensions["timeout"] for request in service.requests)
    assert (first["connect"], first["read"]) == (2, 2)
    assert (second["connect"], second["read"]) == (5, 12)


async def test_a_read_timeout_is_a_deadline_error():
    """Nothing is asked again: the request may have been done."""
    service = Service(httpx.ReadTimeout("slow"))
    with pytest.raises(DeadlineError, match="no answer within 12 s") as caught:
        await call(service)
    assert caught.value.after_s == 12
    assert "session id" in caught.value.hint
    with pytest.raises(DeadlineError) as caught:
        await call(service, "POST")
    assert "may have been done" in caught.value.hint
    assert len(service.requests) == 2


async def test_a_lost_answer_to_sessions_new_names_no_session():
    """There is none to look at; another one can be made."""
    service = Service(httpx.ReadTimeout("slow"))
    with pytest.raises(DeadlineError) as caught:
        await call(service, "POST", url=PROFILE.api_base + "/apps/app/sessions/new?correlationId=x")
    assert "expires by itself" in caught.value.hint
    assert "session get" not in caught.value.hint


async def test_a_timeout_at_the_deadline_is_the_commands():
    """Then it is the command's time that was too short."""
    time = Time()

    def slow(request: httpx.Request) -> httpx.Response:
        time.now += 10
        raise httpx.ReadTimeout("slow")

    with pytest.raises(DeadlineError, match="within the 5 s that the command has"):
        await call(Service(slow, time=time), deadline_s=5)


async def test_a_cancelled_call_is_cancelled():
    """No retry swallows an interruption."""

    class Never(Service):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    task = asyncio.ensure_future(call(Never(OK)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_impossible_url_is_a_usage_error():
    """httpx refuses URLs longer than 64 KiB."""
    api = HttpApi(PROFILE, clock=Time().clock, random=Random(1), transport=Service(OK))
    async with api:
        with pytest.raises(UsageError):
            await api.call("GET", URL + "x" * 70_000, secret=SecretKind.APP)


async def test_a_proxy_that_refuses_is_named():
    """The variables to look at are."""
    with pytest.raises(NetworkError, match="407") as caught:
        await call(Service(httpx.ProxyError("407 Proxy Authentication Required")))
    assert "HTTPS_PROXY" in caught.value.hint


# --- Retry-After


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", None, 0),
        (" 120 ", None, 120),
        ("Mon, 23 Nov 2026 20:00:10 GMT", "Mon, 23 Nov 2026 20:00:00 GMT", 10),
        ("Mon, 23 Nov 2026 20:00:00 GMT", "Mon, 23 Nov 2026 20:00:10 GMT", 0),
        ("Mon, 23 Nov 2026 20:00:10 GMT", None, None),
        (None, None, None),
        ("-1", None, None),
        ("1.5", None, None),
        ("soon", "Mon, 23 Nov 2026 20:00:10 GMT", None),
        ("9" * 400, None, None),
    ],
)
def test_retry_after(value: str | None, date: str | None, seconds: float | None):
    """Seconds, or a time as the service's own clock sees it (RFC 9110 §10.2.3)."""
    assert parse_retry_after(value, date) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_retry_after_of_anything(value: str, date: str):
    """A wait, or nothing."""
    seconds = parse_retry_after(value, date)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path, text: str | None):
    """The profile says whom to trust; nobody else is trusted instead."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=r"certificate authority .*ca\.pem"):
        HttpApi(
            replace(PROFILE, api_base="https://127.0.0.1:1/v1", ca_file=str(path)), clock=Time().clock, random=Random(1)
        )


async def test_each_attempt_is_told():
    """To who records: what was asked, what came back or why nothing did, and never the secret."""
    told: list[Exchange] = []
    busy = json_reply(503, {"errorCode": "temporarily_unavailable_error"}, cf_ray="1a-FRA", retry_after="2")
    service = Service(busy, httpx.ConnectError("refused"), OK, takes_s=0.05)
    api = HttpApi(
        PROFILE,
        clock=service.time.clock,
        random=Random(1),
        on_exchange=told.append,
        transport=service,
        sleep=service.time.sleep,
    )
    async with api:
        await api.call("POST", URL, {"tracks": []}, secret=SecretKind.APP)
    assert [(e.attempt, e.status, e.ray, e.retry_after) for e in told] == [
        (1, 503, "1a-FRA", "2"),
        (2, None, None, None),
        (3, 200, "8f-FRA", None),
    ]
    assert told[0].answer_body == busy.content
    assert "cannot be reached" in told[1].error or "listens" in told[1].error
    assert (told[2].method, told[2].url, told[2].request_body) == ("POST", URL, {"tracks": []})
    assert told[0].took_s == pytest.approx(0.05)
    assert told[2].started_at > told[1].started_at
    assert APP_SECRET not in repr(told)
