"""The file of `rtcctl dev --apps` and `--persist`: the apps and TURN keys of an embedded server, with their secrets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from rtcctl.config import toml
from rtcctl.config.folders import require_private, unwritable, write_private
from rtcctl.config.rules import MIN_SECRET, is_fit_secret
from rtcctl.errors import UsageError
from rtcctl.units import DISPLAY_NAME, is_display_name

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_EXAMPLE = '[[apps]], id = "…", secret = "…"'


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("up to 128 letters, digits, - and _")
    return text


def _secret(text: str) -> str:
    if not is_fit_secret(text):
        raise ValueError(f"at least {MIN_SECRET} printable ASCII characters without spaces")
    return text


def _name(text: str) -> str:
    if not is_display_name(text):
        raise ValueError(DISPLAY_NAME)
    return text


_STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, frozen=True)


class ServedApp(BaseModel):
    """One `[[apps]]`. A word that is not known is refused: it would be a setting that silently does nothing."""

    model_config = _STRICT

    id: Annotated[str, AfterValidator(_id)]
    secret: Annotated[str, AfterValidator(_secret), Field(repr=False)]
    name: Annotated[str, AfterValidator(_name)] = ""
    created: datetime | None = None
    modified: datetime | None = None


class ServedTurnKey(BaseModel):
    """One `[[turn_keys]]`."""

    model_config = _STRICT

    id: Annotated[str, AfterValidator(_id)]
    token: Annotated[str, AfterValidator(_secret), Field(repr=False)]
    name: Annotated[str, AfterValidator(_name)] = ""
    created: datetime | None = None
    modified: datetime | None = None


class AppsFile(BaseModel):
    """The whole file."""

    model_config = _STRICT

    apps: list[ServedApp]
    turn_keys: list[ServedTurnKey] = []

    @classmethod
    def load(cls, path: Path, *, may_be_without_apps: bool = False) -> AppsFile:
        """Raises `UsageError` that names the file, the entry and what is wrong with it; never a secret."""
        try:
            require_private(path)
            # Read once, and as a stream: it may be a pipe.
            with path.open("rb") as stream:
                data = tomllib.load(stream)
        except OSError as exc:
            raise UsageError(
                f"{path} cannot be read: {exc.strerror}.", hint="Check the file and its permissions"
            ) from None
        except (ValueError, RecursionError) as exc:
            # The decoder's message holds the position, never the text.
            reason = "not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)
            raise UsageError(f"{path} is not TOML: {reason}.", hint=f"It looks like this: {_EXAMPLE}") from None
        if not data:
            raise UsageError(f"{path} is empty.", hint=f"It looks like this: {_EXAMPLE}")
        try:
            file = cls.model_validate(data)
        except ValidationError as exc:
            _refuse(path, data, exc)
        if not file.apps and not may_be_without_apps:
            raise UsageError(f"{path}: there is no app in it.", hint=f"It looks like this: {_EXAMPLE}")
        file.check(path)
        return file

    def check(self, path: Path) -> None:
        """Raises `UsageError` where two entries are not to be told apart."""
        _check_distinct(path, "apps", "id", (app.id for app in self.apps))
        _check_distinct(path, "turn_keys", "id", (key.id for key in self.turn_keys))
        # Whoever has one secret must not have two things with it, or the apps would not be isolated.
        _check_distinct(path, "apps", "secret", (app.secret for app in self.apps))
        secrets = {app.secret for app in self.apps}
        for number, key in enumerate(self.turn_keys, 1):
            if key.token in secrets:
                raise UsageError(f"{path}: [[turn_keys]] {number} ({key.id}): its token is the secret of an app.")
        _check_distinct(path, "turn_keys", "token", (key.token for key in self.turn_keys))

    def save(self, path: Path) -> None:
        """Write it as a whole, readable by its owner alone. Raises `UsageError`."""
        none = ["apps = []\n"] if not self.apps else []
        _write(path, "\n".join((*none, *map(_text, self.apps), *map(_text, self.turn_keys))))

    @classmethod
    def put(cls, path: Path, entry: ServedApp | ServedTurnKey) -> None:
        """Put an entry into a file, in place of the one of its id and secret if there is one.

        The file is read anew: what was written into it meanwhile stays, comments between entries too. Raises
        `UsageError`, and then it is as it was.
        """
        file = cls.load(path, may_be_without_apps=True)
        entries, at = file._entries_and_place(entry)
        file._with(entry, [*entries[:at], entry, *entries[at + 1 :]])._save_edited(path, entry, at, _text(entry))

    @classmethod
    def remove(cls, path: Path, entry: ServedApp | ServedTurnKey) -> None:
        """Take the entry of that id and secret out of a file, which is read anew; one that is not there is none."""
        file = cls.load(path, may_be_without_apps=True)
        entries, at = file._entries_and_place(entry)
        if at < len(entries):
            file._with(entry, [*entries[:at], *entries[at + 1 :]])._save_edited(path, entry, at, "")

    def _entries_and_place(self, entry: ServedApp | ServedTurnKey) -> tuple[list[ServedApp] | list[ServedTurnKey], int]:
        """All of its kind, and where it is among them; behind the last for a new one."""
        entries: Any = self.apps if isinstance(entry, ServedApp) else self.turn_keys
        return entries, next((at for at, one in enumerate(entries) if _is_same(one, entry)), len(entries))

    def _with(self, entry: ServedApp | ServedTurnKey, entries: list[Any]) -> AppsFile:
        return self.model_copy(update={"apps" if isinstance(entry, ServedApp) else "turn_keys": entries})

    def _save_edited(self, path: Path, entry: ServedApp | ServedTurnKey, at: int, replacement: str) -> None:
        """Change one entry of the text of a file; where that does not say what this does, write all of it anew."""
        self.check(path)
        text = _edited(path.read_text("utf-8"), _table_of(entry), at, replacement)
        try:
            says_so = type(self).model_validate(tomllib.loads(text)) == self
        except ValueError:
            # An array that was written as one cannot be edited as tables.
            says_so = False
        if says_so:
            _write(path, text)
        else:
            self.save(path)


def _is_same(one: ServedApp | ServedTurnKey, other: ServedApp | ServedTurnKey) -> bool:
    """Whether they are the same app or TURN key, whatever is said about it."""
    about = {"name": "", "created": None, "modified": None}
    return one.model_copy(update=about) == other.model_copy(update=about)


def _table_of(entry: ServedApp | ServedTurnKey) -> str:
    return "apps" if isinstance(entry, ServedApp) else "turn_keys"


_ENTRY = r"(?m)^[ \t]*\[\[[ \t]*{table}[ \t]*\]\][^\n]*\n(?:(?![ \t]*\[)[^\n]*\n?)*"
"One `[[table]]` and its lines, down to the next table."


def _edited(text: str, table: str, at: int, replacement: str) -> str:
    """The text with another entry in the place `at`; behind the last one it is added to the end."""
    found = list(re.finditer(_ENTRY.format(table=table), text))
    if at >= len(found):
        return f"{text.rstrip()}\n\n{replacement}"
    begin, end = found[at].span()
    lines = text[begin:end].splitlines(keepends=True)
    # What stands above the next table is about that one.
    kept = len(lines)
    while kept > 1 and (not lines[kept - 1].strip() or lines[kept - 1].lstrip().startswith("#")):
        kept -= 1
    while not replacement and kept < len(lines) and not lines[kept].strip():
        kept += 1
    return text[:begin] + replacement + "".join(lines[kept:]) + text[end:]


def _text(entry: ServedApp | ServedTurnKey) -> str:
    return f"[[{_table_of(entry)}]]\n{toml.dump(entry.model_dump(exclude_defaults=True))}"


def _write(path: Path, text: str) -> None:
    try:
        write_private(path, text)
    except OSError as exc:
        raise unwritable(path, exc) from exc


def entry_name(table: str, number: int, identifier: str) -> str:
    """How errors name an entry: `[[apps]] 2 (staging)`."""
    return f"[[{table}]] {number}" + (f" ({identifier})" if identifier else "")


def _check_distinct(path: Path, table: str, field: str, values: Iterable[str]) -> None:
    seen: dict[str, int] = {}
    for number, value in enumerate(values, 1):
        if (first := seen.setdefault(value, number)) != number:
            shown = f" {value}" if field == "id" else ""
            raise UsageError(f"{path}: [[{table}]] {number} has the {field}{shown} of [[{table}]] {first}.")


def _refuse(path: Path, data: dict[str, Any], exc: ValidationError) -> NoReturn:
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    table, *rest = (str(part) for part in first["loc"])
    where = table
    model: type[BaseModel] = AppsFile
    if rest and table in ("apps", "turn_keys"):
        number = int(rest[0])
        entry = data[table][number]
        identifier = str(entry.get("id", "")) if isinstance(entry, dict) else ""
        named = entry_name(table, number + 1, identifier if _ID.fullmatch(identifier) else "")
        where = " ".join((named, *rest[1:]))
        model = ServedApp if table == "apps" else ServedTurnKey
    if first["type"] == "extra_forbidden":
        raise UsageError(f"{path}: {where} is not a setting.", hint=f"Settings there: {', '.join(model.model_fields)}.")
    if first["type"] == "missing":
        raise UsageError(f"{path}: {where} is missing.", hint=f"It looks like this: {_EXAMPLE}")
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    raise UsageError(f"{path}: {where} must be {reason}.", hint=f"It looks like this: {_EXAMPLE}")
