"""What `dev` prints when it answers."""

from __future__ import annotations

import shlex

from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK
from rtcctl.results.dev import ServerReady


def opening(event: ServerReady) -> list[Line]:
    """Where it is, what it has, and lines to paste."""
    kind = " (fixed, for loopback only)" if event.development_credentials else ""
    first, *rest = event.media_addresses or ("",)
    others = [app for app in event.apps if app.app_id != event.app_id]
    names = {app.app_id: f" ({app.name})" for app in event.apps if app.name}
    return [
        *facts(
            ("API base", event.base_url),
            ("authority", event.ca_file),
            ("media", f"UDP {first}"),
            *(("", f"UDP {address}") for address in rest),
            ("App ID", event.app_id + names.get(event.app_id, "")),
            *(("", app.app_id + names.get(app.app_id, "")) for app in others),
            ("App Secret", f"in {event.apps_file}" if event.app_secret is None else event.app_secret + kind),
            ("TURN", f"by {event.turn}" if event.turn else "STUN only: coturn is not installed (apt install coturn)"),
            ("TURN key", event.turn_key_id or f"none in {event.apps_file}"),
            (
                "TURN token",
                event.turn_key_token or (f"in {event.apps_file}" if event.turn_key_id else None),
            ),
            ("account API", event.account_api_base),
            ("account", event.account_id),
            ("API token", event.account_token),
            ("time scale", None if event.time_scale == 1 else f"× {event.time_scale:g}, timers of the service only"),
            ("seed", None if event.seed is None else f"{event.seed}, of session ids and names of discovered tracks"),
        ),
        BLANK,
        # To be pasted, so never broken: only what is last in a line wraps.
        *(line(f"export {name}={shlex.quote(value)}", "") for name, value in event.environment),
        *((BLANK,) if event.environment else ()),
        line(Styled("Ctrl-C ends it. In another terminal: rtcctl smoke", "dim")),
    ]
