"""Whether a process that was noted down earlier still lives and is the same one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def start_mark(pid: int) -> str:
    """What tells this process from a later one with the same pid; `""` where the system does not say or it is gone.

    Linux: boot id and start time in clock ticks since boot (proc(5), field 22 of `stat`).
    """
    fields = _stat_fields(pid)
    if fields is None:
        return ""
    try:
        return f"{_BOOT_ID.read_text('ascii').strip()}:{fields[19]}"
    except (OSError, IndexError):
        return ""


def is_running(pid: int, mark: str = "") -> bool:
    """Whether `pid` lives, and is the process that `mark` was taken of (where one could be taken)."""
    if pid <= 0:
        return False
    fields = _stat_fields(pid)
    if fields is not None and fields[0] in ("Z", "X"):
        return False
    if mark and fields is not None:
        return start_mark(pid) == mark
    return _is_alive(pid)


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state); the second, a name, may hold spaces and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split() or None


if sys.platform == "win32":  # pragma: no cover
    import ctypes

    def _is_alive(pid: int) -> bool:
        # os.kill(pid, 0) would send Ctrl-C here.
        kernel32 = ctypes.windll.kernel32
        handle = kernel32.OpenProcess(0x0010_0000, False, pid)  # SYNCHRONIZE
        if not handle:
            return False
        try:
            return bool(kernel32.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT
        finally:
            kernel32.CloseHandle(handle)

else:

    def _is_alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True
