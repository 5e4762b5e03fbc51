"""`rtcctl completion SHELL`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from rtcctl.cli.noun import CONTEXT, noun

app = noun("Print the completion script of a shell.", has_verbs=False)


class Shell(StrEnum):
    """Shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command(context_settings=CONTEXT)
def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> int:
    """Print the completion script of a shell.

    bash: source it from ~/.bashrc. zsh: save it as _rtcctl in a folder of $fpath. fish: save it as
    ~/.config/fish/completions/rtcctl.fish.
    """
    from rtcctl.cli.shells import script

    sys.stdout.write(script(shell))
    return 0
