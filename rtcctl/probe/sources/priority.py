"""No encoder is more important than the event loop whose lateness is measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def priority_kept() -> Iterator[None]:
    """Threads keep their priority, whatever an encoder makes of it that is opened meanwhile (Linux).

    SVT-AV1, when root runs it, as in most containers, makes its threads and the one that opens it real-time threads of
    the highest priority: nothing else runs on their cores then, and what such a thread starts inherits it. Whoever gave
    the process another priority than the usual one meant it, and nothing is changed.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    try:
        yield
    finally:
        for thread in map(int, os.listdir("/proc/self/task")):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                if os.sched_getscheduler(thread) == os.SCHED_FIFO:
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


__all__ = ["priority_kept"]
