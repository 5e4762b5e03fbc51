"""The list of targets. A new one needs a line here, and a folder under `tests/vectors`."""

from __future__ import annotations

from rtcctl.errors import RtcctlError
from rtcctl.units import SpellingError
from tests.fuzz import files, http, media, server
from tests.fuzz.target import Target

TARGETS = {
    target.name: target
    for target in (
        # What comes over UDP, TCP and DTLS.
        Target("stun", media.stun),
        Target("ice", media.ice),
        Target("turn", media.turn),
        Target("turn_stream", media.turn_stream),
        Target("rtp", media.rtp),
        Target("rtcp", media.rtcp),
        Target("sctp_shape", media.sctp_shape),
        Target("sctp", server.sctp),
        Target("connection", server.connection),
        # What is inside of it.
        Target("opus", media.opus),
        Target("payloads", media.payloads),
        Target("assembly", media.assembly),
        # What comes over HTTP.
        Target("sdp", media.sdp),
        Target("negotiation", server.negotiation),
        Target("bodies", http.bodies),
        Target("answers", http.answers),
        Target("explanation", http.explanation),
        # What a user or a disk has.
        Target("server_url", media.server_url),
        Target("pasted", http.pasted),
        Target("streams", media.streams),
        Target("units", files.units),
        Target("faults", files.faults, (SpellingError,)),
        Target("environment", files.environment, (RtcctlError,)),
        Target("config", files.config),
        Target("apps", files.apps, (RtcctlError,)),
        Target("discovery", files.discovery, (RtcctlError,)),
        Target("journal", files.journal),
        Target("journal_file", files.journal_file),
    )
}
