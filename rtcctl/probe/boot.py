"""Which boot of which machine this is: send times of two machines, or of two boots, cannot be compared."""

from __future__ import annotations

import hashlib
import uuid
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id_hash() -> int:
    """64 bits that are equal in all processes since this machine's start, and differ elsewhere.

    Where the system tells no boot id (macOS, Windows) it is this process that is identified: publisher and subscriber
    in one process, as in `smoke`, still measure one-way latency.
    """
    try:
        identity = BOOT_ID.read_text().strip()
    except OSError:
        identity = str(uuid.uuid4())
    return int.from_bytes(hashlib.sha256(b"rtcctl boot " + identity.encode()).digest()[:8], "big")
