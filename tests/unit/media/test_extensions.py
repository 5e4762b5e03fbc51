"""The table of RTP header extensions."""

from __future__ import annotations

import pytest

from rtcctl.media import extensions


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_table(kind):
    """What subscribers may get is accepted from publishers; what tells streams apart is not passed on."""
    accepted, offered = extensions.BY_KIND[kind], extensions.TO_SUBSCRIBERS[kind]
    assert len(set(accepted)) == len(accepted) <= 14, "ids of the one-byte form"
    assert set(offered) < set(accepted)
    assert set(offered) <= {*extensions.FORWARDED, extensions.ABS_SEND_TIME, extensions.MID}
    assert extensions.TRANSPORT_CC in accepted
