"""httpx without its command line, which costs as much to import as the rest of it.

`httpx/__init__` imports click, rich and pygments for its own `httpx` command inside `try … except ImportError`.
`None` in `sys.modules` is Python's way to say that a module cannot be imported; it is taken out again at once.
"""

from __future__ import annotations

import sys

_COMMAND_LINE = "httpx._main"

_hidden = _COMMAND_LINE not in sys.modules
if _hidden:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]
try:
    import httpx
finally:
    if _hidden and sys.modules.get(_COMMAND_LINE, httpx) is None:
        del sys.modules[_COMMAND_LINE]

__all__ = ["httpx"]
