"""`python -m tests.bench NAME`: run one of the benches."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    """Import the bench that was named and run it."""
    files = Path(__file__).parent.glob("[a-z]*.py")
    names = sorted(path.stem for path in files if "\ndef main(" in path.read_text())
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.stderr.write(f"usage: python -m tests.bench {{{','.join(names)}}}\n")
        return 2
    status: int = import_module(f"tests.bench.{sys.argv[1]}").main(sys.argv[2:])
    return status


if __name__ == "__main__":
    sys.exit(main())
