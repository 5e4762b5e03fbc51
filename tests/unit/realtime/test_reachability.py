"""Why an API cannot be reached: name, connection and TLS are told apart."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import NetworkError, UsageError
from rtcctl.realtime.reachability import Endpoint
from tests.unit.realtime.wire import PROFILE, Service, client

CLOUDFLARE = replace(PROFILE, api_base="https://rtc.live.cloudflare.com/v1")


def caused_by(*causes: BaseException, kind: type[httpx.TransportError] = httpx.ConnectError) -> httpx.TransportError:
    """As httpx raises it: each cause behind the one before."""
    error = kind("All connection attempts failed")
    outer: BaseException = error
    for cause in causes:
        outer.__cause__ = cause
        outer = cause
    return error


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


async def failure(service: Service, profile=PROFILE) -> NetworkError:
    async with client(service, profile=profile) as api:
        with pytest.raises(NetworkError) as caught:
            await api.new_session()
    return caught.value


async def test_nothing_listens_here():
    """The hint is the command that mends it, at once: nobody else will start it."""
    service = Service(caused_by(OSError("All connection attempts failed"), ConnectionRefusedError(111, "refused")))
    error = await failure(service)
    assert error.phase == "tcp"
    assert error.message == "No Realtime server listens on 127.0.0.1:8610."
    assert "rtcctl dev" in error.hint
    assert len(service.requests) == 1


async def test_nothing_listens_there():
    """Elsewhere it may come back: tried again, then said."""
    service = Service(caused_by(ConnectionRefusedError(111, "refused")))
    error = await failure(service, CLOUDFLARE)
    assert error.phase == "tcp"
    assert "rtc.live.cloudflare.com:443" in error.message
    assert "rtcctl dev" not in error.hint
    assert len(service.requests) == 3


async def test_the_name_is_not_known():
    """A name that does not exist will not exist in a second."""
    service = Service(caused_by(socket.gaierror(socket.EAI_NONAME, "Name or service not known")))
    error = await failure(service, CLOUDFLARE)
    assert error.phase == "dns"
    assert "rtc.live.cloudflare.com" in error.message
    assert len(service.requests) == 1


async def test_names_cannot_be_asked_for_now():
    """A resolver that does not answer may do so in a second."""
    service = Service(caused_by(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")))
    error = await failure(service, CLOUDFLARE)
    assert error.phase == "dns"
    assert len(service.requests) == 3


async def test_the_certificate_is_not_trusted():
    """Nothing is sent, nothing is tried again, and how to trust a private authority is said."""
    service = Service(caused_by(untrusted()))
    error = await failure(service, CLOUDFLARE)
    assert error.phase == "tls"
    assert "self-signed certificate" in error.message
    assert "SSL_CERT_FILE" in error.hint
    assert len(service.requests) == 1


async def test_no_tls_is_spoken_there():
    """https:// of a server that speaks http."""
    error = await failure(Service(caused_by(ssl.SSLError(1, "WRONG_VERSION_NUMBER"))), CLOUDFLARE)
    assert error.phase == "tls"
    assert "http://" in error.hint


async def test_nobody_answers():
    """A firewall that drops."""
    service = Service(caused_by(TimeoutError(), kind=httpx.ConnectTimeout))
    error = await failure(service, CLOUDFLARE)
    assert error.phase == "tcp"
    assert "within 5 s" in error.message
    assert len(service.requests) == 3


async def test_there_is_no_way():
    """The system's own words, also of several addresses that were tried at once."""
    unreachable = OSError(errno.ENETUNREACH, "Network is unreachable")
    error = await failure(Service(caused_by(ExceptionGroup("several", [unreachable, unreachable]))), CLOUDFLARE)
    assert error.phase == "tcp"
    assert "Network is unreachable" in error.message
    assert "closed" in (await failure(Service(caused_by()), CLOUDFLARE)).message


@pytest.mark.parametrize(
    ("api_base", "endpoint", "is_loopback"),
    [
        ("https://rtc.live.cloudflare.com/v1", Endpoint("rtc.live.cloudflare.com", 443, True), False),
        ("http://localhost/v1", Endpoint("localhost", 80, False), True),
        ("http://app.localhost:8610/v1", Endpoint("app.localhost", 8610, False), True),
        ("http://127.8.0.1:1/v1", Endpoint("127.8.0.1", 1, False), True),
        ("http://[::1]:1/v1", Endpoint("::1", 1, False), True),
        ("http://192.0.2.7/v1", Endpoint("192.0.2.7", 80, False), False),
    ],
)
def test_endpoints(api_base: str, endpoint: Endpoint, is_loopback: bool):
    """Host, port and TLS of an API base."""
    assert Endpoint.of(api_base) == endpoint
    assert endpoint.is_loopback is is_loopback


@given(st.text(max_size=30) | st.text(max_size=20).map("http://{}".format))
def test_what_is_no_api_base_is_a_usage_error(text: str):
    """Nothing else comes out of the parser."""
    with contextlib.suppress(UsageError):
        assert Endpoint.of(text).host
