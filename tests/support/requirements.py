"""Parts that a test needs from the machine: missing ones skip, and fail where `RTCCTL_REQUIRE` names them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def require(name: str, *, why: str, is_there: bool | None = None) -> None:
    """Skip the test when `name` is not on this machine; fail it when RTCCTL_REQUIRE names it."""
    if is_there is None:
        is_there = shutil.which(name) is not None
    if is_there:
        return
    if name in os.environ.get("RTCCTL_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required by RTCCTL_REQUIRE and is not there: {why}", pytrace=False)
    pytest.skip(f"{name} is not there: {why}")


slow = pytest.mark.skipif(not os.environ.get("RTCCTL_SLOW"), reason="takes long; RTCCTL_SLOW=1 runs it")
"What repeats a claim of another test with more of the same: other codecs, more rounds, the other peer."


def require_lonely_host() -> None:
    """A network namespace with nothing but loopback, made without root."""
    works = shutil.which("unshare") is not None and shutil.which("ip") is not None
    if works:
        probe = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
        works = probe.returncode == 0
    require("unshare", why="tests make a host without a network by unshare -rn", is_there=works)
