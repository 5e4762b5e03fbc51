"""The bodies of the Realtime HTTPS API, as clients send and servers answer them.

Attributes are snake_case, the wire is camelCase. Unknown keys are ignored on both sides; the service adds some now and
then. A server parses what it is sent with `X.parse(body)`: strictly, a number where a string belongs is refused. A
client reads answers with `X.read(decoded)`: leniently. In answers, words that the contract lists (`location`, `status`,
…) are plain strings, so that a new one breaks nobody.

SDP and credentials stay out of `repr`, and inputs out of validation errors: neither may reach a log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from rtcctl.errors import ApiError, ParseError
from rtcctl.realtime.explain.errors import hint_for

Location = Literal["local", "remote"]
Kind = Literal["audio", "video"]
Secret = Annotated[str, Field(repr=False)]
OptionalSecret = Annotated[str | None, Field(repr=False)]
Count = Annotated[int, Field(ge=0)]
ITEMS_MAX = 1000
"""Of a list in a request. The service's own limits are far below and are refused in its words; but a body of a megabyte
could hold 200,000 items, and looking at each of them would take seconds."""


class SchemaError(ParseError):
    """A body that is no JSON (`field` is empty) or whose `field` is missing or wrong (`tracks.0.mid`)."""

    def __init__(self, expected: str, *, field: str = "") -> None:
        super().__init__(f"{expected} in field {field}" if field else expected)
        self.field = field


class Wire(BaseModel):
    """What all bodies share."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        strict=True,
        extra="ignore",
        hide_input_in_errors=True,
        # Most commands use two or three of these models: the others need not be compiled.
        defer_build=True,
    )

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Decode and validate a request strictly; raises `SchemaError`."""
        try:
            return cls.model_validate_json(body, by_name=False)
        except ValidationError as exc:
            raise _schema_error(exc) from None

    @classmethod
    def read(cls, decoded: Any) -> Self:
        """Validate a decoded answer leniently; raises `SchemaError`."""
        try:
            return cls.model_validate(decoded, strict=False, by_name=False)
        except ValidationError as exc:
            raise _schema_error(exc) from None

    def to_wire(self) -> dict[str, Any]:
        """As decoded JSON, without the fields that are `None`."""
        return self.model_dump(by_alias=True, exclude_none=True)


def _schema_error(exc: ValidationError) -> SchemaError:
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return SchemaError("JSON")
    expected = "a value" if first["type"] == "missing" else first["msg"].removeprefix("Input should be ")
    return SchemaError(expected, field=".".join(str(part) for part in first["loc"]))


class Failable(Wire):
    """Anything that can fail by itself: an answer, or one item of it (Realtime docs: Error codes)."""

    error_code: str | None = None
    error_description: str | None = None
    error_subcode: str | None = None
    "Undocumented; Cloudflare's own samples read it."

    def raise_for_error(self, what: str) -> None:
        """Raise an `ApiError` that names the object, if this is the failure of one item inside an answer."""
        if self.error_code:
            raise ApiError(
                f"{what}: {self.error_description or self.error_code}",
                hint=hint_for(200, self.error_code, self.error_subcode, self.error_description),
                status=200,
                code=self.error_code,
                subcode=self.error_subcode,
                description=self.error_description,
            )


class SessionDescription(Wire):
    """One SDP, offer or answer."""

    type: Literal["offer", "answer"]
    sdp: Secret


# --- sessions


class NewSessionRequest(Wire):
    """Body of `POST sessions/new` when there is an offer; without one there is no body."""

    session_description: SessionDescription


class NewSessionResponse(Failable):
    session_id: str
    session_description: SessionDescription | None = None


class RenegotiateRequest(Wire):
    session_description: SessionDescription


class RenegotiateResponse(Failable):
    session_description: SessionDescription | None = None


# --- tracks


class Simulcast(Wire):
    """Which layer a subscription prefers, and what may replace it (Realtime docs: Simulcast)."""

    preferred_rid: str | None = None
    priority_ordering: Literal["none", "asciibetical"] | None = None
    rid_not_available: Literal["none", "asciibetical"] | None = None


class TrackObject(Wire):
    """A track to publish (`local`) or to subscribe to (`remote`); the flow decides which fields are needed."""

    location: Location | None = None
    mid: str | None = None
    "Of the session in the URL; always a string. `#name`: the transceiver that carries the track of that name."
    session_id: str | None = None
    "Remote only: the publisher's session."
    track_name: str | None = None
    bidirectional_media_stream: bool | None = None
    kind: Kind | None = None
    simulcast: Simulcast | None = None


class TrackResult(Failable):
    """What became of one track. `mid` is empty or absent when it failed."""

    location: str | None = None
    mid: str | None = None
    session_id: str | None = None
    track_name: str | None = None
    kind: str | None = None
    simulcast: Simulcast | None = None


class TracksRequest(Wire):
    """Body of `tracks/new` and `tracks/update`."""

    tracks: Annotated[list[TrackObject], Field(max_length=ITEMS_MAX)] | None = None
    session_description: SessionDescription | None = None
    auto_discover: bool | None = None


class TracksResponse(Failable):
    """`requires_immediate_renegotiation`: the description is an offer, to be answered by `renegotiate`."""

    requires_immediate_renegotiation: bool | None = None
    tracks: list[TrackResult] | None = None
    session_description: SessionDescription | None = None


class CloseTrackObject(Wire):
    """A server tells a missing mid apart from a wrong type: the first is 406, the second 400."""

    mid: str | None = None


class CloseTracksRequest(Wire):
    """`force` is required; false needs an offer."""

    tracks: Annotated[list[CloseTrackObject], Field(max_length=ITEMS_MAX)]
    force: bool
    session_description: SessionDescription | None = None


CloseTracksResponse = TracksResponse


class TrackStateObject(Wire):
    """One track in a `GET session` answer."""

    location: str | None = None
    mid: str | None = None
    session_id: str | None = None
    track_name: str | None = None
    status: str | None = None
    "`active` or `inactive`; active does not prove that packets flow."


class DataChannelStateObject(Wire):
    """One data channel in a `GET session` answer."""

    location: str | None = None
    session_id: str | None = None
    data_channel_name: str | None = None
    id: int | None = None
    status: str | None = None
    "`active`, `inactive` or `initializing`."


class GetSessionStateResponse(Failable):
    tracks: list[TrackStateObject] | None = None
    data_channels: list[DataChannelStateObject] | None = None


# --- data channels


class DataChannelObject(Wire):
    """A channel to publish or to subscribe to; each subscriber repeats the publisher's delivery policy."""

    location: Location | None = None
    session_id: str | None = None
    data_channel_name: str | None = None
    ordered: bool | None = None
    max_retransmits: Count | None = None
    max_packet_life_time: Count | None = None
    "Milliseconds; excludes `max_retransmits`."
    wait_for_ack: bool | None = None
    can_reply: bool | None = None
    id: Count | None = None
    "Of the session in the URL: the key for close."


class DataChannelResult(Failable):
    location: str | None = None
    session_id: str | None = None
    data_channel_name: str | None = None
    can_reply: bool | None = None
    id: int | None = None


class EstablishDataChannelsRequest(Wire):
    """Only the reserved channel `server-events` can be named (Realtime docs: DataChannels)."""

    data_channel: DataChannelObject
    session_description: SessionDescription | None = None


class EstablishDataChannelsResponse(Failable):
    requires_immediate_renegotiation: bool | None = None
    session_description: SessionDescription | None = None
    data_channel: DataChannelResult | None = None


class DataChannelsRequest(Wire):
    """Body of `datachannels/new`, `update` and `close` (which reads the ids only)."""

    data_channels: Annotated[list[DataChannelObject], Field(max_length=ITEMS_MAX)]


class DataChannelsResponse(Failable):
    data_channels: list[DataChannelResult] | None = None


# --- WebSocket adapters


class AdapterObject(Wire):
    """A WebSocket that the SFU dials: PCM in (`local`), PCM or JPEG out (`remote`)."""

    location: Location
    track_name: str
    endpoint: Secret
    "`ws://` or `wss://`; may hold a token, hence kept out of `repr`."
    session_id: str | None = None
    input_codec: Literal["pcm"] | None = None
    output_codec: Literal["pcm", "jpeg"] | None = None


class AdapterResult(Failable):
    location: str | None = None
    track_name: str | None = None
    adapter_id: str | None = None
    session_id: str | None = None
    "Of a local adapter: the new publishing session."
    endpoint: OptionalSecret = None
    bytes_processed: float | None = None
    "Close only; not the billed amount."


class NewAdaptersRequest(Wire):
    tracks: Annotated[list[AdapterObject], Field(max_length=ITEMS_MAX)]


class AdapterId(Wire):
    adapter_id: str


class CloseAdaptersRequest(Wire):
    tracks: Annotated[list[AdapterId], Field(max_length=ITEMS_MAX)]


class AdaptersResponse(Failable):
    tracks: list[AdapterResult] | None = None


# --- TURN


class TurnCredentialsRequest(Wire):
    """Body of both generators (Realtime docs: Generate credentials)."""

    ttl: int | None = None
    "Seconds, up to 172,800."
    custom_identifier: str | None = None


class IceServerObject(Wire):
    """One entry of `RTCConfiguration.iceServers`."""

    urls: list[str]
    username: str | None = None
    credential: OptionalSecret = None
