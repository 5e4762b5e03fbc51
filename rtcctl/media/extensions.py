"""RTP header extensions (RFC 8285) that the SFU knows, by URI."""

from __future__ import annotations

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
"The m-section (RFC 9143 §15)."
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
"The simulcast encoding (RFC 8852 §3.1)."
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
"The encoding that a retransmission stream repairs (RFC 8852 §3.2)."
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"A number per packet of the whole transport, for congestion feedback."
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
"When the packet left: 24 bit, seconds in 6.18 fixed point."
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
"RFC 6464."
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
"How a picture must be turned (3GPP TS 26.114 §7.4.5)."
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
"What a frame depends on (AV1 RTP specification, appendix A)."

FORWARDED = (AUDIO_LEVEL, VIDEO_ORIENTATION, PLAYOUT_DELAY, ABS_CAPTURE_TIME, DEPENDENCY_DESCRIPTOR)
"What a publisher says of its media, passed on to subscribers under their ids."

BY_KIND = {
    "audio": (MID, TRANSPORT_CC, AUDIO_LEVEL, ABS_CAPTURE_TIME),
    "video": (
        MID,
        RID,
        REPAIRED_RID,
        TRANSPORT_CC,
        ABS_SEND_TIME,
        VIDEO_ORIENTATION,
        PLAYOUT_DELAY,
        ABS_CAPTURE_TIME,
        DEPENDENCY_DESCRIPTOR,
    ),
}
"What is accepted in an m-section in which a client sends."

TO_SUBSCRIBERS = {
    "audio": (MID, AUDIO_LEVEL, ABS_CAPTURE_TIME),
    "video": (MID, ABS_SEND_TIME, VIDEO_ORIENTATION, PLAYOUT_DELAY, ABS_CAPTURE_TIME, DEPENDENCY_DESCRIPTOR),
}
"What is offered in an m-section in which only the SFU sends."
