"""An API call as data, and as the curl command that makes it; secrets appear as shell variables only."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from rtcctl.errors import UsageError
from rtcctl.realtime.development import ADMIN_PREFIX
from rtcctl.realtime.profile import Profile

PLACEHOLDERS = (
    "$SESSION_ID",
    "$PUBLISHER_SESSION_ID",
    "$MID",
    "$OFFER_SDP",
    "$ANSWER_SDP",
    "$RTCCTL_TURN_KEY_ID",
    "$TURN_USERNAME",
    "$FROM",
    "$TO",
)
"""What is known only once earlier calls have been answered, or at the moment of the call. The shell expands them, so an
SDP must be JSON-escaped."""

ACCOUNT_TOKEN = "RTCCTL_ACCOUNT_TOKEN"
"The variable that holds the account API token."

_PLACEHOLDER = re.compile("(" + "|".join(re.escape(name) for name in PLACEHOLDERS) + r")(?![A-Z_])")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """`path` is below the app (`sessions/new`), or below the API base when it starts with `/`.

    What is below `ADMIN_PREFIX` is beside the API base, what takes the account's token is below the account API's base.
    `body`: decoded JSON, `None` for no body at all. `secret`: the variable that holds the secret the call needs; empty
    for none.
    """

    method: str
    path: str
    body: Any = None
    secret: str = "RTCCTL_APP_SECRET"

    def url(self, profile: Profile) -> str:
        """The whole URL. Raises `UsageError` for a path that would lead to another host."""
        if self.path.startswith("//") or "://" in self.path.partition("?")[0]:
            raise UsageError(
                f"{self.path} is a URL, not a path.",
                hint="Paths are below the app (sessions/new), or below the API base with a leading / (/turn/keys/…).",
            )
        path = quote(self.path, safe="/?&=%$:@+,;~!*'()")
        if path.startswith(f"{ADMIN_PREFIX}/"):
            return admin_base(profile.api_base) + path.removeprefix(ADMIN_PREFIX)
        if self.secret == ACCOUNT_TOKEN:
            return profile.account_api_base + path
        if path.startswith("/"):
            return profile.api_base + path
        return f"{profile.api_base}/apps/{quote(profile.app_id, safe='')}/{path}"


def admin_base(api_base: str) -> str:
    """Where the admin API of an embedded server is, without a trailing slash."""
    url = urlsplit(api_base)
    return f"{url.scheme}://{url.netloc}{ADMIN_PREFIX}"


def curl_command(call: ApiCall, profile: Profile) -> str:
    """The call for a POSIX shell, one option a line."""
    words = [
        f"curl --silent --show-error --request {call.method} {_quoted(call.url(profile))}",
        *([f'--header "Authorization: Bearer ${call.secret}"'] if call.secret else []),
    ]
    if profile.ca_file and call.url(profile).startswith("https:"):
        words.append(f"--cacert {shlex.quote(profile.ca_file)}")
    if call.body is not None:
        words.append("--header 'Content-Type: application/json'")
        words.append(f"--data-raw {_quoted(json.dumps(call.body, ensure_ascii=False))}")
    return " \\\n  ".join(words)


def _quoted(text: str) -> str:
    """`text` as one shell word in which only the placeholders expand."""
    parts = _PLACEHOLDER.split(text)
    return "".join(f'"{part}"' if i % 2 else shlex.quote(part) for i, part in enumerate(parts) if part)
