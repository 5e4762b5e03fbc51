"""What `dev` prints when it answers."""

from __future__ import annotations

from rtcctl.report.layout import Line, Styled, facts, line
from rtcctl.report.table import BLANK
from rtcctl.results.dev import ServerReady


def opening(event: ServerReady) -> list[Line]:
    """Credentials, and lines to paste."""
    kind = " (fixed, for loopback only)" if event.development_credentials else ""
    return [
        *facts(
            ("API base", event.base_url),
            ("media", f"UDP {', '.join(event.media_addresses)}"),
            ("App ID", event.app_id),
            ("App Secret", event.app_secret + kind),
            ("TURN key", event.turn_key_id),
            ("TURN token", event.turn_key_token),
        ),
        BLANK,
        *(line(f"export {name}={value}") for name, value in event.environment),
        BLANK,
        line(Styled("Ctrl-C ends it. In another terminal: rtcctl smoke", "dim")),
    ]
