"""What `channel probe` refuses."""

from __future__ import annotations

import pytest

from rtcctl.errors import UsageError
from rtcctl.ops.channel_probe import ProbeRequest, check_request


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ProbeRequest(size_bytes=19), "20 to 16,384"),
        (ProbeRequest(size_bytes=16385), "20 to 16,384"),
        (ProbeRequest(("chat", "polite")), "polite is not a delivery policy"),
        (ProbeRequest(("chat", "chat")), "chat is named twice"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(request_: ProbeRequest, said: str):
    """With what would make sense."""
    with pytest.raises(UsageError, match=said):
        check_request(request_)
