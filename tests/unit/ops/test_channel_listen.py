"""Covers rtcctl/ops/channel_listen.py: how long a publisher that has lost its session is waited for."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rtcctl.errors import ApiError
from rtcctl.journal import Journal
from rtcctl.ops.channel_listen import ListenRequest, _Listening
from rtcctl.ops.channels_media import ChannelRef
from rtcctl.ops.env import Env
from rtcctl.realtime.profile import Profile
from tests.support.simulated_time import SimulatedLoop, simulate


class GoneEnv(Env):
    """Every session is gone."""

    def client(self, *, deadline_s: float | None = None) -> Any:
        return self

    async def __aenter__(self) -> GoneEnv:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def get_session(self, session_id: str) -> None:
        raise ApiError("410", status=410)


@pytest.mark.parametrize(("for_s", "recover_for_s", "waited_s"), [(None, 60.0, 60), (10.0, 60.0, 10), (30.0, 5.0, 5)])
def test_a_publisher_is_not_waited_for_beyond_the_end(
    for_s: float | None, recover_for_s: float, waited_s: float, tmp_path: Path
):
    """Until `--recover-for` is over, or `--for`, whichever comes first."""

    async def run(loop: SimulatedLoop) -> float:
        with Journal.open(tmp_path) as journal:
            profile = Profile(name="t", api_base="http://127.0.0.1:1/v1")
            env = GoneEnv(profile, journal, clock=loop.time)
            journal.session_created("p", profile="t", api_base="", app_id="", at=1.0, pid=os.getpid())
            request = ListenRequest((ChannelRef("p", "chat"),), for_s=for_s, recover_for_s=recover_for_s)
            listening = _Listening(request, env)
            listening.run.opened(SimpleNamespace(session_id="s"))  # type: ignore[arg-type]
            listening._publishers["p"] = "p"
            our: Any = SimpleNamespace(watch=asyncio.sleep)
            assert await listening._moved(our) == []
            return loop.time() - 1000

    assert simulate(run) == pytest.approx(waited_s, abs=0.01)
