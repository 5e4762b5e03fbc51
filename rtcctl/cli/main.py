"""Dispatch: only the module of the noun that was named is imported.

Theory of operation: the first argument picks a row of `NOUNS`, whose module has a Typer `app`; its command tree is
built and run. Anything else (no argument, `--help`, a word that is no noun) meets a root that knows names and one-line
helps only, which is enough for the real help and for "did you mean". A test holds the table to the modules.
"""

from typing import Annotated, Any

from rtcctl.cli.run import guard
from rtcctl.errors import ExitStatus, UsageError

NOUNS = {
    "smoke": "Check the whole path: API, session, media, content, quality.",
    "dev": "Run an embedded Realtime server until interrupted.",
    "fault": "Faults in a running embedded server, and the ledger of what they did.",
    "session": "Create, read, close and list sessions.",
    "track": "Publish, subscribe, list, close, update and wait for tracks.",
    "channel": "Publish, hear, probe, update and close data channels.",
    "app": "The apps of the account: list, create, get, update, delete.",
    "turn": "TURN: credentials, keys, and whether its servers relay.",
    "stats": "Figures of sessions and of running probes.",
    "explain": "What an error code, a response, a request or an SDP means, and what to do next.",
    "api": "Call any method of the API with the profile's credentials.",
    "config": "Profiles and secrets.",
    "completion": "Print the completion script of a shell.",
}

NESTED = {("turn", "key"): "The TURN keys of the account: list, create, get, update, delete."}
"Nouns inside nouns, each in a module of its own (`turn_key`): whoever names another verb does not pay for it."

HELP = "Operate, test and gate real-time media over Cloudflare Realtime, with an embedded server of one's own."


def main(arguments: list[str]) -> int:
    """Run `arguments`; all errors end here, as one line and an exit status."""
    return guard(lambda: _dispatch(arguments), arguments)


def _dispatch(arguments: list[str]) -> object:
    at = next((index for index, argument in enumerate(arguments) if argument in NOUNS), None)
    if tuple(arguments[:2]) in NESTED:
        return _run(load(*arguments[:2]), arguments[2:], f"rtcctl {' '.join(arguments[:2])}")
    if at == 0:
        return _run(load(arguments[0]), arguments[1:], f"rtcctl {arguments[0]}")
    if at is not None and arguments[0] not in ("-h", "--help", "-V", "--version"):
        options = " ".join(arguments[:at])
        raise UsageError(
            f"The command comes first, {options} after it.",
            hint=f"rtcctl {' '.join(arguments[at:])} {options}",
        )
    return _run(root(), arguments, "rtcctl")


def _run(app: Any, arguments: list[str], name: str) -> object:
    """Run a Typer app; a noun alone shows its help, but did nothing that a script may take for success."""
    from typer.core import TyperGroup
    from typer.main import get_command

    command = get_command(app)
    if isinstance(command, TyperGroup) and not arguments:
        command(args=["--help"], prog_name=name, standalone_mode=False)
        return int(ExitStatus.USAGE)
    return command(args=arguments, prog_name=name, standalone_mode=False)


def load(*path: str) -> Any:
    """The Typer app of a noun, or of one inside another."""
    from importlib import import_module

    return import_module(f"rtcctl.cli.{'_'.join(path)}").app


def root() -> Any:
    """The root of the tree, with names and helps only: it is asked for help, and never runs a command."""
    import typer

    from rtcctl.cli.noun import CONTEXT, noun

    app = noun(HELP)

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None: ...

    for name, help_ in NOUNS.items():
        app.command(name, help=help_, context_settings=CONTEXT)(never_run)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        import typer

        from rtcctl import __version__

        typer.echo(f"rtcctl {__version__}")
        raise typer.Exit


def never_run() -> None:
    """Stands for a noun where only its name and help are known."""
    raise AssertionError("a noun is dispatched before the root is built")
