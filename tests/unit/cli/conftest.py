"""Every test of the command line runs beside the user's files and environment."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own, a working directory of its own, and none of the variables that rtcctl reads."""
    for name in os.environ:
        if name != "RTCCTL_REQUIRE" and name.startswith(
            ("RTCCTL_", "GITHUB_", "CLOUDFLARE_", "TURN_", "CALLS_", "REALTIME_", "SFU_")
        ):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RTCCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("RTCCTL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"
