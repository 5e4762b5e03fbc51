"""Whom the contract suite asks: the embedded server, or Cloudflare when credentials are present.

Set `RTCCTL_CONTRACT_API_BASE`, `RTCCTL_CONTRACT_APP_ID` and `RTCCTL_CONTRACT_APP_SECRET` (and, for the TURN tests,
`RTCCTL_CONTRACT_TURN_KEY_ID` and `RTCCTL_CONTRACT_TURN_KEY_TOKEN`, for those of the account API
`RTCCTL_CONTRACT_ACCOUNT_ID` and `RTCCTL_CONTRACT_ACCOUNT_TOKEN`) to ask a service on the network. Where it is known,
or suspected, to differ from the embedded server, `Quirks` says so; tests look at nothing else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from rtcctl.realtime.profile import CLOUDFLARE_ACCOUNT_API_BASE
from rtcctl.server.limits import Limits
from rtcctl.server.server import RealtimeServer
from tests.contract.refusals import GONE, Refused

TIME_SCALE = 0.1
"Of the embedded server's waits, so that the suite is quick; its peers' timers are not scaled."


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where subjects may differ."""

    time_scale: float = 1.0
    wrong_secret: frozenset[int] = frozenset({401, 403})
    unknown_app: frozenset[int] = frozenset({401, 403, 404})
    answers_unknown_sessions: bool = False
    "A live probe of `GET` on an unknown session once hung."
    reorders_words: bool = True
    "`errorDescription`s may have changed; codes may not."
    follows_assumptions: bool = False
    """Where the reference only assumes what the service does, the subject does just that.

    Another may do what a test allows besides: see `Refused.elsewhere`."""
    offers_to_receive_only: bool = False
    "A publication by an offer of the SFU once failed without `bidirectionalMediaStream`."
    limits_are_tested: bool = False
    "Whether the suite may run into the rate limit, large bodies and expiry."
    stun_only: bool = False
    "TURN credential endpoints name STUN only."


EMBEDDED = Quirks(
    time_scale=TIME_SCALE,
    wrong_secret=frozenset({401}),
    unknown_app=frozenset({404}),
    answers_unknown_sessions=True,
    reorders_words=False,
    follows_assumptions=True,
    offers_to_receive_only=True,
    limits_are_tested=True,
    stun_only=shutil.which("turnserver") is None,
)


@dataclass(slots=True)
class Subject:
    """An app of a Realtime service, and what was created there."""

    base_url: str
    app_id: str
    app_secret: str = field(repr=False)
    turn_key_id: str
    turn_key_token: str = field(repr=False)
    account_api_base: str
    account_id: str
    account_token: str = field(repr=False)
    quirks: Quirks
    http: httpx.AsyncClient
    created: list[str] = field(default_factory=list)

    async def request(
        self, method: str, path: str, body: Any = None, *, secret: str | None = None, **options: Any
    ) -> httpx.Response:
        """Any request; `path` below `/v1`."""
        headers = {"Authorization": f"Bearer {secret or self.app_secret}"} | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return await self.http.request(method, f"{self.base_url}{path}", headers=headers, **options)

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A request to the app; `path` below the app's."""
        return await self.request(method, f"/apps/{self.app_id}{path}", body, **options)

    async def new_session(self, body: Any = None) -> str:
        answer = await self.call("POST", "/sessions/new", body)
        assert answer.status_code == 201, answer.text
        session_id = str(answer.json()["sessionId"])
        self.created.append(session_id)
        return session_id

    async def tracks_new(self, session_id: str, **body: Any) -> httpx.Response:
        return await self.call("POST", f"/sessions/{session_id}/tracks/new", body)

    async def renegotiate(self, session_id: str, answer: dict[str, str]) -> httpx.Response:
        return await self.call("PUT", f"/sessions/{session_id}/renegotiate", {"sessionDescription": answer})

    async def tracks_update(self, session_id: str, *tracks: dict[str, Any]) -> httpx.Response:
        return await self.call("PUT", f"/sessions/{session_id}/tracks/update", {"tracks": tracks})

    async def establish(self, session_id: str, **body: Any) -> httpx.Response:
        body = {"dataChannel": {"location": "remote", "dataChannelName": "server-events"}} | body
        return await self.call("POST", f"/sessions/{session_id}/datachannels/establish", body)

    async def close(self, session_id: str, mids: Iterable[str], **body: Any) -> httpx.Response:
        body = {"tracks": [{"mid": mid} for mid in mids], "force": True} | body
        return await self.call("PUT", f"/sessions/{session_id}/tracks/close", body)

    async def get(self, session_id: str) -> httpx.Response:
        return await self.call("GET", f"/sessions/{session_id}")

    async def until_gone(self, session_id: str) -> float:
        """Wait until a session is gone; how long that took, in seconds."""
        started = time.monotonic()
        async with asyncio.timeout(40):
            while (answer := await self.get(session_id)).status_code == 200:  # noqa: ASYNC110 (the service is asked)
                await asyncio.sleep(0.05)
        self.check_refused(answer, GONE)
        return time.monotonic() - started

    def check_error(self, answer: httpx.Response, status: int, code: str, words: str = "") -> None:
        """A request-level error: status, code, and (where they must not change) the words."""
        self.check_refused(answer, Refused(status, code, words))

    def check_refused(self, answer: httpx.Response, expected: Refused) -> None:
        """The error that the reference names, or (from a service of which it is only assumed) another it allows."""
        document = answer.json()
        seen = answer.status_code, document.get("errorCode")
        if not self.quirks.follows_assumptions and seen != (expected.status, expected.code):
            assert seen in expected.elsewhere, document
            return
        assert seen == (expected.status, expected.code), document
        assert document["errorDescription"]
        if not self.quirks.reorders_words:
            assert expected.words in document["errorDescription"]
        if self.quirks.follows_assumptions and expected.subcode is not None:
            assert document["errorSubcode"] == expected.subcode

    def check_item(self, item: dict[str, Any], code: str | None, words: str = "") -> None:
        """An item error of an answer that is 200; `None`: the item is no failure."""
        assert item.get("errorCode") == code, item
        if code is not None:
            assert item["errorDescription"]
            if not self.quirks.reorders_words:
                assert words in item["errorDescription"]

    async def clean_up(self) -> None:
        """Close what the created sessions still hold."""
        for session_id in self.created:
            state = await self.get(session_id)
            if state.status_code == 200:
                mids = [track["mid"] for track in state.json()["tracks"] if track["status"] == "active"]
                if mids:
                    await self.close(session_id, mids)


@asynccontextmanager
async def subject(**limits: Any) -> AsyncIterator[Subject]:
    """The service under test. `limits` change the embedded server's."""
    base_url = os.environ.get("RTCCTL_CONTRACT_API_BASE")
    is_remote = base_url is not None
    # Without TLS there are no certificates to verify, which takes longer to set up than the embedded server.
    async with httpx.AsyncClient(timeout=30, trust_env=is_remote, verify=is_remote) as http:
        if base_url is not None:
            asked = Subject(
                base_url,
                os.environ["RTCCTL_CONTRACT_APP_ID"],
                os.environ["RTCCTL_CONTRACT_APP_SECRET"],
                os.environ.get("RTCCTL_CONTRACT_TURN_KEY_ID", ""),
                os.environ.get("RTCCTL_CONTRACT_TURN_KEY_TOKEN", ""),
                CLOUDFLARE_ACCOUNT_API_BASE,
                os.environ.get("RTCCTL_CONTRACT_ACCOUNT_ID", ""),
                os.environ.get("RTCCTL_CONTRACT_ACCOUNT_TOKEN", ""),
                Quirks(),
                http,
            )
            try:
                yield asked
            finally:
                await asked.clean_up()
            return
        # The silence of a peer is measured by the peer's own timers: aiortc sends a check every 5 s.
        scaled = replace(Limits().scaled(TIME_SCALE), **({"disconnected_s": Limits().disconnected_s} | limits))
        async with RealtimeServer.run("127.0.0.1", 0, limits=scaled) as server:
            asked = Subject(
                server.base_url,
                server.app_id,
                server.app_secret,
                server.turn_key_id,
                server.turn_key_token,
                server.account_api_base,
                server.account_id,
                server.account_token,
                EMBEDDED,
                http,
            )
            yield asked
            assert server.registry.bugs == 0
