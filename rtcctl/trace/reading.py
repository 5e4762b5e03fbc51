"""Reads a trace back: what was run, where it failed first, why, and what to do next.

What failed is found in four places: an API call that was refused or not answered, a connection that failed or never
came up, a check of the command that did not pass, and how the command ended. In the order of time, the first that was
not overcome (by another attempt, or by a connection that took the place of the lost one) is the one to look at: what
comes after it may follow from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

from rtcctl.errors import UsageError
from rtcctl.realtime.explain.errors import account_hint_for, hint_for
from rtcctl.realtime.explain.request import explain_request
from rtcctl.results.target import Target
from rtcctl.results.trace import TraceFinding, TraceRead
from rtcctl.trace.folder import read_lines

_ABOUT_THE_REQUEST = (400, 405, 406, 409)
"Statuses by which the service refuses what was asked, and not who asks or when."
_NOTICED_S = 1.0
"From the end of a connection to the word that it is lost, at most."
_NOT_PASSED = ("failed", "inconclusive")
_PHASE_OF_STATE = {
    "checking": "ICE found no path: is UDP to the address of the SFU open, both ways?",
    "handshaking": "ICE found a path, but DTLS did not finish: do large packets get through?",
}


def read(folder: Path) -> TraceRead:
    """What a trace says. Raises `UsageError` for what is no trace."""
    # Figures are for viewers, and most of a long trace.
    lines = [{name: value for name, value in line.items() if name != "reports"} for line in read_lines(folder)]
    try:
        _check(lines)
        return _read(folder, lines)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # It is a file, and comes from anybody.
        raise UsageError(f"The trace {folder} is damaged: a line lacks something, or has it elsewhere.") from error


_LATEST = 253_402_300_799
"Seconds since the epoch that have a date (the end of the year 9999)."

_TYPES: dict[str, type | tuple[type, ...]] = {
    "at_s": (int, float),
    "started_at": (int, float),
    "peer": int,
    "command": str,
    "arguments": list,
    "state": str,
    "method": str,
    "url": str,
    "status": (int, NoneType),
    "exit_status": int,
    "versions": dict,
    "target": (dict, NoneType),
}
"Of fields that somebody may have edited, where a wrong one would not show by itself."


def _check(lines: list[dict[str, Any]]) -> None:
    """Raises `TypeError` or `ValueError` for what no recorder writes."""
    for line in lines:
        for name, type_ in _TYPES.items():
            if name in line and not isinstance(line[name], type_):
                raise TypeError(name)
        if not all(0 <= line.get(name, 0) <= _LATEST for name in ("at_s", "started_at")):
            raise ValueError("a time")
        if not all(isinstance(text, str) for text in (*line.get("arguments", ()), *line.get("versions", {}).values())):
            raise TypeError("a text")


def _read(folder: Path, lines: list[dict[str, Any]]) -> TraceRead:
    begin = next((line for line in lines if line.get("kind") == "begin"), {})
    end = next((line for line in lines if line.get("kind") == "end"), None)
    exchanges = [line for line in lines if line.get("kind") == "exchange"]
    found = sorted(
        (*_of_exchanges(exchanges, set(_replaced(lines))), *_of_peers(lines), *_of_events(lines), *_of_outages(lines)),
        key=lambda finding: finding.at_s,
    )
    # What a command ended well in spite of, it got over; else so it did of what happened in an outage that ended.
    overcome = [(start, over_at) for start, over_at in _outages(lines) if over_at is not None]
    if end is not None and end.get("exit_status") == 0:
        overcome = [(-math.inf, math.inf)]
    found = [
        replace(finding, is_overcome=True) if any(start <= finding.at_s <= to for start, to in overcome) else finding
        for finding in found
    ]
    # A command often ends by what one of its checks has said already.
    findings = [*found, *(last for last in _of_end(end) if not any(last.what in finding.what for finding in found))]
    last_at = max((line.get("at_s", 0.0) for line in lines), default=0.0)
    result = (end or {}).get("result") or {}
    target = begin.get("target")
    return TraceRead(
        target=None if target is None else _target(**target),
        folder=str(folder),
        command=begin.get("command", ""),
        arguments=tuple(begin.get("arguments", ())),
        started_at=begin.get("started_at", 0.0),
        duration_s=last_at,
        is_complete=end is not None,
        command_exit_status=None if end is None else end.get("exit_status"),
        verdict=_verdict(findings, end, last_at),
        exchanges=len(exchanges),
        peers=len({line["peer"] for line in lines if "peer" in line}),
        session_ids=tuple(dict.fromkeys(_session_ids(lines))),
        rays=tuple(dict.fromkeys(str(line["ray"]) for line in exchanges if line.get("ray") and _is_refused(line))),
        findings=tuple(findings),
        next_commands=_next_commands(result, begin, findings, lines),
        versions=tuple(f"{name} {version}" for name, version in begin.get("versions", {}).items()),
    )


def _target(
    *, profile: str, api_base: str, app_id: str, embedded: bool, impairment: Iterable[str] = (), **_: object
) -> Target:
    return Target(
        profile=str(profile),
        api_base=str(api_base),
        app_id=str(app_id),
        embedded=bool(embedded),
        impairment=tuple(map(str, impairment)),
    )


# -- where things fail -----------------------------------------------------------------------------------------------


def _of_exchanges(exchanges: list[dict[str, Any]], replaced: set[str]) -> Iterator[TraceFinding]:
    for index, line in enumerate(exchanges):
        if not _is_refused(line):
            continue
        again = [later for later in exchanges[index + 1 :] if _call(later) == _call(line)]
        # A session that was lost and replaced is closed nevertheless, in case that it is still there.
        is_left = line["status"] == 410 and not replaced.isdisjoint(urlsplit(line["url"]).path.split("/"))
        is_overcome = is_left or any(not _is_refused(later) for later in again)
        where = f"{line['method']} {_short(line['url'])}" + (
            f", attempt {line['attempt']}" if line["attempt"] > 1 or again else ""
        )
        if line["status"] is None:
            yield TraceFinding(
                at_s=line["at_s"], where=where, what=str(line["error"] or "no answer"), is_overcome=is_overcome
            )
            continue
        for what, hint in _refusals(line):
            yield TraceFinding(at_s=line["at_s"], where=where, what=what, hint=hint, is_overcome=is_overcome)


def _short(url: str) -> str:
    """The path, below the app where it is one's."""
    path = urlsplit(url).path
    return path.partition("/apps/")[2].partition("/")[2] or path


def _call(line: dict[str, Any]) -> tuple[object, ...]:
    """The same call, whichever attempt."""
    return line["method"], line["url"], str(line["request_body"])


def _is_refused(line: dict[str, Any]) -> bool:
    status = line["status"]
    return status is None or not 200 <= status < 300 or bool(list(_errors(line["answer_body"])))


def _errors(answer: Any) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each object of an answer that says an error, and whether it is the answer itself, not one of its items."""
    if not isinstance(answer, dict):
        return
    if answer.get("errorCode"):
        yield answer, True
    for items in (answer.get("tracks"), answer.get("dataChannels")):
        if isinstance(items, list):
            yield from ((item, False) for item in items if isinstance(item, dict) and item.get("errorCode"))


def _refusals(line: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what the service said, what it means): of the answer as a whole, or of each of its items."""
    status, answer = line["status"], line["answer_body"]
    said = list(_errors(answer))
    for fields, is_whole in said:
        code, description = str(fields["errorCode"]), str(fields.get("errorDescription") or "")
        subcode = str(fields.get("errorSubcode") or "") or None
        name = fields.get("trackName") or fields.get("dataChannelName")
        what = " ".join(str(part) for part in (status, code, f"of {name}" if name and not is_whole else "") if part)
        hint = hint_for(status if is_whole else 200, code, subcode, description)
        yield f"{what}: {description}" if description else what, hint
    if not said:
        is_account = "/accounts/" in line["url"] or line["url"].endswith("/graphql")
        yield f"{status}", account_hint_for(status) if is_account else hint_for(status)
    if status in _ABOUT_THE_REQUEST and not isinstance(line["request_body"], str):
        body = None if line["request_body"] is None else json.dumps(line["request_body"])
        for finding in explain_request(line["method"], urlsplit(line["url"]).path, body):
            if finding.is_error:
                yield f"{finding.where}: {finding.what}", finding.hint


def _of_peers(lines: list[dict[str, Any]]) -> Iterator[TraceFinding]:
    """A connection that failed, was closed by the other side, or never came up."""
    states: dict[int, list[dict[str, Any]]] = {}
    sessions: dict[int, str] = {}
    left: dict[int, float] = {}
    for line in lines:
        if line.get("kind") == "state":
            states.setdefault(line["peer"], []).append(line)
        elif line.get("kind") == "peer" and line.get("is_leaving"):
            left[line["peer"]] = line["at_s"]
        elif line.get("kind") == "peer" and line.get("session_id"):
            sessions[line["peer"]] = line["session_id"]
    for peer, seen in states.items():
        where = f"peer {peer}" + (f" of session {sessions[peer]}" if peer in sessions else "")
        names = [line["state"] for line in seen]
        if "failed" in names:
            before = names[names.index("failed") - 1] if names.index("failed") else ""
            what = "the connection failed" if "connected" in names else f"no connection: it failed while {before}"
            hint = "No consent to send any more: is the SFU still there?" if "connected" in names else ""
            yield TraceFinding(
                at_s=seen[names.index("failed")]["at_s"], where=where, what=what, hint=_PHASE_OF_STATE.get(before, hint)
            )
        elif "connected" in names and names[-1] == "closed" and seen[-1]["at_s"] < left.get(peer, math.inf):
            yield TraceFinding(at_s=seen[-1]["at_s"], where=where, what="the connection was closed by the other side")
        elif "connected" not in names and (begun := [line for line in seen if line["state"] in _PHASE_OF_STATE]):
            last = begun[-1]["state"]
            what = f"no connection: it got as far as {last}"
            yield TraceFinding(at_s=seen[-1]["at_s"], where=where, what=what, hint=_PHASE_OF_STATE[last])


def _of_events(lines: list[dict[str, Any]]) -> Iterator[TraceFinding]:
    """Checks that did not pass, and warnings."""
    for line in lines:
        event = line.get("event") if line.get("kind") == "event" else None
        if not isinstance(event, dict):
            continue
        if event.get("event") == "check" and event.get("status") in _NOT_PASSED:
            what = f"{event['status']}: {event.get('detail', '')}".rstrip(": ")
            yield TraceFinding(at_s=line["at_s"], where=f"check {event['name']}", what=what)
        elif event.get("event") == "warning":
            yield TraceFinding(at_s=line["at_s"], where="warning", what=str(event.get("text", "")), is_overcome=True)


def _of_outages(lines: list[dict[str, Any]]) -> Iterator[TraceFinding]:
    """Connections that were lost, and what was tried."""
    for line in lines:
        event = line.get("event") if line.get("kind") == "event" else None
        match event:
            case {"event": "connection_lost", "session_id": session_id, "reason": reason}:
                yield TraceFinding(at_s=line["at_s"], where=f"session {session_id}", what=str(reason))
            case {"event": "recovery_failed", "attempt": attempt, "reason": reason}:
                what = f"attempt {attempt}: {reason}"
                yield TraceFinding(at_s=line["at_s"], where="recovery", what=what, is_overcome=True)


def _replaced(lines: list[dict[str, Any]]) -> Iterator[str]:
    """The sessions that were lost, and in whose place another one went on."""
    for line in lines:
        match line.get("event") if line.get("kind") == "event" else None:
            case {"event": "recovered", "outage": {"session_id": str(session_id)}}:
                yield session_id


def _outages(lines: list[dict[str, Any]]) -> Iterator[tuple[float, float | None]]:
    """When each began and was over; `None`: it was not."""
    began: float | None = None
    for line in lines:
        match line.get("event") if line.get("kind") == "event" else None:
            case {"event": "connection_lost", "silent_s": silent_s}:
                began = line["at_s"] - max(silent_s or 0.0, _NOTICED_S)
            case {"event": "recovered"} if began is not None:
                yield began, line["at_s"]
                began = None
    if began is not None:
        yield began, None


def _of_end(end: dict[str, Any] | None) -> Iterator[TraceFinding]:
    if end is None:
        return
    failure = end.get("failure") or (end.get("result") or {}).get("failure")
    if isinstance(failure, dict):
        yield TraceFinding(
            at_s=end["at_s"], where="the command", what=str(failure["message"]), hint=str(failure.get("hint") or "")
        )
    elif end.get("error"):
        yield TraceFinding(
            at_s=end["at_s"], where="the command", what=str(end["error"]), hint="This is a bug in rtcctl."
        )
    else:
        for check in (end.get("result") or {}).get("checks") or ():
            if check["status"] in _NOT_PASSED:
                what = f"{check['status']}: {check.get('detail') or ''}".rstrip(": ")
                yield TraceFinding(
                    at_s=end["at_s"], where=f"check {check['name']}", what=what, hint=str(check.get("hint") or "")
                )


# -- what to say of it -----------------------------------------------------------------------------------------------


def _verdict(findings: list[TraceFinding], end: dict[str, Any] | None, last_at: float) -> str:
    first = next((finding for finding in findings if not finding.is_overcome), None)
    unfinished = "" if end is not None else f"It was killed, or still runs: its last line is of {last_at:.1f} s. "
    if first is None:
        return unfinished + ("Nothing failed." if end is not None else "Nothing had failed until then.")
    return f"{unfinished}The first failure, after {first.at_s:.1f} s: {first.where}: {first.what}"


def _session_ids(lines: list[dict[str, Any]]) -> Iterator[str]:
    for line in lines:
        event = line.get("event")
        session_id = event.get("session_id") if isinstance(event, dict) else line.get("session_id")
        if session_id:
            yield str(session_id)


def _next_commands(
    result: dict[str, Any], begin: dict[str, Any], findings: list[TraceFinding], lines: list[dict[str, Any]]
) -> tuple[str, ...]:
    """What the command itself proposed; else to look at the session, or at the configuration where there is none."""
    if result.get("next_commands"):
        return tuple(map(str, result["next_commands"]))
    if not any(not finding.is_overcome for finding in findings):
        return ()
    profile = (begin.get("target") or {}).get("profile")
    chosen = f" --profile {profile}" if profile not in (None, "", "env", "local") else ""
    session_id = result.get("session_id") or next(_session_ids(lines), None)
    is_refused = any(line.get("status") in (401, 403) for line in lines)
    return (
        f"rtcctl session get {session_id}{chosen}" if session_id and not is_refused else f"rtcctl config check{chosen}",
    )
