"""Tests that run in a process of their own, beside others that mind neither the time nor the processor.

A test marked `beside` waits more than it works. In a run that has unit tests as well it begins with the first of them,
as a pytest of its own, and its outcome is that of its item, which comes last. Alone it runs as any other test does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO

import pytest

NIMBLE = ("tests/fuzz/", "tests/unit/")
"What may be disturbed."

_IS_CHILD = "RTCCTL_BESIDE"


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    output: IO[bytes]


_children: dict[str, _Child] = {}


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker("beside") is not None and _IS_CHILD not in os.environ


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_is_marked)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _children or not item.nodeid.startswith(NIMBLE):
        return
    for other in filter(_is_marked, item.session.items):
        output = tempfile.TemporaryFile()  # noqa: SIM115  # it is closed with the outcome
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", other.nodeid]
        environment = {**os.environ, _IS_CHILD: "1"}
        process = subprocess.Popen(
            command, cwd=item.config.rootpath, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _children[other.nodeid] = _Child(process, output)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    child = _children.pop(pyfuncitem.nodeid, None)
    if child is None:
        return None
    status = child.process.wait()
    child.output.seek(0)
    said = child.output.read().decode(errors="replace")
    child.output.close()
    if status != 0:
        pytest.fail(said, pytrace=False)
    if " skipped" in said and " passed" not in said:
        pytest.skip(said.strip())
    return True


def pytest_unconfigure() -> None:
    """Whoever interrupts the run does not wait for these."""
    for child in _children.values():
        child.process.terminate()
        child.process.wait()
        child.output.close()
    _children.clear()
