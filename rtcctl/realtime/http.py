"""One exchange with the Realtime HTTPS API: time-outs, retries and errors, the same for every client.

A request is tried again only where repeating it is safe or asked for: the connection failed before anything was
sent, 425, 429, 5xx, and 406 or 409 because another negotiation was pending. No operation has an idempotency key, so a
request whose answer was lost is never repeated here. Everything happens inside one deadline, which belongs to the
client: no attempt starts after it, and no wait goes beyond it. When time or attempts run out, the service's last
answer is the error, for it says more than "too late" does.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from random import Random
from types import TracebackType
from typing import Any, Self

import tenacity
from pydantic_core import from_json

from rtcctl import __version__
from rtcctl.errors import ApiError, AuthError, DeadlineError, NetworkError, RtcctlError, UsageError
from rtcctl.realtime.development import (
    DEVELOPMENT_ACCOUNT_TOKEN,
    DEVELOPMENT_APP_SECRET,
    DEVELOPMENT_TURN_KEY_TOKEN,
)
from rtcctl.realtime.exchange import Exchange, OnExchange
from rtcctl.realtime.explain.errors import account_hint_for, hint_for, is_unstable_signalling
from rtcctl.realtime.lean_httpx import httpx
from rtcctl.realtime.masking import presentable
from rtcctl.realtime.profile import Profile
from rtcctl.realtime.reachability import CONNECT_TIMEOUT_S, Endpoint, explain_connect_failure

READ_TIMEOUT_S = 12.0
"The SFU itself waits up to 5 s for connectivity before it answers 425 (Realtime docs: Limits)."
PULL_TIMEOUT_S = 25.0
"A known but silent track holds a pull for about 8 s (Realtime docs: Sessions and tracks)."

MAX_WAIT_S = 60.0
"A service that asks for more patience than this (`Retry-After`) is not waited for."

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"64 tracks and an SDP are some hundred kilobytes; more is not an answer of this API."


_MAYBE_DONE = "It may have been done nevertheless: look with `rtcctl session get SESSION` before repeating it."
_MAYBE_CHANGED = "It may have been done nevertheless: look with `{command}` before repeating it."
_MAYBE_CREATED = "A session may have been made nevertheless; it expires by itself, so it can be asked for again."
_MAYBE_ISSUED = "A credential may have been issued nevertheless; it ends by itself, so another can be asked for."
_MAYBE_REVOKED = "It may have been revoked nevertheless; revoking it again does no harm."
_UNKNOWN_SESSION = "Is the session id right? Cloudflare may leave a question about an unknown session unanswered."


def _unanswered(request: str) -> str:
    """What to do about a request whose answer was lost."""
    path = request.partition("?")[0]
    for collection, command in (("/calls/apps", "rtcctl app list"), ("/calls/turn_keys", "rtcctl turn key list")):
        if collection in path:
            return "Try again." if request.startswith("GET ") else _MAYBE_CHANGED.format(command=command)
    if path.endswith("/graphql"):
        return "Try again."
    if request.startswith("GET "):
        return _UNKNOWN_SESSION
    if "/credentials/" in path:
        return _MAYBE_REVOKED if path.endswith("/revoke") else _MAYBE_ISSUED
    return _MAYBE_CREATED if path.endswith("sessions/new") else _MAYBE_DONE


class SecretKind(Enum):
    """The secrets of a profile; none can stand in for another (Realtime docs: API)."""

    APP = "App Secret"
    TURN = "TURN key token"
    ACCOUNT = "account API token"

    def of(self, profile: Profile) -> str:
        """The secret of this kind."""
        return {
            SecretKind.APP: profile.app_secret,
            SecretKind.TURN: profile.turn_key_token,
            SecretKind.ACCOUNT: profile.account_token,
        }[self]


_DEVELOPMENT = {
    DEVELOPMENT_APP_SECRET: SecretKind.APP,
    DEVELOPMENT_TURN_KEY_TOKEN: SecretKind.TURN,
    DEVELOPMENT_ACCOUNT_TOKEN: SecretKind.ACCOUNT,
}


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """A successful answer. `body`: decoded JSON, `None` when there was none."""

    status: int
    body: Any
    ray: str | None
    "Cf-Ray, Cloudflare's id of the request."


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: httpx.Headers
    content: bytes


_NO_RESPONSE = _Response(0, httpx.Headers(), b"")


class _Retry(Enum):
    """Why a request may be sent again: it decides how often and how soon."""

    CONNECT = auto()
    "Nothing was sent."
    BUSY = auto()
    "425, 429, 5xx."
    NEGOTIATION = auto()
    "Another exchange of the session was pending; over in a moment."


_ATTEMPTS = {_Retry.CONNECT: 3, _Retry.BUSY: 5, _Retry.NEGOTIATION: 4}


class _RetryableError(Exception):
    """Carries an error through the retry loop."""

    def __init__(self, error: RtcctlError, reason: _Retry, *, retry_after_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.reason = reason
        self.retry_after_s = retry_after_s


class HttpApi:
    """Sends requests with one secret of one profile; `async with` it.

    `clock` gives monotonic seconds, `random` the jitter. `deadline_s` counts from construction. `on_exchange` is told
    of each attempt. `transport` and `sleep` are for tests.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Callable[[], float],
        random: Random,
        deadline_s: float | None = None,
        on_exchange: OnExchange | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.profile = profile
        self.last_ray: str | None = None
        self.last_round_trip_ms: float | None = None
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s
        self._deadline = None if deadline_s is None else clock() + deadline_s
        self._on_exchange = on_exchange
        self._sleep = sleep
        self._endpoint = Endpoint.of(profile.api_base)
        self._http = httpx.AsyncClient(
            # A CA bundle takes longer to load than a request to loopback takes. Without one, https (to a proxy) fails.
            verify=_tls_context(profile) if self._endpoint.is_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            # A proxy of the environment is for the world outside.
            trust_env=not self._endpoint.is_loopback,
            transport=transport,
            # Nothing here is large enough to be worth compressing.
            headers={"User-Agent": f"rtcctl/{__version__}", "Accept-Encoding": "identity"},
            limits=httpx.Limits(keepalive_expiry=4.0),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(exc_type, exc, traceback)

    @property
    def remaining_s(self) -> float | None:
        """Until the deadline; `None` without one."""
        return None if self._deadline is None else self._deadline - self._clock()

    async def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        secret: SecretKind | None,
        read_timeout_s: float = READ_TIMEOUT_S,
        item_failures: int | None = None,
        repeats_busy: bool = True,
    ) -> ApiAnswer:
        """Send until there is an answer that is one. `body` `None` sends no body at all, `secret` `None` no secret.

        `repeats_busy`: send it again after 425, 429 and 5xx.
        `item_failures`: a status whose body is an answer nevertheless when it has items (503 of the adapters, §2.11).
        Raises `AuthError`, `ApiError`, `NetworkError`, `DeadlineError`.
        """
        headers = {} if secret is None else {"Authorization": f"Bearer {self._usable_secret(secret)}"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode()
        request = f"{method} {url.removeprefix(self.profile.api_base)}"

        refused: RtcctlError | None = None
        number = 0

        async def attempt() -> ApiAnswer:
            nonlocal refused, number
            number += 1
            try:
                async with self._told(method, url, body, number) as told:
                    response = await self._send(method, url, headers, content, request, read_timeout_s)
                    told.append(response)
                return self._judge(response, request, secret, item_failures)
            except _RetryableError as exc:
                if exc.reason is _Retry.BUSY and not repeats_busy:
                    raise exc.error from exc.__cause__
                refused = exc.error
                raise
            except DeadlineError as exc:
                if refused is not None:
                    raise refused from exc
                raise

        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            retry=tenacity.retry_if_exception_type(_RetryableError),
            wait=self._wait_s,
            stop=self._is_enough,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except _RetryableError as last:
            raise last.error from last.__cause__

    def _usable_secret(self, kind: SecretKind) -> str:
        secret = kind.of(self.profile)
        if not secret:
            raise UsageError(
                f"Profile {self.profile.name} has no {kind.value}.",
                hint="Where each setting comes from: rtcctl config show --origin. Set one: rtcctl config secret set …",
            )
        if not (secret.isascii() and secret.isprintable() and " " not in secret):
            raise UsageError(
                f"The {kind.value} of profile {self.profile.name} holds a space, a line break or another character "
                "that no secret has.",
                hint="Was more than the secret copied?",
            )
        return secret

    # --- retrying

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next attempt: what the service asks for, or doubling from 1 s with jitter."""
        error = _retryable(state)
        if error.retry_after_s is not None:
            return error.retry_after_s
        if error.reason is _Retry.NEGOTIATION:
            return 0.05 * state.attempt_number
        return float(2 ** (state.attempt_number - 1) * self._random.uniform(0.75, 1.25))

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        """Whether attempts are used up, or the next one would start after the deadline."""
        if state.attempt_number >= _ATTEMPTS[_retryable(state).reason] or state.upcoming_sleep > MAX_WAIT_S:
            return True
        return self._deadline is not None and self._clock() + state.upcoming_sleep >= self._deadline

    # --- one attempt

    @asynccontextmanager
    async def _told(self, method: str, url: str, body: Any, attempt: int) -> AsyncIterator[list[_Response]]:
        """Tell `on_exchange` of what the body does: the answer that it puts into the list, or why there is none."""
        started_at = self._clock()
        responses: list[_Response] = []
        error = ""
        try:
            yield responses
        except (RtcctlError, _RetryableError) as exc:
            error = str(exc)
            raise
        except asyncio.CancelledError:
            error = "given up"
            raise
        finally:
            if self._on_exchange is not None:
                response = responses[0] if responses else _NO_RESPONSE
                self._on_exchange(
                    Exchange(
                        method=method,
                        url=url,
                        attempt=attempt,
                        request_body=body,
                        status=response.status or None,
                        answer_body=response.content,
                        ray=self._ray(response.headers),
                        retry_after=response.headers.get("retry-after"),
                        started_at=started_at,
                        took_s=self._clock() - started_at,
                        error=error,
                    )
                )

    async def _send(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None, request: str, read_timeout_s: float
    ) -> _Response:
        remaining_s = self.remaining_s
        if remaining_s is not None and remaining_s <= 0:
            raise self._too_late(request)
        limit_s = math.inf if remaining_s is None else remaining_s
        timeout = httpx.Timeout(min(read_timeout_s, limit_s), connect=min(CONNECT_TIMEOUT_S, limit_s))
        # httpx counts each read by itself: a server that drips would never be late.
        whole_s = min(CONNECT_TIMEOUT_S + read_timeout_s, limit_s)
        started = self._clock()
        try:
            async with (
                asyncio.timeout(whole_s),
                self._http.stream(method, url, headers=headers, content=content, timeout=timeout) as response,
            ):
                received = bytearray()
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > MAX_ANSWER_BYTES:
                        raise ApiError(
                            f"{request}: the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB.",
                            status=response.status_code,
                            request=request,
                        )
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            error, is_definite = explain_connect_failure(exc, self._endpoint)
            if is_definite:
                raise error from exc
            raise _RetryableError(error, _Retry.CONNECT) from exc
        except (httpx.TimeoutException, TimeoutError) as exc:
            if self.remaining_s is not None and self.remaining_s <= 0.001:
                raise self._too_late(request) from exc
            waited_s = min(read_timeout_s, limit_s)
            raise DeadlineError(
                f"{request}: no answer within {waited_s:.3g} s.",
                awaited=f"the answer to {request}",
                after_s=waited_s,
                hint=_unanswered(request),
                is_unanswered=True,
            ) from exc
        except httpx.InvalidURL as exc:
            raise UsageError(f"{request}: no such URL can be asked for.") from exc
        except httpx.ProxyError as exc:
            raise NetworkError(
                f"The proxy refused: {presentable(str(exc), self.profile.secrets)}",
                phase="http",
                hint="Look at HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
            ) from exc
        except httpx.HTTPError as exc:
            raise NetworkError(
                f"{request}: the connection to {self._endpoint.host}:{self._endpoint.port} was lost before the answer.",
                phase="http",
                hint="Try again." if method == "GET" else _unanswered(request),
                is_unanswered=True,
            ) from exc
        self.last_round_trip_ms = (self._clock() - started) * 1000
        self.last_ray = self._ray(response.headers)
        return _Response(response.status_code, response.headers, bytes(received))

    def _too_late(self, request: str) -> DeadlineError:
        assert self._deadline_s is not None
        return DeadlineError(
            f"{request}: not answered within the {self._deadline_s:.3g} s that the command has.",
            awaited=f"the answer to {request}",
            after_s=self._deadline_s,
        )

    def _judge(
        self, response: _Response, request: str, secret: SecretKind | None, item_failures: int | None
    ) -> ApiAnswer:
        """The answer, or the error it is. A 2xx with an `errorCode` at the top is a failure."""
        status, ray = response.status, self._ray(response.headers)
        body, is_json = _decoded(response.content)
        fields = body if isinstance(body, dict) else {}
        code, subcode, description = (
            _text(fields.get(key)) for key in ("errorCode", "errorSubcode", "errorDescription")
        )
        if code is None and fields.get("success") is False:
            code, description = _account_error(fields.get("errors"))
        if is_json and code is None and (200 <= status < 300 or (status == item_failures and fields.get("tracks"))):
            return ApiAnswer(status, body, ray)
        secrets = self.profile.secrets
        raw = "" if is_json else response.content[:4096].decode("utf-8", "replace")
        said = presentable(description or raw, secrets)
        code = presentable(code, secrets) if code else None
        subcode = presentable(subcode, secrets) if subcode else None
        # Where the account API has no code of its own it repeats the status.
        message = (
            f"{request}: {status}"
            + (f" {code}" if code and code != str(status) else "")
            + (f": {said}" if said else "")
        )
        if status in (401, 403):
            hint = (self._auth_hint(secret) if secret is not None else "") or hint_for(status, code)
            raise AuthError(message, hint=hint, status=status, code=code, ray=ray)
        if not is_json and 200 <= status < 300:
            message = f"{request}: the answer ({status}) is no JSON: {said}"
        if secret is SecretKind.ACCOUNT:
            hint = account_hint_for(status)
        elif secret is SecretKind.TURN and status in (410, 429):  # what is known of these is about sessions
            hint = "Too many requests: slow down." if status == 429 else ""
        else:
            hint = hint_for(status, code, subcode, description)
        if 300 <= status < 400:
            hint = "Redirects are not followed. Is the API base right? rtcctl config show --origin"
        retry_after_s = parse_retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        error = ApiError(
            message,
            hint=hint,
            status=status,
            code=code,
            subcode=subcode,
            description=said or None,
            request=request,
            ray=ray,
            retry_after_s=retry_after_s,
        )
        if status in (425, 429) or status >= 500:
            raise _RetryableError(error, _Retry.BUSY, retry_after_s=retry_after_s)
        if status in (406, 409) and is_unstable_signalling(code, subcode):
            raise _RetryableError(error, _Retry.NEGOTIATION)
        raise error

    def _ray(self, headers: Mapping[str, str]) -> str | None:
        """Cf-Ray; of somebody who is no Cloudflare it may be anything, so it is fit for messages first."""
        ray = headers.get("cf-ray")
        return None if ray is None else presentable(ray, self.profile.secrets)

    # --- what went wrong, in words

    def _auth_hint(self, kind: SecretKind) -> str:
        """What is known of a refused secret from its value, which is not shown."""
        value = kind.of(self.profile)
        is_of = _DEVELOPMENT.get(value)
        if is_of is not None and is_of is not kind:
            return f"This is the {is_of.value} of `rtcctl dev`, used as {kind.value}: they have been swapped."
        if is_of is not None and not self._endpoint.is_loopback:
            return f"This is the public development {kind.value}: only `rtcctl dev` on this machine takes it."
        for other in SecretKind:
            if other is not kind and other.of(self.profile) == value:
                return f"The same value is set as {kind.value} and as {other.value}: they are different secrets."
        words = [f"An {kind.value}" if kind is not SecretKind.TURN else f"A {kind.value}", "was expected"]
        if len(value) == 40 and kind is not SecretKind.ACCOUNT:
            words.append("(64 characters); this one is as long as an account API token (40)")
        others = " or ".join(other.value for other in SecretKind if other is not kind)
        return f"{' '.join(words)}; the {others} will not do. See which is accepted: rtcctl config check"


class Client:
    """What the clients of one profile share: their exchanges, begun and ended with `async with`.

    They raise `AuthError`, `ApiError`, `NetworkError` and `DeadlineError`. `deadline_s`: seconds from now after which
    no attempt starts and nothing is waited for any longer.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Callable[[], float],
        random: Random,
        deadline_s: float | None = None,
        on_exchange: OnExchange | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.profile = profile
        self._deadline_s = deadline_s
        self._api = HttpApi(
            self._at(profile),
            clock=clock,
            random=random,
            deadline_s=deadline_s,
            on_exchange=on_exchange,
            transport=transport,
            sleep=sleep,
        )

    def _at(self, profile: Profile) -> Profile:
        """The profile with the API base that this client speaks to."""
        return profile

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.__aexit__(exc_type, exc, traceback)


def _tls_context(profile: Profile) -> ssl.SSLContext:
    """Trusts the profile's own authority alone, if it has one."""
    if not profile.ca_file:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=profile.ca_file)
    except OSError as exc:
        raise UsageError(
            f"The certificate authority of profile {profile.name} cannot be used: {profile.ca_file}: {exc.strerror}.",
            hint="rtcctl dev --tls makes it anew",
        ) from exc


def parse_retry_after(value: str | None, date: str | None) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110 §10.2.3); an absolute time counts from the answer's own `Date`."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, OverflowError):
        if date is not None:
            return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds())
    return None


def _retryable(state: tenacity.RetryCallState) -> _RetryableError:
    """What the last attempt raised; tenacity asks only after a `_RetryableError`."""
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, _RetryableError)
    return error


def _decoded(content: bytes) -> tuple[Any, bool]:
    """(decoded JSON, whether it is JSON); an empty body is `None`."""
    if not content.strip():
        return None, True
    try:
        return from_json(content), True
    except ValueError:
        return None, False


def _account_error(errors: object) -> tuple[str, str | None]:
    """(code, message) of the account API's envelope, whose codes are numbers."""
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return _text(first.get("code")) or "unknown", _text(first.get("message"))


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
