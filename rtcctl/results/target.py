"""Where a command was pointed: every result starts with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The profile, API base and App ID that a result speaks about."""

    profile: str
    api_base: str
    app_id: str
    embedded: bool
    "True when the API is rtcctl's own embedded server."
    impairment: tuple[str, ...] = ()
    "What `--impair` did to the packets: what was measured is not the service's alone. In JSON only where it is used."
