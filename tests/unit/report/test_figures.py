"""Numbers and lines as people read them."""

import math
from dataclasses import replace
from json import loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.report import csv, figures, json, jsonl, junit, prometheus
from rtcctl.report.layout import Styled, display_width, draw, facts, grid, line
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.event import Interval, Published, Summary
from rtcctl.results.result import Result
from tests.unit.report.samples import RECEIVED, RESULTS, SMOKE, SUBSCRIBE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (figures.milliseconds(0.415), "0.41 ms"),
        (figures.milliseconds(12.34), "12.3 ms"),
        (figures.milliseconds(250.4), "250 ms"),
        (figures.milliseconds(None), "–"),
        (figures.percent(0.0), "0 %"),
        (figures.percent(0.00001), "<0.01 %"),
        (figures.percent(0.0123), "1.23 %"),
        (figures.percent(1.0), "100 %"),
        (figures.bits_per_second(999.0), "999 bit/s"),
        (figures.bits_per_second(64_231.0), "64.2 kbit/s"),
        (figures.bits_per_second(2_500_000.0), "2.50 Mbit/s"),
        (figures.seconds(5.04), "5.0 s"),
        (figures.seconds(200.0), "3 min 20 s"),
        (figures.seconds(7500.0), "2 h 5 min"),
        (figures.count(12_345), "12,345"),
        (figures.moment(0.0), "1970-01-01 00:00:00Z"),
        (figures.observed(50.04, "packets/s"), "50.0/s"),
        (figures.observed("text\x1b[2J", None), "text\\x1b[2J"),
        (figures.observed(3, "packets"), "3 packets"),
        (figures.limit(Check("x", CheckStatus.PASSED, 1.0, 30.0, "ms")), "≤ 30 ms"),
        (figures.limit(Check("x", CheckStatus.PASSED, 1.0, None, "ms")), ""),
    ],
)
def test_figures(text: str, expected: str) -> None:
    """A few digits, the unit, and a dash for what is not known."""
    assert text == expected


@given(st.floats(min_value=1e-12, max_value=1))
def test_a_loss_is_never_shown_as_none(fraction: float) -> None:
    """However small, what was lost was lost."""
    assert figures.percent(fraction) != "0 %"


@given(st.text())
def test_text_of_others_cannot_steer_the_terminal(text: str) -> None:
    """What is drawn is printable, on one line per line."""
    drawn = draw([line(text), *facts(("name", text)), *grid(("a", "b"), [(text, text)])], width=80, colour=False)
    assert all(char == "\n" or char.isprintable() for char in drawn)


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=5))
def test_columns_are_aligned(rows: list[tuple[str, str]]) -> None:
    """The second column begins at the same place in every row."""
    drawn = grid(("first", "second"), rows)
    assert len({display_width(item.pieces[0].text) for item in drawn}) == 1


def test_wide_characters_take_two_columns() -> None:
    """A track with a Chinese name does not shift the table."""
    assert display_width("音声") == 4
    assert display_width("é") == 1


def test_colour_is_only_there_when_wanted() -> None:
    """Without colour there is no escape sequence."""
    lines = [line(Styled("red", "bold red"))]
    assert draw(lines, width=80, colour=False) == "red"
    assert draw(lines, width=80, colour=True) == "\x1b[1;31mred\x1b[0m"


def test_a_long_last_column_wraps_under_itself() -> None:
    """Names stay readable in a narrow terminal."""
    assert draw(facts(("name", "one two three four five six")), width=28, colour=False) == (
        "name  one two three four\n      five six"
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_number_that_json_does_not_know(bad: float) -> None:
    """NaN and infinity are `null` in JSON and absent in Prometheus."""
    result = replace(SUBSCRIBE, jitter_ms=bad, latency_ms=replace(RECEIVED.latency_ms, p95=bad))  # type: ignore[type-var]
    document = loads(json.render(result, 0))
    assert document["jitter_ms"] is None
    assert document["latency_ms"]["p95"] is None
    assert "rtcctl_jitter_seconds" not in prometheus.render(result, "track subscribe", 0)
    assert "nan" not in csv.render(result, 0)


@pytest.mark.parametrize("name", RESULTS)
def test_documents_begin_and_end_alike(name: str) -> None:
    """`schema` first, `exit_status` last, and the target before the result's own fields."""
    document = loads(json.render(RESULTS[name], 7))
    keys = list(document)
    assert keys[:3] == ["schema", "rtcctl_version", "target"]
    assert keys[-4:] == ["checks", "failure", "interrupted", "exit_status"]
    assert document["exit_status"] == 7


def test_the_document_of_subscribe_has_what_scripts_read() -> None:
    """At least these keys, flat."""
    document = loads(json.render(SUBSCRIBE, 0))
    assert {
        "schema",
        "session_id",
        "publisher_session_id",
        "track_name",
        "packets_received",
        "packets_lost",
        "packets_recovered",
        "fraction_lost",
        "jitter_ms",
        "rtt_ms",
        "latency_ms",
        "bitrate_bps",
        "time_to_first_packet_ms",
        "tone_hz",
        "checks",
    } <= set(document)
    assert set(document["latency_ms"]) == {"p50", "p95", "p99"}


def test_lines_name_their_event_first() -> None:
    """`event` first, then its fields; the summary is the whole document."""
    assert jsonl.render(Published(session_id="s", track_name="t", mid="0")) == (
        '{"event": "published", "session_id": "s", "track_name": "t", "mid": "0"}'
    )
    interval = loads(jsonl.render(Interval(session_id="s", track_name="t", elapsed_s=1.0, received=RECEIVED)))
    assert interval["received"]["packets_received"] == 497
    assert interval["sent"] is None
    summary = loads(jsonl.render(Summary(result=SMOKE), 130))
    assert list(summary)[:2] == ["event", "schema"]
    assert summary["exit_status"] == 130


@given(st.text())
def test_junit_is_xml_whatever_was_said(text: str) -> None:
    """Control characters, quotes and brackets of others do not break the document."""
    from xml.etree.ElementTree import fromstring

    result = Result(checks=(Check("loss", CheckStatus.FAILED, detail=text, hint=text),))
    assert fromstring(junit.render(result, "smoke")).get("failures") == "1"
