"""Numbers and lines as people read them."""

import math
import re
from csv import DictReader
from dataclasses import fields, replace
from io import StringIO
from json import loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.report import csv, figures, json, jsonl, junit, prometheus, table
from rtcctl.report.layout import Styled, display_width, draw, facts, grid, known_grid, line
from rtcctl.report.tables.pieces import layer_change
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.event import Interval, LayerChanged, Published, Summary
from rtcctl.results.result import Result
from rtcctl.results.track import LayerSent, SentStatistics, SubscribedTrack
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
        (figures.amount(1, "freeze"), "1 freeze"),
        (figures.amount(1200, "gap"), "1,200 gaps"),
        (figures.amount(0, "gap"), "0 gaps"),
        (figures.size(1280, 720), "1280x720"),
        (figures.size(None, 720), "–"),
        (figures.frame_rate(29.84), "29.8"),
        (figures.frame_rate(None), "–"),
        (figures.sparkline([0.0, 1.0, None, 7.0]), "▁▂ █"),
        (figures.sparkline([0.0, 0.0]), "▁▁"),
        (figures.sparkline([None]), " "),
        (figures.sparkline([]), ""),
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


def test_a_grid_shows_what_is_known() -> None:
    """A column of which nothing is known is left out, a cell is empty."""
    rows = [("a", None, "1", None), ("b", None, None, "x")]
    drawn = draw(known_grid(("name", "none", "number", "text"), rows, right=(2,)), width=80, colour=False)
    assert drawn == "name  number  text\na          1\nb             x"


@pytest.mark.parametrize(
    ("statistics", "known"),
    [(SentStatistics, prometheus.SENT), (LayerSent, prometheus.LAYER), (SubscribedTrack, prometheus.RECEIVED)],
)
def test_every_figure_is_a_metric(statistics: type, known: dict[str, str]) -> None:
    """What is a number in JSON is one for Prometheus; an interval is not: a scrape has its own."""
    numbers = {field.name for field in fields(statistics) if re.match("int|float|Percentiles", str(field.type))}
    assert numbers - {"interval_s", "duration_s"} == set(known)


@pytest.mark.parametrize(
    ("figure", "name"),
    [
        ("packets_lost", "rtcctl_packets_lost"),
        ("jitter_ms", "rtcctl_jitter_seconds"),
        ("bytes_received", "rtcctl_received_bytes"),
        ("fraction_lost", "rtcctl_fraction_lost_ratio"),
        ("bitrate_bps", "rtcctl_bitrate_bits_per_second"),
        ("frame_rate_hz", "rtcctl_frame_rate_hertz"),
        ("tone_level_db", "rtcctl_tone_level_decibels"),
    ],
)
def test_metrics_have_the_names_of_the_document(figure: str, name: str) -> None:
    """With the base unit last, as Prometheus wants it."""
    assert prometheus.metric_name(figure) == name


@pytest.mark.parametrize("name", RESULTS)
def test_no_series_is_there_twice(name: str) -> None:
    """A collector refuses the whole file for one name and label set that comes again, and for a name's second block."""
    lines = prometheus.render(RESULTS[name], name, 0).splitlines()
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series)


def test_the_columns_of_one_track_are_those_of_several() -> None:
    """A script that reads a column need not know how many tracks there are."""
    one = csv.render(RESULTS["track-subscribe-video"], 0).splitlines()
    several = csv.render(RESULTS["track-subscribe-several"], 0).splitlines()
    assert len(one) == 2
    assert len(several) == 4
    known = {name.partition(".")[0] for name in one[0].split(",")}
    assert known == {name.partition(".")[0] for name in several[0].split(",")}


def test_a_row_of_a_track_has_nothing_of_another() -> None:
    """The flat figures are those of the first track, and stay there."""
    rows = list(DictReader(StringIO(csv.render(RESULTS["track-publish-several"], 0))))
    assert [row["track_name"] for row in rows] == ["mic", "cam", "screen"]
    assert [row["tone_hz"] for row in rows] == ["440.0", "", ""]
    assert [row["sent.packets_sent"] for row in rows] == ["250", "3350", ""]
    assert [layer["rid"] for layer in loads(rows[1]["sent.layers"])] == ["h", "m", "l"]


def test_what_is_not_known_has_no_line() -> None:
    """0 is only there when it was measured."""
    drawn = table.render(RESULTS["track-subscribe-nothing"], width=80, colour=False)
    assert "–" not in drawn
    assert "lost" not in drawn.partition("check")[0]
    measured = table.render(replace(SUBSCRIBE, packets_lost=0, freezes=0), width=80, colour=False)
    assert "0 lost" in measured
    assert "freezes       0\n" in measured


def test_a_switch_is_a_line() -> None:
    """What is not known of it is left out."""
    changed = LayerChanged(
        session_id="s", track_name="cam", layer="l", previous="h", width=320, height=180, took_ms=9.0
    )
    assert layer_change(changed) == "cam: layer h → l, 320x180, 9.00 ms after the request"
    first = LayerChanged(session_id="s", track_name="cam", layer="h", previous=None)
    assert layer_change(first) == "cam: layer – → h"


def test_lines_name_their_event_first() -> None:
    """`event` first, then its fields; the summary is the whole document."""
    assert jsonl.render(Published(session_id="s", track_name="t", mid="0", kind="video", source="testsrc")) == (
        '{"event": "published", "session_id": "s", "track_name": "t", "mid": "0", '
        '"kind": "video", "codec": null, "source": "testsrc", "tone_hz": null}'
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
