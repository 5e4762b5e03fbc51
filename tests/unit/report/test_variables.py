"""Variables as lines to paste."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import UsageError
from rtcctl.report.variables import Shape, render
from rtcctl.results.config import ConfigEnv, Variable

# npm's dotenv 16, `lib/main.js`, which wrangler has inside.
NPM_LINE = re.compile(
    r"""^\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$""",
    re.MULTILINE,
)


def npm_dotenv(text: str) -> dict[str, str]:
    """As npm's dotenv reads it."""
    read = {}
    for name, raw in NPM_LINE.findall(text):
        value = raw.strip()
        quote = value[:1]
        value = re.sub(r"""^(['"`])([\s\S]*)\1$""", r"\2", value)
        if quote == '"':
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        # dotenv-expand
        read[name] = re.sub(r"(?<!\\)\$\{?\w+\}?", "", value)
    return read


def python_dotenv(text: str) -> dict[str, str]:
    """As python-dotenv reads a quoted value: escapes are undone, in double quotes more of them."""
    read = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        escapes = r"\\[\\\'\"abfnrtv]" if value[0] == '"' else r"\\[\\']"
        value = re.sub(escapes, lambda match: match[0].encode().decode("unicode_escape"), value[1:-1])
        read[name] = re.sub(r"\$\{[^}]*\}", "", value)
    return read


def shell(text: str) -> dict[str, str]:
    """As a shell reads words without expansions."""
    return dict(word.partition("=")[::2] for word in shlex.split(text, comments=True))


def result(*values: str | None) -> ConfigEnv:
    return ConfigEnv(
        profile="env", variables=tuple(Variable(name=f"NAME_{at}", value=value) for at, value in enumerate(values))
    )


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs"))), min_size=1))
def test_what_is_written_is_read_back_by_every_reader_or_refused(values: list[str]) -> None:
    """Quotes, #, =, spaces: the same for npm's dotenv, python-dotenv and a shell."""
    if any(set(value) & set("\\$`") or {"'", '"'} <= set(value) for value in values):
        with pytest.raises(UsageError):
            render(Shape.DOTENV, result(*values))
        return
    text = render(Shape.DOTENV, result(*values))
    expected = {f"NAME_{at}": value for at, value in enumerate(values)}
    assert npm_dotenv(text) == python_dotenv(text) == shell(text) == expected


@pytest.mark.parametrize("value", ["a b", "#1", "a=b", "it's", 'say "x"', "", "Ünïcode", " edge ", "-", "!x"])
def test_usual_oddities_can_be_written(value: str) -> None:
    """They are no reason to refuse."""
    text = render(Shape.DOTENV, result(value))
    assert npm_dotenv(text) == python_dotenv(text) == shell(text) == {"NAME_0": value}


@pytest.mark.parametrize("value", ["$HOME", "${X}", "a\\b", "two\nlines", "`id`", "both'\"", "\x00", "\x7f"])
def test_what_readers_disagree_on_is_refused_without_showing_it(value: str) -> None:
    """The name is said, the value may be a secret."""
    with pytest.raises(UsageError) as caught:
        render(Shape.DOTENV, result(value))
    assert "NAME_0" in caught.value.message
    assert value not in caught.value.message


def test_a_secret_that_was_not_asked_for() -> None:
    """It is a comment in what people read and absent from JSON."""
    hidden = result("a", None)
    assert render(Shape.SHELL, hidden).splitlines() == [
        "export NAME_0=a",
        "# export NAME_1=… (--with-secrets prints it)",
    ]
    assert render(Shape.DOTENV, hidden).splitlines() == ['NAME_0="a"', "# NAME_1=… (--with-secrets prints it)"]
    assert json.loads(render(Shape.JSON, hidden)) == {"NAME_0": "a"}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_shell_and_json_take_anything(value: str) -> None:
    """shlex and json quote what they must."""
    assert json.loads(render(Shape.JSON, result(value))) == {"NAME_0": value}
    assert shlex.split(render(Shape.SHELL, result(value))) == ["export", f"NAME_0={value}"]
