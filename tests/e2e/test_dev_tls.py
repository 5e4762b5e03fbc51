"""`rtcctl dev --tls`: HTTPS that clients trust when told to, and not otherwise."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.command import RTCCTL, Home
from tests.support.requirements import require

FETCH = "fetch(process.env.SFU_API_BASE + '/apps/x/sessions/new', {method: 'POST'}).then(r => console.log(r.status))"
URLLIB = """
import os, urllib.error, urllib.request
try:
    urllib.request.urlopen(os.environ["SFU_API_BASE"] + "/apps/x/sessions/new", b"")
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_rtcctl_trusts_it_through_the_profile_local(home: Home):
    """`session create` and `smoke`; what runs announces which authority to trust, and shows where it is."""
    with home.dev("--tls") as server:
        assert server.ready["base_url"].startswith("https://127.0.0.1:")
        assert Path(server.ready["ca_file"]).parts[-4:] == ("dev", "tls", "localhost", "ca.pem")
        created = home.run("session", "create", "--output", "json")
        assert created.status == 0, created.stderr
        smoke = home.run("smoke", "--for", "2s", "--output", "json", timeout_s=90)
        assert smoke.status == 0, smoke.stdout + smoke.stderr
        assert smoke.document["target"]["api_base"] == server.ready["base_url"]
        curl = home.run("session", "create", "--curl").stdout
        assert f"--cacert {server.ready['ca_file']}" in curl
        # What is printed to be pasted suffices, too.
        pasted = home.run("session", "create", environment=dict(server.ready["environment"]))
        assert pasted.status == 0, pasted.stderr


def test_who_was_not_told_does_not_trust_it(home: Home):
    """Verification is never skipped: neither by rtcctl with the same address in another profile, nor by others."""
    with home.dev("--tls") as server:
        environment = {n: v for n, v in server.ready["environment"] if n.startswith("RTCCTL_")}
        refused = home.run("session", "create", environment=environment)
        assert (refused.status, "is not trusted" in refused.stderr) == (6, True)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.ready["base_url"], trust_env=False)


def test_another_servers_certificate_is_not_trusted(home: Home, tmp_path: Path):
    """The profile `local` trusts its server's own authority alone."""
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other")
    with home.dev("--tls") as server, other.dev("--tls") as impostor:
        (announcement,) = home.state.glob("dev/*.json")
        text = announcement.read_text().replace(server.ready["base_url"], impostor.ready["base_url"])
        announcement.write_text(text)
        refused = home.run("session", "create")
        assert (refused.status, "is not trusted" in refused.stderr) == (6, True)


def test_it_is_the_same_tomorrow(home: Home):
    """Trust given once goes on."""
    authorities = []
    for _ in range(2):
        with home.dev("--tls") as server:
            authorities.append(Path(server.ready["ca_file"]).read_text())
    assert len(set(authorities)) == 1


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-c", URLLIB),
        ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-X", "POST"),
        ("node", "-e", FETCH),
        (str(RTCCTL), "session", "create"),
    ],
    ids=["python", "curl", "node", "rtcctl"],
)
def test_a_command_trusts_it(home: Home, command: tuple[str, ...]):
    """Python, curl, Node and rtcctl itself, without an option of their own."""
    require(command[0], why="HTTPS is tried with the clients that people have")
    words = (
        ("sh", "-c", 'exec "$@" "$SFU_API_BASE/apps/x/sessions/new"', "sh", *command)
        if command[0] == "curl"
        else command
    )
    done = home.run("dev", "--tls", "--port", "0", "--", *words)
    assert done.status == 0, done.stderr
    assert done.stdout == "404\n" or "session " in done.stdout


def test_pasted_lines_trust_it(home: Home):
    """`config env` in a shell suffices, as what `dev` prints does."""
    script = f"""
        set -e
        eval "$({RTCCTL} config env --with-secrets)"
        {RTCCTL} session create
        exec {sys.executable} -c "$1"
    """
    with home.dev("--tls") as server:
        done = subprocess.run(
            ["sh", "-c", script, "sh", URLLIB.replace("SFU_API_BASE", "RTCCTL_API_BASE")],
            env=home.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("404\n")
        listed = home.run("config", "env", "--with-secrets", "--as", "json").document
    assert listed == dict(server.ready["environment"])


def test_chromium_takes_it_by_its_public_key(home: Home, tmp_path: Path):
    """`--ignore-certificate-errors-spki-list` is what test drivers use."""
    require("chromium", why="browsers are the clients")
    with home.dev("--tls") as server:
        leaf = x509.load_pem_x509_certificates(Path(server.ready["ca_file"]).with_name("server.pem").read_bytes())[0]
        spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pin = base64.b64encode(hashlib.sha256(spki).digest()).decode()
        pages = []
        for pins in (pin, base64.b64encode(bytes(32)).decode()):
            chromium = shutil.which("chromium")
            assert chromium is not None
            options = (
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / pins[:4].replace('/', '_')}",
            )
            url = f"{server.ready['base_url']}/apps/nowhere/sessions/x"
            done = subprocess.run(
                [chromium, *options, f"--ignore-certificate-errors-spki-list={pins}", "--dump-dom", url],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            pages.append(done.stdout)
    assert "App not found" in pages[0]
    assert "App not found" not in pages[1]
