"""Settings of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# What fails in a helper says with which values.
pytest.register_assert_rewrite("tests.contract", "tests.support")

# A busy machine is not a failure: examples are bounded in number, not in time.
settings.register_profile("rtcctl", deadline=None)
settings.load_profile("rtcctl")
