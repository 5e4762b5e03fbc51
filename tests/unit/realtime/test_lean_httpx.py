"""httpx is imported without its command line, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_command_line_of_httpx_is_not_loaded():
    """Neither it nor what it brings, and no trace is left in `sys.modules`."""
    code = """
import sys
import rtcctl.realtime.client
print([name for name in ("click", "pygments", "rich", "httpx._main") if name in sys.modules])
"""
    assert run(code) == "[]\n"


def test_an_httpx_that_is_there_already_is_left_alone():
    """A host application may have imported all of it."""
    assert (
        run(
            "import sys, httpx\nm = sys.modules.get('httpx._main')\nimport rtcctl.realtime.lean_httpx\n"
            "print(sys.modules.get('httpx._main') is m, httpx.main is not None)"
        )
        == "True True\n"
    )
