"""What an answer of the API says and what to do next, errors inside a 200 too (Realtime docs: API, Error codes).

The service's own words stay beside ours. An answer is read leniently: it may be of a proxy, or of a backend in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rtcctl.realtime.explain.errors import (
    CODES_OF_STATUS,
    account_hint_for,
    hint_for,
    is_worth_retrying,
)
from rtcctl.realtime.masking import presentable
from rtcctl.results.explain import Meaning

_WENT_WELL = {
    200: "It went well as a whole. Look at each item, which can fail inside a 200, and for an `errorCode`.",
    201: "It was made. A second request makes a second one: there is no idempotency key.",
    204: "It was done; there is nothing to say.",
}

_OFFER = (
    "The SFU's offer: take it by `setRemoteDescription()`, answer it by `createAnswer()`, and send that through "
    "PUT renegotiate before any other change of this session."
)
_ANSWER = "The answer to your offer: take it by `setRemoteDescription()`. There is nothing to renegotiate."
_NO_TRANSPORT = (
    "The session is there and has no transport yet: tracks/new or datachannels/establish comes next. Unused it expires."
)
_EMPTY_MID = "It was not set up, so there is nothing to close: never keep an empty mid."
_INACTIVE = "It is closed, or its publication has ended; it may stay listed. `active` does not prove that packets flow."

_OF_ANOTHER_API: Mapping[str, str] = {
    "trackId": "No answer of the service has it: a track is named by `sessionId` and `trackName`, in `tracks`.",
    "status": "A session has no status there: watch `connectionState` of the peer connection.",
    "credential": "The service answers `{iceServers: [{urls, username, credential}]}`, without `ttl`.",
}
"Top-level fields that backends in front of the service answer with."


def meanings_of_code(code: str) -> list[Meaning]:
    """What a code by itself means; one for each status in which it means something else."""
    statuses: list[int | None] = [status for status, codes in CODES_OF_STATUS.items() if code in codes]
    by_hint: dict[str, int | None] = {}
    for status in statuses or [None]:
        by_hint.setdefault(hint_for(status or 0, code, code), status)
    return [
        Meaning(
            where="code",
            status=status,
            code=code,
            meaning=hint,
            is_worth_retrying=is_worth_retrying(status, code),
        )
        for hint, status in by_hint.items()
        if hint
    ]


def meanings_of_status(status: int) -> list[Meaning]:
    """What an HTTP status by itself means, and each code that comes with it; empty for one that says nothing.

    Of codes with one meaning the first stands for all.
    """
    hint = _WENT_WELL.get(status) or hint_for(status)
    if not hint:
        return []
    by_hint = {hint_for(status, code, code): code for code in reversed(CODES_OF_STATUS.get(status, ()))}
    codes = list(reversed(by_hint.values()))
    return [
        Meaning(
            where="status",
            status=status,
            meaning=hint,
            is_worth_retrying=None if status < 300 or len(codes) > 1 else is_worth_retrying(status),
        ),
        *(
            Meaning(
                where="code",
                status=status,
                code=code,
                meaning=hint_for(status, code, code),
                is_worth_retrying=is_worth_retrying(status, code),
            )
            for code in codes
        ),
    ]


def explain_response(status: int | None, headers: Mapping[str, str], body: str) -> list[Meaning]:
    """What it says, the most telling first. `status` is `None` where the body is all there is."""
    try:
        content = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        content = None
    found = list(_explained(status, content))
    if retry_after := headers.get("retry-after"):
        found.append(Meaning(where="Retry-After", meaning=f"Wait so long: {presentable(retry_after, ())} s."))
    return found


def _explained(status: int | None, content: Any) -> Iterator[Meaning]:
    if not isinstance(content, dict):
        what = "The body is no JSON object, so it is not the API that answers: a proxy, or a front end of the service."
        yield Meaning(
            where="request",
            status=status,
            meaning=f"{what} {hint_for(status or 0)}".rstrip(),
            is_worth_retrying=is_worth_retrying(status),
        )
        return
    if content.get("success") is False and isinstance(content.get("errors"), list):
        yield from _of_account_errors(status, content["errors"])
        return
    code = content.get("errorCode")
    if code or (status is not None and status >= 400 and not _item_errors(content)):
        yield _error("request", status, content)
    yield from _item_errors(content)
    if not code and (status is None or status < 300):
        yield from _of_success(status, content)


def _error(where: str, status: int | None, content: Mapping[str, Any]) -> Meaning:
    code, subcode = _text(content.get("errorCode")), _text(content.get("errorSubcode"))
    description = _text(content.get("errorDescription"))
    hint = hint_for(_usual_status(status, code), code, subcode, description)
    if status is not None and status < 300 and where == "request":
        hint = f"A failure, whatever the status says. {hint}"
    return Meaning(
        where=where,
        status=status,
        code=code,
        subcode=subcode,
        description=description,
        meaning=hint.rstrip()
        or "Nothing is known of this code: codes are an open set. The description is all there is.",
        is_worth_retrying=_is_worth_retrying(status, code, subcode, hint),
    )


def _usual_status(status: int | None, code: str | None) -> int:
    """Without a status line it is the code's own, where it has one alone."""
    if status is not None:
        return status
    usual = [known for known, codes in CODES_OF_STATUS.items() if code in codes]
    return usual[0] if len(usual) == 1 else 0


def _is_worth_retrying(status: int | None, code: str | None, subcode: str | None, hint: str) -> bool | None:
    if status is None and code == "session_error":
        # 425 or 410: its description has told which.
        return {hint_for(425, code): True, hint_for(410, code): False}.get(hint)
    return is_worth_retrying(status, code, subcode)


def _item_errors(content: Mapping[str, Any]) -> list[Meaning]:
    found = []
    for where, item in _items(content):
        if item.get("errorCode"):
            found.append(_error(where, 200, item))
        elif item.get("mid") == "":
            found.append(Meaning(where=f"{where}.mid", meaning=_EMPTY_MID))
    return found


def _items(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ("tracks", "dataChannels"):
        items = content.get(name)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield f"{name}[{index}]", item
    for name in ("dataChannel", "datachannel"):
        channel = content.get(name)
        if isinstance(channel, dict):
            yield name, channel


def _of_account_errors(status: int | None, errors: list[Any]) -> Iterator[Meaning]:
    for error in errors or [{}]:
        number = error.get("code") if isinstance(error, dict) else None
        hint = account_hint_for(status or 0)
        if status in (401, 403):
            hint = (
                "The account API takes the account API token alone, with the permission Calls Write to change things."
            )
        yield Meaning(
            where="request",
            status=status,
            code=None if number is None else _text(str(number)),
            description=_text(error.get("message")) if isinstance(error, dict) else None,
            meaning=hint or "An error of Cloudflare's account API: its message is all there is.",
            is_worth_retrying=is_worth_retrying(status),
        )


def _of_success(status: int | None, content: Mapping[str, Any]) -> Iterator[Meaning]:
    described = content.get("sessionDescription")
    kind = described.get("type") if isinstance(described, dict) else None
    if content.get("requiresImmediateRenegotiation") is True or kind == "offer":
        yield Meaning(where="sessionDescription", meaning=_OFFER)
    elif kind == "answer":
        yield Meaning(where="sessionDescription", meaning=_ANSWER)
    elif "sessionId" in content and "tracks" not in content:
        yield Meaning(where="sessionId", meaning=_NO_TRANSPORT)
    for where, item in _items(content):
        if item.get("status") == "inactive":
            yield Meaning(where=f"{where}.status", meaning=_INACTIVE)
    if "iceServers" not in content:
        for name, hint in _OF_ANOTHER_API.items():
            if name in content:
                yield Meaning(where=name, meaning=hint)
    if status in _WENT_WELL:
        yield Meaning(where="status", status=status, meaning=_WENT_WELL[status])


def _text(value: object) -> str | None:
    return presentable(value, ()) if isinstance(value, str) and value else None
