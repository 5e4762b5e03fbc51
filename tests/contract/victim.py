"""A client to be killed: publishes `tone`, pulls the track that it is told of, says its session id, and goes on.

`python -m tests.contract.victim`; API_BASE, APP_ID, APP_SECRET, PUBLISHER and TRACK are in the environment.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.contract.peer import Loud, publisher
from tests.contract.subject import Quirks, Subject

ROOT = Path(__file__).parents[2]


async def main() -> None:
    base_url, app_id, app_secret = (os.environ[name] for name in ("API_BASE", "APP_ID", "APP_SECRET"))
    async with httpx.AsyncClient(timeout=30) as http:
        service = Subject(base_url, app_id, app_secret, *[""] * 5, quirks=Quirks(), http=http)
        async with publisher(service, "tone", source=Loud) as client:
            track = {
                "location": "remote",
                "sessionId": os.environ["PUBLISHER"],
                "trackName": os.environ["TRACK"],
            }
            document = (await service.tracks_new(client.session_id, tracks=[track])).json()
            await service.renegotiate(client.session_id, await client.answer(document["sessionDescription"]))
            await client.frames()
            sys.stdout.write(f"{client.session_id}\n")
            sys.stdout.flush()
            while True:
                await client.frames()


@contextmanager
def victim(service: Subject, publisher_id: str, track: str) -> Iterator[subprocess.Popen[str]]:
    """The process; the first line of its output is its session id."""
    environment = {
        "API_BASE": service.base_url,
        "APP_ID": service.app_id,
        "APP_SECRET": service.app_secret,
        "PUBLISHER": publisher_id,
        "TRACK": track,
    }
    command = [sys.executable, "-m", "tests.contract.victim"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(main())
