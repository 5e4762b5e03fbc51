"""Covers rtcctl/probe/aiortc_internals.py: pins the private names that it relies on.

When this fails after an upgrade of aiortc or aioice, read that module from its top.
"""

from __future__ import annotations

import inspect

import aioice.ice
import aioice.stun
import pytest
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter
from aiortc.rtcicetransport import RTCIceTransport

from rtcctl.probe.aiortc_internals import PeerConnection

PRIVATE = [
    (RTCPeerConnection, "_RTCPeerConnection__connect", ["self"]),
    (RTCPeerConnection, "_RTCPeerConnection__createDtlsTransport", ["self"]),
    (RTCPeerConnection, "_RTCPeerConnection__createTransceiver", ["self", "direction", "kind", "sender_track"]),
    (RTCRtpReceiver, "receive", ["self", "parameters"]),
    (RTCRtpReceiver, "_handle_disconnect", ["self"]),
    (RTCRtpReceiver, "_handle_rtp_packet", ["self", "packet", "arrival_time_ms"]),
    (RTCDtlsTransport, "_handle_rtp_data", ["self", "data", "arrival_time_ms"]),
    (RTCDtlsTransport, "_handle_rtcp_data", ["self", "data"]),
    (RTCDtlsTransport, "_recv_next", ["self"]),
    (aioice.ice.Connection, "get_component_candidates", ["self", "component", "addresses", "timeout"]),
    (aioice.ice.Connection, "data_received", ["self", "data", "component"]),
    (aioice.ice.Connection, "query_consent", ["self"]),
    (aioice.ice.Connection, "build_request", ["self", "pair", "nominate"]),
    (aioice.ice.Connection, "recvfrom", ["self"]),
    (aioice.ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
    (aioice.ice.StunProtocol, "request", ["self", "request", "addr", "integrity_key", "retransmissions"]),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), PRIVATE, ids=lambda value: getattr(value, "__name__", None))
def test_private_methods_still_take_what_we_give_them(owner: type, name: str, parameters: list[str]):
    """Each method that is called or replaced exists, with the parameters we know."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def source(function: object) -> str:
    return inspect.getsource(function)  # type: ignore[arg-type]


def test_the_hooks_are_called_where_we_put_them():
    """What is replaced on an instance is looked up on the instance, at the time of the call."""
    assert "self.receiver.data_received(data" in source(aioice.ice.StunProtocol.datagram_received)
    assert "self._queue.get()" in source(aioice.ice.Connection.recvfrom)
    assert "create_task(self.query_consent())" in source(aioice.ice.Connection.connect)
    assert "self.get_component_candidates(" in source(aioice.ice.Connection.gather_candidates)
    receive_next = source(RTCDtlsTransport._recv_next)
    assert "self.transport._recv()" in receive_next
    assert "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)" in receive_next
    assert "await self._handle_rtcp_data(data)" in receive_next
    connect = source(RTCPeerConnection._RTCPeerConnection__connect)
    assert "transceiver.receiver.receive(" in connect
    assert "ensure_future(self.__connect())" in source(RTCPeerConnection.setLocalDescription)
    assert "ensure_future(self.__connect())" in source(RTCPeerConnection.setRemoteDescription)


def test_the_attributes_we_read_exist():
    """Instance attributes that hold what no public method tells."""
    assert {"mid_table", "ssrc_table"} <= vars(RtpRouter()).keys()
    assert {"_queue", "_nominated", "_protocols", "_query_consent_task", "remote_password"} <= vars(
        aioice.ice.Connection(ice_controlling=True)
    ).keys()
    assert "self._connection = gatherer._connection" in source(RTCIceTransport.__init__)
    assert "self._task: " in source(RTCDtlsTransport.__init__)
    assert "self._rtp_header_extensions_map = " in source(RTCDtlsTransport.__init__)
    assert "self._rtp_router = RtpRouter()" in source(RTCDtlsTransport.__init__)
    assert "self.__codecs: dict[int, RTCRtpCodecParameters]" in source(RTCRtpReceiver.__init__)
    assert "self.__closeTask: " in source(RTCPeerConnection.__init__)
    assert "if self.__decoder_thread:" in source(RTCRtpReceiver._RTCRtpReceiver__stop_decoder)


def test_our_connection_overrides_and_does_not_add():
    """A private method that aiortc renamed would be an override of nothing."""
    ours = {name for name in vars(PeerConnection) if name.startswith("_RTCPeerConnection__")}
    assert ours
    assert all(hasattr(RTCPeerConnection, name) for name in ours)
