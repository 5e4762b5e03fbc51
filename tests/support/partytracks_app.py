"""An application on partytracks, Cloudflare's library: its client half in a page, its server half in Node.

The library is not part of this project: `RTCCTL_PARTYTRACKS` names a folder in which npm has installed it, and esbuild.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.browser import PAGE
from tests.support.requirements import require

SOURCES = Path(__file__).parent / "partytracks"


def build(folder: Path) -> None:
    """Bundle both halves into `folder`, with the rest of the page."""
    modules = Path(os.environ.get("RTCCTL_PARTYTRACKS", "/nowhere")) / "node_modules"
    require(
        "partytracks",
        why="RTCCTL_PARTYTRACKS is to name a folder where `npm install partytracks esbuild` was run",
        is_there=shutil.which("node") is not None and all((modules / n).is_dir() for n in ("partytracks", "esbuild")),
    )
    for source, bundle, form in (
        ("app.js", "app.js", ["--format=iife"]),
        ("backend.js", "backend.mjs", ["--format=esm", "--platform=node"]),
    ):
        subprocess.run(
            [
                modules / ".bin/esbuild",
                SOURCES / source,
                "--bundle",
                "--log-level=warning",
                f"--outfile={folder / bundle}",
                *form,
            ],
            env={**os.environ, "NODE_PATH": str(modules)},
            check=True,
        )
    for file in (SOURCES / "index.html", *PAGE.glob("*.js")):
        shutil.copy(file, folder)


@contextmanager
def backend(folder: Path, ready: Mapping[str, str]) -> Iterator[str]:
    """The built application in front of the server that said `ready`; yields its URL.

    In production the library locks a session to who made it, by a cookie.
    """
    environment = {
        "API_BASE": ready["base_url"],
        "APP_ID": ready["app_id"],
        "APP_TOKEN": ready["app_secret"],
        "TURN_SERVER_APP_ID": ready["turn_key_id"],
        "TURN_SERVER_APP_TOKEN": ready["turn_key_token"],
        "NODE_ENV": "production",
    }
    with subprocess.Popen(
        ["node", str(folder / "backend.mjs"), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, "the backend has ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
