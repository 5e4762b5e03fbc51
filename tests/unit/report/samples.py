"""Results as commands return them, for the renderers' tests."""

from dataclasses import fields, replace

from rtcctl.results.account import AccountItem, AppCreate, AppDelete, AppList, TurnKeyCreate, TurnKeyList
from rtcctl.results.channel import (
    ChannelClose,
    ChannelClosed,
    ChannelListen,
    ChannelOpen,
    ChannelProbe,
    ChannelSend,
    ChannelUpdate,
    PathState,
    PolicyFigures,
    Traffic,
)
from rtcctl.results.check import Bound, Check, CheckStatus
from rtcctl.results.config import ConfigCheck, SecretCheck
from rtcctl.results.dev import ServedApp, ServerReady
from rtcctl.results.explain import DescribedSection, Explain, Meaning, Mistake
from rtcctl.results.fault import Fault, FaultClear, FaultLedger, FaultList, Stream
from rtcctl.results.outage import Outage
from rtcctl.results.result import Failure, Percentiles, Result
from rtcctl.results.session import (
    DataChannelState,
    SessionClose,
    SessionCreate,
    SessionGet,
    SessionList,
    SessionRecord,
)
from rtcctl.results.smoke import Smoke
from rtcctl.results.stats import ProbeInterval, SessionStats
from rtcctl.results.target import Target
from rtcctl.results.trace import TraceFinding, TraceRead
from rtcctl.results.track import (
    LayerSent,
    LayerSwitch,
    Publish,
    PublishedTrack,
    ReceivedStatistics,
    SentStatistics,
    Subscribe,
    SubscribedTrack,
    TrackClose,
    TrackClosed,
    TrackList,
    TrackState,
    TrackUpdate,
    TrackWait,
)
from rtcctl.results.turn import (
    CredentialsWritten,
    IceServer,
    RevokedCredential,
    TurnCredentialRecord,
    TurnCreds,
    TurnList,
    TurnRefresh,
    TurnRevoke,
)
from rtcctl.results.turn_check import (
    Before,
    NatReport,
    Refusal,
    RelayTraffic,
    Step,
    Stop,
    TlsReport,
    TurnCheck,
    UrlReport,
)

TARGET = Target(profile="staging", api_base="https://rtc.live.cloudflare.com/v1", app_id="0123abcd", embedded=False)
IMPAIRED = Target(
    profile="staging",
    api_base="https://rtc.live.cloudflare.com/v1",
    app_id="0123abcd",
    embedded=False,
    impairment=("loss=5%,direction=up,seed=7", "delay=40ms,direction=down,seed=8"),
)
LOCAL = Target(profile="local", api_base="http://127.0.0.1:8610/v1", app_id="dev0", embedded=True)
ACCOUNT = Target(profile="staging", api_base="https://api.cloudflare.com/client/v4", app_id="", embedded=False)
EPOCH = 1_795_000_000.0

_HEARD = (
    *("packets_received", "bytes_received", "packets_lost", "packets_recovered", "fraction_lost", "jitter_ms"),
    *("rtt_ms", "rtt_source", "bitrate_bps", "latency_ms", "tone_hz", "tone_level_db", "tone_snr_db", "audio_gaps"),
)

SENT = SentStatistics(
    interval_s=5.0,
    packets_sent=250,
    bytes_sent=40_000,
    nominal_packets=250,
    bitrate_bps=64_000.0,
    packets_lost=1,
    fraction_lost=0.004,
    jitter_ms=0.41,
    rtt_ms=1.2,
)
RECEIVED = ReceivedStatistics(
    interval_s=10.0,
    packets_received=497,
    bytes_received=80_000,
    packets_lost=3,
    packets_recovered=0,
    packets_lost_rfc3550=3,
    packets_duplicated=1,
    packets_reordered=0,
    fraction_lost=0.006,
    jitter_ms=0.83,
    rtt_ms=12.34,
    rtt_source="rtcp",
    bitrate_bps=64_231.0,
    latency_ms=Percentiles(1.1, 1.94, 12.0),
    tone_hz=440.02,
    tone_level_db=-12.0,
    tone_snr_db=58.0,
    audio_gaps=0,
)
PUBLISH = Publish(
    target=TARGET,
    session_id="aaaa",
    track_name="mic",
    mid="0",
    kind="audio",
    codec="opus/48000/2",
    source="tone 440 Hz",
    tone_hz=440.0,
    candidate_pair="192.0.2.1:50000 → 198.51.100.7:3478 host/udp",
    ice_ms=21.2,
    dtls_ms=9.57,
    duration_s=5.0,
    sent=SENT,
    checks=(Check("sent", CheckStatus.PASSED, 1.0, 0.95, "ratio", "250 of 250 packets", bound=Bound.AT_LEAST),),
)
SUBSCRIBE = Subscribe(
    target=TARGET,
    session_id="bbbb",
    publisher_session_id="aaaa",
    track_name="mic",
    mid="0",
    codec="opus/48000/2",
    candidate_pair="192.0.2.1:50002 → 198.51.100.7:3478 host/udp",
    ice_ms=20.0,
    dtls_ms=8.0,
    duration_s=10.0,
    time_to_first_packet_ms=44.5,
    packets_received=497,
    bytes_received=80_000,
    packets_lost=3,
    packets_recovered=0,
    packets_lost_rfc3550=3,
    packets_duplicated=1,
    packets_reordered=0,
    fraction_lost=0.006,
    jitter_ms=0.83,
    rtt_ms=12.34,
    rtt_source="rtcp",
    latency_ms=Percentiles(1.1, 1.94, 12.0),
    bitrate_bps=64_231.0,
    tone_hz=440.02,
    tone_level_db=-12.0,
    tone_snr_db=58.0,
    audio_gaps=0,
    checks=(
        Check("received", CheckStatus.PASSED, 497, 1, "packets", bound=Bound.AT_LEAST),
        Check("loss", CheckStatus.PASSED, 0.006, 0.02, "ratio", "3 of 500 packets"),
    ),
)
SENT_SIMULCAST = SentStatistics(
    interval_s=5.0,
    packets_sent=3350,
    bytes_sent=1_180_000,
    nominal_packets=None,
    bitrate_bps=1_888_000.0,
    packets_lost=7,
    fraction_lost=0.0021,
    jitter_ms=1.94,
    rtt_ms=1.2,
    frames_sent=447,
    nominal_frames=450,
    key_frames_sent=6,
    packets_retransmitted=5,
    nacks_received=3,
    plis_received=1,
    layers=(
        LayerSent(
            rid="h",
            width=1280,
            height=720,
            packets_sent=2100,
            bytes_sent=900_000,
            frames_sent=149,
            bitrate_bps=1_440_000.0,
        ),
        LayerSent(
            rid="m", width=640, height=360, packets_sent=900, bytes_sent=220_000, frames_sent=149, bitrate_bps=352_000.0
        ),
        LayerSent(
            rid="l", width=320, height=180, packets_sent=350, bytes_sent=60_000, frames_sent=149, bitrate_bps=96_000.0
        ),
    ),
)
RECEIVED_VIDEO = ReceivedStatistics(
    interval_s=10.0,
    packets_received=4190,
    bytes_received=1_800_000,
    packets_lost=42,
    packets_recovered=40,
    packets_lost_rfc3550=2,
    packets_duplicated=0,
    packets_reordered=3,
    fraction_lost=0.01,
    jitter_ms=2.83,
    rtt_ms=12.34,
    rtt_source="stun",
    bitrate_bps=1_440_000.0,
    latency_ms=Percentiles(2.1, 3.94, 22.0),
    nacks_sent=18,
    plis_sent=1,
    frames_received=298,
    key_frames_received=3,
    freezes=1,
    freeze_ms=412.0,
    frame_rate_hz=29.8,
    width=320,
    height=180,
    layer="l",
    layer_switches=(
        LayerSwitch(at_s=0.0, previous=None, layer="h", width=1280, height=720),
        LayerSwitch(at_s=5.02, previous="h", layer="l", width=320, height=180, took_ms=212.4),
    ),
)
CAMERA = PublishedTrack(
    track_name="cam",
    mid="1",
    kind="video",
    codec="VP8/90000",
    source="testsrc 1280x720@30",
    sent=SENT_SIMULCAST,
)
PUBLISH_VIDEO = Publish(
    target=TARGET,
    session_id="aaaa",
    track_name="cam",
    mid="1",
    kind="video",
    codec="VP8/90000",
    source="testsrc 1280x720@30",
    candidate_pair="192.0.2.1:50000 → 198.51.100.7:3478 relay/udp via turns:turn.example:443?transport=tcp (tls)",
    candidate_type="relay",
    relay_protocol="tls",
    url="turns:turn.example:443?transport=tcp",
    ice_ms=21.2,
    dtls_ms=9.57,
    duration_s=5.0,
    sent=SENT_SIMULCAST,
    tracks=(CAMERA,),
    checks=(Check("sent", CheckStatus.PASSED, 0.9933, 0.95, "ratio", "447 of 450 frames", bound=Bound.AT_LEAST),),
)
PUBLISH_TRACKS = replace(
    PUBLISH,
    candidate_type="host",
    tracks=(
        PublishedTrack(
            track_name="mic",
            mid="0",
            kind="audio",
            codec="opus/48000/2",
            source="tone 440 Hz",
            tone_hz=440.0,
            sent=replace(SENT, frames_sent=250, nominal_frames=250),
        ),
        CAMERA,
        PublishedTrack(track_name="screen", mid="2", kind="video", codec="H264/90000", source="file talk.mp4 (copied)"),
    ),
)
CAMERA_SEEN = SubscribedTrack(
    publisher_session_id="aaaa",
    track_name="cam",
    mid="1",
    kind="video",
    codec="VP8/90000",
    duration_s=10.0,
    time_to_first_packet_ms=48.1,
    time_to_first_frame_ms=81.7,
    **{f.name: getattr(RECEIVED_VIDEO, f.name) for f in fields(RECEIVED_VIDEO) if f.name != "interval_s"},
)
CAMERA_VERIFIED = replace(
    CAMERA_SEEN,
    publisher_session_id="cccc",
    mid="3",
    layer="h",
    width=1280,
    height=720,
    freezes=0,
    freeze_ms=0.0,
    layer_switches=(),
    frames_decoded=297,
    frames_missing=1,
    frames_repeated=0,
    frames_out_of_order=0,
    picture_latency_ms=Percentiles(41.0, 55.2, 80.0),
)
MICROPHONE = SubscribedTrack(
    publisher_session_id="aaaa",
    track_name="mic",
    mid="0",
    kind="audio",
    codec="opus/48000/2",
    duration_s=10.0,
    time_to_first_packet_ms=44.5,
    concealed_ms=60.0,
    **{f.name: getattr(RECEIVED, f.name) for f in fields(RECEIVED) if f.name in _HEARD},
)


def subscribe(*tracks: SubscribedTrack) -> Subscribe:
    """As `track subscribe` returns them: the first one's figures flat."""
    return Subscribe(
        target=TARGET,
        session_id="bbbb",
        candidate_pair="192.0.2.1:50002 → 198.51.100.7:3478 host/udp",
        candidate_type="host",
        ice_ms=20.0,
        dtls_ms=8.0,
        tracks=tracks,
        checks=(Check("received", CheckStatus.PASSED, 497, 1, "packets", bound=Bound.AT_LEAST),),
        **{f.name: getattr(tracks[0], f.name) for f in fields(tracks[0])},
    )


SMOKE_CHECKS = (
    Check("api", CheckStatus.PASSED, 4.03, None, "ms", "secret accepted at https://rtc.live.cloudflare.com/v1"),
    Check("session", CheckStatus.PASSED, 30.8, None, "ms", "ICE 21 ms, DTLS 10 ms"),
    Check(
        "publish",
        CheckStatus.PASSED,
        1.0,
        0.95,
        "ratio",
        "250 of 250 packets, 0.4% lost on the way up",
        bound=Bound.AT_LEAST,
    ),
    Check("subscribe", CheckStatus.PASSED, 44.5, None, "ms", "first packet 44 ms after the pull, mid 0"),
    Check(
        "content", CheckStatus.PASSED, 440.02, 440.0, "hz", "440.0 Hz, -12 dB, 58 dB above the noise", bound=Bound.ABOUT
    ),
    Check("loss", CheckStatus.PASSED, 0.006, 0.02, "ratio", "3 of 500 packets"),
    Check("jitter", CheckStatus.PASSED, 0.83, 30.0, "ms"),
    Check("rtt", CheckStatus.PASSED, 12.34, 300.0, "ms", "by rtcp"),
    Check("latency", CheckStatus.SKIPPED, None, None, "ms", "no send time of this machine in the packets"),
    Check("cleanup", CheckStatus.PASSED, 0, 0, None, "2 tracks closed"),
)
SMOKE = Smoke(
    target=TARGET,
    checks=SMOKE_CHECKS,
    verdict="Signalling, media and content are fine.",
    next_commands=("rtcctl dev", "rtcctl track publish --name mic --tone 440 --profile staging"),
    session_ids=("aaaa", "bbbb"),
    duration_s=6.2,
    publish=PUBLISH,
    subscribe=SUBSCRIBE,
)
SMOKE_FAILED = Smoke(
    target=TARGET,
    checks=(
        *SMOKE_CHECKS[:3],
        Check(
            "subscribe",
            CheckStatus.FAILED,
            0,
            None,
            "packets",
            "pulled as mid 0, but nothing arrived in 5 s",
            "Is UDP to the SFU open?",
        ),
        *(Check(name, CheckStatus.SKIPPED, detail="not reached") for name in ("content", "loss", "jitter", "rtt")),
        Check("cleanup", CheckStatus.INCONCLUSIVE, detail="the event loop stood still for 300 ms"),
    ),
    verdict="Media leaves this host and never reaches the subscriber; signalling is fine.",
    next_commands=("rtcctl session get aaaa --profile staging",),
    session_ids=("aaaa", "bbbb"),
    duration_s=12.0,
    ticket="/home/ada/.local/state/rtcctl/tickets/20261127T151617Z-smoke-42",
)
TRACE = TraceRead(
    target=LOCAL,
    folder="ticket",
    command="smoke",
    arguments=("smoke", "--for", "5s"),
    started_at=EPOCH,
    duration_s=10.1,
    is_complete=True,
    command_exit_status=3,
    verdict="The first failure, after 8.6 s: POST sessions/bbbb/tracks/new: 425 session_error",
    exchanges=12,
    peers=2,
    session_ids=("aaaa", "bbbb"),
    rays=("8f3a-FRA",),
    findings=(
        TraceFinding(at_s=0.55, where="warning", what="attempt 1 did not pass", is_overcome=True),
        TraceFinding(
            at_s=8.56,
            where="POST sessions/bbbb/tracks/new",
            what="425 session_error",
            hint="The session's connection is not up yet.",
        ),
    ),
    next_commands=("rtcctl session get aaaa",),
    versions=("rtcctl 0.1.0", "Python 3.11.7", "aiortc 1.16.0"),
)
TRACKS = (
    TrackState(location="local", mid="0", track_name="mic", status="active"),
    TrackState(location="remote", mid="1", track_name="camera", status="inactive", session_id="cccc"),
)
FAILURE = Failure(exit_status=6, message="The connection was lost.", hint="Is the server still running?", phase="media")

REQUEST = {
    "at": EPOCH,
    "client": "127.0.0.1:40404",
    "user_agent": "rtcctl/0.1",
    "method": "POST",
    "path": "/v1/apps/dev0/sessions/aaaa/tracks/new",
    "operation": "tracks/new",
    "app_id": "dev0",
    "session_id": "aaaa",
    "status": 425,
    "error_code": "session_error",
    "item_codes": [],
    "fault": "tracks/new=425,times=3",
    "turn_ttl_s": None,
    "duration_ms": 1.5,
}

OUTAGES = (
    Outage(
        reason="The connection of session bbbb was lost: closed by the other side, or no packet of any kind for 5 s.",
        session_id="bbbb",
        successor_id="cccc",
        started_s=3.9,
        duration_s=6.4,
        attempts=2,
        frames_missed=229,
    ),
    Outage(
        reason="The publisher has replaced its session aaaa by dddd.",
        session_id="cccc",
        successor_id="cccc",
        started_s=14.0,
        duration_s=2.1,
        attempts=1,
        frames_missed=0,
    ),
    Outage(reason="The connection of session cccc was lost: …", session_id="cccc", started_s=71.5, attempts=31),
)
"One each: another session, another publisher's, and one that is not over."


EXPLAINED = {
    "explain-code": Explain(
        source="not_found_track_error",
        kind="code",
        meanings=(
            Meaning(
                where="code",
                status=200,
                code="not_found_track_error",
                meaning="The SFU has no media under that session and name.",
                is_worth_retrying=True,
            ),
        ),
        next_commands=("rtcctl track diagnose SUBSCRIBER_SESSION PUBLISHER_SESSION/TRACK", "rtcctl track list X"),
    ),
    "explain-response": Explain(
        source="stdin",
        kind="response",
        ray="8f00-AMS",
        meanings=(
            Meaning(
                where="request",
                status=406,
                code="invalid_params",
                description="Expecting at least 1 track",
                meaning="The list is empty: nothing is asked for.",
                is_worth_retrying=False,
            ),
            Meaning(where="Retry-After", meaning="Wait so long: 3 s."),
        ),
    ),
    "explain-request": Explain(
        source="body.json",
        kind="request",
        endpoint="POST sessions/SESSION/tracks/new",
        is_endpoint_inferred=True,
        sections=(
            DescribedSection(line=8, kind="audio", mid="0", direction="recvonly", codecs=("opus", "pcmu")),
            DescribedSection(line=39, kind="video", mid="1", direction="sendonly", codecs=("vp8",), rids=("f", "q")),
        ),
        mistakes=(
            Mistake(
                where="tracks[0].mid",
                line=21,
                what="its m-section in the offer is recvonly: nothing is sent there",
                hint="Publish from `sendonly` or `sendrecv`",
                is_refused=True,
            ),
            Mistake(
                where="tracks[0].trackId",
                what="there is no such field, it is ignored",
                hint="A track is named by `sessionId` and `trackName`; in its session also by `mid`.",
                is_refused=False,
            ),
        ),
        verdict="The service refuses it: 1 mistake, and 1 more that it accepts.",
        checks=(
            Check(
                "mistakes",
                CheckStatus.FAILED,
                observed=2,
                limit=0,
                detail="tracks[0].mid: its m-section in the offer is recvonly: nothing is sent there",
                hint="Publish from `sendonly` or `sendrecv`",
            ),
        ),
    ),
    "explain-sdp": Explain(
        source="offer.sdp",
        kind="sdp",
        role="offer",
        sections=(DescribedSection(line=8, kind="application", mid="0", direction=""),),
        verdict="No mistake is found.",
        checks=(Check("mistakes", CheckStatus.PASSED, observed=0, limit=0),),
    ),
}

RESULTS: dict[str, Result] = {
    **EXPLAINED,
    "smoke": SMOKE,
    "smoke-failed": SMOKE_FAILED,
    "trace-read": TRACE,
    "trace-read-killed": replace(
        TRACE,
        is_complete=False,
        command_exit_status=None,
        verdict="It was killed, or still runs: its last line is of 10.1 s. Nothing had failed until then.",
        rays=(),
        findings=(),
        next_commands=(),
    ),
    "session-create": SessionCreate(target=LOCAL, session_id="aaaa"),
    "session-create-connected": SessionCreate(
        target=LOCAL,
        session_id="aaaa",
        correlation_id="run 7",
        connected=True,
        candidate_pair="127.0.0.1:1 → 127.0.0.1:2",
        ice_ms=1.0,
        dtls_ms=2.0,
        held_s=200.0,
        interrupted=True,
    ),
    "session-get": SessionGet(
        target=TARGET,
        session_id="aaaa",
        tracks=TRACKS,
        data_channels=(DataChannelState(location="local", data_channel_name="chat", id=1, status="active"),),
    ),
    "session-close": SessionClose(
        target=TARGET,
        session_id="aaaa",
        stopped_pid=4711,
        tracks=(
            TrackClosed(session_id="aaaa", mid="0", track_name="mic", outcome="closed"),
            TrackClosed(
                session_id="aaaa", mid="1", track_name=None, outcome="failed", code="track_error", description="no luck"
            ),
        ),
    ),
    "session-close-channels": SessionClose(
        target=TARGET,
        session_id="aaaa",
        data_channels=(
            ChannelClosed(session_id="aaaa", id=2, channel="chat", outcome="closed"),
            ChannelClosed(session_id="aaaa", id=3, channel="state", outcome="failed", code="x", description="no luck"),
        ),
    ),
    "channel-open": ChannelOpen(
        target=TARGET,
        session_id="aaaa",
        delivery="unordered, 0 retransmits",
        candidate_pair="192.0.2.1:4000 → 198.51.100.7:3478 host/udp",
        ice_ms=20.4,
        dtls_ms=31.0,
        duration_s=61.25,
        channels=(
            Traffic(channel="game", session_id="aaaa", id=1, messages_received=2, bytes_received=1200),
            Traffic(channel="a b", session_id="aaaa", id=2),
        ),
    ),
    "channel-open-detached": ChannelOpen(
        target=LOCAL,
        session_id="aaaa",
        delivery="ordered, reliable",
        detached_pid=4711,
        channels=(Traffic(channel="chat", session_id="aaaa", id=1),),
    ),
    "channel-send": ChannelSend(
        target=LOCAL,
        session_id="bbbb",
        delivery="ordered, reliable",
        duration_s=0.5,
        channels=(Traffic(channel="chat", session_id="aaaa", id=1, messages_sent=1500, bytes_sent=150_000),),
        failure=Failure(exit_status=6, message="Data channel chat (id 1) is closed.", phase="sctp"),
    ),
    "channel-send-outage": ChannelSend(
        target=LOCAL,
        session_id="cccc",
        delivery="ordered, reliable",
        duration_s=20.0,
        channels=(Traffic(channel="chat", session_id="cccc", id=1, messages_sent=90, bytes_sent=1800),),
        outages=(replace(OUTAGES[0], session_id="bbbb", frames_missed=None, messages_unacknowledged=24),),
    ),
    "session-create-outage": SessionCreate(
        target=LOCAL, session_id="cccc", connected=True, held_s=30.0, outages=OUTAGES[:1]
    ),
    "channel-listen": ChannelListen(
        target=LOCAL,
        session_id="bbbb",
        delivery="ordered, lifetime 200 ms",
        duration_s=10.0,
        ended_by="time",
        channels=(Traffic(channel="chat", session_id="aaaa", id=1, messages_received=1, bytes_received=5),),
        checks=(
            Check(
                "received",
                CheckStatus.FAILED,
                observed=1,
                limit=2,
                unit="messages",
                bound=Bound.AT_LEAST,
                hint="Is something sent while we listen?",
            ),
        ),
    ),
    "channel-update": ChannelUpdate(
        target=LOCAL, session_id="bbbb", id=1, publisher_session_id="aaaa", channel="chat", can_reply=True
    ),
    "channel-close": ChannelClose(
        target=LOCAL,
        channels=(
            ChannelClosed(session_id="aaaa", id=1, channel="chat", outcome="closed"),
            ChannelClosed(session_id="aaaa", id=9, outcome="already-closed", code="close_track_error"),
        ),
    ),
    "channel-probe": ChannelProbe(
        target=LOCAL,
        publisher_session_id="aaaa",
        subscriber_session_id="bbbb",
        rate_hz=50.0,
        size_bytes=100,
        announced_max_message_bytes=16384,
        policies=(
            PolicyFigures(
                policy="chat",
                delivery="ordered, reliable",
                duration_s=3.0,
                messages_nominal=150,
                messages_sent=150,
                messages_received=149,
                messages_lost=1,
                fraction_lost=0.006666667,
                messages_reordered=0,
                messages_duplicated=0,
                rate_hz=49.666667,
                bitrate_bps=39_733.3,
                latency_ms=Percentiles(1.21, 4.5, 1010.0),
                max_message_bytes=16384,
            ),
            PolicyFigures(
                policy="game",
                delivery="unordered, 0 retransmits",
                duration_s=3.0,
                messages_nominal=150,
                messages_sent=150,
                messages_received=0,
                messages_lost=150,
                fraction_lost=1.0,
                messages_reordered=0,
                messages_duplicated=0,
                rate_hz=0.0,
                bitrate_bps=0.0,
            ),
            PolicyFigures(
                policy="unordered",
                delivery="unordered, reliable",
                duration_s=2.4,
                messages_nominal=150,
                messages_sent=120,
                messages_received=100,
                messages_lost=None,
                messages_waiting=20,
                messages_reordered=0,
                messages_duplicated=0,
                rate_hz=12.345678,
                bitrate_bps=9876.54,
                latency_ms=Percentiles(1900.0, 3100.0, 3200.0),
                path=PathState.SLOW,
            ),
        ),
        checks=(
            Check(
                "loss chat",
                CheckStatus.FAILED,
                observed=1,
                limit=0,
                unit="messages",
                detail="1 of 150 messages never arrived on a reliable channel",
            ),
            Check(
                "received game",
                CheckStatus.FAILED,
                observed=0,
                limit=1,
                unit="messages",
                bound=Bound.AT_LEAST,
                detail="nothing arrived",
            ),
            Check(
                "sent unordered",
                CheckStatus.INCONCLUSIVE,
                observed=0.8,
                limit=0.95,
                unit="ratio",
                bound=Bound.AT_LEAST,
                detail="120 of 150 messages: the path carries about 12 messages a second",
            ),
        ),
    ),
    "session-close-gone": SessionClose(target=TARGET, session_id="aaaa", gone=True),
    "session-list": SessionList(
        sessions=(
            SessionRecord(
                session_id="aaaa",
                profile="staging",
                api_base=TARGET.api_base,
                app_id="0123abcd",
                created_at=EPOCH,
                command="track publish",
                pid=4711,
                tracks=("mic", "camera"),
            ),
            SessionRecord(
                session_id="bbbb",
                profile="local",
                api_base=LOCAL.api_base,
                app_id="dev0",
                created_at=EPOCH - 60,
                closed_at=EPOCH,
                command="session create",
            ),
        )
    ),
    "session-list-empty": SessionList(),
    "track-publish": PUBLISH,
    "track-publish-detached": Publish(
        target=TARGET,
        session_id="aaaa",
        track_name="mic",
        mid="0",
        kind="audio",
        codec="opus/48000/2",
        source="tone 440 Hz",
        tone_hz=440.0,
        detached_pid=4711,
    ),
    "track-publish-video": PUBLISH_VIDEO,
    "track-publish-several": PUBLISH_TRACKS,
    "track-subscribe": SUBSCRIBE,
    "track-subscribe-outages": replace(
        SUBSCRIBE,
        outages=OUTAGES,
        checks=(
            *SUBSCRIBE.checks,
            Check("recovery", CheckStatus.FAILED, unit="s", detail="3 outages, the last one not over"),
        ),
    ),
    "track-subscribe-video": subscribe(CAMERA_SEEN),
    "track-subscribe-several": subscribe(MICROPHONE, CAMERA_SEEN, CAMERA_VERIFIED),
    "track-update": TrackUpdate(
        target=TARGET,
        session_id="bbbb",
        mid="1",
        track_name="cam",
        preferred_rid="l",
        priority_ordering="asciibetical",
        rid_not_available="none",
    ),
    "track-subscribe-nothing": Subscribe(
        target=TARGET,
        session_id="bbbb",
        publisher_session_id="aaaa",
        track_name="mic",
        failure=FAILURE,
        checks=(
            Check(
                "received",
                CheckStatus.FAILED,
                0,
                1,
                "packets",
                "nothing arrived",
                "Is the publisher sending?",
                bound=Bound.AT_LEAST,
            ),
        ),
    ),
    "session-create-impaired": SessionCreate(
        target=IMPAIRED, session_id="aaaa", checks=(Check("relayed", CheckStatus.PASSED),)
    ),
    "track-list": TrackList(target=TARGET, session_id="aaaa", tracks=TRACKS),
    "track-close": TrackClose(
        target=TARGET, tracks=(TrackClosed(session_id="aaaa", mid="0", track_name="mic", outcome="already-closed"),)
    ),
    "track-wait": TrackWait(target=TARGET, session_id="aaaa", track_name="mic", waited_s=1.25),
    "turn-creds": TurnCreds(
        target=TARGET,
        ice_servers=(
            IceServer(urls=("stun:stun.cloudflare.com:3478",)),
            IceServer(
                urls=(
                    "turn:turn.cloudflare.com:3478?transport=udp",
                    "turn:turn.cloudflare.com:80?transport=tcp",
                    "turns:turn.cloudflare.com:443?transport=tcp",
                ),
                username="user'name",
                credential="pass word",
            ),
        ),
        ttl_s=3600,
        expires_at=EPOCH + 3600,
        relays=True,
        custom_identifier="alice",
    ),
    "turn-creds-stun-only": TurnCreds(
        target=LOCAL,
        ice_servers=(IceServer(urls=("stun:127.0.0.1:8610",)),),
        ttl_s=60,
        expires_at=EPOCH,
        relays=False,
    ),
    "turn-check": TurnCheck(
        target=TARGET,
        checks=(
            Check("stun-udp-3478", CheckStatus.PASSED, 11.5, unit="ms"),
            Check("turn-udp-3478", CheckStatus.PASSED, 12.3, unit="ms"),
            Check("turn-udp-53", CheckStatus.SKIPPED, unit="ms", detail="not required; failed: no answer over UDP"),
            Check("turn-tls-443", CheckStatus.FAILED, unit="ms", detail="certificate is for another name: a.example"),
            Check(
                "require tcp",
                CheckStatus.FAILED,
                0,
                1,
                "URLs",
                "no URL matches; there is udp:3478, tls:443",
                bound=Bound.AT_LEAST,
            ),
        ),
        urls=(
            UrlReport(
                url="stun:stun.cloudflare.com:3478",
                protocol="udp",
                host="stun.cloudflare.com",
                port=3478,
                is_turn=False,
                name="stun-udp-3478",
                verdict=CheckStatus.PASSED,
                addresses=("162.159.207.0", "2606:4700:49::"),
                address="162.159.207.0",
                dns_ms=2.5,
                binding_ms=11.5,
                mapped_address="198.51.100.7:51234",
                nat=NatReport("endpoint-independent", "address-and-port-dependent"),
            ),
            UrlReport(
                url="turn:turn.cloudflare.com:3478?transport=udp",
                protocol="udp",
                host="turn.cloudflare.com",
                port=3478,
                is_turn=True,
                name="turn-udp-3478",
                verdict=CheckStatus.PASSED,
                addresses=("141.101.90.1",),
                address="141.101.90.1",
                dns_ms=3.0,
                binding_ms=11.9,
                mapped_address="198.51.100.7:51235",
                allocate_ms=24.5,
                relayed_address="104.30.1.2:40000",
                lifetime_s=600,
                channel_ms=12.0,
                traffic=RelayTraffic(50.0, 250, 249, 1, 0.004, Percentiles(12.3, 15.2, 31.0), 0.8),
                wrong_password=Refusal.REFUSED,
                expired=Refusal.REFUSED,
                before=Before("passed", 80.5, 0.012),
            ),
            UrlReport(
                url="turn:turn.cloudflare.com:53?transport=udp",
                protocol="udp",
                host="turn.cloudflare.com",
                port=53,
                is_turn=True,
                name="turn-udp-53",
                is_required=False,
                reason="no answer over UDP from port 53: a firewall drops it, or no server is there; "
                "port 53 is blocked by browsers",
                stop=Stop(
                    Step.ALLOCATE, "The TURN server did not answer an allocate request within 4 s.", is_silence=True
                ),
                addresses=("141.101.90.1",),
                address="141.101.90.1",
                dns_ms=3.0,
            ),
            UrlReport(
                url="turns:turn.cloudflare.com:443?transport=tcp",
                protocol="tls",
                host="turn.cloudflare.com",
                port=443,
                is_turn=True,
                name="turn-tls-443",
                reason="certificate is for another name: a.example",
                stop=Stop(Step.TLS, "TLS: certificate is for another name."),
                addresses=("141.101.90.1",),
                address="141.101.90.1",
                dns_ms=3.0,
                connect_ms=12.0,
                tls=TlsReport(
                    "TLSv1.3", ("a.example",), "Example CA", 61.5, False, "certificate is for another name", None
                ),
            ),
        ),
        verdict="Not good: turn-tls-443: certificate is for another name: a.example.",
        source="TURN key 0123",
    ),
    "turn-list": TurnList(
        credentials=(
            TurnCredentialRecord(
                username="0123456789ab" + "c" * 84,
                key_id="k" * 32,
                profile="prod",
                issued_at=EPOCH,
                expires_at=EPOCH + 3600,
                remaining_s=3599.5,
                custom_identifier="alice",
            ),
            TurnCredentialRecord(
                username="0123456789ab" + "d" * 84,
                key_id="k" * 32,
                profile="prod",
                issued_at=EPOCH - 10,
                expires_at=EPOCH + 20,
                remaining_s=20.0,
            ),
        )
    ),
    "turn-list-empty": TurnList(),
    "turn-revoke": TurnRevoke(
        target=TARGET,
        custom_identifier="alice",
        analytics="asked",
        credentials=(
            RevokedCredential(
                username="a" * 96,
                source="journal",
                outcome="revoked",
                custom_identifier="alice",
                refused_after_s=1.25,
            ),
            RevokedCredential(
                username="b" * 96,
                source="analytics",
                outcome="failed",
                custom_identifier="alice",
                description="POST …/revoke: 500",
            ),
        ),
        checks=(
            Check(
                "refused",
                CheckStatus.PASSED,
                observed=1.25,
                limit=60.0,
                unit="s",
                detail="the TURN server refused it 1.25 s after it was revoked",
            ),
        ),
        failure=Failure(exit_status=5, message="POST …/revoke: 500"),
    ),
    "turn-revoke-nothing": TurnRevoke(target=TARGET, custom_identifier="alice", analytics="not-configured"),
    "turn-refresh": TurnRefresh(
        target=TARGET, path="turn.json", username="a" * 96, expires_at=EPOCH + 3600, renewals=3, interrupted=True
    ),
    "app-list": AppList(
        target=ACCOUNT,
        apps=(
            AccountItem(id="0123abcd", name="Staging ⚗", created_at=EPOCH, modified_at=EPOCH + 60),
            AccountItem(id="dev0", name="", created_at=EPOCH, modified_at=None),
        ),
    ),
    "app-create": AppCreate(
        target=ACCOUNT, id="0123abcd", name="Staging", created_at=EPOCH, modified_at=EPOCH, secret="secret-of-the-app"
    ),
    "app-delete": AppDelete(target=ACCOUNT, id="0123abcd", name="", created_at=EPOCH, modified_at=EPOCH + 60),
    "turn-key-list": TurnKeyList(target=ACCOUNT, turn_keys=()),
    "turn-key-create-stored": TurnKeyCreate(
        target=ACCOUNT,
        id="0123abcd",
        name="relay",
        created_at=EPOCH,
        modified_at=EPOCH,
        secret=None,
        stored_in="turn.token",
        usage=("export RTCCTL_TURN_KEY_ID=0123abcd", 'export RTCCTL_TURN_KEY_TOKEN="$(cat turn.token)"'),
    ),
    "fault-list": FaultList(
        target=LOCAL,
        faults=(
            Fault(id=1, fault="tracks/new=425,times=3", is_media=False, met=2, times=3),
            Fault(id=2, fault="sessions/get=hang", is_media=False, met=0),
            Fault(id=5, fault="loss=5%,delay=40ms,direction=down,seed=7", is_media=True, met=4711),
        ),
    ),
    "fault-clear": FaultClear(target=LOCAL, faults=()),
    "fault-ledger": FaultLedger(
        target=LOCAL,
        packets_forgotten=12_000,
        requests_forgotten=0,
        streams=(
            Stream(
                session_id="aaaa",
                direction="down",
                track="mic",
                ssrc=305_419_896,
                originals=1503,
                originals_dropped=74,
                retransmissions=3,
                retransmissions_dropped=1,
                held_ms=40.21,
            ),
            Stream(
                session_id="bbbb",
                direction="up",
                track="",
                ssrc=7,
                originals=2,
                originals_dropped=2,
                retransmissions=0,
                retransmissions_dropped=0,
                held_ms=None,
            ),
        ),
        packets=(),
        requests=(REQUEST, REQUEST | {"status": None, "error_code": "", "fault": "tracks/new=hang", "operation": ""}),
    ),
    "stats-session": SessionStats(
        target=TARGET,
        session_id="aaaa",
        tracks=TRACKS,
        intervals=(
            ProbeInterval(
                session_id="aaaa",
                publisher_session_id=None,
                track_name="mic",
                measured_at=EPOCH,
                pid=4711,
                sent=SENT,
            ),
            ProbeInterval(
                session_id="bbbb",
                publisher_session_id="aaaa",
                track_name="mic",
                measured_at=EPOCH,
                pid=None,
                received=RECEIVED,
            ),
        ),
    ),
    "config-check": ConfigCheck(
        target=TARGET,
        secrets=(
            SecretCheck(kind="app", origin="keyring", accepted=True, allows="sessions and tracks of this app"),
            SecretCheck(
                kind="turn",
                origin="environment RTCCTL_TURN_KEY_TOKEN",
                accepted=False,
                allows="",
                detail="refused as TURN key token: it is the App Secret",
            ),
            SecretCheck(kind="account", origin="", accepted=None, allows="", detail="not configured"),
        ),
        failure=Failure(exit_status=4, message="refused", hint="rtcctl config secret set turn --stdin"),
    ),
}

READY = ServerReady(
    base_url="http://127.0.0.1:8610/v1",
    app_id="dev0",
    app_secret="dev-secret",
    turn_key_id="devturn0",
    turn_key_token="dev-turn-token",
    account_id="account",
    account_token="account-token",
    account_api_base="http://127.0.0.1:8610/client/v4",
    pid=4711,
    media_addresses=("127.0.0.1:8610",),
    development_credentials=True,
    environment=(("RTCCTL_API_BASE", "http://127.0.0.1:8610/v1"), ("RTCCTL_APP_ID", "dev0")),
    apps=(ServedApp("dev0"),),
)

READY_WITH_APPS = ServerReady(
    base_url="http://127.0.0.1:8610/v1",
    app_id="staging",
    app_secret=None,
    turn_key_id="key",
    turn_key_token=None,
    account_id="account",
    account_token="account-token",
    account_api_base="http://127.0.0.1:8610/client/v4",
    pid=4711,
    media_addresses=("198.51.100.7:8610", "127.0.0.1:8610", "[::1]:8610"),
    development_credentials=False,
    environment=(),
    apps=(ServedApp("staging", "Staging"), ServedApp("production")),
    apps_file="apps.toml",
    time_scale=0.1,
)
"Several apps of the user's own, media on several addresses, quick timers."

WRITTEN = CredentialsWritten(path="turn.json", username="a" * 96, expires_at=EPOCH + 3600, renewal_at=EPOCH + 2880)
