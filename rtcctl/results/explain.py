"""Result of `explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rtcctl.results.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one thing that the service says means: an error, a description, a field."""

    where: str
    "`request`, `tracks[0]`, `sessionDescription` of an answer; `code`, `status`, `field` where that was asked for."
    status: int | None = None
    code: str | None = None
    subcode: str | None = None
    description: str | None = None
    "The service's own words."
    meaning: str
    is_worth_retrying: bool | None = None
    "Whether the same request may succeed a little later; `None`: it is no error, or nobody knows."


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a request, a session description or a list of servers."""

    where: str
    "The field as a path (`tracks[0].mid`), or the m-section."
    line: int | None = None
    "Of the session description, counted from 1."
    what: str
    hint: str
    "What to do instead."
    is_refused: bool
    "False: it is accepted, and means something else than one might think."


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedSection:
    """One m-section of a session description."""

    line: int
    kind: str
    mid: str
    direction: str
    "`sendrecv`, `sendonly`, `recvonly`, `inactive`; `rejected` with port 0."
    codecs: tuple[str, ...] = ()
    rids: tuple[str, ...] = ()
    "Of the layers that it sends."


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain(Result):
    """`explain`: what it is, what it means, what is wrong with it. It has a check only where it can be wrong."""

    schema: ClassVar[str] = "rtcctl.explain/1"

    source: str
    "File, `stdin`, or the words that were given."
    kind: str
    "`code`, `status`, `field`, `description`, `response`, `request`, `sdp` or `ice-servers`."
    endpoint: str | None = None
    "Method and path of a request."
    is_endpoint_inferred: bool = False
    "Its fields tell where it is for; nobody said so."
    role: str | None = None
    "Of a session description: `offer` or `answer`."
    ray: str | None = None
    "Cf-Ray of a response: what Cloudflare's support asks for."
    meanings: tuple[Meaning, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    sections: tuple[DescribedSection, ...] = ()
    verdict: str = ""
    next_commands: tuple[str, ...] = ()
