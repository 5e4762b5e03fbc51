"""TURN credential endpoints (Realtime docs: Generate credentials)."""

from __future__ import annotations

import pytest

from tests.contract.subject import Subject, subject


def path_of(service: Subject, operation: str) -> str:
    if not service.turn_key_id:
        pytest.skip("no TURN key: set RTCCTL_CONTRACT_TURN_KEY_ID and RTCCTL_CONTRACT_TURN_KEY_TOKEN")
    return f"/turn/keys/{service.turn_key_id}/credentials/{operation}"


async def test_generate() -> None:
    """201; a list of servers in the newer shape, one object in the older."""
    async with subject() as service:
        for operation, kind in (("generate-ice-servers", list), ("generate", dict)):
            answer = await service.request(
                "POST", path_of(service, operation), {"ttl": 60}, secret=service.turn_key_token
            )
            assert answer.status_code == 201
            servers = answer.json()["iceServers"]
            assert isinstance(servers, kind)
            for server in servers if isinstance(servers, list) else [servers]:
                assert all(url.startswith(("stun:", "turn:", "turns:")) for url in server["urls"])
                is_stun = all(url.startswith("stun:") for url in server["urls"])
                assert is_stun or (server["username"] and server["credential"])
                assert is_stun or not service.quirks.stun_only


async def test_the_app_secret_is_no_key_token() -> None:
    """401 or 403."""
    async with subject() as service:
        for operation in ("generate", "generate-ice-servers"):
            answer = await service.request("POST", path_of(service, operation), {"ttl": 60})
            assert answer.status_code in service.quirks.wrong_secret


async def test_revoke() -> None:
    """204 without a body."""
    async with subject() as service:
        answer = await service.request("POST", path_of(service, f"{'0' * 96}/revoke"), secret=service.turn_key_token)
        assert (answer.status_code, answer.content) == (204, b"")
