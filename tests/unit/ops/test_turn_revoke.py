"""`turn revoke`: which credentials, what is asked first, and what becomes of the others when one fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rtcctl.errors import ApiError, AuthError, NetworkError, UsageError
from rtcctl.ops.turn_revoke import RevokeRequest, completed, revoke, revoke_calls
from rtcctl.ops.turn_verify import VERIFY_DEADLINE_S, in_order, refused_after
from rtcctl.realtime.curl import curl_command
from rtcctl.results.turn import IceServer, TurnRevoke
from tests.unit.ops.turn_wire import EPOCH, WITH_ACCOUNT, WiredEnv, wired
from tests.unit.realtime.wire import PROFILE, Time, json_reply

DONE = httpx.Response(204)


def issued(env: WiredEnv, *usernames: str, key_id: str = "key", identifier: str | None = None) -> None:
    for username in usernames:
        env.journal.turn_issued(
            username,
            key_id=key_id,
            profile="test" if key_id == "key" else "other",
            issued_at=EPOCH,
            expires_at=EPOCH + 60,
            custom_identifier=identifier,
        )


def revoked(env: WiredEnv) -> list[str]:
    """The user names in the requests."""
    return [request.url.path.split("/")[-2] for request in env.service.requests if request.url.path.endswith("revoke")]


async def test_own_credentials_are_revoked_without_a_question(tmp_path: Path):
    """Afterwards they do not live any more, but are still known as ours."""
    with wired(tmp_path, DONE) as env:
        issued(env, "a", "b")
        result = await revoke(RevokeRequest(("a", "a")), env)
        assert [(c.username, c.source, c.outcome) for c in result.credentials] == [("a", "journal", "revoked")]
        assert revoked(env) == ["a"]
        assert [record.username for record in env.journal.turn_credentials(EPOCH)] == ["b"]
        await revoke(RevokeRequest(("a",)), env)
        assert env.questions == []


async def test_a_foreign_credential_is_asked_about_first(tmp_path: Path):
    """Who says no has sent nothing, not even for those of their own."""
    with wired(tmp_path, DONE) as env:
        issued(env, "a")
        await revoke(RevokeRequest(("a", "b")), env)
        assert env.questions == ["Credential b was not issued from this machine. Revoke it?"]
        assert sorted(revoked(env)) == ["a", "b"]

        def refuse(question: str) -> None:
            raise UsageError(question)

        env.service.requests.clear()
        env.confirm = refuse
        with pytest.raises(UsageError):
            await revoke(RevokeRequest(("a", "b", "c")), env)
        assert env.service.requests == []


async def test_a_credential_of_another_key_is_not_sent_to_this_one(tmp_path: Path):
    """The API would answer 204 and do nothing."""
    with wired(tmp_path, DONE) as env:
        issued(env, "a", key_id="other")
        with pytest.raises(UsageError, match="TURN key other") as caught:
            await revoke(RevokeRequest(("a",)), env)
        assert caught.value.hint == "Add --profile other"
        assert env.service.requests == []


async def test_the_rest_is_done_when_one_fails(tmp_path: Path):
    """Its error is raised when all have been tried, and the result tells of each."""

    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404 if request.url.path.endswith("/b/revoke") else 204)

    with wired(tmp_path, reply) as env:
        issued(env, "a", "b", "c")
        with pytest.raises(ApiError, match="404"):
            await revoke(RevokeRequest(("a", "b", "c")), env)
        assert isinstance(env.partial, TurnRevoke)
        assert [c.outcome for c in env.partial.credentials] == ["revoked", "failed", "revoked"]
        assert "404" in str(env.partial.credentials[1].description)
        assert [record.username for record in env.journal.turn_credentials(EPOCH)] == ["b"]


async def test_a_refused_secret_is_found_out_once(tmp_path: Path):
    """Not once for each of a hundred."""
    with wired(tmp_path, httpx.Response(401)) as env:
        names = tuple(f"u{number}" for number in range(100))
        issued(env, *names)
        with pytest.raises(AuthError):
            await revoke(RevokeRequest(names), env)
        assert len(env.service.requests) <= 8
        assert isinstance(env.partial, TurnRevoke)
        assert {c.outcome for c in env.partial.credentials} == {"failed"}


async def test_an_identifier_without_an_account(tmp_path: Path):
    """The journal's of this key, and no others; that only it was looked at is said."""
    with wired(tmp_path, DONE) as env:
        issued(env, "a", "b", identifier="alice")
        issued(env, "c", identifier="bob")
        issued(env, "d")
        issued(env, "e", key_id="other", identifier="alice")
        result = await revoke(RevokeRequest(custom_identifier="alice"), env)
        assert sorted(revoked(env)) == ["a", "b"]
        assert result.analytics == "not-configured"
        assert env.questions == []
        assert "only the journal was looked at" in env.said
        assert "1 more with this identifier are of other TURN keys (--profile other)" in env.said


async def test_an_identifier_with_an_account(tmp_path: Path):
    """Analytics knows those of other machines; what the journal knows to have ended is left alone."""
    rows = [{"dimensions": {"username": name}} for name in ("b", "x", "y", "ended")]
    seen = json_reply(200, {"data": {"viewer": {"accounts": [{"callsTurnUsageAdaptiveGroups": rows}]}}})

    def reply(request: httpx.Request) -> httpx.Response:
        return seen if request.url.path.endswith("/graphql") else DONE

    with wired(tmp_path, reply) as env:
        env.profile = WITH_ACCOUNT
        issued(env, "a", "b", "ended", identifier="alice")
        env.journal.turn_revoked("ended", EPOCH - 1)
        result = await revoke(RevokeRequest(custom_identifier="alice"), env)
        assert sorted(revoked(env)) == ["a", "b", "x", "y"]
        assert {c.username: c.source for c in result.credentials} == {
            "a": "journal",
            "b": "journal",
            "x": "analytics",
            "y": "analytics",
        }
        assert result.analytics == "asked"
        assert env.questions == ["2 of 4 credentials were not issued from this machine. Revoke them?"]
        variables = json.loads(env.service.requests[0].content)["variables"]
        assert (variables["from"], variables["to"]) == ("2026-11-16T11:06:40Z", "2026-11-18T11:06:40Z")


async def test_analytics_that_fails_stops_nothing(tmp_path: Path):
    """The journal's are revoked; the command ends with the error, for it has not done all."""

    def reply(request: httpx.Request) -> httpx.Response:
        is_query = request.url.path.endswith("/graphql")
        return json_reply(200, {"errors": [{"message": "not authorized"}]}) if is_query else DONE

    with wired(tmp_path, reply) as env:
        env.profile = WITH_ACCOUNT
        issued(env, "a", identifier="alice")
        with pytest.raises(AuthError, match="not authorized"):
            await revoke(RevokeRequest(custom_identifier="alice"), env)
        assert revoked(env) == ["a"]
        assert isinstance(env.partial, TurnRevoke)
        assert env.partial.analytics == "failed"


async def test_a_realtime_without_analytics(tmp_path: Path):
    """Where they are not served (404), as by the embedded server, the journal's are all there is, and that is said."""

    def reply(request: httpx.Request) -> httpx.Response:
        return json_reply(404, {}) if request.url.path.endswith("/graphql") else DONE

    with wired(tmp_path, reply) as env:
        env.profile = WITH_ACCOUNT
        issued(env, "a", identifier="alice")
        result = await revoke(RevokeRequest(custom_identifier="alice"), env)
        assert revoked(env) == ["a"]
        assert result.analytics == "not-served"
        assert "this Realtime serves no TURN analytics" in env.said


async def test_nothing_is_revoked_when_nothing_could_be_verified(tmp_path: Path):
    """The password at hand is another credential's, or there is nothing to revoke at all."""
    with wired(tmp_path, DONE) as env:
        issued(env, "a")
        at_hand = (IceServer(("turn:127.0.0.1",), "b", "password"),)
        for request in (RevokeRequest(("a",)), RevokeRequest(custom_identifier="nobody")):
            with pytest.raises(UsageError, match="nothing could be verified"):
                await revoke(replace(request, verify=True, at_hand=at_hand), env)
        assert env.service.requests == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("abcdefgh1…", "abcdefgh1xxx"),
        ("abcdefgh1", "abcdefgh1xxx"),
        ("abcdefgh1xxx", "abcdefgh1xxx"),
        ("short", "short"),
        ("abc", "abc"),
        ("foreign-name", "foreign-name"),
    ],
)
def test_the_beginning_of_a_name_is_enough(text: str, name: str):
    """As `turn list` shows it; a whole name and one that is not ours stay what they are."""
    assert completed(text, ["abcdefgh1xxx", "abcdefgh2xxx", "short", "shorter-than"]) == name


@pytest.mark.parametrize("text", ["abcdefgh", "abcdefgh…", "nothing-like-it…"])
def test_a_beginning_of_several_names_or_of_none_is_refused(text: str):
    """It is never guessed."""
    with pytest.raises(UsageError, match="is the beginning of"):
        completed(text, ["abcdefgh1xxx", "abcdefgh2xxx"])


def test_the_calls():
    """One for each name; of an identifier the names are known later, from analytics where there is an account."""
    calls = revoke_calls(RevokeRequest(("a/b", "c")), PROFILE)
    assert [call.url(PROFILE).removeprefix(PROFILE.api_base) for call in calls] == [
        "/turn/keys/key/credentials/a%2Fb/revoke",
        "/turn/keys/key/credentials/c/revoke",
    ]
    (call,) = revoke_calls(RevokeRequest(custom_identifier="alice"), PROFILE)
    assert '"$TURN_USERNAME"/revoke' in curl_command(call, PROFILE)
    query, _ = revoke_calls(RevokeRequest(custom_identifier="alice"), WITH_ACCOUNT)
    text = curl_command(query, WITH_ACCOUNT)
    assert "https://api.cloudflare.com/client/v4/graphql" in text
    assert "Bearer $RTCCTL_ACCOUNT_TOKEN" in text


# -- verifying


async def after(time: Time, *answers: bool | Exception) -> float | None:
    """What `refused_after` makes of a server with these answers, the last one again and again."""
    left = list(answers)

    async def is_taken() -> bool:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return await refused_after(is_taken, time.now, clock=time.clock, sleep=time.sleep)


async def test_refused_at_once():
    """No wait at all."""
    time = Time()
    assert await after(time, False) == 0.0
    assert time.waits == []


async def test_refused_after_some_time():
    """A server that does not answer has not refused."""
    time = Time()
    seconds = await after(time, True, NetworkError("lost", phase="turn"), True, False)
    assert seconds is not None
    assert seconds == pytest.approx(sum(time.waits))
    assert len(time.waits) == 3


@pytest.mark.parametrize("answer", [True, NetworkError("lost", phase="turn")])
async def test_never_refused(answer: bool | Exception):
    """It ends with the deadline, not after it."""
    time = Time()
    assert await after(time, answer) is None
    assert VERIFY_DEADLINE_S - 1.5 <= sum(time.waits) <= VERIFY_DEADLINE_S


def test_urls_are_tried_in_this_order():
    """UDP, TCP, TLS, then port 53; what is no TURN URL is not tried."""
    urls = ("turns:t", "stun:t", "turn:t:53", "nonsense", "turn:t?transport=tcp", "turn:t")
    assert [url.text for url in in_order(urls)] == ["turn:t", "turn:t?transport=tcp", "turns:t", "turn:t:53"]
