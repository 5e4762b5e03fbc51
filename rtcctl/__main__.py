"""The front door: answers `--version` before anything is imported, and passes the rest on."""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return its exit status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed (`<&-`, `>&-`): nobody has anything to say, or wants to know
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for good
    arguments = sys.argv[1:] if argv is None else argv
    if arguments in (["--version"], ["-V"]):
        from rtcctl import __version__

        sys.stdout.write(f"rtcctl {__version__}\n")
        return 0
    from rtcctl.cli.main import main as dispatch

    return dispatch(arguments)


if __name__ == "__main__":
    sys.exit(main())
