"""Texts of others made fit for messages and logs: no secret, no SDP, no ICE credential, one line, bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "•••"

_SHORTEST_SECRET = 8
"Masking anything shorter would garble texts and protect nothing."

_TEXT_LIMIT = 300
"Characters."

_SDP = re.compile(r"v=0(?:\\r|\\n|\s).*", re.DOTALL)
_ICE_CREDENTIAL = re.compile(r"(a=(?:ice-ufrag|ice-pwd|fingerprint|crypto):)[^\\\r\n]*")
_BEARER = re.compile(r"(?i)(bearer\s+)[^\s\"',]+")
JSON_WEB_TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", re.ASCII)
'RFC 7519. A token begins with `{"` in base64, whosever it is.'


def mask(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets, longest first so that no part of one survives."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return text


def without_credentials(text: str) -> str:
    """`text` without what looks like a credential, whosever it is: of ICE, after `Bearer`, a JSON Web Token."""
    text = _ICE_CREDENTIAL.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    return JSON_WEB_TOKEN.sub(MASK, text)


def presentable(text: str, secrets: Iterable[str]) -> str:
    """One line of at most 300 characters to show to a person; masked before it is cut."""
    text = mask(text, secrets)
    text = without_credentials(_SDP.sub("[SDP]", text))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"
