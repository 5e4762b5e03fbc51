"""Which codecs the SFU forwards, and what the numbers in a session's descriptions mean.

Inside a BUNDLE group a payload type means one thing, parameters included, and so does the id of a header extension
(RFC 9143 §10.1.2, §8). Whoever uses a number first gives it its meaning. The client may give it another one, as aiortc
does in each of its offers; the SFU never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from rtcctl.media import extensions
from rtcctl.media.codec import Codec
from rtcctl.media.sdp import MediaSection

FEEDBACK: Mapping[str, tuple[str, ...]] = {
    "audio": ("nack", "transport-cc"),
    "video": ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"),
}
"By kind, the feedback that is understood. Chromium ignores congestion feedback that not all m-sections agree to."


def _video(name: str, payload_type: int, parameters: str = "") -> Codec:
    return Codec(name, payload_type, 90000, parameters=parameters, feedback=FEEDBACK["video"])


def _h264(payload_type: int, profile_level_id: str, *, mode: int = 1) -> Codec:
    parameters = f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile_level_id}"
    return _video("H264", payload_type, parameters)


CODECS: Mapping[str, tuple[Codec, ...]] = {
    "audio": (
        Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", FEEDBACK["audio"]),
        Codec("PCMU", 0, 8000, feedback=FEEDBACK["audio"]),
        Codec("PCMA", 8, 8000, feedback=FEEDBACK["audio"]),
    ),
    "video": (
        _video("VP8", 96),
        _h264(108, "42e01f"),
        _h264(114, "42e01f", mode=0),
        _h264(102, "42001f"),
        _h264(116, "4d001f"),
        _h264(112, "64001f"),
        _video("H265", 49, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"),
        _video("AV1", 45, "level-idx=5;profile=0;tier=0"),
        _video("VP9", 98, "profile-id=0"),
        _video("VP9", 100, "profile-id=2"),
    ),
}
"""By kind, what the SFU offers to receive, in order of preference, numbered as Chromium does.

It forwards other profiles of the same encodings too. What repairs or pads (red, FEC, comfort noise) is not forwarded:
the SFU repairs by retransmission.
"""

_ENCODINGS = {
    kind: frozenset((codec.name.lower(), codec.clock_rate_hz, codec.channels) for codec in codecs)
    for kind, codecs in CODECS.items()
}

_DYNAMIC_PAYLOAD_TYPES = (*range(96, 128), *range(35, 64))
"RFC 3551 §3, in the order in which they are handed out; 64–95 would look like RTCP (RFC 5761 §4)."

_EXTENSION_IDS: Mapping[str, int] = {
    extensions.AUDIO_LEVEL: 1,
    extensions.ABS_SEND_TIME: 2,
    extensions.TRANSPORT_CC: 3,
    extensions.MID: 4,
    extensions.PLAYOUT_DELAY: 5,
    extensions.RID: 10,
    extensions.REPAIRED_RID: 11,
    extensions.DEPENDENCY_DESCRIPTOR: 12,
    extensions.VIDEO_ORIENTATION: 13,
    extensions.ABS_CAPTURE_TIME: 14,
}
"In the SFU's own offers, while the client has not used others: mostly what Chromium gives them."

_ONE_BYTE_IDS = range(1, 15)
"What the SFU writes (RFC 8285 §4.2)."
_TWO_BYTE_IDS = range(1, 256)
"What it reads (§4.3); offers may name more, for which there is no room in a header yet."


def is_forwarded(kind: str, codec: Codec) -> bool:
    """Whether the SFU forwards this codec, in whatever profile."""
    return (codec.name.lower(), codec.clock_rate_hz, codec.channels) in _ENCODINGS.get(kind, ())


def accepted_codecs(section: MediaSection) -> tuple[Codec, ...]:
    """Of a client's m-section what the SFU forwards, as the client orders, numbers and parametrises it.

    With each codec its retransmissions, if the client knows them.
    """
    understood = FEEDBACK.get(section.kind, ())
    media = {codec.payload_type for codec in section.codecs if is_forwarded(section.kind, codec)}
    repaired: set[int | None] = set()
    accepted = []
    for codec in section.codecs:
        if codec.payload_type in media:
            accepted.append(replace(codec, feedback=tuple(f for f in codec.feedback if f in understood)))
        elif section.kind == "video" and codec.repairs in media - repaired:
            repaired.add(codec.repairs)
            accepted.append(replace(codec, feedback=()))
    return tuple(accepted) if media else ()


def agreed_codecs(section: MediaSection, offered: Iterable[Codec]) -> tuple[Codec, ...]:
    """Of a client's answer what had been offered to it, as `accepted_codecs`."""
    offered = tuple(codec for codec in offered if codec.repairs is None)
    accepted = accepted_codecs(section)
    media = {codec.payload_type for codec in accepted if any(codec.is_same_codec(other) for other in offered)}
    return tuple(codec for codec in accepted if codec.payload_type in media or codec.repairs in media)


def have_common(one: Iterable[Codec], others: Iterable[Codec]) -> bool:
    """Whether there is a codec, retransmissions apart, that both know."""
    others = tuple(others)
    return any(codec.repairs is None and any(codec.is_same_codec(other) for other in others) for codec in one)


def accepted_extensions(section: MediaSection, uris: Iterable[str]) -> dict[str, int]:
    """Which of the header extensions `uris` a client's m-section names, under ids that fit into a header."""
    named: dict[str, int] = {}
    for identifier, uri in section.extensions.items():
        if identifier in _TWO_BYTE_IDS:
            named.setdefault(uri, identifier)
    return {uri: named[uri] for uri in uris if uri in named}


def written_extensions(kind: str, agreed: Mapping[str, int]) -> dict[str, int]:
    """Those of the agreed extensions that the SFU writes into what it sends."""
    return {uri: i for uri, i in agreed.items() if uri in extensions.TO_SUBSCRIBERS[kind] and i in _ONE_BYTE_IDS}


class Numbering:
    """The payload types and extension ids of one session."""

    def __init__(self) -> None:
        self._codecs: dict[int, Codec] = {}
        self._extensions: dict[int, str] = {}

    def learn(self, section: MediaSection) -> None:
        """Take up what a client's m-section gives numbers to. Of two that mean the same, the latest will be used."""
        # Backwards: in one m-section the first is preferred.
        for codec in reversed(section.codecs):
            self._codecs.pop(codec.payload_type, None)
            self._codecs[codec.payload_type] = codec
        for identifier, uri in reversed(section.extensions.items()):
            self._extensions.pop(identifier, None)
            self._extensions[identifier] = uri

    def offered_codecs(self, kind: str, codecs: Iterable[Codec]) -> tuple[Codec, ...]:
        """`codecs` as the SFU offers them to the client: under its numbers, else under ones that are new to it.

        Each video codec gets retransmissions, whether or not the publisher sends them: the SFU does.
        """
        offered: dict[int, Codec] = {}
        for codec in codecs:
            if is_forwarded(kind, codec) and not any(codec.is_same_codec(other) for other in offered.values()):
                offered |= self._offered(kind, codec)
        return tuple(offered.values())

    def offered_extensions(self, uris: Iterable[str]) -> dict[str, int]:
        """Ids for header extensions in an offer of the SFU; none for those for which there is none left."""
        offered = {}
        for uri in uris:
            known = (i for i, other in reversed(self._extensions.items()) if other == uri and i in _ONE_BYTE_IDS)
            free = (i for i in (_EXTENSION_IDS[uri], *_ONE_BYTE_IDS) if i not in self._extensions)
            identifier = next(known, None) or next(free, None)
            if identifier is not None:
                self._extensions[identifier] = uri
                offered[uri] = identifier
        return offered

    def _offered(self, kind: str, codec: Codec) -> Iterator[tuple[int, Codec]]:
        """`codec` and its retransmissions by payload type; nothing when all numbers are taken."""
        offered = next((known for known in reversed(self._codecs.values()) if known.is_same_codec(codec)), None)
        if offered is None:
            known = next((known for known in CODECS[kind] if known.is_same_codec(codec)), codec)
            payload_type = self._free(known, codec)
            if payload_type is None:
                return
            source = known if kind == "audio" else codec
            offered = self._codecs[payload_type] = replace(source, payload_type=payload_type)
        payload_type = offered.payload_type
        yield payload_type, replace(offered, feedback=FEEDBACK[kind])
        if kind != "video":
            return
        rtx = next((c for c in reversed(self._codecs.values()) if c.repairs == payload_type), None)
        if rtx is None:
            rtx = Codec("rtx", payload_type + 1, 90000, parameters=f"apt={payload_type}")
            free = self._free(rtx)
            if free is None:
                return
            rtx = self._codecs[free] = replace(rtx, payload_type=free)
        yield rtx.payload_type, replace(rtx, feedback=())

    def _free(self, *wanted: Codec) -> int | None:
        """The payload type of one of `wanted`, else any, that means nothing to the client yet."""
        numbers = [codec.payload_type for codec in wanted if codec in CODECS["audio"]]
        numbers += [codec.payload_type for codec in wanted if codec.payload_type in _DYNAMIC_PAYLOAD_TYPES]
        return next((n for n in (*numbers, *_DYNAMIC_PAYLOAD_TYPES) if n not in self._codecs), None)
