"""Short-lived TURN credentials (Realtime docs: Generate credentials), with the TURN key's own token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from rtcctl.errors import ApiError, UsageError
from rtcctl.realtime.explain.ice_servers import is_port_53
from rtcctl.realtime.http import Client, SecretKind
from rtcctl.realtime.profile import Profile
from rtcctl.realtime.schema import IceServerObject, SchemaError, TurnCredentialsRequest


class TurnClient(Client):
    """A client of one TURN key."""

    async def generate_ice_servers(
        self, ttl_s: int, custom_identifier: str | None = None
    ) -> tuple[IceServerObject, ...]:
        """New credentials that live `ttl_s` seconds, as the list a peer connection takes."""
        body = TurnCredentialsRequest(ttl=ttl_s, custom_identifier=custom_identifier).to_wire()
        url = self._url("generate-ice-servers")
        answer = await self._api.call("POST", url, body, secret=SecretKind.TURN)
        try:
            return parse_ice_servers(answer.body)
        except SchemaError as exc:
            raise ApiError(
                f"The answer with TURN credentials is not what the API documents: {exc}.",
                status=answer.status,
                request="POST generate-ice-servers",
                ray=answer.ray,
            ) from exc

    async def revoke(self, username: str) -> None:
        """End credentials before they expire; the relay drops shortly after."""
        await self._api.call("POST", self._url(f"{quote(username, safe='')}/revoke"), secret=SecretKind.TURN)

    def _url(self, operation: str) -> str:
        require_key(self.profile)
        return f"{self.profile.api_base}/turn/keys/{quote(self.profile.turn_key_id, safe='')}/credentials/{operation}"


def require_key(profile: Profile) -> None:
    """Raises `UsageError` for a profile without a TURN key."""
    if not (profile.turn_key_id and profile.turn_key_token):
        raise UsageError(
            f"Profile {profile.name} has no TURN key.",
            hint="Set RTCCTL_TURN_KEY_ID and RTCCTL_TURN_KEY_TOKEN, or: rtcctl config secret set turn --stdin",
        )


def parse_ice_servers(body: Any) -> tuple[IceServerObject, ...]:
    """`iceServers` of an answer: a list, one object as `generate` has it, `urls` as a list or as one string.

    Raises `SchemaError`.
    """
    servers = body.get("iceServers") if isinstance(body, dict) else None
    if isinstance(servers, dict):
        servers = [servers]
    if not isinstance(servers, list):
        raise SchemaError("a list or an object", field="iceServers")
    return tuple(IceServerObject.read(_with_url_list(server)) for server in servers)


def parse_pasted(body: Any) -> tuple[IceServerObject, ...]:
    """Servers as people have them at hand, of any vendor: an answer of an API, `RTCConfiguration`, the bare list or one
    server of it, and the document of `turn creds --output json`. Raises `SchemaError`.
    """
    if isinstance(body, dict) and "ice_servers" in body:
        body = {"iceServers": body["ice_servers"]}
    elif isinstance(body, dict) and "uris" in body:  # the REST convention, as `--as coturn`
        body = {
            "iceServers": {**body, "urls": body["uris"], "credential": body.get("credential", body.get("password"))}
        }
    elif isinstance(body, list) or (isinstance(body, dict) and "urls" in body):
        body = {"iceServers": body}
    return parse_ice_servers(body)


def _with_url_list(server: Any) -> Any:
    if isinstance(server, dict) and isinstance(server.get("urls"), str):
        return {**server, "urls": [server["urls"]]}
    return server


def without_port_53(servers: Iterable[IceServerObject]) -> tuple[IceServerObject, ...]:
    """The servers without URLs of port 53, which browsers block and which cost a gathering time-out."""
    kept = (
        server.model_copy(update={"urls": [url for url in server.urls if not is_port_53(url)]}) for server in servers
    )
    return tuple(server for server in kept if server.urls)
