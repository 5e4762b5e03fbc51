"""What `track subscribe` says of media that stops."""

from __future__ import annotations

from rtcctl.ops.running import Flow


def test_a_silence_is_said_once_and_counted_to_the_end():
    """Two seconds without a packet are said; what comes again ends the silence."""
    flow = Flow()
    assert flow.silent_s(9.0) == 0
    said = [flow.note(packets, float(second)) for second, packets in enumerate([50, 50, 0, 0, 0, 0], 1)]
    assert [text is not None for text in said] == [False, False, False, True, False, False]
    assert "no media for 2 s" in (said[3] or "")
    assert flow.silent_s(6.5) == 4.5
    assert flow.note(50, 7.0) is None
    assert flow.silent_s(7.0) == 0
