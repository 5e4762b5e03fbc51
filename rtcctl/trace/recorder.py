"""Writes what happens as JSON lines, without secrets. Recording never changes how a command ends.

A line has `kind` and `at_s`, seconds since the command began; then, by kind:

    begin        schema, versions, command, arguments, target, started_at (wall clock, seconds since the epoch)
    exchange     one attempt of an API call: request and answer with their bodies, Cf-Ray, how long it took
    peer         a peer connection was made, or given a session
    description  SDP of a peer, ours (`local`) or the SFU's (`remote`)
    state        where a peer's connection stands, and its selected pair
    statistics   of a peer, each second, in the words of W3C webrtc-stats
    log          what the libraries below say of it, of level INFO and above
    event        what the command said meanwhile, as `--output jsonl` has it
    end          exit status, result, error

Bodies of more than 64 KiB are cut, what messages on data channels say is left out, and the folder is bounded
(`folder.py`). When a line cannot be written (a full disk), that is said once and the recorder falls silent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtcctl.realtime.exchange import Exchange
from rtcctl.realtime.redaction import Redactor
from rtcctl.trace import internals
from rtcctl.trace.folder import DETACHED, SCHEMA, TraceFolder, written_lines
from rtcctl.trace.logs import LogLines

BODY_LIMIT = 64 * 1024
"Characters of a body."

_MESSAGE_FIELDS = ("text", "base64")
"Of what somebody else wrote into a data channel."


class Recorder:
    """See the module. `on_trouble` is told, once, why nothing can be written any more."""

    def __init__(
        self,
        folder: TraceFolder,
        *,
        clock: Callable[[], float],
        mask: Callable[[str], str],
        on_trouble: Callable[[OSError], None],
    ) -> None:
        """`mask`: takes out what the process knows to be secret."""
        self.folder = folder
        self._clock = clock
        self._on_trouble = on_trouble
        self._redactor = Redactor(also=mask)
        self._started_at = clock()
        self._peers = 0
        self._is_silent = False
        self._logs = LogLines(self.note)

    def begin(
        self,
        *,
        versions: Mapping[str, str],
        command: str,
        arguments: Sequence[str],
        target: Any,
        started_at: float,
        pid: int,
    ) -> None:
        """The first line. `started_at`: wall clock."""
        self.note(
            "begin",
            schema=SCHEMA,
            versions=dict(versions),
            command=command,
            arguments=list(arguments),
            target=target,
            started_at=started_at,
            pid=pid,
        )
        self._logs.install()

    def keep_secret(self, *secrets: str) -> None:
        """Mask these from now on."""
        self._redactor.keep_secret(*secrets)

    def exchange(self, exchange: Exchange) -> None:
        """An attempt of an API call has ended."""
        answer = _decoded(exchange.answer_body)
        self._redactor.learn(exchange.url)
        self._redactor.learn(exchange.request_body)
        self._redactor.learn(answer)
        self._write(
            "exchange",
            exchange.started_at,
            {
                "method": exchange.method,
                "url": exchange.url,
                "attempt": exchange.attempt,
                "request_body": self._body(exchange.request_body),
                "status": exchange.status,
                "answer_body": self._body(answer),
                "ray": exchange.ray,
                "retry_after": exchange.retry_after,
                "took_ms": round(exchange.took_s * 1000, 3),
                "error": exchange.error or None,
            },
        )

    def event(self, event: Mapping[str, Any]) -> None:
        """Something happened in the command."""
        hidden = _MESSAGE_FIELDS if event["event"] == "message" else ()
        self.note("event", event={name: value for name, value in event.items() if name not in hidden})

    @property
    def detached_folder(self) -> Path:
        """Where a process that goes on by itself writes a trace of its own."""
        return self.folder.path.absolute() / DETACHED

    def new_peer(self) -> int:
        """The number of another peer, from 1."""
        self._peers += 1
        return self._peers

    def note(self, kind: str, **fields: Any) -> None:
        """A line of its kind, now."""
        self._redactor.learn(fields.get("sdp"))
        self._write(kind, self._clock(), fields)

    def end(self, **fields: Any) -> None:
        """The last line; the dump for viewers is made of all lines."""
        self._logs.remove()
        self.note("end", **fields)
        if self._peers:
            self._try(self._write_dump)
        self.folder.close()
        self._is_silent = True

    def _write_dump(self) -> None:
        document = internals.dump(written_lines(self.folder.path))
        self.folder.write_dump(json.dumps(document, ensure_ascii=False))

    def _body(self, body: Any) -> Any:
        """A body without secrets, and not too long."""
        redacted = self._redactor.value(body)
        text = json.dumps(redacted, ensure_ascii=False)
        return redacted if len(text) <= BODY_LIMIT else {"cut": text[:BODY_LIMIT], "characters": len(text)}

    def _write(self, kind: str, at: float, fields: Mapping[str, Any]) -> None:
        if self._is_silent:
            return
        line = {"kind": kind} | ({"schema": SCHEMA} if kind == "begin" else {})
        line |= {"at_s": round(at - self._started_at, 6)} | self._redactor.value(dict(fields))
        self._try(lambda: self.folder.write(json.dumps(line, ensure_ascii=False)))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._is_silent = True
            self._on_trouble(error)


def _decoded(body: bytes) -> Any:
    """A body as JSON, else as text; `None` when there is none."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
