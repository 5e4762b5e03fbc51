"""What a client sends on one m-section, and whether what is received is one stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from rtcctl.media.clock import ntp_from_unix
from rtcctl.media.codec import Codec
from rtcctl.media.extensions import MID, RID
from rtcctl.media.rtcp import SenderReport, SourceDescription
from rtcctl.media.rtp import RtpHeader
from rtcctl.media.sdp import MediaSection
from tests.bench.load import LeanPeer

PACKETS_PER_SECOND = 50
FIRST_NUMBER, FIRST_TIMESTAMP = 65_500, 4_294_960_000
"Of each stream; that they wrap soon is meant."
KEY_FRAMES = {
    "VP8": b"\x10\x00",
    "VP9": b"\x08",
    "H264": b"\x65\x80",
    "H265": b"\x26\x01\x80",
    "AV1": b"\x08",
}
"How the payload of a packet begins that starts a key frame; what follows is nothing that can be decoded."


class Stream:
    """What a client sends on one m-section: packets that are numbered, in header and payload."""

    def __init__(self, peer: LeanPeer, media: MediaSection, codec: Codec, ssrc: int, rid: str = "") -> None:
        self.peer = peer
        self.mid = media.mid
        self.rid = rid
        self.codec = codec
        self.ssrc = ssrc
        self.rtx_ssrc = (ssrc + 1) & 0xFFFFFFFF
        self.rtx_payload_type = next((c.payload_type for c in media.codecs if c.repairs == codec.payload_type), None)
        self.head = KEY_FRAMES.get(codec.name.upper(), b"")
        "In front of each payload."
        self.number = FIRST_NUMBER
        "Of the next packet."
        self.rtp_timestamp = FIRST_TIMESTAMP
        self.step = codec.clock_rate_hz // PACKETS_PER_SECOND
        self.elements: Mapping[int, bytes] = {}
        "Header extensions of each packet, by id."
        if rid:
            numbers = {uri: identifier for identifier, uri in media.extensions.items()}
            self.elements = {numbers[MID]: media.mid.encode(), numbers[RID]: rid.encode()}
        self.sent: dict[int, bytes] = {}
        "Payloads, by number."
        self._rtx_number = 1

    def send(self, count: int = 1, *, is_lost: bool = False) -> None:
        """The next packets. `is_lost`: the service never gets them."""
        for _ in range(count):
            payload = self.head + f"{self.mid}{self.rid}:{len(self.sent)}".encode()
            self.sent[self.number] = payload
            if not is_lost:
                self.peer.send_rtp(
                    payload,
                    self.number,
                    self.rtp_timestamp,
                    ssrc=self.ssrc,
                    payload_type=self.codec.payload_type,
                    marker=self.codec.clock_rate_hz == 90000,
                    extensions=self.elements,
                )
            self.number = (self.number + 1) & 0xFFFF
            self.rtp_timestamp = (self.rtp_timestamp + self.step) & 0xFFFFFFFF

    def send_again(self, number: int) -> None:
        """As RTX (RFC 4588)."""
        assert self.rtx_payload_type is not None
        behind = (self.number - number) & 0xFFFF
        self.peer.send_rtp(
            number.to_bytes(2, "big") + self.sent[number],
            self._rtx_number,
            self.rtp_timestamp - behind * self.step,
            ssrc=self.rtx_ssrc,
            payload_type=self.rtx_payload_type,
        )
        self._rtx_number += 1

    def report(self, wallclock: float, rtp_timestamp: int) -> None:
        """A sender report: at `wallclock` (of this client) the stream was at `rtp_timestamp`."""
        count = len(self.sent)
        report = SenderReport(
            self.ssrc, ntp_from_unix(wallclock), rtp_timestamp & 0xFFFFFFFF, count, sum(map(len, self.sent.values()))
        )
        self.peer.send_rtcp(report, SourceDescription.of(self.ssrc, "lean"))


def are_contiguous(headers: Sequence[RtpHeader]) -> bool:
    """Whether sequence numbers have no gap, in the order of arrival."""
    numbers = [header.sequence_number for header in headers]
    return all((after - before) & 0xFFFF == 1 for before, after in pairwise(numbers))
