"""A file that always holds valid TURN credentials, for products that know static ones only.

Theory of operation. Credentials are renewed after four fifths of their lifetime, give or take a twentieth, so that many
machines do not ask at once; those before stay valid, for whoever has read them. What goes wrong at the start ends the
command. Later it is said, and tried again and again, also when the credential in the file has ended: a file that gets
right by itself when the API is back is worth more than a process that has ended. One thing does not get right by
itself: a secret that is refused. When the credential has ended by then, the command ends with that error, so that what
supervises it starts it anew with the profile as it is now.

A machine that was suspended finds its monotonic clock where it was: the wall clock is asked, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtcctl.errors import AuthError, RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.turn import INSTALL_COTURN, CredsRequest, creds, end
from rtcctl.results.event import Warned
from rtcctl.results.turn import CredentialsFile, CredentialsRenewed, CredentialsWritten, TurnCreds, TurnRefresh

logger = logging.getLogger(__name__)

RENEWED_AT = (0.75, 0.85)
"Of the lifetime."

MAX_PAUSE_S = 60.0
"Between attempts to renew; the first comes after a second, or a twentieth of a short lifetime."

LONGEST_SLEEP_S = 30.0
"So late is noticed that the machine was suspended."


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """`write` puts credentials into the file, as a whole; `path` is what the file is called."""

    creds: CredsRequest
    path: str
    write: Callable[[TurnCreds], None]


async def refresh(
    request: RefreshRequest, env: Env, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> TurnRefresh:
    """Keep the file fresh until cancelled. `sleep` is for tests."""
    written = await _write(request, env, CredentialsWritten)
    renewals = 0

    def result() -> TurnRefresh:
        return TurnRefresh(
            target=env.target,
            path=request.path,
            username=written.username,
            expires_at=written.expires_at,
            renewals=renewals,
        )

    with env.keeping(result):
        while True:
            await _until(written.renewal_at, env, sleep)
            written = await _renew(request, written.expires_at, env, sleep)
            renewals += 1


async def _write(request: RefreshRequest, env: Env, event: type[CredentialsFile]) -> CredentialsFile:
    """One set of credentials, into the file. Raises what `creds` and `write` raise."""
    made = await creds(request.creds, env)
    if not made.relays or made.username is None:
        raise UsageError(
            "There is no TURN server behind this key: nothing to keep fresh.",
            hint=INSTALL_COTURN if env.profile.is_embedded else "",
        )
    try:
        request.write(made)
    except RtcctlError:
        # A disk may be full for long: not one more live credential with each attempt.
        await end(made, env)
        raise
    renewal_at = made.expires_at - made.ttl_s + made.ttl_s * env.random.uniform(*RENEWED_AT)
    written = event(path=request.path, username=made.username, expires_at=made.expires_at, renewal_at=renewal_at)
    env.emit(written)
    logger.info("%s written, valid for %d s", request.path, made.ttl_s)
    return written


async def _renew(
    request: RefreshRequest, expires_at: float, env: Env, sleep: Callable[[float], Awaitable[None]]
) -> CredentialsFile:
    """Try until it is done. `expires_at`: of the credential in the file."""
    pause_s = min(1.0, request.creds.ttl_s / 20)
    while True:
        try:
            return await _write(request, env, CredentialsRenewed)
        except RtcctlError as error:
            left_s = expires_at - env.wallclock()
            if left_s <= 0 and isinstance(error, AuthError):
                raise
            state = f"is valid for {left_s:.0f} s more" if left_s > 0 else f"IS STALE, for {-left_s:.0f} s now"
            env.emit(Warned(text=f"{request.path} {state} and could not be renewed: {error.message}"))
        await _until(env.wallclock() + pause_s * env.random.uniform(0.75, 1.25), env, sleep)
        pause_s = min(MAX_PAUSE_S, pause_s * 2)


async def _until(at: float, env: Env, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Wait until a moment of the wall clock; one that is set back delays nothing."""
    due = env.clock() + at - env.wallclock()
    while (left_s := min(due - env.clock(), at - env.wallclock())) > 0:
        await sleep(min(left_s, LONGEST_SLEEP_S))
