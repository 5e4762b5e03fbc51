"""What the report of a TURN URL means: a verdict, a reason in words, and checks for what is required. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rtcctl.ops.turn import INSTALL_COTURN
from rtcctl.results.check import Bound, Check, CheckStatus
from rtcctl.results.turn_check import Refusal, Step, Stop, UrlReport

EXPIRES_SOON_DAYS = 14.0

_CODES = {
    400: "the server did not understand the request (400)",
    401: "the credential was refused (401): wrong, expired or revoked",
    403: "the server forbids it (403)",
    420: "the server does not know what was asked for (420)",
    437: "the server lost the allocation (437)",
    440: "the server does not relay this address family (440)",
    441: "the credential is not the allocation's (441)",
    442: "the server does not relay UDP (442)",
    486: "allocation quota reached (486)",
    508: "the server has no capacity left (508)",
}
"RFC 8489 §18.4, RFC 8656 §19."


@dataclass(frozen=True, slots=True)
class Requirement:
    """What has to work. `all`: every URL but those of port 53; `any`: one of them that relays; else each of a protocol.

    `any` and the protocols are about TURN: that STUN answers relays nothing.
    """

    what: Literal["all", "any", "udp", "tcp", "tls"]
    port: int | None = None

    def covers(self, report: UrlReport) -> bool:
        if self.what == "all":
            return report.port != 53
        if self.what == "any":
            return report.is_turn and report.port != 53
        return report.is_turn and report.protocol == self.what and self.port in (None, report.port)

    def __str__(self) -> str:
        return self.what if self.port is None else f"{self.what}:{self.port}"


def judged(report: UrlReport, *, max_fraction_lost: float, busy: str | None) -> UrlReport:
    """The report with its verdict and reason. `busy`: why this machine could not measure."""
    verdict, reason = _verdict(report, max_fraction_lost, busy)
    remarks = [reason, *_remarks(report)]
    return replace(report, verdict=verdict, reason="; ".join(remark for remark in remarks if remark))


def _verdict(report: UrlReport, max_fraction_lost: float, busy: str | None) -> tuple[CheckStatus, str]:
    failed, passed, unclear = CheckStatus.FAILED, CheckStatus.PASSED, CheckStatus.INCONCLUSIVE
    traffic = report.traffic
    if report.stop is not None:
        # It relays; what it does not grant is what traffic is tested with.
        is_untestable = report.stop.step is Step.CHANNEL and report.stop.code in (403, 486)
        return (unclear if is_untestable else failed), _why(report, report.stop)
    if report.wrong_password is Refusal.ACCEPTED:
        return failed, "it accepts any password: anybody can relay through it"
    if report.expired is Refusal.ACCEPTED:
        return failed, "it accepts a credential that has expired"
    if traffic is None:
        return passed, ""
    if traffic.packets_received == 0:
        return failed, "allocated, but nothing comes through the relay"
    if traffic.silent_after_s is not None:
        return failed, f"the relay fell silent after {traffic.silent_after_s:.1f} s"
    if busy is not None:
        return unclear, busy
    lost = traffic.fraction_lost
    if lost is not None and lost > max_fraction_lost:
        return failed, f"{lost:.1%} lost, more than {max_fraction_lost:.1%}"
    return passed, ""


def _why(report: UrlReport, stop: Stop) -> str:
    """Where the way ended, in words."""
    match stop.step:
        case Step.CHANNEL if stop.code == 486:
            return "allocation quota (486): one allocation works, a second one to test traffic with was refused"
        case Step.CHANNEL if stop.code == 403:
            return "the server does not relay to its own relayed address (403), so traffic cannot be tested"
        case Step.TLS if report.tls is not None and report.tls.problem is not None:
            return _untrusted(report)
        case Step.BINDING if stop.code == 401:
            return "the server wants a credential for STUN (401)"
        case Step.ALLOCATE if stop.is_silence and report.binding_ms is not None:
            return "it answers STUN, but no allocate request: no TURN server"
        case Step.BINDING | Step.ALLOCATE if stop.is_silence and report.protocol == "udp":
            return f"no answer over UDP from port {report.port}: a firewall drops it, or no server is there"
    known = _CODES.get(stop.code or 0)
    if known is not None:
        return known
    return stop.message.rstrip(".")


def _untrusted(report: UrlReport) -> str:
    tls = report.tls
    assert tls is not None
    problem = tls.problem or ""
    if tls.intercepted_by:
        return f"TLS is intercepted: the certificate was made by {tls.intercepted_by}"
    if "another name" in problem and tls.names:
        return f"{problem}: {', '.join(tls.names[:3])}{' …' if len(tls.names) > 3 else ''}"
    if "expired" in problem and tls.days_left is not None:
        return f"{problem} {-tls.days_left:.0f} days ago"
    return f"{problem} ({tls.issuer})" if tls.issuer else problem


def _remarks(report: UrlReport) -> list[str]:
    """What is worth knowing of a URL that may work all the same."""
    remarks = []
    if report.port == 53:
        remarks.append("port 53 is blocked by browsers")
    tls = report.tls
    if tls is not None and tls.problem is None:
        if tls.intercepted_by:
            remarks.append(f"TLS is intercepted: the certificate was made by {tls.intercepted_by}")
        if tls.days_left is not None and tls.days_left < EXPIRES_SOON_DAYS:
            remarks.append(f"the certificate expires in {tls.days_left:.0f} days")
        if not tls.is_verified:
            remarks.append("the certificate was not verified")
    return remarks


def checks_of(
    reports: Sequence[UrlReport], requirements: Sequence[Requirement], *, needs_turn: bool = False
) -> tuple[Check, ...]:
    """A check for each required URL, and one for each requirement that is more than the sum of them.

    `needs_turn`: a list without a TURN URL fails, whatever its STUN URLs do.
    """
    checks = [_check(report) for report in reports]
    if needs_turn and not any(report.is_turn for report in reports):
        detail = "there is no TURN URL: nothing can be relayed"
        checks.append(Check("turn", CheckStatus.FAILED, 0, 1, "URLs", detail, INSTALL_COTURN, bound=Bound.AT_LEAST))
    for requirement in requirements:
        covered = [report for report in reports if requirement.covers(report)]
        name = f"require {requirement}"
        if not covered:
            turn = [report for report in reports if report.is_turn]
            there = ", ".join(dict.fromkeys(f"{report.protocol}:{report.port}" for report in turn))
            detail = f"no URL matches; there is {there or 'no TURN URL'}"
            checks.append(
                Check(name, CheckStatus.FAILED, observed=0, limit=1, unit="URLs", detail=detail, bound=Bound.AT_LEAST)
            )
        elif requirement.what == "any":
            checks.append(_any(name, covered))
    return tuple(checks)


def _any(name: str, covered: Sequence[UrlReport]) -> Check:
    count = Counter(report.verdict for report in covered)
    good = count[CheckStatus.PASSED]
    if good:
        status = CheckStatus.PASSED
    elif count[CheckStatus.INCONCLUSIVE]:
        status = CheckStatus.INCONCLUSIVE
    else:
        status = CheckStatus.FAILED
    detail = f"{good} of {len(covered)} URLs work"
    return Check(name, status, observed=good, limit=1, unit="URLs", detail=detail, bound=Bound.AT_LEAST)


def _check(report: UrlReport) -> Check:
    rtt = report.traffic.rtt_ms if report.traffic is not None else None
    observed = rtt.p50 if rtt is not None else report.binding_ms if not report.is_turn else None
    if report.is_required:
        return Check(
            report.name, report.verdict, observed=observed, unit="ms", detail=report.reason, hint=_hint(report)
        )
    detail = f"not required; {report.verdict}" + (f": {report.reason}" if report.reason else "")
    return Check(report.name, CheckStatus.SKIPPED, observed=observed, unit="ms", detail=detail)


def _hint(report: UrlReport) -> str:
    """What to try, where it is not plain from the reason."""
    tls = report.tls
    if tls is not None and tls.problem is not None and "authority" in tls.problem and not tls.intercepted_by:
        return (
            "For an authority of your own (that of `rtcctl dev` is the `authority` it prints) set SSL_CERT_FILE to "
            "its certificate; --insecure goes on without."
        )
    if report.stop is not None and report.stop.code == 401:
        return "Credentials are short-lived: make new ones, and check again."
    return ""


def names(reports: Sequence[UrlReport]) -> list[str]:
    """`turn-udp-3478`; with the host where that is not unique, and a number where that is not either."""
    short = [_name(report) for report in reports]
    count = Counter(short)
    full = [name if count[name] == 1 else f"{name}-{report.host}" for name, report in zip(short, reports, strict=True)]
    seen: Counter[str] = Counter()
    unique = []
    for name in full:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique


def _name(report: UrlReport) -> str:
    if report.protocol is None:
        return "url"
    return f"{'turn' if report.is_turn else 'stun'}-{report.protocol}-{report.port}"


def sentence(reports: Sequence[UrlReport], checks: Sequence[Check]) -> str:
    """The verdict of all."""
    count = Counter(check.status for check in checks)
    bad = [check for check in checks if check.status in (CheckStatus.FAILED, CheckStatus.INCONCLUSIVE)]
    working = [report for report in reports if report.verdict is CheckStatus.PASSED]
    if not bad:
        rtts = [r.traffic.rtt_ms.p50 for r in working if r.traffic is not None and r.traffic.rtt_ms is not None]
        best = f", best round trip {min(rtts):.1f} ms" if rtts else ""
        what = "TURN" if any(report.is_turn for report in working) else "STUN"
        return f"{what} works: {len(working)} of {len(reports)} URLs{best}."
    if count[CheckStatus.FAILED]:
        first = next(check for check in bad if check.status is CheckStatus.FAILED)
        return f"Not good: {first.name}: {first.detail or 'failed'}."
    return f"Nothing can be said: {bad[0].detail}."
