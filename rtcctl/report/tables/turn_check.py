"""Table of `turn check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rtcctl.report import figures
from rtcctl.report.layout import Cell, Line, Styled, facts, grid, known_grid, line
from rtcctl.report.table import BLANK, STYLES, hints
from rtcctl.report.tables.pieces import known
from rtcctl.results.check import CheckStatus
from rtcctl.results.turn_check import Before, NatReport, Refusal, TurnCheck, UrlReport

_FIGURES = ("in ms", "connect", "binding", "allocate", "rtt p50", "p95", "p99", "jitter", "lost")
"The unit stands in the first column's head, so that the figures fit into 80 columns."


def body(result: TurnCheck) -> list[Line]:
    """What each URL is good for and why, then what was measured, then what is known of the servers."""
    lines = grid(("check", "verdict", "URL"), [row for report in result.urls for row in _rows(report)])
    rows = [row for row in map(_measured, result.urls) if any(row[1:])]
    if rows:
        lines += [BLANK, *known_grid(_FIGURES, rows, right=range(1, 9))]
    lines += [BLANK, *_details(result), BLANK]
    bad = [check for check in result.checks if check.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE)]
    missing = [check for check in bad if check.name.startswith("require ")]
    lines += [line(Styled(f"{check.name}: {check.detail}", "red")) for check in missing]
    return [*lines, line(Styled(result.verdict, "bold red" if bad else "bold green")), *hints(result.checks)]


def _rows(report: UrlReport) -> Iterator[tuple[Cell, Cell, Cell]]:
    verdict = report.verdict.value if report.is_required else f"({report.verdict.value})"
    is_dim = not report.is_required and report.verdict is not CheckStatus.PASSED
    yield report.name, Styled(verdict, "dim" if is_dim else STYLES[report.verdict]), report.url
    if report.reason:
        yield "", "", report.reason
    if report.before is not None:
        yield "", "", Styled(f"before: {_before(report.before)}", "dim")


def _measured(report: UrlReport) -> list[Cell | None]:
    traffic = report.traffic
    rtt = None if traffic is None else traffic.rtt_ms
    connect_ms = None if report.connect_ms is None else report.connect_ms + (report.tls_ms or 0.0)
    times = (
        connect_ms,
        report.binding_ms,
        report.allocate_ms,
        *((None,) * 3 if rtt is None else (rtt.p50, rtt.p95, rtt.p99)),
        None if traffic is None else traffic.jitter_ms,
    )
    lost = None if traffic is None else known(figures.percent, traffic.fraction_lost)
    return [report.name, *(known(_without_unit, time) for time in times), lost]


def _without_unit(milliseconds: float) -> str:
    return figures.milliseconds(milliseconds).removesuffix(" ms")


def _before(before: Before) -> str:
    parts = [before.verdict]
    if before.rtt_p50_ms is not None:
        parts.append(f"rtt p50 {figures.milliseconds(before.rtt_p50_ms)}")
    if before.fraction_lost is not None:
        parts.append(f"{figures.percent(before.fraction_lost)} lost")
    return ", ".join(parts)


def _details(result: TurnCheck) -> list[Line]:
    """What a table has no column for: seen by all URLs alike, or by few."""
    reports = result.urls
    return facts(
        ("servers", result.source),
        ("seen as", _joined(report.mapped_address and report.mapped_address.rpartition(":")[0] for report in reports)),
        ("relayed at", _joined(r.relayed_address and r.relayed_address.rpartition(":")[0] for r in reports)),
        ("software", _joined(report.software for report in reports)),
        ("certificate", _joined(_certificate(report) for report in reports)),
        ("NAT", _joined(_nat(report.nat) for report in reports)),
        ("wrong password", _refusals([report.wrong_password for report in reports if report.is_turn])),
        ("expired", _refusals([report.expired for report in reports if report.is_turn])),
    )


def _certificate(report: UrlReport) -> str | None:
    tls = report.tls
    if tls is None:
        return None
    parts = [
        tls.version,
        f"for {', '.join(tls.names[:3])}" if tls.names else None,
        f"by {tls.issuer}" if tls.issuer else None,
        None if tls.days_left is None else f"{tls.days_left:.0f} days left",
        None if tls.is_verified else "not verified",
    ]
    return ", ".join(part for part in parts if part)


def _nat(nat: NatReport | None) -> str | None:
    if nat is None:
        return None
    return f"mapping {nat.mapping or 'not known'}, filtering {nat.filtering or 'not known'}"


def _refusals(outcomes: list[Refusal]) -> str | None:
    """`refused`, `refused by 2, not tested at 1`."""
    if not outcomes:
        return None
    words = {Refusal.REFUSED: "refused", Refusal.ACCEPTED: "accepted", Refusal.NOT_TESTED: "not tested"}
    if len(set(outcomes)) == 1:
        return words[outcomes[0]]
    return ", ".join(f"{words[kind]} at {outcomes.count(kind)}" for kind in Refusal if kind in outcomes)


def _joined(texts: Iterable[str | None]) -> str | None:
    return "; ".join(dict.fromkeys(text for text in texts if text)) or None
