"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is not a failure: examples are bounded in number, not in time.
settings.register_profile("rtcctl", deadline=None)
settings.load_profile("rtcctl")
