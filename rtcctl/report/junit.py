"""Checks as a JUnit document: a suite per command, a case per check. Nothing in it depends on a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from rtcctl.report.figures import limit, observed, printable
from rtcctl.results.check import Check, CheckStatus
from rtcctl.results.smoke import Smoke

if TYPE_CHECKING:
    from rtcctl.results.result import Result


def render(result: Result, command: str) -> str:
    """The document. An error that no check tells of is a case of its own, named `run`."""
    name = f"rtcctl {command}"
    suite = Element("testsuite", name=name)
    if result.target is not None:
        properties = SubElement(suite, "properties")
        target = {name: getattr(result.target, name) for name in ("profile", "api_base", "app_id", "embedded")}
        if result.target.impairment:
            target["impairment"] = " ".join(result.target.impairment)
        for key, value in target.items():
            SubElement(
                properties,
                "property",
                name=key,
                value=printable(str(value).lower() if value in (True, False) else value),
            )
    for check in result.checks:
        _add_check(suite, check, name)
    if result.failure is not None and not any(check.status is CheckStatus.FAILED for check in result.checks):
        case = SubElement(suite, "testcase", classname=name, name="run")
        error = SubElement(
            case, "error", message=printable(result.failure.message), type=str(result.failure.exit_status)
        )
        error.text = printable(result.failure.hint) or None
    elif result.interrupted:
        case = SubElement(suite, "testcase", classname=name, name="run")
        SubElement(case, "error", message="interrupted", type="interrupted")
    if isinstance(result, Smoke) and result.verdict:
        said = [result.verdict, *([f"ticket: {result.ticket}"] if result.ticket else [])]
        SubElement(suite, "system-out").text = "\n".join(map(printable, said))
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(word, str(sum(case.find(tag) is not None for case in cases)))
    suites = Element("testsuites", {key: suite.get(key, "") for key in ("tests", "failures", "errors", "skipped")})
    suites.append(suite)
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode")


def _add_check(suite: Element, check: Check, classname: str) -> None:
    case = SubElement(suite, "testcase", classname=classname, name=check.name)
    figures = f"measured {observed(check.observed, check.unit)}" if check.observed is not None else ""
    if figures and check.limit is not None:
        figures += f", limit {limit(check)}"
    detail = printable(check.detail)
    match check.status:
        case CheckStatus.FAILED:
            element = SubElement(case, "failure", message=detail or figures, type=check.status.value)
            element.text = "\n".join(part for part in (figures, printable(check.hint)) if part)
        case CheckStatus.INCONCLUSIVE:
            element = SubElement(case, "error", message=detail or figures, type=check.status.value)
            element.text = "\n".join(part for part in (figures, printable(check.hint)) if part)
        case CheckStatus.SKIPPED:
            SubElement(case, "skipped", message=detail)
        case CheckStatus.PASSED:
            SubElement(case, "system-out").text = "; ".join(part for part in (figures, detail) if part)
