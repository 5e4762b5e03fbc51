"""`explain`: what a code, an answer, a request, an SDP or a list of servers means, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rtcctl.errors import UsageError
from rtcctl.realtime.explain import http_message, recognition
from rtcctl.realtime.explain.errors import hint_for_description, is_known_code
from rtcctl.realtime.explain.fields import meaning
from rtcctl.realtime.explain.ice_servers import explain_ice_servers
from rtcctl.realtime.explain.request import explain_request
from rtcctl.realtime.explain.response import explain_response, meanings_of_code, meanings_of_status
from rtcctl.realtime.explain.sdp import explain_sdp, sections
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.explain import DescribedSection, Explain, Meaning, Mistake

if TYPE_CHECKING:
    from rtcctl.realtime.explain.finding import Finding

As = Literal["request", "response", "sdp", "offer", "answer", "ice-servers"]

RECOGNISED = (
    "What can be explained: an error code (not_found_track_error), an HTTP status (406), an errorDescription, a field "
    "(mid), and, as a file or on stdin, an answer as `curl -i` prints it, a request's body, an SDP, a list of "
    "iceServers."
)

_LOOK_AT_BOTH = "rtcctl track diagnose SUBSCRIBER_SESSION PUBLISHER_SESSION/TRACK"
_NEXT: dict[str, tuple[str, ...]] = {
    "unauthorized": ("rtcctl config check",),
    "not_found": ("rtcctl config show --origin", "rtcctl config check"),
    "session_error": ("rtcctl session get SESSION",),
    "not_found_track_error": (_LOOK_AT_BOTH, "rtcctl track list PUBLISHER_SESSION"),
    "empty_track_error": (_LOOK_AT_BOTH, "rtcctl track wait PUBLISHER_SESSION/TRACK"),
    "track_error": (_LOOK_AT_BOTH,),
    "close_track_error": ("rtcctl track list SESSION",),
    "update_track_error": (_LOOK_AT_BOTH,),
}
"Commands that look further, by code."


@dataclass(frozen=True, slots=True)
class WordsRequest:
    """Codes, statuses, a description or the name of a field, as they were typed."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A text to be recognised. `source`: how results call it.

    `as_`: what it is, where that is said; `to`: method and path of the request whose body it is. `is_lenient`: what
    is accepted is no failure, whatever it means.
    """

    text: str
    source: str
    as_: As | None = None
    to: str | None = None
    is_lenient: bool = False


# --- words


def explain_words(request: WordsRequest) -> Explain:
    """What words mean. Raises `UsageError` for those of which nothing is known."""
    words = request.words
    source = " ".join(words)
    statuses = [int(word) for word in words if re.fullmatch(r"[1-5]\d\d", word, re.ASCII)]
    codes = [word for word in words if is_known_code(word)]
    if len(statuses) <= 1 and len(statuses) + len(codes) == len(words):
        if statuses and codes:
            body = {"errorCode": codes[0], "errorSubcode": codes[1] if len(codes) > 1 else None}
            return _result(source, "code", meanings=explain_response(statuses[0], {}, json.dumps(body)))
        if statuses and (found := meanings_of_status(statuses[0])):
            return _result(source, "status", meanings=found)
        if codes:
            return _result(source, "code", meanings=[m for code in codes for m in meanings_of_code(code)])
    if hint := hint_for_description(source):
        return _result(source, "description", meanings=[Meaning(where="description", meaning=hint)])
    if len(words) == 1 and (what := meaning(words[0])):
        return _result(source, "field", meanings=[Meaning(where="field", meaning=what)])
    raise UsageError(f"{source!r} is no file, and not recognised.", hint=RECOGNISED)


# --- texts


def explain_text(request: TextRequest) -> Explain:
    """What a text means and what is wrong with it. Raises `UsageError` for one that is not recognised."""
    text = request.text.removeprefix("\ufeff")
    if request.to is not None:
        endpoint = recognition.endpoint(request.to)
        if endpoint is None:
            raise UsageError(
                f"--to {request.to} is no METHOD PATH of the API.", hint="For example: --to 'PUT tracks/close'"
            )
        return _of_body(request, text, endpoint, is_inferred=False)
    if not text.strip():
        raise UsageError(f"There is nothing in {request.source}.", hint=RECOGNISED)
    found = recognition.recognise(text)
    kind = request.as_ or (found.kind if found is not None else None)
    content = found.content if found is not None else None
    match kind:
        case None:
            raise UsageError(f"What is in {request.source} is not recognised{_why(text)}.", hint=RECOGNISED)
        case "response":
            return _of_response(request, text)
        case "request":
            return _of_request(request, text, content)
        case "ice-servers":
            findings = explain_ice_servers(content)
            return _result(request.source, kind, findings, is_lenient=request.is_lenient)
        case _:
            return _of_sdp(request, text, content, kind)


def _why(text: str) -> str:
    """For what begins like JSON."""
    try:
        json.loads(text)
    except RecursionError:
        return ": it is nested too deeply"
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and text.lstrip().startswith(("{", "[")):
            return f": it is no JSON at line {error.lineno}, column {error.colno} ({error.msg})"
    return ""


def _of_response(request: TextRequest, text: str) -> Explain:
    message = http_message.parse(text.lstrip()) if http_message.is_response(text.lstrip()) else None
    status, headers, body = (None, {}, text) if message is None else (message.status, message.headers, message.body)
    found = explain_response(status, headers, body)
    content = _decoded(body)
    # What the service answers is nobody's mistake here; what of it is better left out is said all the same.
    servers = content if isinstance(content, dict) and "iceServers" in content else None
    found += [
        Meaning(where=finding.where, meaning=f"{finding.what[0].upper()}{finding.what[1:]}. {finding.hint}")
        for finding in (explain_ice_servers(servers) if servers is not None else ())
    ]
    return _result(request.source, "response", meanings=found, ray=headers.get("cf-ray"))


def _of_request(request: TextRequest, text: str, content: Any) -> Explain:
    start = text.lstrip()
    if http_message.is_request(start):
        message = http_message.parse(start)
        findings = list(http_message.explain_headers(message.headers))
        endpoint = f"{message.method} {message.path}"
        return _of_body(request, message.body, endpoint, is_inferred=False, before=findings)
    inferred = recognition.endpoint_of(content if isinstance(content, dict) else _decoded(text))
    if inferred is None:
        raise UsageError(
            f"{request.source} may be a request, but for which operation?",
            hint="Say it: --to 'POST tracks/new', --to 'PUT tracks/close' and so on.",
        )
    return _of_body(request, text, inferred, is_inferred=True)


def _of_body(
    request: TextRequest, body: str, endpoint: str, *, is_inferred: bool, before: Sequence[Finding] = ()
) -> Explain:
    method, _, path = endpoint.partition(" ")
    findings = [*before, *explain_request(method, path, body)]
    content = _decoded(body)
    sdp = recognition.described(content) if isinstance(content, dict) else ""
    return _result(
        request.source,
        "request",
        sorted(findings, key=lambda finding: not finding.is_error),
        endpoint=endpoint,
        is_endpoint_inferred=is_inferred,
        sections=_sections(sdp),
        is_lenient=request.is_lenient,
    )


def _of_sdp(request: TextRequest, text: str, content: Any, kind: str) -> Explain:
    """`content`: a description as JSON, `{type, sdp}`, or the string that SDP is there."""
    said = content.get("type") if isinstance(content, dict) else None
    sdp = content.get("sdp") if isinstance(content, dict) else text if content is None else content
    if not isinstance(sdp, str):
        raise UsageError(f"The `sdp` in {request.source} is no string.", hint="Send `localDescription.sdp`.")
    role = kind if kind in ("offer", "answer") else said if said in ("offer", "answer") else recognition.role_of(sdp)
    findings = explain_sdp(sdp, "answer" if role == "answer" else "offer")
    return _result(
        request.source,
        "sdp",
        findings,
        sections=_sections(sdp),
        role=role,
        is_lenient=request.is_lenient,
    )


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _sections(sdp: str) -> tuple[DescribedSection, ...]:
    return tuple(
        DescribedSection(
            line=section.line,
            kind=section.kind,
            mid=section.mid,
            direction="rejected" if section.is_rejected else "" if section.kind == "application" else section.direction,
            codecs=tuple(dict.fromkeys(name for name in section.codecs if name)),
            rids=tuple(
                words[0] for value in section.attributes.get("rid", ()) if (words := value.split())[1:2] == ["send"]
            ),
        )
        for section in sections(sdp)[0]
    )


# --- the result


def _result(
    source: str,
    kind: str,
    findings: Iterable[Finding] | None = None,
    *,
    meanings: Sequence[Meaning] = (),
    endpoint: str | None = None,
    is_endpoint_inferred: bool = False,
    sections: tuple[DescribedSection, ...] = (),
    role: str | None = None,
    ray: str | None = None,
    is_lenient: bool = False,
) -> Explain:
    """`findings` is `None` for what cannot be wrong."""
    mistakes = tuple(
        Mistake(where=f.where, line=f.line, what=f.what, hint=f.hint, is_refused=f.is_error) for f in findings or ()
    )
    codes = dict.fromkeys(code for m in meanings for code in (m.code, m.subcode) if code)
    commands = dict.fromkeys(command for code in codes for command in _NEXT.get(code, ()))
    return Explain(
        source=source,
        kind=kind,
        endpoint=endpoint,
        is_endpoint_inferred=is_endpoint_inferred,
        role=role,
        ray=ray,
        meanings=tuple(meanings),
        mistakes=mistakes,
        sections=sections,
        verdict="" if findings is None else _verdict(mistakes),
        next_commands=tuple(commands),
        checks=() if findings is None else (_check(mistakes, is_lenient),),
    )


def _verdict(mistakes: Sequence[Mistake]) -> str:
    refused = sum(mistake.is_refused for mistake in mistakes)
    others = len(mistakes) - refused
    if not mistakes:
        return "No mistake is found."
    if not refused:
        return f"It is accepted, with {_counted(others)} that means something else than one might think."
    return f"The service refuses it: {_counted(refused)}" + (f", and {others} more that it accepts." if others else ".")


def _counted(count: int) -> str:
    return f"{count} mistake" if count == 1 else f"{count} mistakes"


def _check(mistakes: Sequence[Mistake], is_lenient: bool) -> Check:
    counted = [mistake for mistake in mistakes if mistake.is_refused or not is_lenient]
    first = counted[0] if counted else None
    return Check(
        "mistakes",
        CheckStatus.PASSED if first is None else CheckStatus.FAILED,
        observed=len(counted),
        limit=0,
        detail="" if first is None else f"{first.where}: {first.what}",
        hint="" if first is None else first.hint,
    )
