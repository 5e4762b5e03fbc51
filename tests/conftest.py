"""Settings of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# What fails in a helper says with which values; so nothing of them is imported before.
pytest.register_assert_rewrite("tests.contract", "tests.support")

from tests.support.beside import (  # noqa: E402
    pytest_collection_modifyitems,
    pytest_pyfunc_call,
    pytest_runtest_setup,
    pytest_unconfigure,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_pyfunc_call",
    "pytest_runtest_setup",
    "pytest_unconfigure",
]

# A busy machine is not a failure: examples are bounded in number, not in time.
settings.register_profile("rtcctl", deadline=None)
settings.load_profile("rtcctl")
