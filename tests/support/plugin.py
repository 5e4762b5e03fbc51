"""rtcctl's pytest plugin in a pytest of its own."""

from __future__ import annotations

from importlib.metadata import entry_points

PLUGIN = "rtcctl.pytest_plugin"


def is_installed() -> bool:
    """Whether this environment has its entry point; one that was made before there was a plugin has none."""
    return any(point.value == PLUGIN for point in entry_points(group="pytest11"))


_QUIET = ("schemathesis", "hypothesispytest", "timeout")
"Plugins that import much, or warn where nothing of theirs is used."


def without(*plugins: str) -> tuple[str, ...]:
    """Options of a pytest with our plugin and without these."""
    excluded = [option for name in (*_QUIET, *plugins) for option in ("-p", f"no:{name}")]
    return (*(() if is_installed() else ("-p", PLUGIN)), *excluded)


WITH_PLUGIN = without("asyncio", "anyio", "xdist")
"Options of a pytest with our plugin and hardly another."
