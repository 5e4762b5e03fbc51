"""`turn check` against real TURN servers: each way in which one can be good or bad, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rtcctl.journal import Journal
from rtcctl.ops.env import Env
from rtcctl.ops.turn import CredsRequest, creds
from rtcctl.ops.turn_check import CheckRequest, check
from rtcctl.ops.turn_judge import Requirement
from rtcctl.probe.turn import url_check
from rtcctl.probe.turn.allocation import Allocation
from rtcctl.probe.turn.tls import Trust
from rtcctl.realtime.profile import Profile
from rtcctl.results.check import CheckStatus
from rtcctl.results.turn import IceServer
from rtcctl.results.turn_check import Refusal, Step, TurnCheck, UrlReport
from rtcctl.server.server import RealtimeServer
from rtcctl.transport import tls
from tests.support.allocations import link_to, nothing_left
from tests.support.command import Home
from tests.support.coturn import PASSWORD, USERNAME, certificate, coturn
from tests.support.requirements import require, slow
from tests.support.turn_path import turn_path

ANYTHING = (Requirement("all"),)


@pytest.fixture
def env(tmp_path: Path) -> Any:
    with closing(Journal.open(tmp_path / "state")) as journal:
        yield Env(profile=Profile("none", ""), journal=journal)


def servers(*urls: str, password: str = PASSWORD) -> tuple[IceServer, ...]:
    return (IceServer(urls, USERNAME, password),)


async def checked(env: Env, *urls: str, password: str = PASSWORD, for_s: float = 0.5, **options: Any) -> TurnCheck:
    request = CheckRequest(ice_servers=servers(*urls, password=password), source="test", for_s=for_s, **options)
    return await check(request, env)


def by_url(result: TurnCheck) -> dict[str, UrlReport]:
    return {report.url: report for report in result.urls}


async def test_every_step_is_measured(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over UDP, TCP and TLS each step of a good server has its figure, and all that was sent comes back."""
    async with coturn() as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        stun = f"stun:127.0.0.1:{server.port}"
        result = await checked(env, stun, *(server.url(protocol) for protocol in ("udp", "tcp", "tls")), rate_hz=100)
    assert result.exit_status == 0
    assert result.verdict.startswith("TURN works: 4 of 4 URLs, best round trip ")
    first, *turn = result.urls
    assert (first.is_turn, first.verdict, first.traffic) == (False, CheckStatus.PASSED, None)
    assert first.mapped_address is not None
    assert first.binding_ms is not None
    for report, protocol in zip(turn, ("udp", "tcp", "tls"), strict=True):
        assert (report.protocol, report.verdict, report.reason, report.stop) == (protocol, CheckStatus.PASSED, "", None)
        assert report.addresses == ("127.0.0.1",)
        assert (report.mapped_address or "").startswith("127.0.0.1:")
        assert (report.relayed_address or "").startswith("127.0.0.1:")
        assert report.lifetime_s == 600
        assert "Coturn" in (report.software or "")
        assert (report.connect_ms is None) == (protocol == "udp")
        assert (report.tls is not None) == (protocol == "tls")
        for figure in (report.dns_ms, report.binding_ms, report.allocate_ms, report.channel_ms):
            assert figure is not None
            assert 0 < figure < 2000
        traffic = report.traffic
        assert traffic is not None
        assert (traffic.packets_sent, traffic.packets_received, traffic.fraction_lost) == (50, 50, 0)
        assert traffic.rtt_ms is not None
        assert 0 < traffic.rtt_ms.p50 <= traffic.rtt_ms.p95 <= traffic.rtt_ms.p99
        assert traffic.jitter_ms is not None
        assert (report.wrong_password, report.expired) == (Refusal.REFUSED, Refusal.NOT_TESTED)
    handshake = turn[2].tls
    assert handshake is not None
    assert handshake.is_verified
    assert set(handshake.names) == {"localhost", "127.0.0.1"}
    assert (handshake.issuer or "").startswith("rtcctl dev ")
    assert 390 < (handshake.days_left or 0) < 397


async def test_a_wrong_password(env: Env) -> None:
    """The credential is refused, with its code, and nothing is said of what comes after."""
    async with coturn() as server:
        result = await checked(env, server.url("udp"), server.url("tcp"), password="looking-glass")
    assert result.exit_status == 3
    for report in result.urls:
        assert (report.stop and report.stop.step, report.stop and report.stop.code) == (Step.ALLOCATE, 401)
        assert report.reason == "the credential was refused (401): wrong, expired or revoked"
        assert report.traffic is None
    assert "looking-glass" not in repr(result)


async def test_a_server_that_takes_any_password(env: Env) -> None:
    """That it relays for everybody is a failure, although everything works."""
    async with coturn("no-auth") as server:
        result = await checked(env, server.url("udp"))
    (report,) = result.urls
    assert report.wrong_password is Refusal.ACCEPTED
    assert (report.verdict, result.exit_status) == (CheckStatus.FAILED, 3)
    assert report.reason == "it accepts any password: anybody can relay through it"


async def test_quotas(env: Env) -> None:
    """Refused for the quota is said to be; where one allocation works and the one to test with does not, who knows."""
    async with coturn("total-quota=1") as server:
        only = await checked(env, server.url("udp"))
    async with coturn("user-quota=2") as server:
        together = await checked(env, server.url("udp"), server.url("tcp"), server.url("udp", "localhost"))
    (report,) = only.urls
    assert (report.verdict, report.stop and report.stop.code) == (CheckStatus.INCONCLUSIVE, 486)
    assert report.reason.startswith("allocation quota (486): one allocation works")
    assert only.exit_status == 8
    assert {report.stop.code for report in together.urls if report.stop is not None} == {486}
    assert together.exit_status in (3, 8)


@pytest.mark.parametrize("step_s", [1.0, pytest.param(4.0, marks=slow)])
async def test_nobody_there(env: Env, monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    """Closed ports, a name that is none, a web server, silence: each in words, and all at once."""
    require("turnserver", why="one of the URLs is good")
    assert url_check.STEP_TIMEOUT_S == 4
    monkeypatch.setattr(url_check, "STEP_TIMEOUT_S", step_s)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mute, closing(_listener()) as deaf:
        mute.bind(("127.0.0.1", 0))
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            closed = free.getsockname()[1]
        web = await asyncio.start_server(_web, "127.0.0.1", 0)
        port = web.sockets[0].getsockname()[1]
        expected = {
            f"turn:127.0.0.1:{closed}": (Step.ALLOCATE, f"nothing listens on port {closed}: the port is closed"),
            f"turn:127.0.0.1:{closed}?transport=tcp": (
                Step.TCP,
                f"127.0.0.1:{closed} did not accept a TCP connection: Connection refused",
            ),
            "turn:nobody.invalid": (Step.DNS, "The name nobody.invalid cannot be resolved: "),
            f"turn:127.0.0.1:{port}?transport=tcp": (
                Step.BINDING,
                f"127.0.0.1:{port} answers, but not as a TURN server: HTTP/1.1 400 Bad Request",
            ),
            f"turns:127.0.0.1:{port}": (Step.TLS, "The TLS handshake failed: "),
            f"turn:127.0.0.1:{mute.getsockname()[1]}": (Step.ALLOCATE, "no answer over UDP from port "),
            f"turns:127.0.0.1:{deaf.getsockname()[1]}": (
                Step.TLS,
                f"127.0.0.1:{deaf.getsockname()[1]} did not finish the TLS handshake within {step_s:g} s",
            ),
            "turns:127.0.0.1?transport=udp": (Step.URL, "'turns:127.0.0.1?transport=udp' is no URL of a "),
        }
        started = time.monotonic()
        async with coturn() as server, web:
            result = await checked(env, server.url("udp"), *expected, for_s=5 if step_s == 4 else 0.5)
    # The longest way: two answers that never came, one behind the other.
    assert time.monotonic() - started < 2 * step_s + 5
    good, *bad = result.urls
    assert good.verdict is CheckStatus.PASSED
    for report in bad:
        step, reason = expected[report.url]
        assert report.verdict is CheckStatus.FAILED
        assert report.stop is not None
        assert report.stop.step is step, report
        assert report.reason.startswith(reason)
    assert result.exit_status == 3


async def test_certificates(env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For another name, ended, of an authority that nobody knows: named, and not gone on with unless asked to."""
    today = datetime.now(UTC)
    wrong = certificate(tmp_path / "wrong", "turn.example.org")
    ended = certificate(tmp_path / "ended", "localhost", now=today - timedelta(days=400))
    soon = certificate(tmp_path / "soon", "localhost", now=today - timedelta(days=390))
    unknown = certificate(tmp_path / "unknown", "localhost")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text("".join(files.authority.read_text() for files in (wrong, ended, soon)))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    reasons, insecure = {}, {}
    for name, files in (("wrong", wrong), ("ended", ended), ("soon", soon), ("unknown", unknown)):
        async with coturn(files=files) as server:
            url = server.url("tls", "localhost")
            (reasons[name],) = (await checked(env, url)).urls
            (insecure[name],) = (await checked(env, url, is_insecure=True)).urls
    assert reasons["wrong"].reason == "certificate is for another name: turn.example.org"
    assert reasons["ended"].reason == "certificate has expired 4 days ago"
    assert reasons["soon"].reason == "the certificate expires in 6 days"
    assert reasons["unknown"].reason.startswith(
        "certificate is signed by an authority that is not trusted here (rtcctl dev "
    )
    assert [report.verdict for report in reasons.values()] == [
        CheckStatus.FAILED,
        CheckStatus.FAILED,
        CheckStatus.PASSED,
        CheckStatus.FAILED,
    ]
    for name in ("wrong", "ended", "unknown"):
        report = reasons[name]
        assert report.stop is not None
        assert report.stop.step is Step.TLS
        assert report.tls is not None
        assert not report.tls.is_verified
        assert report.allocate_ms is None
    for report in insecure.values():
        assert report.verdict is CheckStatus.PASSED
        assert "the certificate was not verified" in report.reason


async def test_an_interceptor_is_named(env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate made by a product that opens TLS on the way is no certificate of the server, trusted or not."""
    monkeypatch.setattr(tls, "_name", _named_by_zscaler(tls._name))
    files = certificate(tmp_path / "zscaler", "localhost")
    async with coturn(files=files) as server:
        (refused,) = (await checked(env, server.url("tls", "localhost"))).urls
        monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
        (trusted,) = (await checked(env, server.url("tls", "localhost"))).urls
    assert refused.reason.startswith("TLS is intercepted: the certificate was made by Zscaler Intermediate Root CA")
    assert refused.verdict is CheckStatus.FAILED
    assert trusted.reason.startswith("TLS is intercepted: ")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_a_server_that_dies(env: Env, protocol: str) -> None:
    """Killed while traffic goes: said when, and that it is over."""
    async with coturn() as server, asyncio.TaskGroup() as group:
        running = group.create_task(checked(env, server.url(protocol), for_s=2.5))
        await _until_it_relays(server.folder / "log")
        await asyncio.sleep(0.3)
        server.kill()
        result = await running
    (report,) = result.urls
    assert report.verdict is CheckStatus.FAILED
    assert report.traffic is not None
    assert 0 < report.traffic.packets_received < 100
    if protocol == "udp":
        assert re.fullmatch(r"the relay fell silent after [01]\.\d s", report.reason)
    else:
        assert f":{server.port} closed the connection" in report.reason


async def test_loss_is_what_was_lost(env: Env) -> None:
    """5 % of the packets dropped on the way back: reported to the packet, and too much for the usual limit."""
    chance = random.Random(7)
    lost = {index for index in range(1000) if chance.random() < 0.05}
    async with coturn() as server:
        with turn_path(("127.0.0.1", server.port), drops=lost.__contains__) as path:
            result = await checked(env, f"turn:127.0.0.1:{path.port}", for_s=2, rate_hz=200)
    (report,) = result.urls
    traffic = report.traffic
    assert traffic is not None
    dropped = path.media_dropped
    assert 0.03 < dropped / 400 < 0.07
    assert (traffic.packets_sent, traffic.packets_lost) == (400, dropped)
    assert traffic.fraction_lost == dropped / 400
    assert result.exit_status == 3
    assert report.reason == f"{dropped / 400:.1%} lost, more than 2.0%"


async def test_the_round_trip_is_that_of_turnutils_uclient(env: Env) -> None:
    """With 40 ms on the way, both tools agree within 2 ms."""
    uclient = shutil.which("turnutils_uclient")
    require("turnserver", why="the other tool comes with coturn", is_there=uclient is not None)
    async with coturn() as server:
        with turn_path(("127.0.0.1", server.port), hold_s=0.02) as path:
            (report,) = (await checked(env, f"turn:127.0.0.1:{path.port}", for_s=2)).urls
            credentials = ["-u", USERNAME, "-w", PASSWORD, "-p", str(path.port)]
            # To itself through the relay, no RTCP beside it, 100 messages by one client, one each 20 ms.
            flow = ["-y", "-c", "-n", "100", "-m", "1", "-z", "20"]
            other = await asyncio.create_subprocess_exec(
                str(uclient),
                *credentials,
                *flow,
                "127.0.0.1",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await other.communicate()
    found = re.findall(rb"[Aa]verage round trip delay (\d+\.\d+) ms", said)
    assert found, said
    assert report.traffic is not None
    assert report.traffic.rtt_ms is not None
    assert report.traffic.rtt_ms.p50 >= 40
    assert report.traffic.rtt_ms.p50 == pytest.approx(float(found[-1]), abs=2)


async def test_a_slow_path(env: Env) -> None:
    """With 600 ms there and back, requests are repeated before they are answered; the figures are the path's."""
    async with coturn() as server:
        with turn_path(("127.0.0.1", server.port), hold_s=0.3) as path:
            (report,) = (await checked(env, f"turn:127.0.0.1:{path.port}", for_s=0.5)).urls
    assert report.verdict is CheckStatus.PASSED
    assert report.traffic is not None
    assert report.traffic.rtt_ms is not None
    for rtt_ms in (report.binding_ms, report.traffic.rtt_ms.p50, (report.allocate_ms or 0) / 2):
        assert rtt_ms == pytest.approx(600, abs=60)
    assert report.traffic.fraction_lost == 0


async def test_an_answer_that_waited_for_us_is_one() -> None:
    """Whose loop stood still over the time of a repetition finds the answer nevertheless."""
    async with coturn() as server:
        link = await link_to(server.url("udp"), server.authority)
        async with Allocation(link, USERNAME, PASSWORD, lambda data, peer: None) as allocation:
            asyncio.get_running_loop().call_soon(time.sleep, 0.6)
            mapped, _ = await allocation.binding(0.55)
    assert mapped is not None


async def test_connections_that_are_reset(env: Env) -> None:
    """A server that takes connections and breaks them off at once, whenever that is noticed, is one that fails."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for _ in range(10):
            result = await checked(env, f"turn:127.0.0.1:{port}?transport=tcp", f"turns:127.0.0.1:{port}")
            assert {report.verdict for report in result.urls} == {CheckStatus.FAILED}


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_a_name_with_several_addresses(env: Env, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """The first one that answers is used, as clients have it; all together may take no longer than one."""
    async with coturn() as server:

        async def addresses(url: object) -> tuple[tuple[str, int], ...]:
            return ("127.0.0.77", 9), ("127.0.0.1", server.port)

        monkeypatch.setattr(url_check, "resolve", addresses)
        (report,) = (await checked(env, f"turn:example.org:{server.port}?transport={protocol}")).urls
    assert report.verdict is CheckStatus.PASSED, report
    assert report.addresses == ("127.0.0.77", "127.0.0.1")
    assert report.address == "127.0.0.1"


async def test_what_was_checked_stays_when_it_is_interrupted(env: Env) -> None:
    """The URLs that are done are in the result beside the interruption."""
    async with coturn() as server:
        checking = asyncio.create_task(checked(env, "turn:nobody.invalid", server.url("udp"), for_s=30))
        await _until_it_relays(server.folder / "log")
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
    assert isinstance(env.partial, TurnCheck)
    assert [report.url for report in env.partial.urls] == ["turn:nobody.invalid"]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_nothing_is_left_of_a_check_that_is_cancelled(protocol: str) -> None:
    """While a server that has been reached says nothing."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    loop = asyncio.get_running_loop()
    with closing(socket.socket(type=kind)) as silent:
        silent.setblocking(False)
        silent.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            silent.listen()
        plan = url_check.Plan(1.0, 50.0, Trust(), time.monotonic)
        with nothing_left():
            url = f"turn:127.0.0.1:{silent.getsockname()[1]}?transport={protocol}"
            checking = asyncio.create_task(url_check.check_url(url, None, plan))
            end = (await loop.sock_accept(silent))[0] if protocol == "tcp" else silent
            await loop.sock_recv(end, 1500)  # the binding request
            checking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await checking
            if protocol == "tcp":
                end.close()


async def test_nat_behaviour(env: Env) -> None:
    """A server with two addresses (RFC 5780) tells how the NAT on the way behaves: here there is none."""
    async with coturn(hosts=("127.0.0.1", "127.0.0.2")) as server:
        (report,) = (await checked(env, f"stun:127.0.0.1:{server.port}")).urls
    async with coturn() as server:
        (without,) = (await checked(env, f"stun:127.0.0.1:{server.port}")).urls
    assert report.nat is not None
    assert (report.nat.mapping, report.nat.filtering) == ("no-nat", "endpoint-independent")
    assert without.nat is None


@asynccontextmanager
async def embedded(env: Env, tmp_path: Path) -> AsyncIterator[tuple[RealtimeServer, Env]]:
    """A server that relays, and surroundings that point at it."""
    require("turnserver", why="it relays for the embedded server")
    files = certificate(tmp_path / "tls", "127.0.0.1")
    async with RealtimeServer.run("127.0.0.1", 0, media_hosts=["127.0.0.1"], turn_tls=files) as server:
        profile = Profile(
            "local",
            server.base_url,
            turn_key_id=server.turn_key_id,
            turn_key_token=server.turn_key_token,
            ca_file=str(files.authority),
            is_embedded=True,
        )
        yield server, env.with_profile(profile)


async def test_credentials_of_the_profile(env: Env, tmp_path: Path) -> None:
    """New ones are made and end with the check; all URLs work, TLS by the server's own authority; expired: refused."""
    async with embedded(env, tmp_path) as (server, there):
        result = await check(CheckRequest(for_s=1), there)
        assert server.turn.credentials == ()
        assert there.journal.turn_credentials(there.wallclock()) == ()
    assert [report.protocol for report in result.urls] == ["udp", "udp", "tcp", "tls"]
    assert result.exit_status == 0, result
    for report in result.urls[1:]:
        assert (report.wrong_password, report.expired) == (Refusal.REFUSED, Refusal.REFUSED)
    assert result.source == f"TURN key {server.turn_key_id}"


async def test_a_credential_that_was_revoked(env: Env, tmp_path: Path) -> None:
    """It was good; now it is refused."""
    async with embedded(env, tmp_path) as (server, there):
        made = await creds(CredsRequest(600), there)
        (server_with_credential,) = [one for one in made.ice_servers if one.username]
        urls = tuple(url for url in server_with_credential.urls if "transport=udp" in url)
        request = CheckRequest(ice_servers=(replace(server_with_credential, urls=urls),), source="test", for_s=0.5)
        before = await check(request, there)
        server.turn.revoke(server.turn_key_id, str(server_with_credential.username))
        after = await check(request, there)
    assert (before.exit_status, after.exit_status) == (0, 3)
    assert after.urls[0].reason == "the credential was refused (401): wrong, expired or revoked"


async def test_an_expired_credential_that_still_works(
    env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that goes on taking it fails."""
    monkeypatch.setattr("rtcctl.probe.turn.url_check.EXPIRY_GRACE_S", 0.5)
    async with embedded(env, tmp_path) as (server, there):
        monkeypatch.setattr(server.turn, "_end", lambda credential: None)
        result = await check(CheckRequest(for_s=0.5, requirements=(Requirement("udp"),)), there)
    assert result.exit_status == 3
    assert "it accepts a credential that has expired" in {report.reason for report in result.urls}


# -- the command -----------------------------------------------------------------------------------------------------


async def test_the_command(home: Home) -> None:
    """Servers from a file or stdin; what is required decides; an earlier result is compared with; JSON and CSV."""
    async with coturn() as server:
        good, bad = server.url("udp"), f"turn:127.0.0.1:{server.tls_port + 2}?transport=tcp"
        document = json.dumps({"iceServers": {"urls": [good, bad], "username": USERNAME, "credential": PASSWORD}})
        (home.folder / "ice.json").write_text(document)

        async def run(*arguments: str, stdin: str | None = None) -> Any:
            return await asyncio.to_thread(home.run, "turn", "check", "--for", "500ms", *arguments, stdin=stdin)

        whole = await run("--ice-servers", "ice.json", "-o", "json")
        (home.folder / "before.json").write_text(whole.stdout)
        table, only_udp, anything, tls, csv = await asyncio.gather(
            run("--ice-servers", "-", "--compare", "before.json", stdin=document),
            run("--ice-servers", "ice.json", "--require", "udp"),
            run("--ice-servers", "ice.json", "--require", "any"),
            run("--ice-servers", "ice.json", "--require", "udp,tls:443"),
            run("--ice-servers", "ice.json", "-o", "csv"),
        )
    assert whole.status == 3
    assert whole.document["schema"] == "rtcctl.turn.check/1"
    assert [url["verdict"] for url in whole.document["urls"]] == ["passed", "failed"]
    assert [check["name"] for check in whole.document["checks"]] == [
        f"turn-udp-{server.port}",
        f"turn-tcp-{server.tls_port + 2}",
    ]
    assert PASSWORD not in whole.stdout + table.stdout + table.stderr
    assert table.status == 3
    assert re.search(r"before: passed, rtt p50 \d+\.\d+ ms, 0 % lost", table.stdout)
    assert "before: failed" in table.stdout
    assert only_udp.status == 0
    assert "(failed)" in only_udp.stdout
    assert anything.status == 0
    assert tls.status == 3
    assert f"require tls:443: no URL matches; there is udp:{server.port}, " in tls.stdout
    assert len(csv.stdout.splitlines()) == 3


WRONG = {
    "no such file": (["--ice-servers", "nothing.json"], "nothing.json cannot be read: No such file or directory"),
    "no JSON": (["--ice-servers", "-"], "--ice-servers - is not JSON"),
    "no rate": (["--rate", "50"], "a rate needs its unit: 50/s"),
    "no requirement": (["--require", "dtls"], "'dtls' is nothing that could be required"),
    "no port": (["--require", "tls:x"], "'tls:x' is nothing that could be required"),
    "a port for all": (["--require", "all:443"], "'all:443' is nothing that could be required"),
    "empty": (["--require", ""], "an empty name is among the names"),
    "no earlier check": (["--compare", "config.toml"], "config.toml cannot be read"),
    "another document": (["--compare", "-"], "--compare - is not what `rtcctl turn check --output json` writes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_2(home: Home, case: str) -> None:
    """A mistake is named, before anything is sent."""
    arguments, said = WRONG[case]
    stdin = '{"schema": "rtcctl.turn.check/1", "urls": [3]}' if "--compare" in arguments else "no JSON"
    done = home.run("turn", "check", *arguments, stdin=stdin)
    assert done.status == 2
    assert said in done.stderr


@pytest.mark.parametrize("text", ["[]", '{"iceServers": []}', "3", '[{"urls": 3}]', '[{"username": "a"}]', '"turn:a"'])
def test_a_list_that_is_none_is_2(home: Home, text: str) -> None:
    """Whatever JSON it is."""
    done = home.run("turn", "check", "--ice-servers", "-", stdin=text)
    assert done.status == 2, done
    assert "--ice-servers -" in done.stderr or "There is no URL in stdin" in done.stderr


def _listener() -> socket.socket:
    """Takes connections and says nothing."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8)
    return listener


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


def _named_by_zscaler(make: Any) -> Any:
    def name(text: str) -> Any:
        return make(text.replace("rtcctl dev ", "Zscaler Intermediate Root CA "))

    return name


async def _until_it_relays(log: Path) -> None:
    """Both allocations have their channels."""
    async with asyncio.timeout(5):
        while log.read_text(errors="replace").count("CHANNEL_BIND processed, success") < 2:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
