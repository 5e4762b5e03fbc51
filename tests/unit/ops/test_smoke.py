"""Which checks `smoke` judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcctl.errors import UsageError
from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.ops.smoke import SmokeRequest, smoke
from rtcctl.realtime.profile import Profile


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (SmokeRequest(only=("sound",)), "sound"),
        (SmokeRequest(only=("api",), skip=("api",)), "No check is left"),
        (SmokeRequest(require=("loss",), skip=("loss", "rtt")), "exclude each other: loss"),
    ],
)
async def test_a_run_that_could_judge_nothing_is_refused(request_: SmokeRequest, said: str, tmp_path: Path):
    """Nothing judged would be nothing failed."""
    with Journal.open(tmp_path) as journal:
        env = Env(profile=Profile(name="test", api_base="http://127.0.0.1:1/v1"), journal=journal)
        with pytest.raises(UsageError, match=said):
            await smoke(request_, env)
