"""The certificate of HTTPS: what is made is accepted, by the names it is for, and nothing else is."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509

from rtcctl.transport import tls

NAMES = ("localhost", "127.0.0.1", "::1", "192.0.2.7", "server.example")
NOW = datetime.datetime(2030, 5, 1, tzinfo=datetime.UTC)
MADE = tls.generate(NAMES, NOW)


def handshake(server_pem: str, authority: str, name: str, tmp_path) -> None:
    """Python's own client against a server with that file, in memory; raises what it raises."""
    file = tmp_path / "server.pem"
    file.write_text(server_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    trusting = ssl.create_default_context(cadata=authority)
    # As from Python 3.13 on.
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.version() == "TLSv1.3"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_accepted_for_each_of_its_names(name: str, tmp_path):
    """By OpenSSL in its strict mode, with the authority alone as what is trusted."""
    made = tls.generate(NAMES, datetime.datetime.now(datetime.UTC))
    handshake(made.server, made.authority, name, tmp_path)


def test_it_is_accepted_for_no_other_name_and_by_no_other_authority(tmp_path):
    """That is what it is for."""
    now = datetime.datetime.now(datetime.UTC)
    made, other = tls.generate(NAMES, now), tls.generate(NAMES, now)
    for authority, name in ((made.authority, "192.0.2.8"), (other.authority, "localhost")):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(made.server, authority, name, tmp_path)


def test_nobody_can_make_another_with_the_authority():
    """Its key is in neither file, and it signs servers only, no other authorities."""
    assert MADE.server.count("PRIVATE KEY") == 2
    assert "PRIVATE" not in MADE.authority
    assert "PRIVATE" not in repr(MADE)
    authority = x509.load_pem_x509_certificate(MADE.authority.encode())
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


@pytest.mark.parametrize(
    ("days", "is_usable"), [(-2, False), (0, True), (300, True), (365, True), (367, False), (1000, False)]
)
def test_it_is_used_until_it_is_near_its_end(days: int, is_usable: bool):
    """A month before, it is made anew."""
    found = tls.authority_of(MADE.server, NAMES, NOW + datetime.timedelta(days=days))
    assert found == (MADE.authority if is_usable else None)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", NAMES),
        ("nonsense", NAMES),
        ("Ü", NAMES),
        (MADE.authority, NAMES),
        (MADE.server.replace(MADE.authority, ""), NAMES),
        (MADE.server.replace(MADE.authority, tls.generate(NAMES, NOW).authority), NAMES),
        (
            tls.generate(NAMES, NOW).server.partition("-----BEGIN CERT")[0] + MADE.server.partition("KEY-----\n")[2],
            NAMES,
        ),
        (MADE.server[: len(MADE.server) // 2], NAMES),
        (MADE.server, (*NAMES, "198.51.100.1")),
    ],
)
def test_what_is_damaged_or_for_other_names_is_not_used(text: str, names: tuple[str, ...]):
    """It is no error: another one is made."""
    assert tls.authority_of(text, names, NOW) is None
