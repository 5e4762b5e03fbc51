"""`--detach`: a publisher that goes on after the command has returned."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtcctl.errors import DeadlineError, ExitStatus, RtcctlError
from rtcctl.ops.env import Env
from rtcctl.ops.publish import PublishRequest
from rtcctl.results.track import Publish, PublishedTrack

DETACH_DEADLINE_S = 20.0
"From the start of the child to its first packets."

_OF_TRACK = ("track_name", "mid", "kind", "codec", "source", "tone_hz")
"What `published` says of a track, under the names that results have for it."


@dataclass(frozen=True, slots=True)
class DetachRequest:
    """`log_folder`: where the child writes its events, one file a process. `options`: more of its command line."""

    publish: PublishRequest
    log_folder: Path
    options: Sequence[str] = ()


class DetachedProbeError(RtcctlError):
    """The detached probe ended before media flowed; carries its message and exit status."""

    def __init__(self, message: str, *, hint: str, exit_status: int) -> None:
        super().__init__(message, hint=hint)
        try:
            self.exit_status = ExitStatus(exit_status) or ExitStatus.BUG
        except ValueError:
            self.exit_status = ExitStatus.BUG


async def publish(request: DetachRequest, env: Env) -> Publish:
    """Start `track publish` as a process of its own and return once it sends; `session close` ends it."""

    def is_ready(events: list[dict[str, Any]]) -> bool:
        published = [e for e in events if e["event"] == "published"]
        sending = {e["mid"] for e in events if e["event"] == "interval" and e["sent"]["packets_sent"]}
        return bool(published) and {e["mid"] for e in published} <= sending

    arguments = [*publish_arguments(request.publish, env.profile.name), *request.options, *impaired(env)]
    pid, events = await start(arguments, request.log_folder, env, is_ready, what="publisher")
    published = [e for e in events if e["event"] == "published"]
    connected = next((e for e in events if e["event"] == "connected"), {})
    tracks = tuple(PublishedTrack(**{name: event[name] for name in _OF_TRACK}) for event in published)
    return Publish(
        target=env.target,
        session_id=published[0]["session_id"],
        **{name: published[0][name] for name in _OF_TRACK},
        tracks=tracks,
        candidate_pair=connected.get("candidate_pair"),
        relay_protocol=connected.get("relay_protocol"),
        url=connected.get("url"),
        candidate_type=connected.get("candidate_type"),
        ice_ms=connected.get("ice_ms"),
        dtls_ms=connected.get("dtls_ms"),
        detached_pid=pid,
    )


async def start(
    arguments: Sequence[str],
    log_folder: Path,
    env: Env,
    is_ready: Callable[[list[dict[str, Any]]], bool],
    *,
    what: str,
) -> tuple[int, list[dict[str, Any]]]:
    """Start a command of ours as a process of its own, and return once its events are what `is_ready` waits for.

    Its process id and these events. What ends early is an error of ours with its message and exit status.
    """
    if env.recorder is not None:
        # It is the child that has something to tell.
        arguments = [*arguments, "--trace", str(env.recorder.detached_folder)]
    child, log_path, error_path = _spawn(arguments, log_folder, f"{what}-{env.pid}-{env.random.getrandbits(32):08x}")
    try:
        async with asyncio.timeout(DETACH_DEADLINE_S):
            while True:
                status = child.poll()
                events = _events(log_path)
                # One that has ended well has done it all, in less time than an interval.
                if is_ready(events) or (status == 0 and any(event["event"] == "summary" for event in events)):
                    return child.pid, events
                if status is not None:
                    raise _child_error(error_path, status)
                await asyncio.sleep(0.05)
    except TimeoutError:
        child.terminate()
        raise DeadlineError(
            f"The detached {what} sent nothing within {DETACH_DEADLINE_S:.0f} s.",
            awaited=f"the first of the detached {what}",
            after_s=DETACH_DEADLINE_S,
            hint="Run the same command without --detach to see where it stands still.",
        ) from None
    except BaseException:
        child.terminate()  # which does nothing to one that has ended
        raise


def _spawn(arguments: Sequence[str], folder: Path, name: str) -> tuple[subprocess.Popen[bytes], Path, Path]:
    """The child, and where it writes its events and its errors."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_path = folder / f"{name}.jsonl"
    error_path = log_path.with_suffix(".err")
    with log_path.open("wb") as log, error_path.open("wb") as errors:
        # Not asyncio's subprocess: its transport kills the child when this process ends.
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=errors,
            start_new_session=True,
        )
    return child, log_path, error_path


def publish_arguments(request: PublishRequest, profile: str) -> Sequence[str]:
    """The command line of the child."""
    session = [request.session_id] if request.session_id else []
    for_ = [] if request.for_s is None else ["--for", f"{request.for_s:.3f}s"]
    return [
        "-m",
        "rtcctl",
        "track",
        "publish",
        *session,
        *(argument for spec in request.tracks for argument in ("--track", str(spec))),
        *for_,
        *([] if request.relay is None else request.relay.options()),
        *(["--no-recover"] if request.recover_for_s is None else ["--recover-for", f"{request.recover_for_s:.3f}s"]),
        "--interval",
        f"{request.interval_s:.3f}s",
        "--profile",
        profile,
        "--output",
        "jsonl",
    ]


def impaired(env: Env) -> Sequence[str]:
    """Options of the child, whose packets are meant and not ours."""
    return () if env.impairing is None else env.impairing.options()


def _events(path: Path) -> list[dict[str, Any]]:
    """The whole lines written so far."""
    # As bytes: the last one may end in the middle of a character, and text has line ends that are none of JSON's.
    *lines, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines]


def _child_error(path: Path, status: int) -> DetachedProbeError:
    """What the child said on stderr, as an error of ours."""
    message = hint = ""
    for line in path.read_text("utf-8", errors="replace").splitlines():
        if line.startswith("error: "):
            message = line.removeprefix("error: ")
        # With --output jsonl an expected error is one object.
        with suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            message, hint = str(said["error"]), str(said["hint"] or "")
    return DetachedProbeError(
        message or f"The detached publisher ended with status {status}.", hint=hint, exit_status=status
    )
