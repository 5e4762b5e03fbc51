"""How each Typer app is set up: the root, the nouns with their verbs, the commands that stand alone."""

import typer

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"Settings of every Typer context."


def noun(help_: str, *, has_verbs: bool = True) -> typer.Typer:
    """A noun with its verbs, or a command that stands alone."""
    app = typer.Typer(
        help=help_,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )
    if has_verbs:
        # Without a callback Typer makes a noun with one verb into that verb.
        app.callback()(_nothing)
    return app


def _nothing() -> None: ...
