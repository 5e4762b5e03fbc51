"""Completion scripts, generated from the command tree: pure shell, so that TAB starts no Python.

Theory of operation: each script is one function. It walks the words typed so far down the tree as far as they name
commands, and then offers what may come next: sub-commands, the values of the option before, the command's options, or
what its argument is. Ids of sessions and names of profiles are lines of plain files in the state folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtcctl.cli.tree import Node, Values, walk

SHELLS = {"bash": "rtcctl.bash", "zsh": "_rtcctl", "fish": "rtcctl.fish"}
"Each shell and the name that its script has in `completions/`."


def script(shell: str) -> str:
    """The script of a shell."""
    nodes = tuple(walk())
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](nodes)


def _valued(nodes: Sequence[Node]) -> dict[tuple[str, ...], Values]:
    """Options that take a value, as patterns of "path name": `*` is any path.

    The same name mostly takes the same value everywhere; what differs is named with its command.
    """
    everywhere: dict[tuple[str, ...], set[Values]] = {}
    for node in nodes:
        for option in node.options:
            if option.values is not None:
                everywhere.setdefault(option.names, set()).add(option.values)
    valued: dict[tuple[str, ...], Values] = {}
    for node in nodes:
        for option in node.options:
            if option.values is not None:
                path = "*" if len(everywhere[option.names]) == 1 else "".join(f" {word}" for word in node.path)
                valued[tuple(_pattern(path, name) for name in option.names)] = option.values
    return valued


def _pattern(path: str, name: str) -> str:
    return f"*' {name}'" if path == "*" else f"'{path} {name}'"


_HEAD = """\
# Completion of rtcctl for {shell}, made by `rtcctl completion {shell}`.
# It is pure {shell}: TAB starts no other program. Ids and profiles come from plain files that rtcctl keeps.
"""

_STATE = """\
  local state=${RTCCTL_STATE_DIR:-}
  if [[ -z $state ]]; then
    case $OSTYPE in
      darwin*) state="$HOME/Library/Application Support/rtcctl" ;;
      *) state=${XDG_STATE_HOME:-$HOME/.local/state}/rtcctl ;;
    esac
  fi
"""


# -- bash ------------------------------------------------------------------------------------------------------------

_BASH = """
# Offers those of its arguments that begin with what was typed.
__rtcctl_words() {
  local word
  for word in "$@"; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
}

# Offers the lines of a file in the state folder, with a suffix.
__rtcctl_lines() {
  local line
@STATE@
  [[ -r $state/$1 ]] || return
  while IFS= read -r line; do
    [[ $line == "$cur"* ]] && COMPREPLY+=("$line$2")
  done < "$state/$1"
}

# Offers values: words first, then those of a kind.
__rtcctl_values() {
  local kind=$1
  shift
  __rtcctl_words "$@"
  case $kind in
    ids) __rtcctl_lines ids "" ;;
    profiles) __rtcctl_lines profiles "" ;;
    tracks)
      [[ $cur == */* ]] || __rtcctl_lines ids /
      compopt -o nospace 2>/dev/null
      ;;
    files) compopt -o default 2>/dev/null ;;
    reports) compopt -o nospace 2>/dev/null ;;
  esac
}

_rtcctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path="" i=1
  COMPREPLY=()
  # Readline divides words at = and at : too.
  if [[ $cur == = ]]; then
    cur=""
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if [[ $cur == : || $prev == : ]]; then
    compopt -o default 2>/dev/null
    return
  fi
  while ((i < COMP_CWORD)); do
    case "$path ${COMP_WORDS[i]}" in
@PATHS@
      *) break ;;
    esac
    ((i++))
  done
  case "$path $prev" in
@VALUES@
  esac
  case "$path" in
@COMMANDS@
  esac
  return 0
}

complete -o nosort -F _rtcctl rtcctl 2>/dev/null || complete -F _rtcctl rtcctl
"""


def _bash(nodes: Sequence[Node]) -> str:
    paths = "|\\\n      ".join(f"' {' '.join(node.path)}'" for node in nodes if node.path)
    values = [
        f"    {'|'.join(names)}) __rtcctl_values {_words((value.kind or 'none', *value.words))}; return ;;"
        for names, value in _valued(nodes).items()
    ]
    commands = []
    for node in nodes:
        options = _words(name for option in node.options for name in option.names)
        label = f"    '{''.join(f' {word}' for word in node.path)}')"
        commands.append(f"{label}\n      if [[ $cur == -* ]]; then\n        __rtcctl_words {options}")
        if node.children:
            commands.append(f"      else\n        __rtcctl_words {_words(node.children)}")
        elif node.argument.words or node.argument.kind:
            words = _words((node.argument.kind or "none", *node.argument.words))
            commands.append(f"      else\n        __rtcctl_values {words}")
        commands.append("      fi\n      ;;")
    return _HEAD.format(shell="bash") + _filled(
        _BASH,
        STATE=_STATE.rstrip("\n"),
        PATHS=f'      {paths}) path="$path ${{COMP_WORDS[i]}}" ;;',
        VALUES="\n".join(values),
        COMMANDS="\n".join(commands),
    )


def _words(words: Any) -> str:
    return " ".join(words)


def _filled(template: str, **parts: str) -> str:
    for name, text in parts.items():
        template = template.replace(f"@{name}@", text)
    return template


# -- zsh -------------------------------------------------------------------------------------------------------------

_ZSH = """
# Offers the lines of a file in the state folder, with a suffix.
__rtcctl_lines() {
@STATE@
  [[ -r $state/$1 ]] || return
  local -a lines
  lines=("${(@f)$(<$state/$1)}")
  if [[ -n $2 ]]; then
    compadd -V "$1" -S "$2" -- $lines
  else
    compadd -V "$1" -- $lines
  fi
}

# Offers values: words first, then those of a kind.
__rtcctl_values() {
  local kind=$1
  shift
  case $kind in
    ids) __rtcctl_lines ids ;;
    profiles) __rtcctl_lines profiles ;;
    tracks) [[ $PREFIX == */* ]] || __rtcctl_lines ids / ;;
    files) _files ;;
    reports)
      if compset -P '*:'; then
        _files
      else
        compadd -S '' -- $@
      fi
      ;;
    *) compadd -V values -- $@ ;;
  esac
}

_rtcctl() {
  local previous=${words[CURRENT - 1]} typed="" i=2
  local -a found
  if [[ $PREFIX == --*=* ]]; then
    previous=${PREFIX%%=*}
    compset -P '*='
  fi
  while ((i < CURRENT)); do
    case "$typed ${words[i]}" in
@PATHS@
      *) break ;;
    esac
    ((i++))
  done
  case "$typed $previous" in
@VALUES@
  esac
  case $typed in
@COMMANDS@
  esac
}

if [[ $funcstack[1] == _rtcctl ]]; then
  _rtcctl "$@"
else
  compdef _rtcctl rtcctl
fi
"""


def _zsh(nodes: Sequence[Node]) -> str:
    paths = "|\\\n      ".join(f"' {' '.join(node.path)}'" for node in nodes if node.path)
    values = [
        f"    {'|'.join(names)}) __rtcctl_values {_words((value.kind or 'none', *value.words))}; return ;;"
        for names, value in _valued(nodes).items()
    ]
    helps = {node.path: node.help for node in nodes}
    commands = []
    for node in nodes:
        label = f"    '{''.join(f' {word}' for word in node.path)}')"
        options = _described(((name, option.help) for option in node.options for name in option.names), "zsh")
        commands.append(
            f"{label}\n      if [[ $PREFIX == -* ]]; then\n        found=({options})\n        _describe option found"
        )
        if node.children:
            children = _described(((name, helps[*node.path, name]) for name in node.children), "zsh")
            commands.append(f"      else\n        found=({children})\n        _describe -V command found")
        elif node.argument.words or node.argument.kind:
            words = _words((node.argument.kind or "none", *node.argument.words))
            commands.append(f"      else\n        __rtcctl_values {words}")
        commands.append("      fi\n      ;;")
    return (
        "#compdef rtcctl\n"
        + _HEAD.format(shell="zsh")
        + _filled(
            _ZSH,
            STATE=_STATE.rstrip("\n"),
            PATHS=f'      {paths}) typed="$typed ${{words[i]}}" ;;',
            VALUES="\n".join(values),
            COMMANDS="\n".join(commands),
        )
    )


def _described(items: Any, shell: str) -> str:
    """Names with their help, as words of the shell."""
    if shell == "fish":
        return " ".join(_quoted(f"{name}\t{help_}", "fish") for name, help_ in items)
    return " ".join(_quoted(f"{name}:{help_.replace(':', '')}", "zsh") for name, help_ in items)


def _quoted(text: str, shell: str) -> str:
    if shell == "fish":
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        name, tab, help_ = escaped.partition("\t")
        return f"'{name}'\\t'{help_}'" if tab else f"'{name}'"
    return "'" + text.replace("'", "'\\''") + "'"


# -- fish ------------------------------------------------------------------------------------------------------------

_FISH = """
# Prints the lines of a file in the state folder, with a suffix.
function __rtcctl_lines
    set -l state $RTCCTL_STATE_DIR
    if test -z "$state"
        if test -d "$HOME/Library/Application Support"
            set state "$HOME/Library/Application Support/rtcctl"
        else if test -n "$XDG_STATE_HOME"
            set state $XDG_STATE_HOME/rtcctl
        else
            set state $HOME/.local/state/rtcctl
        end
    end
    test -r $state/$argv[1]; or return
    while read -l line
        echo $line"$argv[2]"
    end <$state/$argv[1]
end

# Prints values: words, or those of a kind.
function __rtcctl_values
    switch $argv[1]
        case ids profiles
            __rtcctl_lines $argv[1]
        case tracks
            string match -q -- '*/*' (commandline -ct); or __rtcctl_lines ids /
        case files
            __fish_complete_path (commandline -ct)
        case '*'
            set -l words $argv[2..]
            test (count $words) -gt 0; and printf '%s\\n' $words
    end
end

function __rtcctl
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l previous $words[-1]
    if string match -q -- '--*=*' $current
        # fish completes the word as a whole.
        set previous (string split -m 1 = -- $current)[1]
    end
    set -l path ''
    for word in $words[2..]
        switch "$path $word"
@PATHS@
                set path "$path $word"
            case '*'
                break
        end
    end
    set -l values
    switch "$path $previous"
@VALUES@
    end
    if set -q values[1]
        set -l found (__rtcctl_values $values)
        if string match -q -- '--*=*' $current
            test (count $found) -gt 0; and printf "$previous=%s\\n" $found
        else
            test (count $found) -gt 0; and printf '%s\\n' $found
        end
        return
    end
    switch $path
@COMMANDS@
    end
end

complete -c rtcctl -f -k -a '(__rtcctl)'
"""


def _globs(patterns: Sequence[str]) -> list[str]:
    """fish has globs in quotes."""
    return ["'" + pattern.replace("'", "") + "'" for pattern in patterns]


def _fish(nodes: Sequence[Node]) -> str:
    paths = " ".join(f"' {' '.join(node.path)}'" for node in nodes if node.path)
    values = [
        f"        case {' '.join(_globs(names))}\n            set values {_words((value.kind or 'none', *value.words))}"
        for names, value in _valued(nodes).items()
    ]
    helps = {node.path: node.help for node in nodes}
    commands = []
    for node in nodes:
        label = f"        case '{''.join(f' {word}' for word in node.path)}'"
        options = _described(((name, option.help) for option in node.options for name in option.names), "fish")
        children = _described(((name, helps[*node.path, name]) for name in node.children), "fish")
        commands.append(f"{label}\n            if string match -q -- '-*' $current")
        commands.append(f"                printf '%s\\n' {options}")
        if node.children:
            commands.append(f"            else\n                printf '%s\\n' {children}")
        elif node.argument.words or node.argument.kind:
            words = _words((node.argument.kind or "none", *node.argument.words))
            commands.append(f"            else\n                __rtcctl_values {words}")
        commands.append("            end")
    return _HEAD.format(shell="fish") + _filled(
        _FISH,
        PATHS=f"            case {paths}",
        VALUES="\n".join(values),
        COMMANDS="\n".join(commands),
    )
