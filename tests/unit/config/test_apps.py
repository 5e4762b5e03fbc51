"""The file of `dev --apps`: what it may hold, and that what is wrong in it is named without a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtcctl.config.apps import AppsFile, ServedApp, ServedTurnKey
from rtcctl.errors import UsageError
from tests.unit.config.conftest import write

SECRET = "secret-0123456789abcdef"
APP = f'[[apps]]\nid = "one"\nsecret = "{SECRET}"\n'


def file(folder: Path, text: str, mode: int = 0o600) -> Path:
    return write(folder / "apps.toml", text, mode)


def test_apps_and_turn_keys(tmp_path: Path) -> None:
    """In their order; names are optional, and no secret is in a `repr`."""
    text = f"""
[[apps]]
id = "staging-1_A"
secret = "{SECRET}1"
name = "Staging ⚗"
[[apps]]
id = "production"
secret = "{SECRET}2"
[[turn_keys]]
id = "key"
token = "{SECRET}3"
"""
    loaded = AppsFile.load(file(tmp_path, text))
    assert [(app.id, app.secret, app.name) for app in loaded.apps] == [
        ("staging-1_A", f"{SECRET}1", "Staging ⚗"),
        ("production", f"{SECRET}2", ""),
    ]
    assert [(key.id, key.token) for key in loaded.turn_keys] == [("key", f"{SECRET}3")]
    assert SECRET not in repr(loaded)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("[[apps]", "is not TOML"),
        ("apps = 1", "apps must be a valid list"),
        ("apps = []", "there is no app in it"),
        ("[apps]\nid = 'a'", "apps must be a valid list"),
        ("apps = ['x']", r"\[\[apps\]\] 1 must be a valid dictionary"),
        ("[[turn_keys]]\nid = 'k'\ntoken = '0123456789abcdef'", "apps is missing"),
        (f"{APP}[[app]]\nid = 'a'", "app is not a setting"),
        (f"{APP}[[apps]]\nsecret = '{SECRET}'", r"\[\[apps\]\] 2 id is missing"),
        (f"{APP}[[apps]]\nid = 'two'", r"\[\[apps\]\] 2 \(two\) secret is missing"),
        (f"{APP}[[apps]]\nid = 'two'\nsecret = 1", r"\[\[apps\]\] 2 \(two\) secret must be a valid string"),
        (f"{APP}[[apps]]\nid = 2\nsecret = '{SECRET}'", r"\[\[apps\]\] 2 \(2\) id must be a valid string"),
        (f"{APP}[[apps]]\nid = 'a/b'\nsecret = '{SECRET}'", r"\[\[apps\]\] 2 id must be up to 128 letters"),
        (f"{APP}[[apps]]\nid = ''\nsecret = '{SECRET}'", r"\[\[apps\]\] 2 id must be up to 128 letters"),
        (f"[[apps]]\nid = 'one'\nsecret = '{SECRET[:15]}'", r"\[\[apps\]\] 1 \(one\) secret must be at least 16"),
        (f"[[apps]]\nid = 'one'\nsecret = '{SECRET} x'", r"\[\[apps\]\] 1 \(one\) secret must be at least 16"),
        (f"[[apps]]\nid = 'one'\nsecret = '{SECRET}é'", r"\[\[apps\]\] 1 \(one\) secret must be at least 16"),
        (f"[[apps]]\nid = 'one'\nsercet = '{SECRET}'", "secret is missing"),
        (f"{APP}sercet = '{SECRET}'", r"\[\[apps\]\] 1 \(one\) sercet is not a setting"),
        (f'{APP}name = "\\u0007"', r"\[\[apps\]\] 1 \(one\) name must be a text of up to 256"),
        (f"{APP}[[apps]]\nid = 'one'\nsecret = '{SECRET}x'", r"\[\[apps\]\] 2 has the id one of \[\[apps\]\] 1"),
        (f"{APP}[[apps]]\nid = 'two'\nsecret = '{SECRET}'", r"\[\[apps\]\] 2 has the secret of \[\[apps\]\] 1"),
        (f"{APP}[[turn_keys]]\nid = 'k'\ntoken = '{SECRET}'", r"\[\[turn_keys\]\] 1 \(k\): its token is the secret"),
        (f"{APP}[[turn_keys]]\nid = 'k'\nsecret = '{SECRET}x'", r"\[\[turn_keys\]\] 1 \(k\) token is missing"),
        (
            f"{APP}[[turn_keys]]\nid = 'k'\ntoken = '{SECRET}x'\n[[turn_keys]]\nid = 'k'\ntoken = '{SECRET}y'",
            r"\[\[turn_keys\]\] 2 has the id k of \[\[turn_keys\]\] 1",
        ),
        (
            f"{APP}[[turn_keys]]\nid = 'k'\ntoken = '{SECRET}x'\n[[turn_keys]]\nid = 'l'\ntoken = '{SECRET}x'",
            r"\[\[turn_keys\]\] 2 has the token of \[\[turn_keys\]\] 1",
        ),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_entry(tmp_path: Path, text: str, said: str) -> None:
    """File, entry and what is wrong; never a secret."""
    path = file(tmp_path, text)
    with pytest.raises(UsageError, match=said) as caught:
        AppsFile.load(path)
    assert str(path) in caught.value.message
    assert SECRET[:15] not in caught.value.message + caught.value.hint


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    """Refused, with the command that mends it."""
    for mode in (0o644, 0o640, 0o604):
        path = file(tmp_path, APP, mode)
        with pytest.raises(UsageError, match="can be read by others") as caught:
            AppsFile.load(path)
        assert caught.value.hint == f"chmod 600 {path}"


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, nothing, bytes that are no text."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    binary = file(tmp_path, "")
    binary.write_bytes(b"\xff\xfe")
    for path, said in ((folder, "is a folder"), (tmp_path / "none", "cannot be read"), (binary, "not UTF-8")):
        with pytest.raises(UsageError, match=said):
            AppsFile.load(path)


# --- writing


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    """By the same grammar, quotes and all; the file is private."""
    path = tmp_path / "kept.toml"
    kept = AppsFile(
        apps=[ServedApp(id="one", secret=f'{SECRET}"#\\'), ServedApp(id="two", secret=f"{SECRET}2", name='Zwei "⚗"')],
        turn_keys=[ServedTurnKey(id="key", token=f"{SECRET}3")],
    )
    kept.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert AppsFile.load(path) == kept


@pytest.mark.parametrize("before", [f"# mine\n{APP}# end", f'apps = [{{ id = "one", secret = "{SECRET}" }}]\n'])
def test_an_entry_is_added_to_what_is_there(tmp_path: Path, before: str) -> None:
    """Comments stay where the file can be appended to; where it cannot, what it says stays."""
    path = file(tmp_path, before)
    AppsFile.put(path, ServedApp(id="two", secret=f"{SECRET}2"))
    AppsFile.put(path, ServedTurnKey(id="key", token=f"{SECRET}3"))
    loaded = AppsFile.load(path)
    assert [app.id for app in loaded.apps] == ["one", "two"]
    assert [key.id for key in loaded.turn_keys] == ["key"]
    assert path.read_text().startswith("# mine\n") == before.startswith("# mine\n")


@pytest.mark.parametrize("text", [f"{APP}broken", "", f'{APP}[[apps]]\nid = "two"\nsecret = "{SECRET}2"\n'])
def test_what_cannot_be_added_to_stays_as_it_is(tmp_path: Path, text: str) -> None:
    """A file that was broken meanwhile, or has the id already, is the user's to mend."""
    path = file(tmp_path, text)
    with pytest.raises(UsageError):
        AppsFile.put(path, ServedApp(id="two", secret=f"{SECRET}9"))
    assert path.read_text() == text
    assert [each.name for each in tmp_path.iterdir()] == ["apps.toml"]


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It names the file."""
    (tmp_path / "folder").write_text("")
    with pytest.raises(UsageError, match=r"kept\.toml cannot be written"):
        AppsFile(apps=[ServedApp(id="one", secret=SECRET)]).save(tmp_path / "folder" / "kept.toml")


TWO = f'''# mine
[[apps]]
id = "one"
secret = "{SECRET}1"
# about one

# about two
[[apps]]
id = "two"
secret = "{SECRET}2"

# about the key
[[turn_keys]]
id = "key"
token = "{SECRET}3"
# end
'''


def test_an_entry_is_changed_where_it_stands(tmp_path: Path) -> None:
    """Its own lines alone: what is said above others stays."""
    path = file(tmp_path, TWO)
    at = datetime(2026, 11, 18, 11, 6, 40, tzinfo=UTC)
    AppsFile.put(path, ServedApp(id="one", secret=f"{SECRET}1", name="Eins", created=at))
    text = path.read_text()
    assert text == TWO.replace(f'{SECRET}1"\n', f'{SECRET}1"\nname = "Eins"\ncreated = 2026-11-18T11:06:40+00:00\n')
    AppsFile.put(path, ServedTurnKey(id="key", token=f"{SECRET}3", name="Schlüssel"))
    assert path.read_text() == text.replace(f'{SECRET}3"\n', f'{SECRET}3"\nname = "Schlüssel"\n')
    loaded = AppsFile.load(path)
    assert [(app.name, app.created) for app in loaded.apps] == [("Eins", at), ("", None)]


def test_an_entry_is_taken_out(tmp_path: Path) -> None:
    """The others stay, and what is said about them; one that is not there, or has another secret by now, is none."""
    path = file(tmp_path, TWO)
    AppsFile.remove(path, ServedApp(id="one", secret=f"{SECRET}9"))
    AppsFile.remove(path, ServedApp(id="three", secret=f"{SECRET}1"))
    assert path.read_text() == TWO
    AppsFile.remove(path, ServedApp(id="one", secret=f"{SECRET}1", name="by another name"))
    assert path.read_text() == "# mine\n" + TWO[TWO.index("# about one") :]
    AppsFile.remove(path, ServedTurnKey(id="key", token=f"{SECRET}3"))
    loaded = AppsFile.load(path)
    assert ([app.id for app in loaded.apps], loaded.turn_keys) == (["two"], [])
    assert "# about the key\n# end\n" in path.read_text()


@pytest.mark.parametrize("text", [APP, f'apps = [{{ id = "one", secret = "{SECRET}" }}] # in one line\n'])
def test_the_last_app_is_taken_out(tmp_path: Path, text: str) -> None:
    """The file says that there is none, and can be added to; as `--apps` it is refused."""
    path = file(tmp_path, text)
    AppsFile.remove(path, ServedApp(id="one", secret=SECRET))
    assert AppsFile.load(path, may_be_without_apps=True).apps == []
    with pytest.raises(UsageError, match="no app in it"):
        AppsFile.load(path)
    AppsFile.put(path, ServedApp(id="two", secret=SECRET))
    assert [app.id for app in AppsFile.load(path).apps] == ["two"]
