"""The client of the admin API: what a refusal means there."""

from __future__ import annotations

from random import Random

import pytest

from rtcctl.errors import AuthError
from rtcctl.realtime.admin import AdminClient
from tests.unit.realtime.wire import PROFILE, Service, json_reply


async def test_a_refusal_is_about_no_secret():
    """The admin API has none: App ID and App Secret are not to blame."""
    said = "The admin API answers to its own Host only"
    service = Service(json_reply(403, {"errorCode": "forbidden", "errorDescription": said}))
    async with AdminClient(
        PROFILE, clock=service.time.clock, random=Random(1), transport=service, sleep=service.time.sleep
    ) as client:
        with pytest.raises(AuthError, match=said) as caught:
            await client.faults()
    assert "no secret" in caught.value.hint
    assert "App Secret" not in caught.value.hint
