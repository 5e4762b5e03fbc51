"""Analytics of an account, by GraphQL (Realtime docs: Analytics), with the account's own token.

Errors come as HTTP 200 with `errors`, so that an answer has to be looked into.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rtcctl.errors import ApiError, AuthError
from rtcctl.realtime.http import ApiAnswer, Client, SecretKind
from rtcctl.realtime.masking import presentable
from rtcctl.realtime.profile import Profile

PATH = "/graphql"
"Below the base of the account API."

ROWS_MAX = 10_000
"What the service gives at once."

TURN_USERNAMES = f"""
query TurnUsernames($accountTag: string!, $keyId: String!, $customIdentifier: String!, $from: Time!, $to: Time!) {{
  viewer {{ accounts(filter: {{ accountTag: $accountTag }}) {{
    callsTurnUsageAdaptiveGroups(limit: {ROWS_MAX}, filter: {{
      datetime_geq: $from, datetime_leq: $to, keyId: $keyId, customIdentifier: $customIdentifier
    }}) {{ dimensions {{ username }} }}
  }} }}
}}
"""


class AnalyticsClient(Client):
    """A client of the analytics of one account."""

    def _at(self, profile: Profile) -> Profile:
        return replace(profile, api_base=profile.account_api_base)

    async def turn_usernames(self, custom_identifier: str, *, since: float, until: float) -> tuple[str, ...]:
        """User names of the profile's TURN key that have relayed under an identifier, each once.

        `since`, `until`: wall clock. Usage of the last half minute may not be there yet, and of more than `ROWS_MAX`
        names some are missing.
        """
        variables = turn_usernames_variables(self.profile, custom_identifier, _time(since), _time(until))
        answer = await self._api.call(
            "POST",
            self.profile.account_api_base + PATH,
            {"query": TURN_USERNAMES, "variables": variables},
            secret=SecretKind.ACCOUNT,
        )
        self._raise_errors(answer)
        try:
            accounts = answer.body["data"]["viewer"]["accounts"]
            rows = [row for account in accounts for row in account["callsTurnUsageAdaptiveGroups"]]
            names = [row["dimensions"]["username"] for row in rows]
            return tuple(dict.fromkeys(str(name) for name in names if name))
        except (KeyError, TypeError) as exc:
            raise ApiError(
                "The analytics API answered without the data that was asked for.",
                status=answer.status,
                request=f"POST {PATH}",
                ray=answer.ray,
            ) from exc

    def _raise_errors(self, answer: ApiAnswer) -> None:
        """An error of GraphQL is a 200 like any other answer."""
        errors = answer.body.get("errors") if isinstance(answer.body, dict) else None
        if not errors:
            return
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        said = presentable(str(first.get("message") or "it does not say why"), self.profile.secrets)
        extensions = first.get("extensions")
        code = extensions.get("code") if isinstance(extensions, dict) else None
        message = f"POST {PATH}: {said}"
        if code == "authz" or "not authorized" in said:
            raise AuthError(
                message,
                hint="The account API token needs the permission Account Analytics: Read for this account.",
                status=answer.status,
                ray=answer.ray,
            )
        raise ApiError(message, status=answer.status, description=said, request=f"POST {PATH}", ray=answer.ray)


def turn_usernames_variables(profile: Profile, custom_identifier: str, since: str, until: str) -> dict[str, Any]:
    """The variables of `TURN_USERNAMES`; `since` and `until` as GraphQL's `Time`."""
    return {
        "accountTag": profile.account_id,
        "keyId": profile.turn_key_id,
        "customIdentifier": custom_identifier,
        "from": since,
        "to": until,
    }


def _time(wallclock: float) -> str:
    return datetime.fromtimestamp(wallclock, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
