"""The profile: which app of which Realtime a command talks to, as one bundle from one source."""

from __future__ import annotations

from dataclasses import dataclass, field

CLOUDFLARE_API_BASE = "https://rtc.live.cloudflare.com/v1"
"Base URL of the Connection and TURN credential APIs."

CLOUDFLARE_ACCOUNT_API_BASE = "https://api.cloudflare.com/client/v4"
"Base URL of the account API."


@dataclass(frozen=True, slots=True)
class Profile:
    """App ID, secret and API base of one Realtime app, with an optional TURN key and account token.

    Secrets are kept out of `repr`, so that no log or traceback shows them.
    """

    name: str
    api_base: str
    "Without a trailing slash, for example `https://rtc.live.cloudflare.com/v1`."
    app_id: str = ""
    app_secret: str = field(default="", repr=False)
    turn_key_id: str = ""
    turn_key_token: str = field(default="", repr=False)
    account_id: str = ""
    account_token: str = field(default="", repr=False)
    account_api_base: str = CLOUDFLARE_ACCOUNT_API_BASE
    is_embedded: bool = False
    "True when the other end is rtcctl's own server."

    ca_file: str = ""
    "The authority that alone is trusted for the API base and its TURN servers, in place of the usual ones."

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret of the profile that is set, for masking."""
        return tuple(s for s in (self.app_secret, self.turn_key_token, self.account_token) if s)
