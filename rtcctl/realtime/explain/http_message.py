"""HTTP as people paste it: what `curl -i` prints, or a request with its head (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rtcctl.realtime.explain.fields import UNKNOWN_TO_THE_API
from rtcctl.realtime.explain.finding import Finding

_STATUS_LINE = re.compile(r"HTTP/\d(?:\.\d)?\s+(\d{3})\b", re.ASCII)
_REQUEST_LINE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)\s+(\S+)(?:\s+HTTP/\d(?:\.\d)?)?\s*", re.ASCII)
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n")


class Message(NamedTuple):
    """`status` of a response, `method` and `path` of a request; names of headers are in lower case."""

    status: int | None
    method: str
    path: str
    headers: Mapping[str, str]
    body: str


def is_response(text: str) -> bool:
    """Whether it begins with a status line."""
    return _STATUS_LINE.match(text) is not None


def is_request(text: str) -> bool:
    """Whether it begins with a request line."""
    return _REQUEST_LINE.fullmatch(text.partition("\n")[0]) is not None


def parse(text: str) -> Message:
    """The message in a text for which `is_response` or `is_request` holds.

    Of several responses, as of a proxy or of `100 Continue`, it is the last.
    """
    head, body = _split(text)
    while is_response(text) and is_response(body):
        text = body
        head, body = _split(text)
    first, *rest = head.splitlines()
    fields = (line.partition(":") for line in rest if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    if status := _STATUS_LINE.match(first):
        return Message(int(status[1]), "", "", headers, body)
    request = _REQUEST_LINE.fullmatch(first)
    assert request is not None
    return Message(None, request[1], request[2], headers, body)


def _split(text: str) -> tuple[str, str]:
    blank = _BLANK_LINE.search(text)
    return (text, "") if blank is None else (text[: blank.start()], text[blank.end() :])


def explain_headers(headers: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the headers of a request. No value is repeated."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme and scheme.lower() != "bearer":
        yield Finding("Authorization", "it is no bearer token", "`Authorization: Bearer APP_SECRET`")
    elif token.startswith("eyJ") and token.count(".") == 2:
        hint = "The service knows the App Secret alone: users' tokens are for your own backend to check"
        yield Finding("Authorization", "it is a JWT", hint)
    if "x-app-id" in headers:
        yield Finding("X-App-ID", "there is no such header, it is ignored", UNKNOWN_TO_THE_API["appid"], False)
