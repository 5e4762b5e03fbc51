"""No secret in any output but those of commands whose purpose it is to hand one out.

Every command runs against a server that accepts its secrets and against some that do not, and that say back what they
were sent. Then everything is searched for every secret: what the commands printed, the command lines of what they
started, and every file that they left. What else may come to hold something (`--trace`) is an option in `COMMON`: its
files are searched like all others.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rtcctl.cli.tree import walk
from tests.e2e.test_account import with_keyring
from tests.support.command import Home
from tests.support.echo import echo
from tests.support.forked import Command, Ended, Forker, forker
from tests.support.requirements import require, slow

APP_SECRET = "app-secret-7f3a9c51d2e84b60"
TURN_TOKEN = "turn-token-91be44d07c2a4f1e"
ACCOUNT_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhY2NvdW50In0.c2VjcmV0LTVkMjBjOGU2YjkzZg"
"As a JSON Web Token, which a search for one kind of secret might miss."
DOTENV_SECRET = "dotenv-secret-c4b1e07d55aa"
"Of a file that lies where the commands run, and that none of them reads."
RELAY_PASSWORD = "relay-password-2b7f90c1"
"Of TURN servers of somebody else."
BODY_TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJyb29tIjoiYm9keSJ9.Ym9keS10b2tlbi1pcy1zZWNyZXQ"
"In the body of a request that a user sends by `api`."

COMMON = (
    "-vv",
    "--report=junit:reports/{n}.xml",
    "--report=json:reports/{n}.json",
    "--report=markdown:reports/{n}.md",
    "--report=prometheus:reports/{n}.prom",
    "--trace=traces/{n}",
)
"Options that all commands get; {n} is another number for each."
OUTPUTS = ("table", "json", "jsonl")

SESSION, APP, KEY = "{session}", "{app}", "{key}"
ENTRIES: dict[str, tuple[tuple[str, ...], ...]] = {
    "smoke": (("--for=300ms", "--skip=video,simulcast"),),
    "dev": (("--port=0", "--seed=1", "--ledger=ledger-{n}.json", "--", "true"),),
    "fault set": (("loss=1%,session=nobody",),),
    "fault list": ((),),
    "fault clear": ((),),
    "fault ledger": ((),),
    "session create": ((), ("--curl",), ("--connect", "--for=100ms", "--correlation-id=c")),
    "session get": ((SESSION,),),
    "session close": (("{other}", "--yes"),),
    "session list": (("--all",),),
    "track publish": (("--name=cam", "--for=300ms"),),
    "track subscribe": (("{session}/mic", "--for=300ms", "--wait=100ms"),),
    "track update": ((SESSION, "--mid=0", "--rid=f"),),
    "track list": ((SESSION,),),
    "track close": (("{other}/x", "--yes"),),
    "track wait": (("{session}/mic", "--wait=100ms"),),
    "track diagnose": ((SESSION, "{session}/mic"),),
    "channel open": (("--name=chat", "--for=100ms"),),
    "channel send": (("--name=state", "hello"),),
    "channel listen": (("{session}/none", "--for=100ms", "--wait=100ms"),),
    "channel update": ((SESSION, "--id=1", "--can-reply"),),
    "channel close": (("{other}/x", "--yes"),),
    "channel probe": (("--policy=chat", "--for=100ms"),),
    "app list": ((),),
    "app create": (("made", "--secret-to=app-{n}.secret"), ("made", "--curl")),
    "app get": ((APP,),),
    "app update": ((APP, "renamed"),),
    "app delete": (("{other}", "--yes"),),
    "turn key list": ((),),
    "turn key create": (("made", "--secret-to=key-{n}.secret"),),
    "turn key get": ((KEY,),),
    "turn key update": ((KEY, "renamed"),),
    "turn key delete": (("{other}", "--yes"),),
    "turn creds": ((), ("--curl",), ("--as=js",)),
    "turn check": (("--for=100ms",), ("--ice-servers=ice.json", "--for=100ms")),
    "turn list": ((),),
    "turn revoke": (
        ("{username}", "--yes"),
        ("--custom-identifier=alice", "--yes"),
        ("--ice-servers=ice.json", "--yes"),
    ),
    "turn refresh": (("turn-{n}.json",), ("turn.json", "--curl")),
    "stats session": ((SESSION,),),
    "explain": (("401",), ("body.json",), ("body.json", "--to=POST sessions/new")),
    "api": (
        ("GET", "sessions/{session}"),
        ("POST", "sessions/new", "--input=body.json"),
        ("GET", "sessions/{session}", "--curl"),
    ),
    "config add": (("added", "--from-env"), ("ours", "--app-id=x", "--from-env")),
    "config use": (("absent",),),
    "config show": (("--origin",),),
    "config check": ((),),
    "config env": ((), ("--as=dotenv", "--names=examples")),
    "config path": ((),),
    "config secret set": (("app", "--stdin"), ("turn", "--stdin")),
    "completion": (("bash",),),
}
"Every command, with arguments; `{…}` is filled in. A new command without an entry fails `test_every_command_is_there`."
STOP_AFTER_S = {"turn refresh": 1.0}
"What goes on until it is stopped."
STDIN = {"config secret set": APP_SECRET}

HAND_OUT = ("turn creds", "dev")
"What these print on stdout may hold the password of the credentials that they issue; for `dev`, that is its command's."

PURPOSE = (
    *(
        ".env",
        "apps.toml",
        "config.toml",
        "secrets.toml",
        "keyring.json",
        "ice.json",
        "body.json",
        "*.secret",
        "turn*.json",
    ),
    *("state/dev/*.json", "state/dev/tls/*/server.pem"),
)
"Files whose purpose it is to hold a secret: written by the test, asked for, or how the profile `local` finds a server."


PROC = Path("/proc")


def test_every_command_is_there() -> None:
    """A command that is added is searched too."""
    assert set(ENTRIES) == {" ".join(node.path) for node in walk() if not node.children}


# --- where a profile has its secrets from


def in_environment(home: Home, base: str) -> None:
    home.environment |= {
        "RTCCTL_API_BASE": f"{base}/v1",
        "RTCCTL_APP_ID": "app",
        "RTCCTL_APP_SECRET": APP_SECRET,
        "RTCCTL_TURN_KEY_ID": "key",
        "RTCCTL_TURN_KEY_TOKEN": TURN_TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": "account",
        "CLOUDFLARE_API_TOKEN": ACCOUNT_TOKEN,
        "CLOUDFLARE_BASE_URL": f"{base}/client/v4",
    }


def in_profile(home: Home, base: str, secrets: str = "") -> None:
    home.config.write_text(
        f"profile = 'ours'\n[profiles.ours]\napi_base = '{base}/v1'\napp_id = 'app'\nturn_key_id = 'key'\n"
        f"account_id = 'account'\naccount_api_base = '{base}/client/v4'\n{secrets}"
    )
    home.config.chmod(0o600)


def in_profile_with_secrets(home: Home, base: str) -> None:
    secrets = {"app_secret": APP_SECRET, "turn_key_token": TURN_TOKEN, "account_token": ACCOUNT_TOKEN}
    in_profile(home, base, "".join(f"{name} = '{secret}'\n" for name, secret in secrets.items()))


def in_store(home: Home, base: str) -> None:
    """As `config secret set` stores them where there is no keyring."""
    in_profile(home, base)
    secrets = {"app": (APP_SECRET, "v1"), "turn": (TURN_TOKEN, "v1"), "account": (ACCOUNT_TOKEN, "client/v4")}
    path = home.config.with_name("secrets.toml")
    path.write_text(
        "".join(
            f"[ours.{kind}]\napi_base = '{base}/{end}'\nsecret = '{secret}'\n"
            for kind, (secret, end) in secrets.items()
        )
    )
    path.chmod(0o600)


def in_keyring(home: Home, base: str) -> None:
    path = with_keyring(home)
    in_store(home, base)
    stored = home.config.with_name("secrets.toml")
    kept = tomllib.loads(stored.read_text())["ours"]
    path.write_text(json.dumps({f"rtcctl ours/{kind}": entry.pop("secret") for kind, entry in kept.items()}))
    stored.write_text(
        "".join(f"[ours.{kind}]\napi_base = '{kept[kind]['api_base']}'\nkeyring = true\n" for kind in kept)
    )


# --- the search


@dataclass
class Search:
    """A home, the secrets of its user, and everything that may hold none of them."""

    home: Home
    secrets: dict[str, str]
    values: dict[str, str]
    "For `{…}` in arguments."
    texts: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    "Exit statuses, by command."

    def commands(self, *, without: str = "", offset: int = 0) -> list[tuple[str, Command]]:
        """Every command, by name, with one of the output formats: which one, goes round with `offset`."""
        made = []
        planned = [(name, arguments) for name, entries in ENTRIES.items() for arguments in entries if name != without]
        for number, (name, arguments) in enumerate(planned):
            output = f"--output={OUTPUTS[(number + offset) % len(OUTPUTS)]}"
            common = () if name == "completion" else COMMON
            if common and not any(argument.startswith("--as=") for argument in arguments):
                common = (output, *common)
            filled = tuple(part.format_map({**self.values, "n": number}) for part in (*common, *arguments))
            command = Command(
                (*name.split(), *filled),
                self.home.folder,
                self.home.environment,
                STDIN.get(name, ""),
                STOP_AFTER_S.get(name, 20.0),
            )
            made.append((name, command))
        return made

    def add_all(self, commands: Iterable[tuple[str, Command]], ended: Iterable[Ended]) -> None:
        """What these printed; none of them may have ended as a bug."""
        for (name, _), one in zip(commands, ended, strict=True):
            self.add(one, with_stdout=name not in HAND_OUT or "--curl" in one.arguments)
            self.statuses[name] = one.status
            assert one.status != 1, one

    def add(self, ended: Ended, *, with_stdout: bool = True) -> None:
        """What a command printed and started."""
        name = " ".join(ended.arguments)
        self.texts[f"{name}: stdout"] = ended.stdout if with_stdout else ""
        self.texts[f"{name}: stderr"] = ended.stderr
        self.texts[f"{name}: processes"] = "\n".join(" ".join(line) for line in ended.started)
        if ended.arguments[0] != "dev":  # whose command is given credentials
            self.texts[f"{name}: environments"] = "\n".join(" ".join(added) for added in ended.given)

    def add_files(self) -> None:
        """All that is left in the home: reports, state, the journal as it is on the disk, logs, GitHub's files."""
        purpose = {path for pattern in PURPOSE for path in self.home.folder.glob(pattern)}
        for path in self.home.folder.rglob("*"):
            if path.is_file() and path not in purpose:
                self.texts[str(path.relative_to(self.home.folder))] = path.read_bytes().decode("latin-1")

    def add_processes(self) -> int:
        """The command lines of all that runs for this home; how many there are."""
        mark, count = str(self.home.state).encode(), 0
        for folder in PROC.glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    self.texts[f"process {folder.name}"] = (folder / "cmdline").read_bytes().decode("latin-1")
                    count += 1
            except OSError:
                continue
        return count

    @property
    def found(self) -> list[str]:
        """Which secret is where."""
        return [
            f"{kind} in {where}"
            for kind, secret in self.secrets.items()
            for where, text in self.texts.items()
            if secret and secret in text
        ]


def prepared(home: Home) -> Search:
    """A home with all that commands read, under GitHub Actions."""
    home.folder.joinpath("reports").mkdir()
    home.folder.joinpath(".git").mkdir()
    home.folder.joinpath(".env").write_text(f"RTCCTL_APP_SECRET={DOTENV_SECRET}\n")
    server = {"urls": ["turn:127.0.0.1:9?transport=tcp"], "username": "alice", "credential": RELAY_PASSWORD}
    home.folder.joinpath("ice.json").write_text(json.dumps([server]))
    home.folder.joinpath("turn.json").write_text(json.dumps({"iceServers": [server]}))
    home.folder.joinpath("body.json").write_text(json.dumps({"sessionDescription": BODY_TOKEN}))
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ENV"):
        home.folder.joinpath(name).touch()
        home.environment[name] = str(home.folder / name)
    home.environment["GITHUB_ACTIONS"] = "true"
    secrets = {
        "App Secret": APP_SECRET,
        "TURN key token": TURN_TOKEN,
        "account token": ACCOUNT_TOKEN,
        ".env": DOTENV_SECRET,
        "relay password": RELAY_PASSWORD,
        "token in a body": BODY_TOKEN,
    }
    values = {"session": "nobody", "other": "nobody", "app": "app", "key": "key", "username": "somebody"}
    return Search(home, secrets, values)


SOURCES = {
    "refused": (in_profile_with_secrets, 4),
    "broken": (in_store, 5),
    "malformed": (in_keyring, 5),
    "failing": (in_environment, 5),
    "unreachable": (in_environment, 6),
}
"How a service fails: where the secrets are that it is sent, and how `session get` ends."
every_offset = pytest.mark.parametrize("offset", [0, *(pytest.param(n, marks=slow) for n in (1, 2, 3))])


@pytest.fixture(scope="module")
def forked() -> Iterator[Forker]:
    require("fork", why="each command is a process of its own", is_there=hasattr(os, "fork"))
    with forker() as one:
        yield one


@every_offset
def test_secrets_that_a_service_says_back(tmp_path: Path, forked: Forker, offset: int) -> None:
    """One that refuses, fails, talks nonsense or is not there; whichever of the places the secrets are kept in.

    Each command meets every second of them, and the others when it takes long.
    """
    searches: dict[str, Search] = {}
    with echo() as url:
        planned: list[tuple[str, str, Command]] = []
        for index, (kind, (store, _)) in enumerate(SOURCES.items()):
            home = Home(tmp_path / kind)
            home.folder.mkdir()
            searches[kind] = prepared(home)
            store(home, "http://127.0.0.1:9/none" if kind == "unreachable" else f"{url}/{kind}")
            for number, (name, command) in enumerate(searches[kind].commands(without="dev", offset=offset)):
                if name == "session get" or (number + index + offset) % 2:
                    planned.append((kind, name, command))
        ended = forked.run([command for _, _, command in planned])
    for kind, search in searches.items():
        mine = [(name, command, one) for (at, name, command), one in zip(planned, ended, strict=True) if at == kind]
        search.add_all([(name, command) for name, command, _ in mine], [one for _, _, one in mine])
        search.add_files()
    assert {kind: search.statuses["session get"] for kind, search in searches.items()} == {
        kind: status for kind, (_, status) in SOURCES.items()
    }
    found = [f"{kind}: {one}" for kind, search in searches.items() for one in search.found]
    assert not found, "\n".join(found)


@every_offset
def test_secrets_that_are_accepted(home: Home, forked: Forker, offset: int) -> None:
    """With an embedded server, its relay, and a publisher in the background: also what was issued and made."""
    search = prepared(home)
    apps = home.folder / "apps.toml"
    apps.write_text(
        f"[[apps]]\nid = 'app'\nsecret = '{APP_SECRET}'\n[[turn_keys]]\nid = 'key'\ntoken = '{TURN_TOKEN}'\n"
    )
    apps.chmod(0o600)
    with home.dev("--apps", "apps.toml") as server:
        in_environment(home, server.ready["base_url"].removesuffix("/v1"))
        home.environment["CLOUDFLARE_ACCOUNT_ID"] = server.ready["account_id"]
        home.environment["CLOUDFLARE_API_TOKEN"] = server.ready["account_token"]
        first = (
            ("track", "publish", "--name=mic", "--detach", "--output=json", "-vv"),
            ("turn", "creds", "--output=json"),
            ("app", "create", "made", "--output=json"),
        )
        published, issued, made = forked.run([Command(one, home.folder, home.environment) for one in first])
        session_id = json.loads(published.stdout)["session_id"]
        try:
            search.add(published)
            credentials = json.loads(issued.stdout)
            search.secrets |= {
                "password of TURN": credentials["ice_servers"][-1]["credential"],
                "new App Secret": json.loads(made.stdout)["secret"],
            }
            search.values |= {"session": session_id, "username": credentials["ice_servers"][-1]["username"]}
            commands = search.commands(offset=offset)
            ended = forked.run([command for _, command in commands])
            running = search.add_processes()
            assert running >= 2 or not PROC.exists(), "the server, and what publishes in the background"
        finally:
            home.run("session", "close", session_id, "--yes")
    search.add_all(commands, ended)
    expected = ("session create", "session get", "turn creds", "app list", "config check", "dev")
    assert {name: search.statuses[name] for name in expected} == dict.fromkeys(expected, 0), ended
    # What measures may find a busy machine wanting; that it got as far is what counts here.
    assert {search.statuses[name] for name in ("smoke", "track publish", "track subscribe")} <= {0, 3, 8}, ended
    search.add_files()
    assert not search.found, "\n".join(search.found)


def test_config_env_hands_secrets_out_only_when_asked(home: Home) -> None:
    """`config env --with-secrets` is one of the commands whose purpose it is."""
    in_environment(home, "https://rtc.live.cloudflare.com")
    assert APP_SECRET not in home.run("config", "env").stdout
    assert APP_SECRET in home.run("config", "env", "--with-secrets").stdout


def test_state_files_are_private(home: Home) -> None:
    """What the server writes for the profile `local` can be read by its owner alone."""
    with home.dev():
        (announced,) = (home.state / "dev").glob("*.json")
        assert announced.stat().st_mode & 0o077 == 0
        assert Path(home.state / "dev").stat().st_mode & 0o077 == 0
