"""The official OpenAPI file as a generator of requests: whatever it allows, and what it does not, gets a JSON answer.

`RTCCTL_OPENAPI` names the file, which is Cloudflare's document and no part of this project.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from rtcctl.server.limits import Limits
from rtcctl.testing import Realtime, realtime_server
from tests.support.hostile import remembered
from tests.support.sdp import data, offer_of, section, video

OPENAPI = os.environ.get("RTCCTL_OPENAPI")
OPERATIONS = (
    "/apps/{appId}/sessions/new",
    "/apps/{appId}/sessions/{sessionId}",
    "/apps/{appId}/sessions/{sessionId}/tracks/new",
    "/apps/{appId}/sessions/{sessionId}/tracks/update",
    "/apps/{appId}/sessions/{sessionId}/tracks/close",
    "/apps/{appId}/sessions/{sessionId}/renegotiate",
    "/apps/{appId}/sessions/{sessionId}/datachannels/establish",
    "/apps/{appId}/sessions/{sessionId}/datachannels/new",
    "/apps/{appId}/sessions/{sessionId}/datachannels/update",
    "/apps/{appId}/sessions/{sessionId}/datachannels/close",
)
"Those that the embedded server has: all but the adapters'."

if not OPENAPI:
    pytest.skip("RTCCTL_OPENAPI does not name the official OpenAPI file", allow_module_level=True)

# Imported here since they take a second, and only this module needs them.
import requests  # noqa: E402
import schemathesis  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

LIFETIME_S = 0.5
"Of sessions, so that what is left behind would show at the end."
OFFER = offer_of(section("0"), video("1"), data("2")).to_wire()

schema = schemathesis.openapi.from_path(OPENAPI).include(path=list(OPERATIONS))

unused: list[dict[str, int]] = []
"What the endpoint of the server remembered before the first request."


LIMITS = Limits(
    connect_wait_s=0.01,
    media_wait_s=0.01,
    unused_s=LIFETIME_S,
    disconnected_s=LIFETIME_S,
    sweep_s=0.02,
    requests_per_second=100_000,
)


class Client:
    """Keeps its connection, and its sessions for a moment, since new ones would take longer than the requests."""

    def __init__(self, server: Realtime, http: requests.Session) -> None:
        self.server = server
        self.http = http
        self._sessions: dict[bool, tuple[str, float]] = {}

    def session(self, *, is_used: bool) -> str:
        """`is_used`: one that has exchanged descriptions and never connected."""
        session_id, made = self._sessions.get(is_used, ("", 0.0))
        if time.monotonic() - made > LIFETIME_S / 2:
            sessions = f"{self.server.base_url}/apps/{self.server.app_id}/sessions"
            session_id = str(self.http.post(f"{sessions}/new").json()["sessionId"])
            self._sessions[is_used] = session_id, time.monotonic()
            if is_used:
                track = {"location": "local", "mid": "0", "trackName": "mic"}
                body = {"tracks": [track], "sessionDescription": OFFER}
                assert self.http.post(f"{sessions}/{session_id}/tracks/new", json=body).status_code == 200
        return session_id


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One server for all generated requests: what one leaves behind, the next meets."""
    with realtime_server(limits=LIMITS) as running, requests.Session() as http:
        unused[:] = [remembered(running._server.registry._endpoint)]
        http.trust_env = False
        http.headers["Authorization"] = f"Bearer {running.app_secret}"
        yield Client(running, http)


@schema.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request_is_answered(case: schemathesis.Case, client: Client) -> None:
    """No 5xx, always JSON, always `vary: Origin`; to a young session, a used one and to none; wrong methods too."""
    case.path_parameters["appId"] = client.server.app_id
    if "sessionId" in case.path_parameters:
        choice = len(str(case.path_parameters["sessionId"])) % 3
        if choice < 2:
            case.path_parameters["sessionId"] = client.session(is_used=bool(choice))
    headers = {"Authorization": f"Bearer {client.server.app_secret}"}
    answer = case.call(base_url=client.server.base_url, headers=headers, session=client.http)
    assert answer.status_code < 500, answer.text
    assert answer.headers["vary"] == ["Origin"]
    if case.method in ("HEAD", "OPTIONS"):
        return
    document = answer.json()
    if answer.status_code >= 400:
        assert document["errorCode"]
        assert document["errorDescription"]


def test_nothing_is_left_behind(client: Client) -> None:
    """After all these requests, when the sessions have expired: no session, no transport, no name of one."""
    deadline = time.monotonic() + 20
    registry = client.server._server.registry
    while any(app.sessions for app in registry._apps.values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [remembered(registry._endpoint)] == unused
    assert registry.bugs == 0
