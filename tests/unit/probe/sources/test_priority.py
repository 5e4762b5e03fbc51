"""An encoder does not make itself more important than everything else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from rtcctl.probe.sources.priority import priority_kept
from rtcctl.probe.sources.testsrc import TestPictureSource

if sys.platform != "linux":
    pytest.skip("only Linux has these policies", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("only root may change them", allow_module_level=True)


def policies() -> set[int]:
    """Of all threads of this process."""
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


async def test_av1_is_encoded_at_the_usual_priority():
    """By the thread that opens the encoder, and by those that the encoder starts."""
    source = TestPictureSource(160, 90, 30, codec="AV1")
    await source.prepare()
    assert policies() == {os.SCHED_OTHER}
    assert await source.next_frame(asyncio.get_running_loop().time) is not None
    assert policies() == {os.SCHED_OTHER}
    await source.close()


def test_whoever_chose_another_priority_keeps_it():
    """What was changed inside is undone, what was chosen outside is not."""
    ended = threading.Event()
    real_time = os.sched_param(1)
    try:
        with priority_kept():
            os.sched_setscheduler(0, os.SCHED_FIFO, real_time)
            thread = threading.Thread(target=ended.wait)  # inherits it
            thread.start()
            assert os.SCHED_FIFO in policies()
        assert policies() == {os.SCHED_OTHER}
        os.sched_setscheduler(0, os.SCHED_FIFO, real_time)
        with priority_kept():
            pass
        assert os.sched_getscheduler(0) == os.SCHED_FIFO
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        ended.set()
        thread.join()
