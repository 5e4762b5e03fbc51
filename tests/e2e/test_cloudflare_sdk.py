"""Cloudflare's own Python SDK, unchanged, against the account API of `rtcctl dev`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from tests.support.command import Home
from tests.support.requirements import require


@pytest.fixture(scope="module")
def cloudflare() -> Any:
    require(
        "cloudflare", why="the account API is tried with Cloudflare's SDK", is_there=find_spec("cloudflare") is not None
    )
    import cloudflare

    return cloudflare


def test_apps_and_turn_keys(home: Home, cloudflare: Any, monkeypatch: pytest.MonkeyPatch):
    """The methods of both, with nothing but the SDK's own variables set; what was made works until it is deleted."""
    with home.dev() as server:
        ready = server.ready
        monkeypatch.setenv("CLOUDFLARE_API_TOKEN", ready["account_token"])
        monkeypatch.setenv("CLOUDFLARE_BASE_URL", ready["account_api_base"])
        with cloudflare.Cloudflare() as client, httpx.Client(base_url=ready["base_url"]) as http:
            account_id = ready["account_id"]
            for api, secret_of, path, status in (
                (client.calls.sfu, lambda made: made.secret, "apps/{}/sessions/new", 201),
                (client.calls.turn, lambda made: made.key, "turn/keys/{}/credentials/generate-ice-servers", 201),
            ):
                made = api.create(account_id=account_id, name="sdk")
                assert (made.name, len(made.uid), len(secret_of(made))) == ("sdk", 32, 64)
                assert made.created == made.modified
                headers = {"Authorization": f"Bearer {secret_of(made)}"}
                assert http.post(path.format(made.uid), headers=headers).status_code == status
                assert api.get(made.uid, account_id=account_id).name == "sdk"
                assert api.update(made.uid, account_id=account_id, name="renamed").name == "renamed"
                assert [item.name for item in api.list(account_id=account_id)] == ["", "renamed"]
                assert api.delete(made.uid, account_id=account_id).uid == made.uid
                with pytest.raises(cloudflare.NotFoundError) as caught:
                    api.get(made.uid, account_id=account_id)
                assert caught.value.errors[0].code == 7003
                assert http.post(path.format(made.uid), headers=headers).status_code == 404
        monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "wrong")
        with cloudflare.Cloudflare() as client, pytest.raises(cloudflare.AuthenticationError):
            client.calls.sfu.list(account_id=account_id)


def test_a_command_finds_it_by_itself(home: Home, cloudflare: Any):
    """`dev -- COMMAND` sets the SDK's variables."""
    code = (
        "import os, cloudflare; client = cloudflare.Cloudflare(); "
        "print(*(a.uid for a in client.calls.sfu.list(account_id=os.environ['CLOUDFLARE_ACCOUNT_ID'])))"
    )
    done = home.run("dev", "--port", "0", "--", sys.executable, "-c", code)
    assert (done.status, done.stdout.strip()) == (0, "dev00000000000000000000000000000"), done.stderr
