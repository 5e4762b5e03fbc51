"""What the application under test said to the API, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rtcctl.realtime.development import ACCOUNT_PREFIX
from rtcctl.realtime.explain.errors import hint_for
from rtcctl.realtime.explain.finding import Finding
from rtcctl.realtime.explain.request import explain_request

if TYPE_CHECKING:
    from rtcctl.server.faults.ledger import RequestRow

SHOWN = 50
"Calls in a text: the newest."


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One call of the API, and its answer."""

    method: str
    path: str
    operation: str
    "As in faults: `tracks/new`; empty for a path that the API does not have."
    session_id: str
    "In the path; of `sessions/new`, the one that was made."
    status: int | None
    "None: there was no answer, yet or ever."
    json: Any = field(repr=False)
    "The body; None when there was none, or when it is no JSON."
    answer: Any = field(repr=False)
    "Likewise."
    error_code: str = ""
    item_codes: tuple[str, ...] = ()
    "Of the items that failed inside the answer."
    fault: str = ""
    "The one that met it, as it was written."
    findings: tuple[Finding, ...] = ()
    "What is wrong with it, and what the errors of its answer mean."

    @classmethod
    def of(cls, row: RequestRow, app_id: str) -> ApiRequest:
        """The row of the ledger of that app, explained."""
        answer = _decoded(row.answer)
        return cls(
            method=row.method,
            path=row.path,
            operation=row.operation,
            session_id=row.session_id,
            status=row.status,
            json=_decoded(row.body),
            answer=answer,
            error_code=row.error_code,
            item_codes=row.item_codes,
            fault=row.fault.removesuffix(f",app={app_id}"),
            findings=tuple(_findings(row, answer)),
        )

    def __str__(self) -> str:
        """One line, without a secret or SDP."""
        codes = " ".join(dict.fromkeys((self.error_code, *self.item_codes))).strip()
        met = f" (fault: {self.fault})" if self.fault else ""
        status = "no answer" if self.status is None else self.status
        return f"{self.method:4} {self.path}  {status} {codes}".rstrip() + met


def told(requests: Sequence[ApiRequest], app_id: str) -> str:
    """All of them for a person, each with its findings below."""
    if not requests:
        return "The API was not called."
    lines = [f"({len(requests) - SHOWN} earlier calls)"] if len(requests) > SHOWN else []
    for (line, findings), same in groupby(requests[-SHOWN:], lambda request: (str(request), request.findings)):
        count = len(list(same))
        lines.append(line.replace(f"/v1/apps/{app_id}/", "…/") + (f" ({count} times)" if count > 1 else ""))
        lines += [f"       {finding}" for finding in findings]
    lines += [
        f"session {session_id}: its offer was never answered (PUT …/sessions/{session_id}/renegotiate)"
        for session_id in _unanswered(requests)
    ]
    return "\n".join(lines)


def _unanswered(requests: Sequence[ApiRequest]) -> Iterable[str]:
    """The sessions in which an offer of the SFU waits for its answer."""
    pending: dict[str, None] = {}
    for request in requests:
        if request.operation == "renegotiate" and request.status == 200:
            pending.pop(request.session_id, None)
        elif isinstance(request.answer, dict):
            description = request.answer.get("sessionDescription")
            if isinstance(description, dict) and description.get("type") == "offer":
                pending[request.session_id] = None
    return pending


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def _findings(row: RequestRow, answer: Any) -> Iterable[Finding]:
    from rtcctl.server.faults.requests import BODY_KEPT

    if row.path.startswith(f"{ACCOUNT_PREFIX}/"):
        return  # another API, of which nothing is known here
    # What was cut off here is not what was sent.
    found = explain_request(row.method, row.path, row.body) if len(row.body) < BODY_KEPT else []
    yield from found
    if row.status is None or row.fault:
        return  # what a fault refuses, it refuses for no reason
    about = answer if isinstance(answer, dict) else {}
    if row.status >= 400:
        description = about.get("errorDescription")
        hint = hint_for(row.status, row.error_code or None, about.get("errorSubcode"), description)
        if hint and not any(finding.is_error for finding in found):
            yield Finding("answer", _words(row.status, row.error_code, description), hint)
    for name in ("tracks", "dataChannels"):
        items = about.get(name)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict) and (code := item.get("errorCode")):
                description = item.get("errorDescription")
                hint = hint_for(200, code, None, description)
                yield Finding(f"{name}[{index}] of the answer", _words(200, code, description), hint)


def _words(status: int, code: str, description: object) -> str:
    said = f": {str(description)[:200].rstrip('.')}" if description else ""
    return f"{code or status}{said}"
