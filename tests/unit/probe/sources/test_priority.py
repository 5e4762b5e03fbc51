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


def test_what_was_real_time_before_stays_so():
    """What is changed inside is undone, for this thread and for new ones; another's own choice is not touched."""
    ended, is_up = threading.Event(), threading.Event()

    def speak() -> None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        is_up.set()
        ended.wait()

    threads = [threading.Thread(target=speak)]
    threads[0].start()
    is_up.wait()
    try:
        with priority_kept():
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
            threads.append(threading.Thread(target=ended.wait))  # inherits it
            threads[1].start()
            assert threads[1].native_id is not None
            assert os.sched_getparam(threads[1].native_id).sched_priority == 2
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        assert os.sched_getscheduler(threads[1].native_id) == os.SCHED_OTHER
        assert threads[0].native_id is not None
        assert os.sched_getscheduler(threads[0].native_id) == os.SCHED_FIFO
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        ended.set()
        for thread in threads:
            thread.join()


def test_threads_that_end_meanwhile_are_none_of_its_business():
    """Others come and go between listing and asking them."""
    is_over, interval_s = threading.Event(), sys.getswitchinterval()

    def come_and_go() -> None:
        while not is_over.is_set():
            brief = [threading.Thread(target=lambda: None) for _ in range(8)]
            for thread in brief:
                thread.start()
            for thread in brief:
                thread.join()

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(3000):
            with priority_kept():
                pass
    finally:
        sys.setswitchinterval(interval_s)
        is_over.set()
        for thread in threads:
            thread.join()
