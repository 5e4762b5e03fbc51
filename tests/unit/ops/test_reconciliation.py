"""Covers rtcctl/ops/reconciliation.py: a request whose answer was lost is looked for before it is made again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rtcctl.errors import ApiError, DeadlineError, NetworkError, RtcctlError
from rtcctl.ops.reconciliation import NO_OFFER_PENDING, reconciled, renegotiate

LOST = NetworkError("lost before the answer", phase="http", is_unanswered=True)
UNREACHABLE = NetworkError("nobody listens", phase="tcp")
LATE = DeadlineError("no answer", awaited="the answer", after_s=12, is_unanswered=True)


class Service:
    """Answers in turn; what is an error is raised."""

    def __init__(self, *answers: object, held: tuple[str, ...] = ()) -> None:
        self.answers = list(answers)
        self.held = held
        self.calls: list[str] = []

    async def create(self) -> object:
        return self._answer("create")

    async def renegotiate(self, session_id: str, answer: str) -> object:
        return self._answer("renegotiate")

    async def get_session(self, session_id: str) -> Any:
        self.calls.append("get")
        return SimpleNamespace(tracks=[SimpleNamespace(track_name=name) for name in self.held])

    def _answer(self, call: str) -> object:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, RtcctlError):
            raise answer
        return answer


def makes_mic(service: Service) -> Any:
    return reconciled(
        service,  # type: ignore[arg-type]
        "s",
        service.create,
        lambda state: any(track.track_name == "mic" for track in state.tracks or ()),
    )


@pytest.mark.parametrize("lost", [LOST, LATE])
async def test_what_was_not_done_is_done(lost: RtcctlError):
    """Once more, and its answer is the answer."""
    service = Service(lost, "made", held=("other",))
    assert await makes_mic(service) == "made"
    assert service.calls == ["create", "get", "create"]


async def test_what_was_done_is_not_done_twice():
    """Its answer, with the SDP, cannot be had any more: the error says so to whoever can make another session."""
    service = Service(LOST, held=("mic",))
    with pytest.raises(NetworkError) as error:
        await makes_mic(service)
    assert error.value is LOST
    assert service.calls == ["create", "get"]


@pytest.mark.parametrize("error", [UNREACHABLE, ApiError("406", status=406)])
async def test_what_was_refused_or_never_sent_is_not_looked_for(error: RtcctlError):
    """There is nothing to be found."""
    service = Service(error)
    with pytest.raises(RtcctlError):
        await makes_mic(service)
    assert service.calls == ["create"]


async def test_an_answer_that_had_arrived():
    """The second one is refused, since no offer is pending: all is well."""
    service = Service(LOST, ApiError("406", status=406, subcode=NO_OFFER_PENDING))
    await renegotiate(service, "s", "sdp")  # type: ignore[arg-type]
    assert service.calls == ["renegotiate", "renegotiate"]
    service = Service(LOST, ApiError("410", status=410, code="session_error"))
    with pytest.raises(ApiError):
        await renegotiate(service, "s", "sdp")  # type: ignore[arg-type]
