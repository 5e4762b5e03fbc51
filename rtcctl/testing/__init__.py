"""A Realtime and peers for anyone's tests: no account, no sleeps, no fixed ports.

    with realtime_server() as realtime:
        with realtime.peer() as alice, realtime.peer() as bob:
            session_id = realtime.publish(alice, "mic", tone_hz=440)
            realtime.subscribe(bob, session_id, "mic")
            bob.assert_tone(440)

`rtcctl.pytest_plugin` has the fixture `realtime`, which is one of these. What the application under test says to the
API is in `requests`, with what is wrong with it; a failed assertion of a peer ends with that.

The server has a thread with an event loop of its own, and all peers of one server share another: nothing here uses the
event loop of the test, if there is one.
"""

from __future__ import annotations

from rtcctl.testing.core import Media
from rtcctl.testing.faults import Fault, Faults
from rtcctl.testing.peer import AsyncPeer, Peer
from rtcctl.testing.realtime import Realtime, realtime_server
from rtcctl.testing.requests import ApiRequest

__all__ = ["ApiRequest", "AsyncPeer", "Fault", "Faults", "Media", "Peer", "Realtime", "realtime_server"]
