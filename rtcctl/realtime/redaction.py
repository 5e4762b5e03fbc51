"""What may be kept and passed on of an exchange: the structure and the words stay, secrets go.

Two ways, because each misses what the other finds. By structure: a field that is called a secret, ICE credentials in
SDP, what follows `Bearer`, JSON Web Tokens, user and query of a URL. By value: secrets that are known, and those that
structure has found once, wherever they come again. DTLS fingerprints, addresses and ids stay: without them nothing can
be found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rtcctl.realtime.masking import JSON_WEB_TOKEN, MASK, mask

_SECRET_FIELD = re.compile(
    r"(secret|token|password|passwd|credential|authorization|api_?key)$"
    r"|^(key|pwd|username|ufrag|usernamefragment|ice_?(ufrag|pwd))$",
    re.IGNORECASE,
)
"""Of the APIs and of our own results. `key` is the token in the answer to a new TURN key, `username` half of a TURN
credential, and the name by which it is revoked."""

_ICE_UFRAG = re.compile(r"(a=ice-ufrag:|\bufrag )([^\s\\\"]+)")
"Of a description, and of one of its candidates."
_ICE_PWD = re.compile(r"(a=ice-pwd:)([^\s\\\"]+)")
_CRYPTO = re.compile(r"(a=crypto:)([^\\\r\n\"]+)")
_BEARER = re.compile(r"(\bbearer\s+)([^\s\"',]+)", re.IGNORECASE)
_URL_USER = re.compile(r"(\b[a-z]+://)([^\s/@\"']+)(?=@)", re.IGNORECASE)
_QUERY = re.compile(r"([?&](?!(?:correlationId|thirdparty|transport|session|packets_from|requests_from)=)[\w.~%-]+=)"
                    r"([^&#\s\"']+)")  # fmt: skip
_TURN_USERNAME = re.compile(r"(/credentials/)([^/\s?\"]+)(?=/revoke\b)")
_TOKEN = re.compile(rf"()({JSON_WEB_TOKEN.pattern})", re.ASCII)
_DEEPEST = 40
"Levels of a JSON value."

_STRUCTURES = {
    # SDP stays SDP, of which every ICE credential has the length that it must have (RFC 8839 §5.4).
    _ICE_UFRAG: "masked",
    _ICE_PWD: "masked" * 4,
    _CRYPTO: MASK,
    _BEARER: MASK,
    _URL_USER: MASK,
    _QUERY: MASK,
    _TURN_USERNAME: MASK,
    _TOKEN: MASK,
}
"Where a secret is, and what stands there instead."


class Redactor:
    """Takes secrets out of JSON values and texts. `also`: takes out what somebody else knows to be secret."""

    def __init__(self, *, also: Callable[[str], str] = str) -> None:
        self._also = also
        self._secrets: set[str] = set()

    def keep_secret(self, *secrets: str) -> None:
        """Mask these from now on, wherever they appear. What is shorter than 8 characters protects nothing."""
        self._secrets.update(secret for secret in secrets if secret)

    def learn(self, value: Any, *, depth: int = 0) -> None:
        """Remember what the structure of a JSON value says is secret: it goes out of all that comes later."""
        if isinstance(value, str):
            for structure in _STRUCTURES:
                self.keep_secret(*(found[2] for found in structure.finditer(value)))
        if depth > _DEEPEST:
            return
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, str) and _SECRET_FIELD.search(str(name)):
                    self.keep_secret(inner)
                else:
                    self.learn(inner, depth=depth + 1)
        elif isinstance(value, list | tuple):
            for inner in value:
                self.learn(inner, depth=depth + 1)

    def text(self, text: str) -> str:
        """The text without secrets."""
        text = mask(self._also(text), self._secrets)
        for structure, instead in _STRUCTURES.items():
            text = structure.sub(rf"\g<1>{instead}", text)
        return text

    def value(self, value: Any, *, depth: int = 0) -> Any:
        """A JSON value without secrets; what is nested deeper than any that we know is left out."""
        if isinstance(value, str):
            return self.text(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth > _DEEPEST:
            return "…"
        if isinstance(value, dict):
            # A variable to paste is named by its neighbour.
            named = _SECRET_FIELD.search(str(value.get("name") or ""))
            return {
                self.text(str(name)): MASK
                if isinstance(inner, str) and inner and (_SECRET_FIELD.search(str(name)) or (named and name == "value"))
                else self.value(inner, depth=depth + 1)
                for name, inner in value.items()
            }
        if len(value) == 2 and all(isinstance(part, str) for part in value) and _SECRET_FIELD.search(value[0]):
            return [self.text(value[0]), MASK]  # a variable, too
        return [self.value(inner, depth=depth + 1) for inner in value]
