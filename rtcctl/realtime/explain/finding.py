"""What is wrong with a request or a description, in words."""

from __future__ import annotations

from typing import NamedTuple

_SHOWN = 40
"Characters of a name that somebody else chose."


class Finding(NamedTuple):
    """One mistake, or one thing that does not do what it looks like.

    A finding is fit for a log: it names fields, mids and kinds, and repeats no SDP and no secret.
    """

    where: str
    "`body`, `path`, `tracks[0].mid`, `sessionDescription.sdp: m-section 1 (audio, mid 0)` …"
    what: str
    hint: str
    "What to do instead."
    is_error: bool = True
    "It is refused; else it is accepted, and means something else than one might think."
    line: int | None = None
    "Of a session description, counted from 1."

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.hint}"


def shown(name: object) -> str:
    """A name of somebody else's, fit for one line: quoted, printable, bounded."""
    text = str(name)
    return ascii(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
