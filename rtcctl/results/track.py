"""Results of `track publish | subscribe | list | close | update | wait`, and the intervals a running probe reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.outage import Outage
from rtcctl.results.result import Percentiles, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSent:
    """What one simulcast encoding sent over the interval of the statistics it stands in."""

    rid: str
    width: int | None = None
    height: int | None = None
    packets_sent: int
    bytes_sent: int
    frames_sent: int
    bitrate_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSwitch:
    """A subscriber began to receive another simulcast encoding."""

    at_s: float
    "Since the first packet."
    previous: str | None
    "`rid` that was received before; `None` before the first that was known."
    layer: str | None
    width: int | None = None
    height: int | None = None
    took_ms: float | None = None
    "From the request to the first frame of the new layer; `None` when nobody asked for it."


@dataclass(frozen=True, slots=True, kw_only=True)
class SentStatistics:
    """What a publisher sent over `interval_s`, and what the SFU's receiver reports say of it.

    What cannot be known is `None`, never 0. With simulcast, figures are those of all layers together.
    """

    interval_s: float
    packets_sent: int
    bytes_sent: int
    "RTP payload bytes."
    nominal_packets: int | None
    """What the source's packet rate asks for over the interval; sent below nominal means this machine is too slow.
    `None` for video, whose frames are nominal."""
    bitrate_bps: float
    packets_lost: int | None = None
    "As the SFU's last receiver report counts them (`None` until one came)."
    fraction_lost: float | None = None
    "0…1, from the SFU's receiver reports."
    jitter_ms: float | None = None
    rtt_ms: float | None = None
    "From RTCP."
    frames_sent: int | None = None
    nominal_frames: int | None = None
    "Frames that were due over the interval."
    key_frames_sent: int | None = None
    packets_retransmitted: int | None = None
    nacks_received: int | None = None
    plis_received: int | None = None
    layers: tuple[LayerSent, ...] = ()
    "One each with simulcast, else none."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedStatistics:
    """What a subscriber received over `interval_s`. What cannot be known is `None`, never 0."""

    interval_s: float
    packets_received: int
    bytes_received: int
    "RTP payload bytes."
    packets_lost: int | None = None
    "First transmissions that never arrived, before repair."
    packets_recovered: int | None = None
    "Of those, repaired by retransmission."
    packets_lost_rfc3550: int | None = None
    "What a receiver report carries (RFC 3550 §6.4.1)."
    packets_duplicated: int | None = None
    packets_reordered: int | None = None
    fraction_lost: float | None = None
    "0…1: packets_lost over packets expected."
    jitter_ms: float | None = None
    "Interarrival jitter (RFC 3550 A.8)."
    rtt_ms: float | None = None
    rtt_source: str | None = None
    "`rtcp` or `stun`."
    bitrate_bps: float | None = None
    latency_ms: Percentiles | None = None
    "One-way, from the send time in the packets; `None` when the sender ran on another machine."
    tone_hz: float | None = None
    "Dominant frequency of the decoded audio; `None` for silence, noise or when nothing was decoded."
    tones_hz: tuple[float | None, ...] | None = None
    "Of stereo: the same for each channel, left and right; `None` for one channel."
    tone_level_db: float | None = None
    "Level of that tone, dB below full scale (0 is full scale)."
    tone_snr_db: float | None = None
    "Power of the tone over everything else."
    audio_gaps: int | None = None
    "Interruptions of the tone longer than one packet."
    concealed_ms: float | None = None
    "Decoded time for which no packet was there."
    nacks_sent: int | None = None
    plis_sent: int | None = None
    frames_received: int | None = None
    "Complete ones."
    key_frames_received: int | None = None
    freezes: int | None = None
    "As W3C webrtc-stats' `freezeCount`."
    freeze_ms: float | None = None
    "Of all freezes together."
    frame_rate_hz: float | None = None
    width: int | None = None
    height: int | None = None
    layer: str | None = None
    "`rid` that the newest packets name."
    layer_switches: tuple[LayerSwitch, ...] | None = None
    frames_decoded: int | None = None
    frames_missing: int | None = None
    "Frames of the test picture that were never seen, by the numbers in the pixels; so are the next two."
    frames_repeated: int | None = None
    frames_out_of_order: int | None = None
    picture_latency_ms: Percentiles | None = None
    "One-way, from drawing a test picture to having decoded it."


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTrack:
    """One track that was published, and what was sent."""

    track_name: str
    mid: str | None = None
    kind: str | None = None
    "`audio` or `video`."
    codec: str | None = None
    source: str | None = None
    "What was sent, as `tone 440 Hz` or `testsrc 1280x720@30`."
    tone_hz: float | None = None
    sent: SentStatistics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Result):
    """`track publish`: what was published and what was sent. The flat fields are those of the first track."""

    schema: ClassVar[str] = "rtcctl.track.publish/1"

    session_id: str
    track_name: str
    mid: str | None = None
    kind: str | None = None
    codec: str | None = None
    source: str | None = None
    tone_hz: float | None = None
    candidate_pair: str | None = None
    candidate_type: str | None = None
    "Of our end of the pair: `host`, `srflx`, `prflx` or `relay`."
    relay_protocol: str | None = None
    "How the TURN server of a relayed path is reached: `udp`, `tcp` or `tls`."
    url: str | None = None
    "Of that TURN server."
    ice_ms: float | None = None
    dtls_ms: float | None = None
    duration_s: float = 0.0
    sent: SentStatistics | None = None
    detached_pid: int | None = None
    tracks: tuple[PublishedTrack, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribedTrack:
    """One track that was subscribed to: what arrived (see `ReceivedStatistics`), flat."""

    publisher_session_id: str
    track_name: str
    mid: str | None = None
    kind: str | None = None
    "`audio` or `video`."
    codec: str | None = None
    duration_s: float = 0.0
    "From the first packet to the end of the measurement."
    time_to_first_packet_ms: float | None = None
    "From the pull request to the first RTP packet."
    time_to_first_frame_ms: float | None = None
    "From the pull request to the first complete frame that needs no other."
    packets_received: int = 0
    bytes_received: int = 0
    packets_lost: int | None = None
    packets_recovered: int | None = None
    packets_lost_rfc3550: int | None = None
    packets_duplicated: int | None = None
    packets_reordered: int | None = None
    fraction_lost: float | None = None
    jitter_ms: float | None = None
    rtt_ms: float | None = None
    rtt_source: str | None = None
    latency_ms: Percentiles | None = None
    bitrate_bps: float | None = None
    tone_hz: float | None = None
    tones_hz: tuple[float | None, ...] | None = None
    tone_level_db: float | None = None
    tone_snr_db: float | None = None
    audio_gaps: int | None = None
    concealed_ms: float | None = None
    nacks_sent: int | None = None
    plis_sent: int | None = None
    frames_received: int | None = None
    key_frames_received: int | None = None
    freezes: int | None = None
    freeze_ms: float | None = None
    frame_rate_hz: float | None = None
    width: int | None = None
    height: int | None = None
    layer: str | None = None
    layer_switches: tuple[LayerSwitch, ...] | None = None
    frames_decoded: int | None = None
    frames_missing: int | None = None
    frames_repeated: int | None = None
    frames_out_of_order: int | None = None
    picture_latency_ms: Percentiles | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe(Result):
    """`track subscribe`: what arrived, flat, so that a script can read it without knowing our nesting.

    The flat fields are those of the first track, and have the names of `SubscribedTrack`; `tracks` has all of them.
    """

    schema: ClassVar[str] = "rtcctl.track.subscribe/1"

    session_id: str
    publisher_session_id: str
    track_name: str
    mid: str | None = None
    kind: str | None = None
    codec: str | None = None
    candidate_pair: str | None = None
    candidate_type: str | None = None
    "Of our end of the pair: `host`, `srflx`, `prflx` or `relay`."
    relay_protocol: str | None = None
    "How the TURN server of a relayed path is reached: `udp`, `tcp` or `tls`."
    url: str | None = None
    "Of that TURN server."
    ice_ms: float | None = None
    dtls_ms: float | None = None
    duration_s: float = 0.0
    time_to_first_packet_ms: float | None = None
    time_to_first_frame_ms: float | None = None
    packets_received: int = 0
    bytes_received: int = 0
    packets_lost: int | None = None
    packets_recovered: int | None = None
    packets_lost_rfc3550: int | None = None
    packets_duplicated: int | None = None
    packets_reordered: int | None = None
    fraction_lost: float | None = None
    jitter_ms: float | None = None
    rtt_ms: float | None = None
    rtt_source: str | None = None
    latency_ms: Percentiles | None = None
    bitrate_bps: float | None = None
    tone_hz: float | None = None
    tones_hz: tuple[float | None, ...] | None = None
    tone_level_db: float | None = None
    tone_snr_db: float | None = None
    audio_gaps: int | None = None
    concealed_ms: float | None = None
    nacks_sent: int | None = None
    plis_sent: int | None = None
    frames_received: int | None = None
    key_frames_received: int | None = None
    freezes: int | None = None
    freeze_ms: float | None = None
    frame_rate_hz: float | None = None
    width: int | None = None
    height: int | None = None
    layer: str | None = None
    layer_switches: tuple[LayerSwitch, ...] | None = None
    frames_decoded: int | None = None
    frames_missing: int | None = None
    frames_repeated: int | None = None
    frames_out_of_order: int | None = None
    picture_latency_ms: Percentiles | None = None
    tracks: tuple[SubscribedTrack, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackState:
    """One track of a session, as `GET session` tells it."""

    location: str
    "`local` (published here) or `remote` (pulled)."
    mid: str
    track_name: str
    status: str
    "`active` or `inactive`."
    session_id: str | None = None
    "Publisher's session of a remote track."


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackList(Result):
    """`track list`."""

    schema: ClassVar[str] = "rtcctl.track.list/1"

    session_id: str
    tracks: tuple[TrackState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackClosed:
    """Outcome for one track of a close: `closed`, `already-closed` or `failed`."""

    session_id: str
    mid: str
    track_name: str | None
    outcome: str
    code: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackClose(Result):
    """`track close`."""

    schema: ClassVar[str] = "rtcctl.track.close/1"

    tracks: tuple[TrackClosed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackWait(Result):
    """`track wait`: how long it took until the track could be subscribed to."""

    schema: ClassVar[str] = "rtcctl.track.wait/1"

    session_id: str
    track_name: str
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackUpdate(Result):
    """`track update`: which simulcast layer a subscribed track is to receive from now on."""

    schema: ClassVar[str] = "rtcctl.track.update/1"

    session_id: str
    mid: str
    track_name: str | None = None
    preferred_rid: str | None = None
    priority_ordering: str | None = None
    rid_not_available: str | None = None
