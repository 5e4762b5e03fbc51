"""What a delivery policy promises, and what the user asks of it, against what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rtcctl.ops.channels_media import Delivery
from rtcctl.ops.judge import MIN_SENT_RATIO, latency_within
from rtcctl.results.channel import PathState, PolicyFigures
from rtcctl.results.check import Bound, Check, CheckStatus


def judge(
    figures: PolicyFigures,
    delivery: Delivery,
    saturated: str | None,
    *,
    max_fraction_lost: float | None = None,
    max_latency_ms: Mapping[str, float] | None = None,
) -> list[Check]:
    """Checks of one policy. `saturated`: why this machine cannot tell.

    A reliable channel may lose nothing, whatever the limit. Where the machine or the path is too slow for the rate,
    loss and latency would be those of a queue: they do not fail.
    """
    ratio = figures.messages_sent / figures.messages_nominal
    doubt = saturated
    if doubt is None and figures.path is PathState.SLOW:
        doubt = carries(figures)
    if doubt is None and figures.path is PathState.GOOD and ratio < MIN_SENT_RATIO:
        doubt = "this machine is too slow to send at that rate"
    checks = [_sent(figures, ratio, doubt), _received(figures)]
    if not figures.messages_received:
        return checks
    if delivery.is_reliable:
        checks.append(_nothing_lost(figures, doubt))
    elif max_fraction_lost is not None:
        checks.append(_little_lost(figures, max_fraction_lost, doubt))
    if delivery.ordered:
        wrong = figures.messages_reordered
        detail = f"{wrong} messages overtook others on an ordered channel" if wrong else ""
        status = CheckStatus.FAILED if wrong else CheckStatus.PASSED
        checks.append(Check("order", status, observed=wrong, limit=0, unit="messages", detail=detail))
    if figures.messages_duplicated:
        checks.append(
            Check("duplicates", CheckStatus.FAILED, observed=figures.messages_duplicated, limit=0, unit="messages")
        )
    if max_latency_ms and figures.latency_ms is not None:
        check = latency_within(figures.latency_ms, max_latency_ms, doubt)
        if figures.path is PathState.SLOW:
            # Those that have arrived were early: the queue grew behind them.
            check = replace(check, status=CheckStatus.INCONCLUSIVE)
        checks.append(check if check.status is CheckStatus.PASSED else _because(check, doubt))
    return checks


def carries(figures: PolicyFigures) -> str:
    """How slow the path is, in words."""
    if figures.rate_hz < 1:
        return "the path carries less than one message a second"
    return f"the path carries about {figures.rate_hz:.0f} messages a second"


def _sent(figures: PolicyFigures, ratio: float, doubt: str | None) -> Check:
    hint = "Run it again on a machine with less to do."
    if figures.path is PathState.SLOW:
        hint = "Run it again with a lower --rate or a smaller --size."
    elif figures.path is PathState.STALLED:
        # The rest was not sent for that reason, and what was is judged.
        doubt, hint = doubt or "the path has ceased to carry anything", "Is the connection of both ends still up?"
    return Check(
        "sent",
        CheckStatus.PASSED if doubt is None else CheckStatus.INCONCLUSIVE,
        observed=ratio,
        limit=MIN_SENT_RATIO,
        unit="ratio",
        bound=Bound.AT_LEAST,
        detail=f"{figures.messages_sent} of {figures.messages_nominal} messages" + (f": {doubt}" if doubt else ""),
        hint=hint if doubt else "",
    )


def _received(figures: PolicyFigures) -> Check:
    return Check(
        "received",
        CheckStatus.PASSED if figures.messages_received else CheckStatus.FAILED,
        observed=figures.messages_received,
        limit=1,
        unit="messages",
        bound=Bound.AT_LEAST,
        detail="" if figures.messages_received else "nothing arrived",
    )


def _nothing_lost(figures: PolicyFigures, doubt: str | None) -> Check:
    lost = figures.messages_lost
    if lost is None:
        return _still_waiting(figures, 0, "messages", doubt)
    detail = f"{lost} of {figures.messages_sent} messages never arrived on a reliable channel" if lost else ""
    check = Check("loss", _status(not lost, doubt), observed=lost, limit=0, unit="messages", detail=detail)
    return _because(check, doubt) if lost else check


def _little_lost(figures: PolicyFigures, limit: float, doubt: str | None) -> Check:
    observed = figures.fraction_lost
    if observed is None:
        return _still_waiting(figures, limit, "ratio", doubt)
    is_good = observed <= limit
    detail = f"{figures.messages_lost} of {figures.messages_sent} messages"
    check = Check("loss", _status(is_good, doubt), observed=observed, limit=limit, unit="ratio", detail=detail)
    return check if is_good else _because(check, doubt)


def _still_waiting(figures: PolicyFigures, limit: float, unit: str, doubt: str | None) -> Check:
    waiting = f"{figures.messages_waiting} of {figures.messages_sent} messages were still on their way"
    return _because(Check("loss", CheckStatus.INCONCLUSIVE, limit=limit, unit=unit, detail=waiting), doubt)


def _status(is_good: bool, doubt: str | None) -> CheckStatus:
    if is_good:
        return CheckStatus.PASSED
    return CheckStatus.FAILED if doubt is None else CheckStatus.INCONCLUSIVE


def _because(check: Check, doubt: str | None) -> Check:
    return check if doubt is None else replace(check, detail=f"{check.detail}; {doubt}")
