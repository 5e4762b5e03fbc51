"""Look for inputs that crash a target, guided by coverage: `python -m tests.fuzz TARGET --for 60s`.

What is found is kept in `.fuzz/TARGET`: inputs that reach new code, and `crash-…` and `timeout-…`. A crash becomes a
vector (its file in `tests/vectors/TARGET`, a line in the README there) and a test of what was mended.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import atheris

# What is loaded from here on reports which of its branches are taken.
with atheris.instrument_imports(include=["rtcctl", "aiortc.rtcsctptransport"], enable_loader_override=False):
    from rtcctl.units import Seconds
    from tests.fuzz.growth import slowest
    from tests.fuzz.target import VECTORS, Target
    from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parents[2] / ".fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--for", dest="for_s", type=Seconds.parse, default=Seconds(60))
    parser.add_argument("--into", type=Path, default=FOUND, help="folder of what is found")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="run these alone, with tracebacks")
    parser.add_argument("--growth", action="store_true", help="look for time that grows faster than the input")
    parser.add_argument("--merge", action="store_true", help="keep as vectors what was found and covers more")
    given = parser.parse_args()
    target = TARGETS[given.target]
    if given.replay:
        for path in given.replay:
            began = time.perf_counter()
            taken = target(path.read_bytes())
            print(f"{path}: {'taken' if taken else 'refused'}, {(time.perf_counter() - began) * 1000:.1f} ms")
    elif given.growth:
        print(slowest(target))
    else:
        fuzz(target, int(given.for_s), given.into / target.name, is_merge=given.merge)


def fuzz(target: Target, for_s: int, found: Path, *, is_merge: bool) -> None:
    """Never returns: libFuzzer ends the process, with 0 when nothing was found."""
    vectors = VECTORS / target.name
    found.mkdir(parents=True, exist_ok=True)
    folders = [vectors, found] if is_merge else [found, vectors]
    options = ["-set_cover_merge=1"] if is_merge else [f"-max_total_time={for_s}", "-print_final_stats=1"]
    options += ["-timeout=5", "-rss_limit_mb=2048", "-max_len=4096", "-verbosity=1", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *options, *map(os.fspath, folders)], lambda data: target(data))
    atheris.Fuzz()


main()
