"""What a peer has counted, in the words of W3C webrtc-stats, which every viewer of WebRTC statistics knows.

Reports are dictionaries with `id` and `type`; times are in seconds there. What is not known is left out, never 0. Ids
have no hyphen, which separates id and property in dumps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rtcctl.probe.transport import TransportState

if TYPE_CHECKING:
    from rtcctl.media.codec import Codec
    from rtcctl.media.sdp import Candidate
    from rtcctl.probe.peer import Peer
    from rtcctl.probe.receiver import Receiver
    from rtcctl.probe.sender import Encoding, Sender
    from rtcctl.probe.transport import Transport

Report = dict[str, Any]

TRANSPORT = "T01"
_PAIR = "CP1"

_DTLS = {
    TransportState.HANDSHAKING: "connecting",
    TransportState.CONNECTED: "connected",
    TransportState.FAILED: "failed",
    TransportState.CLOSED: "closed",
}
_ICE = {
    TransportState.CHECKING: "checking",
    TransportState.HANDSHAKING: "connected",
    TransportState.CONNECTED: "connected",
    TransportState.FAILED: "failed",
    TransportState.CLOSED: "closed",
}


def reports(peer: Peer, transport: Transport | None, now: float) -> list[Report]:
    """All of a peer. `now`: its clock."""
    found: list[Report] = []
    if transport is not None:
        found += _of_transport(peer, transport)
    for sender in peer.senders:
        if sender.section.is_agreed:
            found += _of_sender(sender)
    for receiver in peer.receivers:
        if receiver.ssrc is not None:
            found += _of_receiver(receiver, now)
    return [{name: value for name, value in report.items() if value is not None} for report in found]


def _of_transport(peer: Peer, transport: Transport) -> Iterator[Report]:
    pair = transport.selected_pair
    yield {
        "id": TRANSPORT,
        "type": "transport",
        "iceState": _ICE.get(transport.state, "new"),
        "dtlsState": _DTLS.get(transport.state, "new"),
        "selectedCandidatePairId": None if pair is None else _PAIR,
    }
    if pair is None:
        return
    local, remote = pair
    relay = None if transport.relays is None else transport.relays.of(local)
    rtt_ms = peer.rtt_ms
    yield {
        "id": _PAIR,
        "type": "candidate-pair",
        "transportId": TRANSPORT,
        "localCandidateId": "CL1",
        "remoteCandidateId": "CR1",
        "state": "succeeded",
        "nominated": True,
        "currentRoundTripTime": None if rtt_ms is None else rtt_ms / 1000,
    }
    yield _candidate("CL1", "local-candidate", local) | {
        "relayProtocol": None if relay is None else relay.url.protocol,
        "url": None if relay is None else relay.url.text,
    }
    yield _candidate("CR1", "remote-candidate", remote) | {"isRemote": True}


def _candidate(identifier: str, type_: str, candidate: Candidate) -> Report:
    return {
        "id": identifier,
        "type": type_,
        "transportId": TRANSPORT,
        "address": candidate.address,
        "port": candidate.port,
        "protocol": candidate.transport.lower(),
        "candidateType": candidate.type,
        "priority": candidate.priority,
    }


def _codec(codec: Codec, kind: str, payload_type: int) -> Report:
    return {
        "id": f"CT01_{payload_type}",
        "type": "codec",
        "transportId": TRANSPORT,
        "mimeType": f"{kind}/{codec.name}",
        "payloadType": payload_type,
        "clockRate": codec.clock_rate_hz,
        "channels": codec.channels if kind == "audio" else None,
        "sdpFmtpLine": codec.parameters or None,
    }


def _of_sender(sender: Sender) -> Iterator[Report]:
    section = sender.section
    payload_type = section.payload_type(sender.source.codec)
    if payload_type is not None:
        yield _codec(sender.source.codec, section.kind, payload_type)
    for encoding in sender.encodings:
        yield from _of_encoding(encoding, sender, payload_type)


def _of_encoding(encoding: Encoding, sender: Sender, payload_type: int | None) -> Iterator[Report]:
    section, counts, remote = sender.section, encoding.counts, encoding.remote
    is_video = section.kind == "video"
    identifier = f"OT01{section.kind[0].upper()}{encoding.ssrc}"
    common = {"ssrc": encoding.ssrc, "kind": section.kind, "transportId": TRANSPORT}
    yield common | {
        "id": identifier,
        "type": "outbound-rtp",
        "codecId": None if payload_type is None else f"CT01_{payload_type}",
        "mid": sender.mid,
        "rid": encoding.rid or None,
        "active": encoding.is_running and not encoding.ended.is_set(),
        "packetsSent": counts.packets,
        "bytesSent": counts.bytes,
        "framesSent": counts.frames if is_video else None,
        "keyFramesEncoded": counts.key_frames if is_video else None,
        "frameWidth": getattr(encoding.source, "width", None) if is_video else None,
        "frameHeight": getattr(encoding.source, "height", None) if is_video else None,
        "retransmittedPacketsSent": counts.retransmitted if is_video else None,
        "nackCount": counts.nacks if is_video else None,
        "pliCount": counts.plis if is_video else None,
        "remoteId": None if remote is None else f"RI{identifier}",
    }
    if remote is not None:
        yield common | {
            "id": f"RI{identifier}",
            "type": "remote-inbound-rtp",
            "localId": identifier,
            "packetsLost": remote.packets_lost,
            "jitter": remote.jitter_ms / 1000,
            "roundTripTime": None if remote.rtt_ms is None else remote.rtt_ms / 1000,
        }


def _of_receiver(receiver: Receiver, now: float) -> Iterator[Report]:
    statistics = receiver.statistics(now)
    codec = receiver.received_codec
    if codec is not None:
        yield _codec(codec, receiver.kind, codec.payload_type)
    yield {
        "id": f"IT01{receiver.kind[0].upper()}{receiver.ssrc}",
        "type": "inbound-rtp",
        "ssrc": receiver.ssrc,
        "kind": receiver.kind,
        "transportId": TRANSPORT,
        "codecId": None if codec is None else f"CT01_{codec.payload_type}",
        "mid": receiver.mid,
        "trackIdentifier": f"mid {receiver.mid}",
        "packetsReceived": statistics.packets_received,
        "bytesReceived": statistics.bytes_received,
        "packetsLost": statistics.packets_lost_rfc3550,
        "jitter": None if statistics.jitter_ms is None else statistics.jitter_ms / 1000,
        "retransmittedPacketsReceived": statistics.packets_recovered,
        "nackCount": statistics.nacks_sent,
        "pliCount": statistics.plis_sent,
        "framesReceived": statistics.frames_received,
        "framesDecoded": statistics.frames_decoded,
        "keyFramesDecoded": statistics.key_frames_received,
        "framesPerSecond": statistics.frame_rate_hz,
        "frameWidth": statistics.width,
        "frameHeight": statistics.height,
        "freezeCount": statistics.freezes,
        "totalFreezesDuration": None if statistics.freeze_ms is None else statistics.freeze_ms / 1000,
    }
