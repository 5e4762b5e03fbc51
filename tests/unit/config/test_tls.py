"""The kept certificate of `rtcctl dev --tls`."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from rtcctl.config.tls import kept_certificate, trusting
from rtcctl.errors import UsageError

NOW = datetime.datetime(2030, 5, 1, tzinfo=datetime.UTC)


def test_trust_given_yesterday_works_today(tmp_path: Path):
    """The same files while they are good, private; new ones near their end or when damaged."""
    files = kept_certificate(tmp_path, ["127.0.0.1"], NOW)
    made = files.server.read_text()
    assert [path.stat().st_mode & 0o777 for path in (files.server, files.server.parent)] == [0o600, 0o700]
    assert kept_certificate(tmp_path, ["localhost"], NOW + datetime.timedelta(days=300)) == files
    assert files.server.read_text() == made
    files.authority.unlink()
    kept_certificate(tmp_path, ["::1"], NOW)
    assert files.authority.read_text() in made
    kept_certificate(tmp_path, [], NOW + datetime.timedelta(days=380))
    assert files.server.read_text() != made
    files.server.write_text("damaged")
    kept_certificate(tmp_path, [], NOW)
    assert files.authority.read_text() in files.server.read_text()


def test_a_server_elsewhere_has_its_own(tmp_path: Path):
    """Trust in the one on loopback stays."""
    here = kept_certificate(tmp_path, ["127.0.0.1"], NOW)
    there = kept_certificate(tmp_path, ["192.0.2.7"], NOW)
    assert here.server != there.server
    assert kept_certificate(tmp_path, ["192.0.2.7", "127.0.0.1"], NOW) == there


def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    """It may be theirs by now."""
    files = kept_certificate(tmp_path, [], NOW)
    files.server.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        kept_certificate(tmp_path, [], NOW)


def test_a_folder_in_place_of_the_key_is_named(tmp_path: Path):
    """It is not made private, which would be of no use."""
    (tmp_path / "dev" / "tls" / "localhost" / "server.pem").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"server\.pem is a folder, not a file"):
        kept_certificate(tmp_path, [], NOW)


def test_what_cannot_be_kept_is_an_error(tmp_path: Path):
    """A file stands where the folder is to be."""
    (tmp_path / "dev").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        kept_certificate(tmp_path, [], NOW)


def test_other_programs_trust_it_besides_what_they_trusted(tmp_path: Path):
    """Variables that replace the system's authorities name a bundle of both; Node's adds to them, and to the user's."""
    files = kept_certificate(tmp_path / "state", [], NOW)
    authority = files.authority.read_text()
    mine, extra = tmp_path / "mine.pem", tmp_path / "extra.pem"
    mine.write_text("MINE")
    extra.write_text("EXTRA\n")
    variables = trusting(files, {"SSL_CERT_FILE": str(mine), "NODE_EXTRA_CA_CERTS": str(extra)})
    bundle = Path(variables["SSL_CERT_FILE"])
    assert bundle.read_text() == f"MINE\n{authority}"
    assert variables["REQUESTS_CA_BUNDLE"] == variables["CURL_CA_BUNDLE"] == str(bundle)
    assert Path(variables["NODE_EXTRA_CA_CERTS"]).read_text() == f"EXTRA\n{authority}"
    variables = trusting(files, {})
    assert Path(variables["NODE_EXTRA_CA_CERTS"]).read_text() == authority
    whole = bundle.read_text()
    assert whole.count("BEGIN CERTIFICATE") > 10
    assert trusting(files, variables) == variables
    assert bundle.read_text() == whole
    assert Path(variables["NODE_EXTRA_CA_CERTS"]).read_text() == authority
