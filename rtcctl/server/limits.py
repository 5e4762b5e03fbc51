"""Limits and timers of the service (Realtime docs: Limits)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

SHORTEST_DISCONNECTED_S = 10.0
"""A client that lives may be silent this long: without media all it sends are consent checks, 4 to 6 s apart (RFC 7675
§5.1), and one of them may come late."""
_UNSCALED = frozenset({"body_wait_s", "sweep_s"})
"Guards of this server, which no client sees as a time of the service."
_SWEEPS_S = (0.02, 0.5)
"Bounds of `sweep_s` in scaled limits: often enough to be exact, not so often that it costs."


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Names that end in `_s` are service timers in seconds; timers of ICE, DTLS and RTCP are not among them."""

    connect_wait_s: float = 5.0
    "How long a request waits for its session to be connected before it is answered with 425."
    media_wait_s: float = 8.0
    "How long a pull waits for the first packet of a track that is known but silent."
    body_wait_s: float = 30.0
    "How long the body of a request may take to arrive."
    ack_wait_s: float = 30.0
    "How long a data channel subscription with `waitForAck` waits for its first message before it ends."
    track_idle_s: float = 30.0
    "A publication without packets for this long is collected."
    disconnected_s: float = 30.0
    "A session whose peer has been silent for this long is gone; so is one that never connected after its exchange."
    unused_s: float = 120.0
    "A session that never negotiated anything is gone after this."
    sweep_s: float = 0.5
    "How often the timers above are looked at; requests look at their session's themselves."

    tracks_per_request: int = 64
    media_sections: int = 512
    "Per session; one more ends it. The service has a cap too, but does not tell it."
    requests_per_second: int = 50
    "Per session."
    body_bytes: int = 1 << 20
    turn_ttl_max: int = 172_800
    "Seconds; not a timer of the server, so it does not end in `_s`."

    def scaled(self, factor: float) -> Limits:
        """The same with all timers of the service multiplied, for tests that cannot wait.

        That a session is `disconnected` after 5 s is a matter of ICE consent and stays, and so the time until it is
        gone is not scaled below what a client needs to show that it lives.
        """
        timers = {
            f.name: getattr(self, f.name) * factor
            for f in fields(self)
            if f.name.endswith("_s") and f.name not in _UNSCALED
        }
        timers["disconnected_s"] = max(timers["disconnected_s"], min(self.disconnected_s, SHORTEST_DISCONNECTED_S))
        shortest, longest = _SWEEPS_S
        return replace(self, **timers, sweep_s=min(max(self.sweep_s * factor, shortest), longest))
