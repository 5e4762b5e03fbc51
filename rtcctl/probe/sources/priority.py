"""No encoder is more important than the event loop whose lateness is measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def priority_kept() -> Iterator[None]:
    """Threads keep their priority, whatever an encoder makes of it that is opened meanwhile; new ones get this one's.

    SVT-AV1, when root runs it and may (Linux, CAP_SYS_NICE), makes its threads and the one that opens it real-time
    threads of the highest priority: nothing else runs on their cores then, and what they start inherits it.
    """
    if sys.platform != "linux":
        yield
        return
    before: dict[int, tuple[int, int]] = {}
    for thread in _threads():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            before[thread] = _priority(thread)
    ours = _priority(0)
    try:
        yield
    finally:
        for thread in _threads():
            with suppress(ProcessLookupError):
                kept = before.get(thread, ours)
                if _priority(thread) != kept:
                    policy, level = kept
                    os.sched_setscheduler(thread, policy, os.sched_param(level))


def _threads() -> list[int]:
    """Of this process."""
    return [int(name) for name in os.listdir("/proc/self/task")]


def _priority(thread: int) -> tuple[int, int]:
    """Policy, and level for real-time ones; those of the calling thread for 0."""
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority


__all__ = ["priority_kept"]
