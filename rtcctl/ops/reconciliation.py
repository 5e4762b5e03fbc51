"""Requests that make something, and whose answer was lost: no operation of the API has an idempotency key.

So the session is asked what it holds (Realtime docs: Sessions and tracks), and what was not done is asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from rtcctl.errors import ApiError, DeadlineError, NetworkError

if TYPE_CHECKING:
    from rtcctl.realtime.client import RealtimeClient
    from rtcctl.realtime.schema import GetSessionStateResponse

Answer = TypeVar("Answer")

NO_OFFER_PENDING = "invalid_modification_stable"
"The answer had arrived."


async def reconciled(
    client: RealtimeClient,
    session_id: str,
    create: Callable[[], Awaitable[Answer]],
    has_been_done: Callable[[GetSessionStateResponse], bool],
) -> Answer:
    """Do what makes something in a session; where the answer is lost, look, and do it again only if it was not done.

    Raises the error of the lost answer when it was done: the SDP in that answer cannot be had any more.
    """
    try:
        return await create()
    except (NetworkError, DeadlineError) as error:
        if not error.is_unanswered or has_been_done(await client.get_session(session_id)):
            raise
        return await create()


async def renegotiate(client: RealtimeClient, session_id: str, answer: str) -> None:
    """Answer the SFU's offer; where it is not known whether that arrived, once more."""
    try:
        await client.renegotiate(session_id, answer)
    except (NetworkError, DeadlineError) as error:
        if not error.is_unanswered:
            raise
        try:
            await client.renegotiate(session_id, answer)
        except ApiError as again:
            if NO_OFFER_PENDING not in (again.code, again.subcode):
                raise
