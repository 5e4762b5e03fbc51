"""Whether a process still lives and is the same one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtcctl.process import is_running, start_mark


def test_this_process_runs():
    """With and without its mark."""
    assert is_running(os.getpid())
    assert is_running(os.getpid(), start_mark(os.getpid()))


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**70])
def test_no_such_process(pid: int):
    """Nor is pid 0 one, which `kill` takes for all of the group."""
    assert not is_running(pid)
    assert start_mark(pid) == ""


def test_somebody_elses_process_runs():
    """Not to be allowed to signal it is an answer."""
    assert is_running(1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_pid_that_came_round_is_another_process():
    """The mark holds the boot and the start."""
    assert not is_running(os.getpid(), "another boot:1")
    assert start_mark(os.getpid()) != start_mark(1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_that_has_ended_does_not_run():
    """Also before its parent has asked for its status."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(child.pid)
    finally:
        child.wait()
