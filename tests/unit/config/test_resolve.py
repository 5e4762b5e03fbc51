"""Which profile is used: the rules of precedence, bundles that cannot mix, and mistakes that are named."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtcctl.config import resolve
from rtcctl.config.environment import ACCOUNT, APP, CREDENTIALS, TURN, Family, for_command
from rtcctl.errors import UsageError
from rtcctl.realtime.development import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_ACCOUNT_TOKEN,
    DEVELOPMENT_APP_ID,
    DEVELOPMENT_APP_SECRET,
    DEVELOPMENT_TURN_KEY_TOKEN,
)
from rtcctl.realtime.profile import CLOUDFLARE_API_BASE
from tests.unit.config.conftest import User

TWO = """
profile = "prod"
[profiles.prod]
app_id = "prod-app"
app_secret = "prod-secret"
[profiles.staging]
api_base = "https://staging.example/v1/"
app_id = "staging-app"
app_secret = "staging-secret"
turn_key_id = "staging-key"
turn_key_token = "staging-token"
"""

OURS = {"RTCCTL_APP_ID": "env-app", "RTCCTL_APP_SECRET": "env-secret"}


# --- local


def test_nothing_recognised_is_local(user: User):
    """A fresh machine: the embedded server, at the address and with the credentials that it has by default."""
    resolution = user.resolve()
    profile = resolution.profile
    assert (profile.name, profile.is_embedded) == ("local", True)
    assert profile.api_base == "http://127.0.0.1:8610/v1"
    assert (profile.app_id, profile.app_secret) == (DEVELOPMENT_APP_ID, DEVELOPMENT_APP_SECRET)
    assert (profile.account_id, profile.account_token) == (DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_ACCOUNT_TOKEN)
    assert profile.account_api_base == "http://127.0.0.1:8610/client/v4"
    assert profile.turn_key_token == DEVELOPMENT_TURN_KEY_TOKEN
    assert set(resolution.origins.values()) == {"default"}
    assert resolution.ignored == resolution.warnings == ()


@pytest.mark.parametrize("variable", CREDENTIALS)
def test_anything_recognised_is_not_local(user: User, variable: str):
    """A CI job of which half the secrets are there must not test the embedded server and pass."""
    with pytest.raises(UsageError, match=variable):
        user.resolve(**{variable: "x"})


@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.parametrize("variable", [*CREDENTIALS, "RTCCTL_PROFILE"])
def test_an_empty_variable_is_named(user: User, variable: str, value: str):
    """What a CI system makes of a secret that it does not have."""
    with pytest.raises(UsageError, match=rf"{variable} (is|are) empty|{variable} and \w+ are empty"):
        user.resolve(**{variable: value})
    with pytest.raises(UsageError, match=f"{variable}.* empty"):
        user.resolve(**{**OURS, variable: value})


def test_several_empty_variables_are_all_named(user: User):
    """One message, not one at a time."""
    with pytest.raises(UsageError, match="RTCCTL_APP_ID and RTCCTL_APP_SECRET are empty"):
        user.resolve(RTCCTL_APP_ID="", RTCCTL_APP_SECRET="")


def test_profiles_without_a_choice_are_not_local(user: User):
    """Something is recognised: the user is asked which."""
    user.has(TWO.replace('profile = "prod"', ""))
    with pytest.raises(UsageError, match="prod, staging") as caught:
        user.resolve()
    assert "config use" in caught.value.hint
    assert user.resolve("local").profile.name == "local"


# --- the environment


@pytest.mark.parametrize("family", APP)
def test_credentials_of_the_environment_are_the_profile_env(user: User, family: Family):
    """Our names and those of other tools, as one bundle."""
    names = family.variables
    values = {names["app_id"]: "a", names["app_secret"]: " s3cret\n", names["api_base"]: "https://sfu.example/v1/"}
    resolution = user.resolve(**values)
    profile = resolution.profile
    assert (profile.name, profile.api_base) == ("env", "https://sfu.example/v1")
    assert (profile.app_id, profile.app_secret) == ("a", "s3cret")
    assert profile.turn_key_id == profile.turn_key_token == ""
    assert not profile.is_embedded
    assert resolution.origins == {
        "name": "environment",
        "api_base": f"environment {names['api_base']}",
        "app_id": f"environment {names['app_id']}",
        "app_secret": f"environment {names['app_secret']}",
    }


def test_the_api_base_is_cloudflares_unless_set(user: User):
    """The one setting of the bundle that may be left out."""
    resolution = user.resolve(**OURS)
    assert resolution.profile.api_base == CLOUDFLARE_API_BASE
    assert resolution.origins["api_base"] == "default"


@pytest.mark.parametrize("family", [*TURN, *ACCOUNT])
def test_turn_key_and_account_join_the_environments_bundle(user: User, family: Family):
    """They are pairs of their own."""
    values = {name: f"https://x.example/{setting}" for setting, name in family.variables.items()}
    profile = user.resolve(**OURS, **values).profile
    for setting, name in family.variables.items():
        assert getattr(profile, setting) == values[name]


@pytest.mark.parametrize("family", [*APP, *TURN, *ACCOUNT])
def test_half_a_pair_is_named(user: User, family: Family):
    """Each variable of a pair without the others."""
    required = [name for setting, name in family.variables.items() if setting not in family.optional]
    for name in required:
        (missing,) = (other for other in required if other != name)
        with pytest.raises(UsageError, match=f"{name} is set, but {missing} is not") as caught:
            user.resolve(**{name: "x"})
        assert "--profile" in caught.value.hint


def test_an_api_base_alone_is_half_a_bundle(user: User):
    """Both missing variables are named."""
    with pytest.raises(UsageError, match="RTCCTL_APP_ID and RTCCTL_APP_SECRET are not"):
        user.resolve(RTCCTL_API_BASE="http://127.0.0.1:8610/v1")


def test_bundles_of_the_environment_do_not_mix(user: User):
    """An id by one tool's name and a secret by another's are two halves."""
    with pytest.raises(UsageError, match="RTCCTL_APP_SECRET is not"):
        user.resolve(RTCCTL_APP_ID="a", REALTIME_SFU_BEARER_TOKEN="s")


def test_our_names_go_first_and_the_others_are_said_to_be_ignored(user: User):
    """Two whole bundles: one is used, and nothing of the other."""
    resolution = user.resolve(
        **OURS, CALLS_APP_ID="other", CALLS_APP_SECRET="other", CALLS_API_URL="https://other.example/v1"
    )
    assert resolution.profile.app_id == "env-app"
    assert resolution.profile.api_base == CLOUDFLARE_API_BASE
    assert resolution.ignored == ("CALLS_APP_ID", "CALLS_APP_SECRET", "CALLS_API_URL")


def test_the_environment_goes_before_the_files(user: User):
    """Credentials in the environment alone form the profile, whatever the files say."""
    user.has(TWO)
    user.is_in_project_with('profile = "staging"')
    assert user.resolve(**OURS).profile.app_secret == "env-secret"


def test_an_account_token_alone_does_not_undo_a_files_choice(user: User):
    """CLOUDFLARE_API_TOKEN is another tool's as often as ours; the bundle stays whole."""
    user.has(TWO)
    resolution = user.resolve(CLOUDFLARE_API_TOKEN="t", TURN_KEY_ID="k")
    assert resolution.profile.name == "prod"
    assert resolution.profile.account_token == resolution.profile.turn_key_id == ""
    assert resolution.ignored == ("TURN_KEY_ID", "CLOUDFLARE_API_TOKEN")


def test_a_turn_key_alone_is_a_profile_without_an_app(user: User):
    """Enough for `turn creds`, and not `local`."""
    profile = user.resolve(TURN_KEY_ID="k", TURN_KEY_API_TOKEN="t").profile
    assert (profile.name, profile.app_id, profile.turn_key_id) == ("env", "", "k")


def test_the_embedded_server_is_known_by_its_app(user: User):
    """`config env` of `rtcctl dev`, pasted."""
    profile = user.resolve(
        RTCCTL_API_BASE="http://h/v1", RTCCTL_APP_ID=DEVELOPMENT_APP_ID, RTCCTL_APP_SECRET="s"
    ).profile
    assert profile.is_embedded


def test_env_can_be_asked_for(user: User):
    """And is an error where the environment has nothing."""
    user.has(TWO)
    assert user.resolve("env", **OURS).profile.name == "env"
    with pytest.raises(UsageError, match="no credentials for the profile env"):
        user.resolve("env")


# --- flag, RTCCTL_PROFILE, project, user


def test_precedence_of_the_choice(user: User):
    """Flag, environment, project, user, in this order."""
    user.has(TWO)
    assert user.resolve().profile.name == "prod"
    assert user.resolve().origins["name"] == str(user.config)
    project = user.is_in_project_with('profile = "staging"')
    assert user.resolve().profile.name == "staging"
    assert user.resolve().origins["name"] == str(project)
    assert user.resolve(RTCCTL_PROFILE="prod").profile.name == "prod"
    assert user.resolve(RTCCTL_PROFILE="prod").origins["name"] == "RTCCTL_PROFILE"
    assert user.resolve("staging", RTCCTL_PROFILE="prod").profile.name == "staging"
    assert user.resolve("staging", RTCCTL_PROFILE="prod").origins["name"] == "--profile"


def test_a_profile_is_taken_whole(user: User):
    """All of it comes from X, and what the environment holds is listed as ignored, empty ones too."""
    user.has(TWO)
    resolution = user.resolve("staging", **OURS, TURN_KEY_ID="k", CLOUDFLARE_API_TOKEN="", RTCCTL_PROFILE="prod")
    profile = resolution.profile
    assert profile.api_base == "https://staging.example/v1"
    assert (profile.app_id, profile.app_secret) == ("staging-app", "staging-secret")
    assert (profile.turn_key_id, profile.turn_key_token) == ("staging-key", "staging-token")
    assert profile.account_token == ""
    assert resolution.ignored == (
        "RTCCTL_PROFILE",
        "RTCCTL_APP_ID",
        "RTCCTL_APP_SECRET",
        "TURN_KEY_ID",
        "CLOUDFLARE_API_TOKEN",
    )
    assert resolution.origins["app_secret"] == str(user.config)


def test_local_can_be_asked_for(user: User):
    """By flag, variable or file, with credentials around."""
    user.has('profile = "local"')
    assert user.resolve().profile.name == "local"
    assert user.resolve("local", **OURS).ignored == ("RTCCTL_APP_ID", "RTCCTL_APP_SECRET")
    assert user.resolve(RTCCTL_PROFILE="local", **OURS).profile.app_id == DEVELOPMENT_APP_ID


@pytest.mark.parametrize("how", ["flag", "variable", "project", "user"])
def test_an_unknown_profile_is_named(user: User, how: str):
    """With what is known, and where the name came from."""
    user.has(TWO if how != "user" else TWO.replace('"prod"', '"prd"', 1))
    if how == "project":
        user.is_in_project_with('profile = "prd"')
    with pytest.raises(UsageError, match="no profile 'prd'") as caught:
        user.resolve("prd" if how == "flag" else None, **({"RTCCTL_PROFILE": "prd"} if how == "variable" else {}))
    assert "prod, staging, local, env" in caught.value.hint
    assert {"flag": "--profile", "variable": "RTCCTL_PROFILE"}.get(how, ".toml") in caught.value.message


def test_an_empty_flag_is_a_usage_error(user: User):
    """`--profile "$UNSET"` must not be `local`."""
    with pytest.raises(UsageError, match="--profile is empty"):
        user.resolve("")


# --- projects


def test_a_project_may_define_profiles(user: User):
    """Ids in the repository, secrets with each user."""
    user.is_in_project_with('profile = "team"\n[profiles.team]\napp_id = "team-app"')
    profile = user.resolve().profile
    assert (profile.name, profile.app_id, profile.app_secret) == ("team", "team-app", "")


def test_a_project_may_not_redirect_a_users_secret(user: User):
    """The same name with another host: an error, not a request."""
    user.has(TWO)
    user.is_in_project_with(
        'profile = "prod"\n[profiles.prod]\napi_base = "https://evil.example/v1"\napp_id = "prod-app"'
    )
    for name in (None, "prod"):
        with pytest.raises(UsageError, match="another api_base"):
            user.resolve(name)
    assert user.resolve("staging").profile.app_secret == "staging-secret"


def test_a_project_may_not_swap_the_app_under_a_secret(user: User):
    """Bundles do not mix."""
    user.has(TWO)
    user.is_in_project_with('[profiles.prod]\napp_id = "other-app"')
    with pytest.raises(UsageError, match="another app_id"):
        user.resolve("prod")


def test_a_project_that_agrees_is_no_conflict(user: User):
    """The user's bundle is used."""
    user.has(TWO)
    user.is_in_project_with(f'[profiles.prod]\napp_id = "prod-app"\napi_base = "{CLOUDFLARE_API_BASE}/"')
    assert user.resolve("prod").profile.app_secret == "prod-secret"


# --- values


@pytest.mark.parametrize(
    ("api_base", "said"),
    [
        ("rtc.live.cloudflare.com/v1", "not an http or https URL"),
        ("ftp://x/v1", "not an http or https URL"),
        ("https:///v1", "not an http or https URL"),
        ("https://x:port/v1", "not a URL"),
        ("https://[x/v1", "not a URL"),
        ("https://u:p@x/v1", "user name or password"),
        ("https://x/v1?a=b", "query"),
        ("https://x/v1#a", "fragment"),
        ("https://x/v1/apps/123", "/apps"),
        ("https://x y/v1", "characters"),
        ("https://é/v1", "characters"),
    ],
)
def test_an_api_base_must_be_one(user: User, api_base: str, said: str):
    """The variable is named, and its value, which may be a misplaced secret, is not shown."""
    with pytest.raises(UsageError, match=said) as caught:
        user.resolve(**OURS, RTCCTL_API_BASE=api_base)
    assert "environment RTCCTL_API_BASE" in caught.value.message
    assert api_base not in caught.value.message


@pytest.mark.parametrize(
    ("api_base", "warns"),
    [
        ("http://192.0.2.7:8610/v1", True),
        ("http://build-host:8610/v1", True),
        ("http://127.0.0.1:8610/v1", False),
        ("http://localhost/v1", False),
        ("http://[::1]/v1", False),
        ("https://x.example/v1", False),
    ],
)
def test_secrets_in_clear_text_are_warned_about(user: User, api_base: str, warns: bool):
    """Loopback is no network."""
    assert bool(user.resolve(**OURS, RTCCTL_API_BASE=api_base).warnings) is warns


def test_no_secret_is_in_a_resolution_s_text(user: User):
    """Nor in origins."""
    user.has(TWO)
    assert 'secret"' not in repr(user.resolve("prod"))
    assert "prod-secret" not in repr(user.resolve("prod"))


@pytest.mark.parametrize("credentials", [{}, OURS])
def test_without_a_file_nothing_heavy_is_loaded(user: User, credentials: dict[str, str]):
    """The profile of a fresh machine, or of a CI job, costs no pydantic; the journal's commands rely on it."""
    code = (
        "import sys; from rtcctl import config; config.resolve(); "
        "print({'pydantic', 'keyring', 'tomllib', 'asyncio', 'rtcctl.results'} & set(sys.modules))"
    )
    kept = {name: value for name, value in os.environ.items() if name not in CREDENTIALS}
    environ = {**kept, **user.environ, **credentials}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=user.project, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_process_environment_is_the_default(user: User, monkeypatch: pytest.MonkeyPatch):
    """What the command line relies on."""
    for name, value in {**user.environ, **OURS}.items():
        monkeypatch.setenv(name, value)
    assert resolve(cwd=user.project).profile.app_id == "env-app"


def test_the_same_under_other_names_is_not_said_to_be_ignored(user: User):
    """`dev -- COMMAND` sets every name there is; only what differs is worth a word."""
    settings = {"api_base": "http://127.0.0.1:1/v1", "app_id": "a", "app_secret": "s" * 16}
    settings |= {"turn_key_id": "k", "turn_key_token": "t" * 16}
    given = for_command(settings)
    resolution = user.resolve(**given)
    assert (resolution.profile.name, resolution.ignored) == ("env", ())
    assert user.resolve(**{**given, "CALLS_APP_ID": "other"}).ignored == ("CALLS_APP_ID",)


def test_a_command_gets_the_account_under_every_name(user: User):
    """rtcctl's, and those of Cloudflare's SDK; where there is none, no name of it."""
    settings = {"api_base": "http://127.0.0.1:1/v1", "app_id": "a", "app_secret": "s" * 16}
    settings |= {"turn_key_id": "k", "turn_key_token": "t" * 16}
    assert not [name for name in for_command(settings) if "ACCOUNT" in name or "CLOUDFLARE" in name]
    base = "http://127.0.0.1:1/client/v4"
    given = for_command(settings | {"account_id": "c", "account_token": "u" * 16, "account_api_base": base})
    assert (given["CLOUDFLARE_ACCOUNT_ID"], given["CLOUDFLARE_BASE_URL"]) == ("c", base)
    assert given["CLOUDFLARE_API_TOKEN"] == given["RTCCTL_ACCOUNT_TOKEN"] == "u" * 16
    resolution = user.resolve(**given)
    assert (resolution.profile.account_id, resolution.profile.account_api_base) == ("c", base)
    assert resolution.ignored == ()


def test_an_account_token_in_clear_text_is_warned_about(user: User):
    """As an App Secret is."""
    account = {"RTCCTL_ACCOUNT_ID": "c", "RTCCTL_ACCOUNT_TOKEN": "t"}
    (warning,) = user.resolve(**account, RTCCTL_ACCOUNT_API_BASE="http://example.org/v4").warnings
    assert "unencrypted to http://example.org/v4" in warning
    assert user.resolve(**account).warnings == ()
