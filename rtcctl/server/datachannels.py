"""All data channels of a session: what it publishes, and what it is subscribed to (Realtime docs: DataChannels).

`channel.py` has what flows on one of them; this is the table of all, with the operations on it and
the way to the transport.

*Ids* grow from 1 and are not used again. Id 0 is `server-events`, on which nothing is said.

*Ended is not forgotten.* A channel stays in the session's state, as inactive, until `close_channels` names it; a
publication keeps its name taken until then, and no timer collects it.

*SCTP* is aiortc's, in `sctp.py`, and takes 300 ms to load: that happens in a thread when the first session attaches.
Channels may be added before there is an association, and packets that come in between are kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtcctl.realtime.schema import DataChannelObject, DataChannelResult, DataChannelStateObject
from rtcctl.server.channel import Channel, DeliveryPolicy, Publication, Subscription
from rtcctl.server.waits import Waits
from rtcctl.web.refusal import Refusal

if TYPE_CHECKING:
    from types import ModuleType

    from rtcctl.server.connection import Connection
    from rtcctl.server.limits import Limits
    from rtcctl.server.sctp import Association

logger = logging.getLogger(__name__)

MAX_MESSAGE_SIZE = 16 * 1024
"""Bytes of a message, for `a=max-message-size`.

Larger ones are refused twice: browsers do not send them, because descriptions announce this; what a client sends
nevertheless is dropped and logged. About as much is what the service carries.
"""
SERVER_EVENTS = "server-events"
"The reserved channel that brings the transport up."

_ID_MAX = 65_534
"RFC 8832 §5.1."
_U16_MAX = 0xFFFF
"What `createDataChannel` takes for a limit."
_EARLY_PACKETS = 16
"SCTP packets kept while aiortc is being loaded: an INIT, sent again a few times."

_sctp: ModuleType | None = None


class DataChannels:
    """All channels of one session. `find` looks those of another session of the same app up by its id."""

    def __init__(
        self,
        session_id: str,
        *,
        find: Callable[[str], DataChannels | None],
        limits: Limits,
        clock: Callable[[], float],
        waits: Waits | None = None,
    ) -> None:
        self.session_id = session_id
        self._find = find
        self._limits = limits
        self._clock = clock
        self._waits = waits or Waits()
        self._channels: dict[int, Channel] = {}
        self._publications: dict[str, Publication] = {}
        self._last_id = 0
        self._connection: Connection | None = None
        self._attached = asyncio.Event()
        self._association: Association | None = None
        self._begin: Callable[[], None] = lambda: None
        self._early: list[bytes] = []
        self._is_closed = False

    # --- the transport

    @property
    def is_attached(self) -> bool:
        """An m-section for data channels has been agreed."""
        return self._connection is not None

    def attach(self, connection: Connection, *, sctp_port: int, max_message_size: int) -> None:
        """Data goes through `connection`, which may not be up yet; both values are the peer's (RFC 8841 §5, §6).

        Repeatable: as long as an association lives, nothing changes.
        """
        if self._is_closed or (self._association is not None and not self._association.is_closed):
            return

        def begin() -> None:
            if self._is_closed or _sctp is None:
                return
            self._association = _sctp.Association(
                f"session={self.session_id}",
                send=connection.send_data,
                is_dtls_client=connection.is_dtls_client,
                port=sctp_port,
                max_message_size=max_message_size,
                max_received_size=MAX_MESSAGE_SIZE,
            )
            for channel in self._channels.values():
                if not channel.is_ended:
                    channel.start(self._association)
            early, self._early = self._early, []
            for packet in early:
                self._receive(packet)

        is_loading = self._connection is not None and self._association is None
        self._connection = connection
        self._attached.set()
        self._association = None
        self._begin = begin
        connection.on_data = self._receive
        if _sctp is not None:
            begin()
        elif not is_loading:
            asyncio.get_running_loop().run_in_executor(None, _load_sctp).add_done_callback(self._loaded)

    def _loaded(self, loading: asyncio.Future[None]) -> None:
        if not loading.cancelled():
            loading.result()
            self._begin()

    def _receive(self, packet: bytes) -> None:
        association = self._association
        if association is not None and self._is_renewed(association, packet):
            logger.info("session=%s SCTP begins anew", self.session_id)
            association.abandon()
            self._begin()
        if self._association is not None:
            self._association.receive(packet)
        elif len(self._early) < _EARLY_PACKETS:
            self._early.append(packet)

    def _is_renewed(self, association: Association, packet: bytes) -> bool:
        """Whether the client's channels go on in another association.

        A browser that replaces its transport begins SCTP anew as well, and aborts what was before or does not.
        """
        assert self._connection is not None
        is_leaving = self._connection.may_begin_anew and association.is_aborted_by(packet)
        return is_leaving or association.is_restarted_by(packet)

    async def _wait_connected(self) -> bool:
        """Wait until there is a transport and it is up, or the time of a request is over."""
        try:
            async with self._waits.timeout(self._limits.connect_wait_s):
                await self._attached.wait()
                if self._connection is None:
                    return False
                return await self._connection.wait_connected(self._limits.connect_wait_s)
        except TimeoutError:
            logger.info(
                "session=%s has no transport for data channels: is datachannels/establish missing?", self.session_id
            )
            return False

    # --- operations

    def establish(self) -> DataChannelResult:
        """Open `server-events`; the same answer each time."""
        if 0 not in self._channels:
            self._add(Channel(self.session_id, 0, SERVER_EVENTS, DeliveryPolicy()))
        return DataChannelResult(data_channel_name=SERVER_EVENTS, id=0)

    async def new(self, channels: Sequence[DataChannelObject]) -> list[DataChannelResult]:
        """Publish or subscribe; raises `Refusal` with 425 when the transport is not up in time."""
        self._check_count(channels)
        _check_names(channels)
        if len({channel.location for channel in channels}) > 1:
            raise _invalid("Pushing and Pulling data channels in the same request is not supported")
        for index, channel in enumerate(channels):
            _check_policy(index, channel)
        if not await self._wait_connected():
            raise Refusal(
                425,
                "session_error",
                "Session is not ready yet. Please ensure the PeerConnection is connected before making this request",
            )
        if self._last_id + len(channels) > _ID_MAX:
            raise _invalid(f"The session has used all of its {_ID_MAX} data channel ids")
        return [self._publish(c) if c.location == "local" else self._subscribe(c) for c in channels]

    def update(self, channels: Sequence[DataChannelObject]) -> list[DataChannelResult]:
        """Grant or revoke `canReply` of subscriptions."""
        self._check_count(channels)
        _check_names(channels)
        if any(channel.location == "local" for channel in channels):
            raise _invalid("Only remote data channels can be updated")
        return [self._update(channel) for channel in channels]

    def close_channels(self, channels: Sequence[DataChannelObject]) -> list[DataChannelResult]:
        """End channels of this session by their ids, and forget them."""
        self._check_count(channels)
        for index, channel in enumerate(channels):
            if channel.id is None:
                raise _invalid(f"dataChannels[{index}]: Missing id in data channel")
        return [self._close(channel.id or 0) for channel in channels]

    def state(self) -> list[DataChannelStateObject]:
        """All channels of the session, by id."""
        return [
            DataChannelStateObject(
                location=channel.location,
                session_id=channel.publisher_id,
                data_channel_name=channel.name,
                id=channel.channel_id,
                status=channel.status,
            )
            for _, channel in sorted(self._channels.items())
        ]

    def look_at_timers(self) -> None:
        """End the subscriptions that were not acknowledged in time."""
        now = self._clock()
        for channel in self._channels.values():
            if isinstance(channel, Subscription) and channel.is_overdue(now):
                logger.info("%s was not acknowledged, ends", channel.log_name)
                channel.end()

    def close(self) -> None:
        """The session ends: so do its publications, for all their subscribers."""
        self._is_closed = True
        self._attached.set()
        if self._association is not None:
            self._association.close()
        for channel in self._channels.values():
            channel.end()
        if self._connection is not None:
            self._connection.on_data = None

    # --- one item of each

    def _publish(self, wanted: DataChannelObject) -> DataChannelResult:
        name = wanted.data_channel_name or ""
        result = DataChannelResult(location="local", data_channel_name=name)
        if name in self._publications:
            return _failed(result, "repeated_local_track_error", "The session publishes a data channel of this name")
        publication = Publication(self.session_id, self._next_id(), name, DeliveryPolicy.of(wanted))
        self._publications[name] = publication
        self._add(publication)
        result.id = publication.channel_id
        return result

    def _subscribe(self, wanted: DataChannelObject) -> DataChannelResult:
        result = DataChannelResult(
            location="remote", session_id=wanted.session_id, data_channel_name=wanted.data_channel_name
        )
        publisher = self._find(wanted.session_id or "")
        publication = publisher._publications.get(wanted.data_channel_name or "") if publisher is not None else None
        if publication is None or publication.status == "inactive":
            return _failed(result, "not_found_track_error", "Data channel not found on remote peer")
        subscription = Subscription(
            self.session_id,
            self._next_id(),
            publication,
            DeliveryPolicy.of(wanted),
            self._clock() + self._limits.ack_wait_s if wanted.wait_for_ack else None,
        )
        if subscription.policy != publication.policy:
            logger.warning("%s asks for another delivery policy than its publisher", subscription.log_name)
        if wanted.can_reply:
            subscription.can_reply = True
        self._add(subscription)
        result.id = subscription.channel_id
        result.can_reply = wanted.can_reply
        return result

    def _update(self, wanted: DataChannelObject) -> DataChannelResult:
        result = DataChannelResult(
            location="remote", session_id=wanted.session_id, data_channel_name=wanted.data_channel_name
        )
        found = [
            channel
            for channel in self._channels.values()
            if isinstance(channel, Subscription)
            and not channel.is_ended
            and (channel.publisher_id, channel.name) == (wanted.session_id, wanted.data_channel_name)
        ]
        if not found:
            return _failed(result, "not_found_track_error", "The session has not pulled this data channel")
        subscription = found[-1]  # of two to one publication, the newer
        if wanted.can_reply is not None:
            subscription.can_reply = wanted.can_reply
        result.id = subscription.channel_id
        result.can_reply = subscription.can_reply
        return result

    def _close(self, channel_id: int) -> DataChannelResult:
        channel = self._channels.pop(channel_id, None)
        if channel is None:
            return _failed(
                DataChannelResult(id=channel_id),
                "close_track_error",
                "Data channel doesn't exist or was already closed",
            )
        channel.end()
        if isinstance(channel, Publication):
            del self._publications[channel.name]
        logger.info("%s closed", channel.log_name)
        return DataChannelResult(
            location=channel.location, session_id=channel.publisher_id, data_channel_name=channel.name, id=channel_id
        )

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _add(self, channel: Channel) -> None:
        self._channels[channel.channel_id] = channel
        if self._association is not None and not self._association.is_closed:
            channel.start(self._association)
        logger.info("%s %s", channel.log_name, "published" if channel.location == "local" else "subscribed")

    def _check_count(self, channels: Sequence[DataChannelObject]) -> None:
        if not channels:
            raise _invalid("Expecting at least 1 data channel")
        if len(channels) > self._limits.tracks_per_request:
            raise _invalid(f"Expecting at most {self._limits.tracks_per_request} data channel in the request")


def _load_sctp() -> None:
    global _sctp
    from rtcctl.server import sctp

    _sctp = sctp


def _invalid(description: str) -> Refusal:
    return Refusal(406, "invalid_params", description)


def _check_names(channels: Sequence[DataChannelObject]) -> None:
    """Raise `Refusal` with 400 in the words of the service, which names the items by their index."""
    wrong = [
        str(index)
        for index, channel in enumerate(channels)
        if channel.location is None
        or not channel.data_channel_name
        or (channel.location == "remote" and not channel.session_id)
    ]
    if wrong:
        raise Refusal(400, "decoding_error", f"JSON body validation error: {','.join(wrong)}")


def _check_policy(index: int, channel: DataChannelObject) -> None:
    if channel.max_retransmits is not None and channel.max_packet_life_time is not None:
        raise _invalid(f"dataChannels[{index}]: maxRetransmits and maxPacketLifeTime exclude each other")
    if max(channel.max_retransmits or 0, channel.max_packet_life_time or 0) > _U16_MAX:
        raise _invalid(f"dataChannels[{index}]: a retry limit is at most {_U16_MAX}")
    if channel.location == "local" and channel.data_channel_name == SERVER_EVENTS:
        raise _invalid(f"dataChannels[{index}]: {SERVER_EVENTS} is a reserved name")


def _failed(result: DataChannelResult, code: str, description: str) -> DataChannelResult:
    result.error_code = code
    result.error_description = description
    return result
