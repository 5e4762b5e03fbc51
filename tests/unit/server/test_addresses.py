"""Where media is received and what is announced, decided from what the machine has."""

from __future__ import annotations

import pytest

from rtcctl.errors import UsageError
from rtcctl.server.addresses import checked_announcement, checked_media_host, default_route, media_hosts, resolve

ROUTED = {4: "192.0.2.10", 6: "2001:db8::10"}


def both(version: int) -> str | None:
    return ROUTED[version]


def ipv4_only(version: int) -> str | None:
    return ROUTED[version] if version == 4 else None


def none(version: int) -> str | None:
    return None


@pytest.mark.parametrize(
    ("http", "route", "expected"),
    [
        ("127.0.0.1", both, (("127.0.0.1", "192.0.2.10"), ("127.0.0.1",))),
        ("127.0.0.1", none, (("127.0.0.1",),)),
        ("::1", both, (("::1", "2001:db8::10"), ("::1",))),
        ("::1", ipv4_only, (("::1",),)),
        ("0.0.0.0", both, (("192.0.2.10", "127.0.0.1"),)),
        ("0.0.0.0", none, (("127.0.0.1",),)),
        ("::", both, (("2001:db8::10", "192.0.2.10", "::1", "127.0.0.1"),)),
        ("192.0.2.77", both, (("192.0.2.77",),)),
    ],
)
def test_without_a_word(http, route, expected):
    """On loopback: loopback and the routed address, or loopback alone; elsewhere what was asked for, all of it."""
    assert media_hosts(http, (), route=route) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["192.0.2.5"], ("192.0.2.5",)),
        (["::1", "127.0.0.1"], ("::1", "127.0.0.1")),
        (["192.0.2.5", "192.0.2.5", "127.0.0.1"], ("192.0.2.5", "127.0.0.1")),
        (["0.0.0.0"], ("192.0.2.10", "127.0.0.1")),
        (["127.0.0.1", "0.0.0.0"], ("127.0.0.1", "192.0.2.10")),
    ],
)
def test_addresses_of_the_users(chosen, expected):
    """In the user's order, each once, with no second choice: what was named must be there."""
    assert media_hosts("127.0.0.1", chosen, route=both) == (expected,)


def test_the_default_route_is_an_address_of_this_machine():
    """If there is one, media can be received there."""
    for version in (4, 6):
        address = default_route(version)
        assert address is None or checked_media_host(address) == address


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("no.such.host.invalid", "is no address"),
        ("224.0.0.1", "cannot be an ICE candidate"),
        ("198.51.100.99", "no address of this machine"),
        ("", "is no address|no address of this machine"),
        ("a" * 300, "is no address"),
    ],
)
def test_media_hosts_that_cannot_be(text, match):
    """The option and the value are named."""
    with pytest.raises(UsageError, match=match) as caught:
        checked_media_host(text)
    assert "--media-host" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "example.com", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fe80::1%eth0", "192.0.2.7:8610"]
)
def test_announcements_that_cannot_be(text):
    """Only an address that a client could send to is announced."""
    with pytest.raises(UsageError, match="--announce"):
        checked_announcement(text)


def test_announcements():
    """Any other address, in its usual spelling."""
    assert checked_announcement("192.0.2.7") == "192.0.2.7"
    assert checked_announcement("2001:DB8:0::7") == "2001:db8::7"


def test_names_are_resolved():
    """`localhost` is an address; an impossible name is the user's to mend."""
    assert resolve("localhost", "--host") in ("127.0.0.1", "::1")
    with pytest.raises(UsageError, match="--host"):
        resolve("\udcff", "--host")
