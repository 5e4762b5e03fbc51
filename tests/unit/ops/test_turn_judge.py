"""What the report of a TURN URL means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtcctl.ops.turn_judge import Requirement, checks_of, judged, names, sentence
from rtcctl.results.check import CheckStatus
from rtcctl.results.result import Percentiles
from rtcctl.results.turn_check import Refusal, RelayTraffic, Step, Stop, TlsReport, UrlReport

GOOD = UrlReport(
    url="turn:turn.example.org",
    protocol="udp",
    host="turn.example.org",
    port=3478,
    is_turn=True,
    allocate_ms=20.0,
    traffic=RelayTraffic(50.0, 250, 250, 0, 0.0, Percentiles(10.0, 11.0, 12.0), 0.5),
    wrong_password=Refusal.REFUSED,
)
CERTIFICATE = TlsReport("TLSv1.3", ("turn.example.org",), "Example CA", 60.0, True, None, None)
PASSED, FAILED, UNCLEAR = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INCONCLUSIVE


def traffic(**figures: object) -> RelayTraffic:
    assert GOOD.traffic is not None
    return replace(GOOD.traffic, **figures)  # type: ignore[arg-type]


def stopped(step: Step, code: int | None = None, message: str = "It ended.", **figures: object) -> UrlReport:
    return replace(GOOD, stop=Stop(step, message, code), traffic=None, **figures)  # type: ignore[arg-type]


def silent(step: Step, **figures: object) -> UrlReport:
    made = stopped(step, **figures)  # type: ignore[arg-type]
    assert made.stop is not None
    return replace(made, stop=replace(made.stop, is_silence=True))


def untrusted(problem: str, **figures: object) -> UrlReport:
    tls = replace(CERTIFICATE, is_verified=False, problem=problem, **figures)  # type: ignore[arg-type]
    return stopped(Step.TLS, protocol="tls", tls=tls)


CASES = {
    "good": (GOOD, PASSED, ""),
    "port 53": (replace(GOOD, port=53), PASSED, "port 53 is blocked by browsers"),
    "nothing comes": (
        replace(GOOD, traffic=traffic(packets_received=0, packets_lost=250, fraction_lost=1.0, rtt_ms=None)),
        FAILED,
        "allocated, but nothing comes through the relay",
    ),
    "as much as allowed": (replace(GOOD, traffic=traffic(fraction_lost=0.02)), PASSED, ""),
    "more": (replace(GOOD, traffic=traffic(fraction_lost=0.024)), FAILED, "2.4% lost, more than 2.0%"),
    "silent": (
        replace(GOOD, traffic=traffic(fraction_lost=0.5, silent_after_s=2.5)),
        FAILED,
        "the relay fell silent after 2.5 s",
    ),
    "open": (
        replace(GOOD, wrong_password=Refusal.ACCEPTED),
        FAILED,
        "it accepts any password: anybody can relay through it",
    ),
    "for ever": (replace(GOOD, expired=Refusal.ACCEPTED), FAILED, "it accepts a credential that has expired"),
    "refused": (stopped(Step.ALLOCATE, 401), FAILED, "the credential was refused (401): wrong, expired or revoked"),
    "quota": (stopped(Step.ALLOCATE, 486), FAILED, "allocation quota reached (486)"),
    "capacity": (stopped(Step.ALLOCATE, 508), FAILED, "the server has no capacity left (508)"),
    "a second one": (
        stopped(Step.CHANNEL, 486),
        UNCLEAR,
        "allocation quota (486): one allocation works, a second one to test traffic with was refused",
    ),
    "not to itself": (
        stopped(Step.CHANNEL, 403),
        UNCLEAR,
        "the server does not relay to its own relayed address (403), so traffic cannot be tested",
    ),
    "unknown code": (stopped(Step.ALLOCATE, 599, "It said 599."), FAILED, "It said 599"),
    "a firewall": (
        silent(Step.ALLOCATE),
        FAILED,
        "no answer over UDP from port 3478: a firewall drops it, or no server is there",
    ),
    "STUN alone": (
        silent(Step.ALLOCATE, binding_ms=11.0),
        FAILED,
        "it answers STUN, but no allocate request: no TURN server",
    ),
    "silence over TCP": (silent(Step.ALLOCATE, protocol="tcp"), FAILED, "It ended"),
    "STUN for members": (stopped(Step.BINDING, 401, is_turn=False), FAILED, "the server wants a credential for STUN"),
    "elsewhere": (stopped(Step.ALLOCATE, 300, "Refused: 300 (try a:1)."), FAILED, "Refused: 300 (try a:1)"),
    "another name": (
        untrusted("certificate is for another name", names=("a", "b", "c", "d")),
        FAILED,
        "certificate is for another name: a, b, c …",
    ),
    "ended": (untrusted("certificate has expired", days_left=-3.2), FAILED, "certificate has expired 3 days ago"),
    "unknown authority": (untrusted("certificate is signed by itself"), FAILED, "certificate is signed by itself"),
    "intercepted": (
        untrusted("certificate is signed by itself", intercepted_by="Zscaler"),
        FAILED,
        "TLS is intercepted: the certificate was made by Zscaler",
    ),
    "soon": (
        replace(GOOD, protocol="tls", tls=replace(CERTIFICATE, days_left=3.4)),
        PASSED,
        "the certificate expires in 3 days",
    ),
    "anybody": (
        replace(GOOD, protocol="tls", tls=replace(CERTIFICATE, is_verified=False)),
        PASSED,
        "the certificate was not verified",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verdicts(case: str) -> None:
    """Each way to end has its verdict and its words."""
    report, verdict, reason = CASES[case]
    seen = judged(report, max_fraction_lost=0.02, busy=None)
    assert seen.verdict is verdict
    assert seen.reason.startswith(reason)
    assert bool(seen.reason) == bool(reason)


def test_a_busy_machine_measures_nothing() -> None:
    """Loss and times are the machine's then; what a server refused, it refused."""
    lossy = replace(GOOD, traffic=traffic(fraction_lost=0.5))
    assert judged(lossy, max_fraction_lost=0.02, busy="busy").verdict is UNCLEAR
    assert judged(GOOD, max_fraction_lost=0.02, busy="busy").verdict is UNCLEAR
    assert judged(stopped(Step.ALLOCATE, 401), max_fraction_lost=0.02, busy="busy").verdict is FAILED


def report(protocol: str, port: int, verdict: CheckStatus, *requirements: Requirement) -> UrlReport:
    is_turn = protocol != "stun"
    made = replace(GOOD, protocol=protocol if is_turn else "udp", port=port, verdict=verdict, is_turn=is_turn)
    made = made if is_turn else replace(made, traffic=None)
    made = replace(made, is_required=any(r.what != "any" and r.covers(made) for r in requirements))
    return replace(made, name=names([made])[0])


ALL, ANY, UDP, TLS_443 = Requirement("all"), Requirement("any"), Requirement("udp"), Requirement("tls", 443)
REQUIRED = {
    "all, but port 53": ((ALL,), [("udp", 3478, PASSED), ("udp", 53, FAILED)], ["passed", "skipped"]),
    "all": ((ALL,), [("udp", 3478, PASSED), ("tcp", 3478, FAILED)], ["passed", "failed"]),
    "udp": ((UDP,), [("udp", 3478, PASSED), ("tcp", 3478, FAILED)], ["passed", "skipped"]),
    "port 53, if it is meant": ((UDP,), [("udp", 53, FAILED)], ["failed"]),
    "any": ((ANY,), [("udp", 3478, FAILED), ("tcp", 3478, PASSED)], ["skipped", "skipped", "passed"]),
    "none of any": ((ANY,), [("udp", 3478, FAILED), ("udp", 53, PASSED)], ["skipped", "skipped", "failed"]),
    "unclear of any": ((ANY,), [("udp", 3478, UNCLEAR)], ["skipped", "inconclusive"]),
    "tls on a port": ((TLS_443,), [("tls", 5349, FAILED), ("tls", 443, PASSED)], ["skipped", "passed"]),
    "STUN is not TURN": ((ANY, UDP), [("stun", 3478, PASSED)], ["skipped", "failed", "failed"]),
    "STUN that is required": ((ALL,), [("stun", 3478, FAILED), ("udp", 3478, PASSED)], ["failed", "passed"]),
    "no such URL": ((UDP, TLS_443), [("udp", 3478, PASSED), ("tls", 5349, PASSED)], ["passed", "skipped", "failed"]),
}


@pytest.mark.parametrize("case", REQUIRED)
def test_requirements(case: str) -> None:
    """Only what is required can fail; what matches no URL does."""
    requirements, urls, statuses = REQUIRED[case]
    reports = [report(*url, *requirements) for url in urls]
    checks = checks_of(reports, requirements)
    assert [check.status.value for check in checks] == statuses
    assert sentence(reports, checks).startswith(
        "TURN works" if not {"failed", "inconclusive"} & set(statuses) else "No"
    )


def test_a_list_of_stun_alone() -> None:
    """It is judged for what it is; where TURN was to be expected, it is a failure."""
    reports = [report("stun", 3478, PASSED, ALL)]
    checks = checks_of(reports, (ALL,))
    assert [check.status.value for check in checks] == ["passed"]
    assert sentence(reports, checks) == "STUN works: 1 of 1 URLs."
    checks = checks_of(reports, (ALL,), needs_turn=True)
    assert [(check.name, check.status.value) for check in checks][1] == ("turn", "failed")
    assert sentence(reports, checks) == "Not good: turn: there is no TURN URL: nothing can be relayed."


def test_names_are_short_and_tell_apart() -> None:
    """The protocol and port; where two agree the host, and where that agrees a number."""
    other = replace(GOOD, host="b.example")
    stun = replace(GOOD, is_turn=False)
    nothing = replace(GOOD, protocol=None, host=None, port=None)
    assert names([GOOD, stun]) == ["turn-udp-3478", "stun-udp-3478"]
    assert names([GOOD, other, other]) == [
        "turn-udp-3478-turn.example.org",
        "turn-udp-3478-b.example",
        "turn-udp-3478-b.example-2",
    ]
    assert names([nothing]) == ["url"]
