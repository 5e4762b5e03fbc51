"""`rtcctl dev` and its options: what is wrong is said, and what is given is served."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from rtcctl.__main__ import main
from rtcctl.media.sdp import Direction
from rtcctl.server.addresses import default_route
from tests.support.command import RTCCTL, Home
from tests.support.requirements import require_lonely_host
from tests.support.sdp import offer_of, section

SECRETS = {"staging": "secret-of-staging-0123", "production": "secret-of-production-0123"}


def apps_file(home: Home, text: str = "", mode: int = 0o600) -> Path:
    path = home.folder / "apps.toml"
    path.write_text(
        text or "".join(f'[[apps]]\nid = "{app_id}"\nsecret = "{secret}"\n' for app_id, secret in SECRETS.items())
    )
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--time-scale", "nan"), "--time-scale: 'nan' is not a factor; write for example 0.1"),
        (("--time-scale", "inf"), "'inf' is not a factor"),
        (("--time-scale", "-1"), "'-1' is not a factor"),
        (("--time-scale", "0"), "between 0.001 and 1000, not 0"),
        (("--time-scale", "1e9"), "is not a factor"),
        (("--time-scale", "1001"), "between 0.001 and 1000, not 1001"),
        (("--time-scale", ""), "is not a factor"),
        (("--media-host", "198.51.100.99"), "--media-host 198.51.100.99 is no address of this machine"),
        (("--media-host", "no.such.host.invalid"), "--media-host 'no.such.host.invalid' is no address"),
        (("--media-host", ""), "--media-host"),
        (("--media-host", "127.0.0.1", "--media-host", "224.0.0.1"), "--media-host 224.0.0.1"),
        (("--announce", "example.com"), "--announce takes an IP address, not 'example.com'"),
        (("--announce", "192.0.2.7", "--announce", "0.0.0.0"), "--announce 0.0.0.0 is no address"),
        (("--apps", "none.toml"), "none.toml cannot be read: No such file or directory"),
        (("--apps", ""), "--apps names no file"),
        (("--apps", "/"), "/ is a folder, not a file"),
        (("--apps", "/dev/null"), "/dev/null is a device, not a file"),
        (("--host", "no.such.host.invalid"), "--host 'no.such.host.invalid' is no address"),
        (("--port", "-1"), "--port"),
        (("--udp-port", "70000"), "--udp-port"),
    ],
)
def test_what_cannot_be_is_2_and_named(
    home: Home,
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """Exit 2, a line that names the option and the value, and a hint; nothing is announced."""
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home.folder)
    assert main(["dev", "--port", "0", *arguments]) == 2
    written = capsys.readouterr()
    assert said in written.err
    assert len(written.err.splitlines()) <= 2
    assert not written.out
    assert not list(home.state.glob("dev/*.json"))


def test_its_terminal_may_be_closed(home: Home):
    """SIGHUP, twice as a shell and the kernel send it, ends it as SIGTERM does; with nohup it goes on."""
    with home.dev() as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.stop(signal.SIGHUP) == 0
    assert not list(home.state.glob("dev/*.json"))
    with home.dev(program=("nohup", str(RTCCTL))) as server:
        server.process.send_signal(signal.SIGHUP)
        assert home.run("session", "create").status == 0


def test_the_command_itself_says_so(home: Home):
    """As installed: no traceback, nothing on stdout."""
    done = home.run("dev", "--port", "0", "--time-scale", "nan")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: --time-scale: 'nan' is not a factor; write for example 0.1",
        "hint: rtcctl dev --help",
    ]


def test_apps_that_others_can_read_are_2_with_the_chmod(home: Home):
    """The hint can be pasted, and helps."""
    path = apps_file(home, mode=0o644)
    done = home.run("dev", "--port", "0", "--apps", "apps.toml")
    assert done.status == 2
    assert "hint: chmod 600 apps.toml" in done.stderr
    path.chmod(0o600)
    with home.dev("--apps", "apps.toml"):
        pass


def test_wrong_entries_are_2_and_named(home: Home):
    """In JSON too; the secrets of the file are in neither."""
    apps_file(home, '[[apps]]\nid = "staging"\nsecret = "secret-of-staging-0123"\nsercet = 1\n')
    done = home.run("dev", "--port", "0", "--apps", "apps.toml", "--output", "json")
    assert done.status == 2
    assert "apps.toml: [[apps]] 1 (staging) sercet is not a setting" in json.loads(done.stderr)["error"]
    assert SECRETS["staging"] not in done.stderr + done.stdout


def test_several_apps(home: Home):
    """All are announced by id, their secrets nowhere; each answers to its own; `local` is the first."""
    apps_file(home)
    with home.dev("--apps", "apps.toml", "--verbose") as server:
        assert [app["app_id"] for app in server.ready["apps"]] == ["staging", "production"]
        assert (server.ready["app_id"], server.ready["app_secret"]) == ("staging", None)
        assert server.ready["environment"] == []
        for app_id, secret in SECRETS.items():
            for presented in SECRETS.values():
                answer = httpx.post(
                    f"{server.ready['base_url']}/apps/{app_id}/sessions/new",
                    headers={"Authorization": f"Bearer {presented}"},
                    trust_env=False,
                )
                assert answer.status_code == (201 if presented == secret else 401)
        created = home.run("session", "create", "--output", "json")
        assert (created.status, created.document["target"]["app_id"]) == (0, "staging")
        checked = home.run("config", "check", "--output", "json")
        assert checked.status == 0, checked.stdout + checked.stderr
        server.stop()
        said = json.dumps(server.ready) + server.stderr + created.stderr + created.stdout + checked.stdout
    assert not [secret for secret in SECRETS.values() if secret in said]


def test_a_time_scale(home: Home):
    """It is announced, and the service's waits are that much shorter: 425 after a quarter second, expiry after 6 s."""
    offer = offer_of(section("0", Direction.SENDONLY)).to_wire()
    track = {"location": "local", "mid": "0", "trackName": "mic"}
    with home.dev("--time-scale", "0.05") as server, http_of(server.ready) as http:
        assert server.ready["time_scale"] == 0.05
        unused = f"sessions/{http.post('sessions/new').json()['sessionId']}"
        created = time.monotonic()
        session_id = http.post("sessions/new", json={"sessionDescription": offer}).json()["sessionId"]
        started = time.monotonic()
        body = {"tracks": [track], "sessionDescription": offer}
        assert http.post(f"sessions/{session_id}/tracks/new", json=body).status_code == 425
        assert 0.2 < time.monotonic() - started < 2
        while http.get(unused).status_code == 200:
            assert time.monotonic() - created < 20
            time.sleep(0.1)
        assert time.monotonic() - created > 5.5


def http_of(ready: dict[str, Any]) -> httpx.Client:
    """HTTP to the first app of a server."""
    return httpx.Client(
        base_url=f"{ready['base_url']}/apps/{ready['app_id']}/",
        headers={"Authorization": f"Bearer {ready['app_secret']}"},
        timeout=15,
        trust_env=False,
    )


def test_a_seed(home: Home):
    """Session ids are those of the run before, ICE credentials and keys are not; it is announced."""
    offer = offer_of(section("0", Direction.SENDONLY)).to_wire()
    runs = []
    for seed in ("7", "7", "8"):
        with home.dev("--seed", seed) as server, http_of(server.ready) as http:
            assert server.ready["seed"] == int(seed)
            created = [http.post("sessions/new", json={"sessionDescription": offer}).json() for _ in range(3)]
        ids = [session["sessionId"] for session in created]
        secrets = re.findall(
            r"a=(?:ice-ufrag|ice-pwd|fingerprint):.*", "".join(s["sessionDescription"]["sdp"] for s in created)
        )
        runs.append((ids, secrets))
    (first, drawn), (second, drawn_again), (third, _) = runs
    assert first == second
    assert not set(first) & set(third)
    assert drawn
    assert not set(drawn) & set(drawn_again)


def test_the_usual_time_is_not_mentioned(home: Home):
    """What is as ever takes no line."""
    with home.running("dev", "--port", "0") as server:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(server.line())
    assert not [line for line in lines if "time scale" in line]
    assert [line for line in lines if "UDP 127.0.0.1:" in line]


def test_media_addresses_are_announced(home: Home):
    """Those of others first, then our own, each with the port."""
    arguments = ("--media-host", "127.0.0.2", "--media-host", "127.0.0.1", "--announce", "198.51.100.7")
    with home.dev(*arguments) as server:
        hosts = [address.rpartition(":")[0] for address in server.ready["media_addresses"]]
        assert hosts == ["198.51.100.7", "127.0.0.2", "127.0.0.1"]
    with home.dev() as server:
        hosts = [address.rpartition(":")[0] for address in server.ready["media_addresses"]]
        assert hosts == ["127.0.0.1", *([routed] if (routed := default_route(4)) else [])]


def test_a_machine_with_loopback_alone(home: Home):
    """No other interface, no default route: media on loopback, and not a word about it."""
    require_lonely_host()
    script = f"ip link set lo up; timeout --signal=TERM 5 {RTCCTL} dev --port 8610 --output jsonl"
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=home.environment,
        cwd=home.folder,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout.splitlines()[0])["media_addresses"] == ["127.0.0.1:8610"]
    assert not done.stderr


def test_without_coturn_it_offers_stun_and_says_so_once(home: Home):
    """In the banner; `turn creds` explains what to install, and the API answers STUN alone in both shapes."""
    home.environment["PATH"] = str(RTCCTL.parent)
    with home.running("dev", "--port", "0") as server:
        banner = []
        while "Ctrl-C" not in "".join(banner):
            banner.append(server.line())
        said = "".join(banner) + server.stderr
        assert said.count("coturn") == 2, said  # what is missing, and how to install it
        assert "STUN only: coturn is not installed (apt install coturn)" in said
        created = home.run("turn", "creds")
        assert created.status == 0
        assert "nothing can be relayed" in created.stdout
        assert "apt install coturn" in " ".join(created.stdout.split())
    with home.dev() as server:
        assert server.ready["turn"] is None
        base = f"{server.ready['base_url']}/turn/keys/{server.ready['turn_key_id']}/credentials"
        headers = {"Authorization": f"Bearer {server.ready['turn_key_token']}"}
        for operation, kind in (("generate-ice-servers", list), ("generate", dict)):
            answer = httpx.post(f"{base}/{operation}", json={"ttl": 60}, headers=headers, trust_env=False)
            servers = answer.json()["iceServers"]
            assert isinstance(servers, kind)
            (only,) = servers if isinstance(servers, list) else [servers]
            assert list(only) == ["urls"]
            assert [url.split(":")[0] for url in only["urls"]] == ["stun"]
