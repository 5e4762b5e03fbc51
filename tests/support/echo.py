"""A service that fails in one of several ways, and says back what it hears: whatever it was told is in its answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Echo(BaseHTTPRequestHandler):
    """The first part of the path says how it answers; the secret and the body are in all that it says."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        heard = f"{self.headers.get('Authorization')} {body}"
        failed = {"errorCode": "unauthorized", "errorDescription": heard}
        error = {**failed, "errors": [{"code": 1, "message": heard}]}
        items = [{**failed, "mid": "0", "trackName": "mic"}]
        status, content = {
            "broken": (500, json.dumps(error)),
            "malformed": (200, f"<html>{heard}</html>"),
            "failing": (200, json.dumps({"tracks": items, "dataChannels": items, **error})),
        }.get(self.path.split("/")[1], (401, json.dumps(error)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(content.encode())))
        self.send_header("Cf-Ray", heard.partition("\n")[0][:200])
        self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(content.encode())

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 (the names are the base's)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 (the name is the base's)


@contextmanager
def echo() -> Iterator[str]:
    """Its URL, without a path."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
