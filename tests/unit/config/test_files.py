"""Files: where they are, who may read them, how they are changed, and what is wrong with them."""

from __future__ import annotations

import contextlib
import os
import tomllib
from datetime import date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl import config
from rtcctl.config import folders, toml
from rtcctl.errors import UsageError
from tests.unit.config.conftest import User, write

# --- folders


def test_folders_can_be_overridden():
    """`RTCCTL_STATE_DIR` and `RTCCTL_CONFIG`; else the platform's."""
    assert config.state_dir({"RTCCTL_STATE_DIR": "/x"}) == Path("/x")
    assert config.config_path({"RTCCTL_CONFIG": "/x/c.toml"}) == Path("/x/c.toml")
    assert config.state_dir({}).name == "rtcctl"
    assert config.config_path({}).parts[-2:] == ("rtcctl", "config.toml")


@pytest.mark.parametrize("variable", ["RTCCTL_STATE_DIR", "RTCCTL_CONFIG"])
def test_an_empty_override_is_named(variable: str):
    """It would be the current folder."""
    with pytest.raises(UsageError, match=variable):
        config.state_dir({variable: ""}) if "STATE" in variable else config.config_path({variable: " "})


def test_the_home_of_nobody(user: User):
    """A user that is not there, in either variable, is a mistake of the user's."""
    for variable in ("RTCCTL_STATE_DIR", "RTCCTL_CONFIG"):
        with pytest.raises(UsageError, match=f"{variable}: there is no such user: ~nobody-of-this-name/x"):
            user.resolve("local", **{variable: "~nobody-of-this-name/x"}) if "STATE" in variable else user.resolve(
                "x", **{variable: "~nobody-of-this-name/x"}
            )


def test_the_project_file_is_found_upwards_inside_the_project(tmp_path: Path):
    """From a folder below, but not from outside the repository."""
    inner = tmp_path / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    outside = write(tmp_path / "rtcctl.toml", "", 0o644)
    assert config.project_path(inner) == outside
    (tmp_path / "repository" / ".git").mkdir()
    assert config.project_path(inner) is None
    path = write(tmp_path / "repository" / "rtcctl.toml", "", 0o644)
    assert config.project_path(inner) == path
    assert config.project_path(tmp_path / "repository") == path


def test_a_project_in_the_root_has_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The search ends."""
    monkeypatch.chdir("/")
    assert config.project_path() is None


def test_private_files_are_private_and_whole(tmp_path: Path):
    """0600 in 0700, no rest of the writing left, a link stays a link."""
    path = tmp_path / "new" / "file"
    folders.write_private(path, "one\n")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    link = tmp_path / "link"
    link.symlink_to(path)
    folders.write_private(link, "zwei ü\n")
    assert link.is_symlink()
    assert path.read_bytes() == "zwei ü\n".encode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path):
    """A folder in the way of the file."""
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        folders.write_private(tmp_path / "file", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_loop_of_links_cannot_be_written(tmp_path: Path):
    """An error of the system as any other, in every version of Python."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"):
        folders.write_private(loop, "x")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "file")
    folders.write_private(dangling, "x")
    assert (tmp_path / "file").read_text() == "x"


# --- reading


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_secrets_in_a_file_that_others_can_read_are_refused(user: User, mode: int):
    """Exit 2 with the command that mends it."""
    user.has('[profiles.p]\napp_id = "a"\napp_secret = "s"', mode=mode)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        user.resolve("p")
    assert caught.value.hint == f"chmod 600 {user.config}"


def test_files_without_secrets_may_be_read_by_all(user: User):
    """A project's file is in a repository."""
    user.is_in_project_with('[profiles.p]\napp_id = "a"', mode=0o644)
    assert user.resolve("p").profile.app_id == "a"


def test_windows_has_no_such_bits(user: User, monkeypatch: pytest.MonkeyPatch):
    """Access lists are the user's folder's."""
    path = user.has("", mode=0o644)
    monkeypatch.setattr(folders.os, "name", "nt")
    folders.require_private(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile = ", "is not TOML"),
        ("a" * 10, "is not TOML"),
        ("[" * 5000, "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("profile = 1", "profile: input should be a valid string"),
        ("profiles = 1", "profiles"),
        ("[profiles.p]\napp_id = 1", "profiles.p.app_id"),
        ("[profiles.p]\napp_sercet = 's3cret'", "profiles.p.app_sercet is not a setting"),
        ("proflie = 'x'", "proflie is not a setting"),
        ("profile = ' '", "profile is empty"),
        ("profile = 'p'\n[profiles.p]\napi_base = ''", "API base"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(user: User, text: str, said: str):
    """And what it holds is not shown."""
    user.has(text)
    with pytest.raises(UsageError, match=said) as caught:
        user.resolve()
    assert str(user.config) in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_bytes_that_are_no_text_are_no_toml(user: User):
    """UTF-8, says TOML."""
    user.has("")
    user.config.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not TOML"):
        user.resolve()


def test_a_path_that_cannot_be_looked_at_is_named(user: User):
    """A name longer than names can be."""
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        user.resolve(RTCCTL_CONFIG=f"/{'x' * 300}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(user: User):
    """By its name and the system's reason."""
    user.has("", mode=0o000)
    with pytest.raises(UsageError, match="Permission denied"):
        user.resolve()


def test_a_folder_in_place_of_the_file_is_named(user: User):
    """Not read as an empty one."""
    user.config.mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be read"):
        user.resolve()


def test_one_file_may_be_both(user: User):
    """RTCCTL_CONFIG that names the project's own file."""
    path = user.is_in_project_with('profile = "p"\n[profiles.p]\napp_id = "a"')
    assert user.resolve(RTCCTL_CONFIG=str(path)).profile.app_id == "a"


@given(st.text(max_size=60))
def test_any_text_is_a_file_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, text: str):
    """Nothing else comes out of reading one."""
    from rtcctl.config.tables import ProfilesFile, SecretsFile

    path = tmp_path_factory.mktemp("any") / "config.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for kind in (ProfilesFile, SecretsFile):
        with contextlib.suppress(UsageError):
            kind.load(path)


# --- adding and choosing


def test_the_first_profile_is_chosen(user: User):
    """`config add` on a fresh machine, then another."""
    path = config.add_profile("prod", app_id=" a ", turn_key_id="k", environ=user.environ)
    assert path == user.config
    assert path.stat().st_mode & 0o777 == 0o600
    config.add_profile(
        "staging", app_id="b", api_base="https://staging.example/v1/", account_id="c", environ=user.environ
    )
    assert user.resolve().profile.name == "prod"
    assert user.resolve().profile.turn_key_id == "k"
    assert user.resolve("staging").profile.api_base == "https://staging.example/v1"
    config.use_profile("staging", environ=user.environ, cwd=user.project)
    assert user.resolve().profile.name == "staging"
    assert [(p.name, p.app_id, p.is_chosen) for p in config.list_profiles(environ=user.environ, cwd=user.project)] == [
        ("prod", "a", False),
        ("staging", "b", True),
    ]
    assert (user.state / "profiles").read_text() == "env\nlocal\nprod\nstaging\n"


def test_comments_survive(user: User):
    """The file is the user's; it is changed, not written anew."""
    user.has('# mine\nprofile = "p" # now\n\n[profiles.p] # production\napp_id = "a"  # since May')
    config.add_profile("q", app_id="b", environ=user.environ)
    config.use_profile("q", environ=user.environ, cwd=user.project)
    text = user.config.read_text()
    assert text == (
        '# mine\nprofile = "q"\n\n[profiles.p] # production\napp_id = "a"  # since May\n\n[profiles.q]\n'
        'api_base = "https://rtc.live.cloudflare.com/v1"\napp_id = "b"\n'
    )


def test_a_profile_is_replaced_only_when_asked(user: User):
    """Then all of it: bundles do not mix."""
    config.add_profile("p", app_id="a", turn_key_id="k", environ=user.environ)
    with pytest.raises(UsageError, match="already has a profile p"):
        config.add_profile("p", app_id="b", environ=user.environ)
    config.add_profile("p", app_id="b", replace=True, environ=user.environ)
    profile = user.resolve("p").profile
    assert (profile.app_id, profile.turn_key_id) == ("b", "")


@pytest.mark.parametrize("name", ["", "a b", "-x", "é", "x" * 65, "a/b", "local", "env", "a\n"])
def test_names_are_plain(user: User, name: str):
    """They are typed in shells, and two are taken."""
    with pytest.raises(UsageError):
        config.add_profile(name, app_id="a", environ=user.environ)
    assert not user.config.exists()


def test_a_dotted_name_is_one_name(user: User):
    """In TOML it needs quotes."""
    config.add_profile("eu.prod", app_id="a", environ=user.environ)
    assert user.resolve().profile.name == "eu.prod"


def test_local_can_be_chosen_and_others_must_exist(user: User):
    """`env` chooses itself."""
    user.has('[profiles.p]\napp_id = "a"')
    config.use_profile("local", environ=user.environ, cwd=user.project)
    assert user.resolve().profile.name == "local"
    with pytest.raises(UsageError, match="needs no choosing"):
        config.use_profile("env", environ=user.environ, cwd=user.project)
    with pytest.raises(UsageError, match="no profile 'q'"):
        config.use_profile("q", environ=user.environ, cwd=user.project)


def test_a_folder_that_cannot_be_made_is_named(user: User):
    """A file is in the way."""
    (user.folder / "config").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        config.add_profile("p", app_id="a", environ=user.environ)


# --- TOML

keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
values = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.dates(date(1000, 1, 1))
    | st.datetimes(datetime(1000, 1, 1))
    | st.times()
)
inline = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3).map(lambda d: [d]),
    max_leaves=5,
)
tables = st.recursive(
    st.dictionaries(keys, inline, max_size=3),
    lambda inner: st.dictionaries(keys, inline | inner, max_size=3),
    max_leaves=5,
)


@given(tables)
def test_what_is_written_is_read_as_the_same(data: dict[str, object]):
    """Any table that TOML can hold."""
    assert tomllib.loads(toml.dump(data)) == data


def test_what_toml_has_not_is_a_bug():
    """None, for one."""
    with pytest.raises(TypeError):
        toml.dump({"a": None})
    assert toml.dump({"t": time(1, 2)}) == "t = 01:02:00\n"


@given(tables, keys, st.text(st.characters(codec="utf-8"), max_size=6))
def test_a_top_level_key_is_set_and_nothing_else_changes(data: dict[str, object], key: str, value: str):
    """However the document looks."""
    assert tomllib.loads(toml.with_top_level(toml.dump(data), key, value)) == {**data, key: value}


@pytest.mark.parametrize(
    "text",
    ['x = """\nprofile = 1\n"""\n', '[t]\nprofile = "in a table"\n', '"profile" = "quoted"\n', "profile.x = 1\n"],
)
def test_a_key_that_only_looks_like_it_is_left_alone(text: str):
    """Then the document is written anew, without its comments, but rightly."""
    assert tomllib.loads(toml.with_top_level(text, "profile", "p")) == {**tomllib.loads(text), "profile": "p"}


def test_a_table_in_an_inline_table_is_added():
    """`profiles = {…}` cannot be extended by a header."""
    edited = toml.with_table('profiles = { a = { app_id = "x" } }\n', ("profiles", "b"), {"app_id": "y"})
    assert tomllib.loads(edited) == {"profiles": {"a": {"app_id": "x"}, "b": {"app_id": "y"}}}
