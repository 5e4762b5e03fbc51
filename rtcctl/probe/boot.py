"""Which boot of which machine this is: send times of two machines, or of two boots, cannot be compared."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path

from rtcctl.media.sendtime import boot_id_hash

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def this_boot() -> int:
    """Hash of this machine's boot id: equal in all processes since its start, different elsewhere.

    Where the system tells no boot id (macOS, Windows) it is this process that is identified: publisher and subscriber
    in one process, as in `smoke`, still measure one-way latency.
    """
    try:
        boot_id = BOOT_ID.read_bytes().strip()
    except OSError:
        boot_id = uuid.uuid4().bytes
    return boot_id_hash(boot_id)
