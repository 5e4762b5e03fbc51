"""`channel open --detach`: a publisher of data channels that goes on after the command has returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtcctl.ops import detach
from rtcctl.ops.channel_open import OpenRequest
from rtcctl.ops.env import Env
from rtcctl.results.channel import ChannelOpen, Traffic


@dataclass(frozen=True, slots=True)
class DetachRequest:
    """`log_folder`: where the child writes its events, one file a process."""

    open: OpenRequest
    log_folder: Path


async def open_(request: DetachRequest, env: Env) -> ChannelOpen:
    """Start `channel open` as a process of its own and return once its channels are open; `session close` ends it."""

    def published(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [event for event in events if event["event"] == "channel_published"]

    pid, events = await detach.start(
        [*open_arguments(request.open, env.profile.name), *detach.impaired(env)],
        request.log_folder,
        env,
        lambda events: len(published(events)) == len(request.open.names),
        what="channels",
    )
    connected = next((event for event in events if event["event"] == "connected"), {})
    channels = published(events)
    return ChannelOpen(
        target=env.target,
        session_id=channels[0]["session_id"],
        delivery=str(request.open.delivery),
        channels=tuple(
            Traffic(channel=event["channel"], session_id=event["session_id"], id=event["id"]) for event in channels
        ),
        candidate_pair=connected.get("candidate_pair"),
        relay_protocol=connected.get("relay_protocol"),
        url=connected.get("url"),
        ice_ms=connected.get("ice_ms"),
        dtls_ms=connected.get("dtls_ms"),
        detached_pid=pid,
    )


def open_arguments(request: OpenRequest, profile: str) -> Sequence[str]:
    """The command line of the child."""
    delivery = request.delivery
    arguments = ["-m", "rtcctl", "channel", "open", "--ordered" if delivery.ordered else "--unordered"]
    for name in request.names:
        arguments += ["--name", name]
    if delivery.max_retransmits is not None:
        arguments += ["--max-retransmits", str(delivery.max_retransmits)]
    if delivery.max_lifetime_ms is not None:
        arguments += ["--max-lifetime", f"{delivery.max_lifetime_ms}ms"]
    if request.for_s is not None:
        arguments += ["--for", f"{request.for_s:.3f}s"]
    recovery = ["--no-recover"] if request.recover_for_s is None else ["--recover-for", f"{request.recover_for_s:.3f}s"]
    arguments += recovery
    return [*arguments, "--profile", profile, "--output", "jsonl"]
