"""Every rendering of every result, as texts that were read when they changed."""

from pathlib import Path

import pytest

from rtcctl.report import csv, github, json, junit, markdown, prometheus, table, turn
from rtcctl.results.turn import TurnCreds
from tests.unit.report.samples import LOCAL, READY, READY_WITH_APPS, RESULTS, TARGET, WRITTEN

GOLDEN = Path(__file__).parents[2] / "golden" / "report"

CHECKED = [name for name, result in RESULTS.items() if result.checks]


def expect(name: str, text: str) -> None:
    """The text is the golden one, to the last character; a new text is written beside it, to be read."""
    path = GOLDEN / name
    expected = path.read_text("utf-8") if path.exists() else ""
    new = path.with_name(f"{name}.new")
    if text + "\n" == expected:
        new.unlink(missing_ok=True)
    else:
        new.write_text(text + "\n", "utf-8")
    assert text + "\n" == expected


@pytest.mark.parametrize("name", RESULTS)
def test_table(name: str) -> None:
    """Tables for people, in 100 columns without colour."""
    expect(f"{name}.table.txt", table.render(RESULTS[name], width=100, colour=False))


@pytest.mark.parametrize("name", ["smoke", "smoke-failed", "track-subscribe-nothing"])
def test_table_in_colour(name: str) -> None:
    """Verdicts are coloured."""
    expect(f"{name}.colour.txt", table.render(RESULTS[name], width=100, colour=True).replace("\x1b", "␛"))


def test_table_in_few_columns() -> None:
    """In a narrow terminal the last column wraps under itself."""
    expect("smoke.narrow.txt", table.render(RESULTS["smoke"], width=72, colour=False))


@pytest.mark.parametrize("name", [name for name in RESULTS if name.startswith("track-")])
def test_grids_of_tracks_fit_into_a_terminal(name: str) -> None:
    """In 80 columns no row of figures is broken; what is long is text that may wrap."""
    narrow = table.render(RESULTS[name], width=80, colour=False)
    assert max(map(len, narrow.splitlines())) <= 80


def test_the_opening_of_dev() -> None:
    """What `rtcctl dev` prints when it answers."""
    expect("dev.table.txt", table.render_event(READY, None, width=100, colour=False))
    expect("dev-apps.table.txt", table.render_event(READY_WITH_APPS, None, width=100, colour=False))
    expect("dev-apps.json", json.render_event(READY_WITH_APPS))


def test_lines_to_paste_are_not_broken() -> None:
    """However narrow the terminal is, `export NAME=VALUE` is one line."""
    wide, narrow = (table.render_event(READY, None, width=width, colour=False).splitlines() for width in (200, 30))
    exports = [line for line in wide if line.startswith("export ")]
    assert exports
    assert [line for line in narrow if line.startswith("export ")] == exports


def test_the_opening_of_turn_refresh() -> None:
    """What `rtcctl turn refresh` prints when its file is there."""
    expect("turn-refresh-written.table.txt", table.render_event(WRITTEN, TARGET, width=100, colour=False))
    expect("turn-refresh-written.json", json.render_event(WRITTEN))


@pytest.mark.parametrize("name", RESULTS)
def test_json(name: str) -> None:
    """Documents, key by key in their order."""
    expect(f"{name}.json", json.render(RESULTS[name], int(RESULTS[name].exit_status)))


@pytest.mark.parametrize("name", RESULTS)
def test_csv(name: str) -> None:
    """Header and rows."""
    expect(f"{name}.csv", csv.render(RESULTS[name], 0))


@pytest.mark.parametrize("name", CHECKED)
def test_junit(name: str) -> None:
    """A case per check."""
    expect(f"{name}.junit.xml", junit.render(RESULTS[name], name.replace("-", " ")))


@pytest.mark.parametrize("name", CHECKED)
def test_markdown(name: str) -> None:
    """A table for a step summary."""
    result = RESULTS[name]
    expect(f"{name}.md", markdown.render(result, name.replace("-", " "), int(result.exit_status)))


@pytest.mark.parametrize("name", CHECKED)
def test_prometheus(name: str) -> None:
    """Gauges in base units."""
    result = RESULTS[name]
    expect(f"{name}.prom", prometheus.render(result, name.replace("-", " "), int(result.exit_status)).rstrip("\n"))


@pytest.mark.parametrize("name", CHECKED)
def test_github(name: str) -> None:
    """Annotations; none for what is fine."""
    expect(f"{name}.github.txt", "\n".join(github.annotate(RESULTS[name], name.replace("-", " "))))


@pytest.mark.parametrize("shape", list(turn.Shape))
@pytest.mark.parametrize("name", ["turn-creds", "turn-creds-stun-only"])
def test_turn_shapes(name: str, shape: turn.Shape) -> None:
    """The shapes people paste."""
    creds = RESULTS[name]
    assert isinstance(creds, TurnCreds)
    expect(f"{name}.{shape}.txt", turn.render(creds, shape))


def test_the_target_of_an_embedded_server_says_so() -> None:
    """Nobody takes the embedded server for Cloudflare."""
    assert table.render(RESULTS["session-create"], width=100, colour=False).splitlines()[0].endswith("embedded")
    assert LOCAL.embedded
    assert not TARGET.embedded
