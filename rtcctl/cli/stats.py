"""`rtcctl stats …`."""

from rtcctl.cli.noun import noun
from rtcctl.cli.options import WATCH_S, Common, SessionId, Watch, command
from rtcctl.cli.run import Face, run

app = noun("Figures of sessions and of running probes.")


@command(app)
def session(session_id: SessionId, common: Common, watch: Watch = False) -> int:
    """Show a session's tracks, and what the probes of this machine measure on it."""
    from rtcctl.ops import stats

    request = stats.SessionRequest(session_id, watch_s=WATCH_S if watch else None)
    return run(stats.session, request, common, Face(name="stats session", calls=lambda _: stats.session_calls(request)))
