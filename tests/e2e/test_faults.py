"""Each fault of the API as rtcctl's own client and commands meet it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from rtcctl.__main__ import main
from rtcctl.errors import ApiError, DeadlineError, NetworkError
from rtcctl.realtime.client import RealtimeClient
from rtcctl.realtime.schema import DataChannelObject, TrackObject
from rtcctl.realtime.turn import TurnClient
from rtcctl.testing import Realtime, realtime_server
from tests.support.command import Home
from tests.support.data_path import until


@dataclass
class Met:
    """A client whose waits take no time, and a server with a session that publishes a tone."""

    client: RealtimeClient
    realtime: Realtime
    waits_s: list[float]
    publisher: str
    subscriber: str
    fields: dict[str, str] = field(default_factory=dict)

    async def pull(self) -> Any:
        """Ask for the tone; the one item of the answer, or the error."""
        track = TrackObject(location="remote", session_id=self.publisher, track_name="tone")
        answer = await self.client.new_tracks(self.subscriber, [track])
        (item,) = answer.tracks or ()
        item.raise_for_error("tone")
        return item

    @property
    def statuses(self) -> list[int | None]:
        """Of all answers to `tracks/new` of the subscriber."""
        rows = self.realtime.ledger.requests
        return [r.status for r in rows if (r.operation, r.session_id) == ("tracks/new", self.subscriber)]


@asynccontextmanager
async def meeting() -> AsyncIterator[Met]:
    """See `Met`."""
    waits_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)

    with realtime_server() as realtime, realtime.peer() as peer, realtime.peer() as other:
        publisher = realtime.publish(peer, "tone")
        # Until it is there: what follows is about the fault alone.
        realtime.subscribe(other, publisher, "tone")
        async with RealtimeClient(
            realtime.profile, clock=time.monotonic, random=Random(1), deadline_s=60, sleep=sleep
        ) as client:
            subscriber = (await client.new_session()).session_id
            yield Met(client, realtime, waits_s, publisher, subscriber)
            assert realtime.bugs == 0


@pytest.mark.parametrize(
    ("fault", "statuses", "waits"),
    [
        ("tracks/new=425,times=3", [425, 425, 425, 200], 3),
        ("tracks/new=429,times=1", [429, 200], 1),
        ("tracks/new=503,times=2", [503, 503, 200], 2),
        ("tracks/new=502,times=1", [502, 200], 1),
        ("tracks/new=406,times=2", [406, 406, 200], 2),
        ("*=500,times=1", [500, 200], 1),
        ("tracks/new=425,skip=1", [200], 0),
        ("tracks/new=425,track=another", [200], 0),
        ("tracks/update=425", [200], 0),
    ],
)
async def test_what_passes_is_outlived(fault: str, statuses: list[int], waits: int):
    """The client tries again, as often as it takes, and the pull succeeds; each answer is in the ledger."""
    async with meeting() as at:
        at.realtime.faults.set(fault)
        item = await at.pull()
        assert item.mid
        assert at.statuses == statuses
        assert len(at.waits_s) == waits


async def test_retry_after_is_obeyed():
    """With the header the client waits exactly that long, without it by its own schedule."""
    async with meeting() as at:
        at.realtime.faults.set("tracks/new=429,retry-after=7s,times=1")
        at.realtime.faults.set("tracks/new=429,times=1")
        await at.pull()
        assert at.waits_s[0] == 7
        assert 0.7 < at.waits_s[1] < 2.6


@pytest.mark.parametrize(
    ("fault", "status", "code", "subcode"),
    [
        ("tracks/new=410", 410, "session_error", None),
        ("tracks/new=406,code=invalid_params", 406, "invalid_params", None),
        ("tracks/new=400", 400, "decoding_error", None),
        ("tracks/new=413", 413, "payload_too_large", None),
        ("tracks/new=not_found_track_error", 200, "not_found_track_error", None),
        ("tracks/new=empty_track_error,track=tone", 200, "empty_track_error", None),
        ("tracks/new=200,code=something_new_error", 200, "something_new_error", None),
        ("tracks/new=503", 503, "temporarily_unavailable_error", None),
        ("tracks/new=502", 502, None, None),
        ("tracks/new=expire", 410, "session_error", None),
    ],
)
async def test_what_stays_is_an_error_that_says_so(fault: str, status: int, code: str | None, subcode: str | None):
    """With status and code of the service; what is no JSON has neither code nor traceback."""
    async with meeting() as at:
        at.realtime.faults.set(fault)
        with pytest.raises(ApiError) as caught:
            await at.pull()
        assert (caught.value.status, caught.value.code, caught.value.subcode) == (status, code, subcode)
        at.realtime.faults.clear()
        if status == 410 and fault.endswith("expire"):
            with pytest.raises(ApiError, match="410"):
                await at.pull()  # it is gone for good
        else:
            assert (await at.pull()).mid


TRACK = TrackObject(location="remote", session_id="0" * 32, track_name="mic", mid="0")
CHANNEL = DataChannelObject(location="remote", session_id="0" * 32, data_channel_name="chat", id=1)
ASKED: dict[str, Callable[[Met], Awaitable[Any]]] = {
    "sessions/new": lambda at: at.client.new_session(),
    "sessions/get": lambda at: at.client.get_session(at.subscriber),
    "renegotiate": lambda at: at.client.renegotiate(at.subscriber, "v=0"),
    "tracks/new": lambda at: at.client.new_tracks(at.subscriber, [TRACK]),
    "tracks/update": lambda at: at.client.update_tracks(at.subscriber, [TRACK]),
    "tracks/close": lambda at: at.client.close_tracks(at.subscriber, ["0"], force=True),
    "datachannels/establish": lambda at: at.client.establish_data_channels(at.subscriber),
    "datachannels/new": lambda at: at.client.new_data_channels(at.subscriber, [CHANNEL]),
    "datachannels/update": lambda at: at.client.update_data_channels(at.subscriber, [CHANNEL]),
    "datachannels/close": lambda at: at.client.close_data_channels(at.subscriber, [1]),
}


async def ask(at: Met, operation: str) -> None:
    """Raises what the answer says, of the whole or of the one item in it."""
    answer = await ASKED[operation](at)
    for item in getattr(answer, "tracks", None) or getattr(answer, "data_channels", None) or ():
        item.raise_for_error(operation)


async def refusal(at: Met, operation: str, action: str) -> tuple[int | None, str | None]:
    """Status and code of the error that this fault becomes."""
    with at.realtime.faults(f"{operation}={action}"), pytest.raises(ApiError) as caught:
        await ask(at, operation)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    ("action", "refused"),
    [
        ("internal_error", (200, "internal_error")),
        ("406", (406, "signaling_state_not_stable")),
        ("410", (410, "session_error")),
        ("503", (503, "temporarily_unavailable_error")),
        ("504", (504, None)),
    ],
)
async def test_any_operation_can_be_refused(action: str, refused: tuple[int, str | None]):
    """The client says so, whichever it is and however the service says it."""
    async with meeting() as at:
        for operation in ASKED:
            assert await refusal(at, operation, action) == refused, operation
        assert {row.operation for row in at.realtime.ledger.requests if row.fault} == set(ASKED)
        assert (await at.pull()).mid


async def test_answers_of_the_front_end():
    """HTML has no code, under any status, and no other answer."""
    async with meeting() as at:
        for status in (502, 504, *range(520, 531)):
            assert await refusal(at, "renegotiate", str(status)) == (status, None)
        for status in (400, 425, 429, 500):
            assert await refusal(at, "tracks/new", f"{status},body=html") == (status, None)


async def test_a_pull_that_is_lost_was_done():
    """The connection breaks after the work: the client does not know, and the session has the subscription."""
    async with meeting() as at:
        at.realtime.faults.set("tracks/new=lost,times=1")
        with pytest.raises(NetworkError, match="lost before the answer"):
            await at.pull()
        state = await at.client.get_session(at.subscriber)
        assert [track.track_name for track in state.tracks or ()] == ["tone"]
        assert at.statuses == [None]


async def test_a_request_that_hangs_is_given_up():
    """The client's own time limit ends it."""
    async with meeting() as at:
        at.realtime.faults.set("sessions/get=hang")
        async with RealtimeClient(
            at.realtime.profile, clock=time.monotonic, random=Random(1), deadline_s=0.4
        ) as client:
            with pytest.raises(DeadlineError):
                await client.get_session(at.subscriber)
        # It breaks as soon as the fault is cleared.
        (fault,) = at.realtime.faults.list()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:

            async def asks() -> None:
                with pytest.raises(NetworkError, match="lost before the answer"):
                    await at.client.get_session(at.subscriber)

            group.create_task(asks())
            await until(lambda: fault.met == 2)
            at.realtime.faults.clear()


async def test_a_slow_pull_comes_late():
    """It is done, after the time."""
    async with meeting() as at:
        at.realtime.faults.set("tracks/new=slow,for=300ms")
        started = asyncio.get_running_loop().time()
        assert (await at.pull()).mid
        assert asyncio.get_running_loop().time() - started > 0.3


async def test_an_empty_mid():
    """As the service has answered at times: it succeeded, and there is nothing to close it by."""
    async with meeting() as at:
        at.realtime.faults.set("tracks/new=empty-mid")
        assert (await at.pull()).mid == ""


async def test_sessions_that_expire():
    """After the time that was set from their creation on, whether or not they are used; others live on."""
    async with meeting() as at:
        at.realtime.faults.set("sessions/new=expire,after=300ms,times=1")
        short, long = (await at.client.new_session()).session_id, (await at.client.new_session()).session_id
        await at.client.get_session(short)
        await asyncio.sleep(0.4)
        with pytest.raises(ApiError, match="410"):
            await at.client.get_session(short)
        await at.client.get_session(long)


async def test_short_turn_lifetimes():
    """What is granted is shorter than what was asked for; the ledger says how long."""
    async with meeting() as at:
        at.realtime.faults.set("turn/generate-ice-servers=short-ttl,ttl=10s")
        async with TurnClient(at.realtime.profile, clock=time.monotonic, random=Random(1)) as turn:
            assert await turn.generate_ice_servers(3600)
        (row,) = [row for row in at.realtime.ledger.requests if row.operation.startswith("turn/")]
        assert row.turn_ttl_s == 10


def test_the_commands(home: Home):
    """`dev --fault` meets a command of another process; set, list, clear and the ledger; the ledger file at the end."""
    file = home.folder / "ledger.json"
    with home.dev("--fault", "sessions/new=503,times=1", "--ledger", str(file)) as server:
        assert home.run("session", "create").status == 0
        listed = home.run("fault", "list", "--output", "json").document
        assert [(f["id"], f["fault"], f["met"], f["times"]) for f in listed["faults"]] == [
            (1, "sessions/new=503,times=1", 1, 1)
        ]
        added = home.run("fault", "set", "sessions/new=403", "loss=5%", "--output", "json").document
        assert [fault["id"] for fault in added["faults"]] == [2, 3]
        refused = home.run("session", "create")
        assert refused.status == 4
        assert "fault 2" in refused.stderr.lower()
        done = home.run("fault", "clear", "3", "77", "1")
        assert (done.status, done.stdout) == (2, "")
        assert "There is no fault 77" in done.stderr
        cleared = home.run("fault", "clear", "3", "3", "--output", "json").document["faults"]
        assert [fault["id"] for fault in cleared] == [3], "and it was still there"
        assert home.run("fault", "clear").stdout.count("sessions/new") == 2
        assert home.run("session", "create").status == 0
        ledger = home.run("fault", "ledger", "--output", "json").document
        assert [row["status"] for row in ledger["requests"]] == [503, 201, 403, 201]
        assert server.ready["app_secret"] not in str(ledger)
        server.stop()
    written = json.loads(file.read_text())
    assert written.pop("schema") == "rtcctl.ledger/1"
    for row in written["requests"]:
        row["at"] = round(row["at"], 6)
    assert written == {key: ledger[key] for key in written}
    assert written.keys() > {"packets", "requests"}


BAD: tuple[tuple[tuple[str, ...], str], ...] = (
    (("set", "loss=5"), "loss: a ratio needs its unit: 5%"),
    (("set", "delay=40"), "delay: '40' is not a duration; write for example 40ms"),
    (("set", "rate=2"), "rate: a bit rate needs its unit"),
    (("set", "tracks/nwe=425"), "'tracks/nwe' is neither an operation of the API"),
    (("set", "tracks/new=hagn"), "'hagn' is neither a status, nor an error code that is known"),
    (("set", "loss=5%,times=3"), "'times' is nothing that can be done to media"),
    (("set", "tracks/new=425,loss=5%"), "'loss' does not go with tracks/new=425"),
    (("set", "loss=5%", "loss=x"), "'loss=x'"),
    (("set", ""), "is not KEY=VALUE"),
    (("set", "loss=5%,loss=6%"), "loss is there twice"),
    (("set",), "FAULT"),
    (("clear", "7"), "There is no fault 7"),
    (("clear", "x"), "x"),
    (("ledger", "--session", "/"), "is not a session id"),
)


def test_bad_faults_are_2_and_named(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Nothing is set, also of the good ones among them."""
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    with home.dev():
        for arguments, said in BAD:
            assert main(["fault", *arguments]) == 2
            written = capsys.readouterr()
            assert said in written.err
            assert not written.out
        assert home.run("fault", "list", "--output", "json").document["faults"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "loss=5"), "--fault 'loss=5': loss: a ratio needs its unit: 5%"),
        (("--ledger", "none/ledger.json"), "--ledger none/ledger.json cannot be written: No such file or directory"),
        (("--ledger", "."), "--ledger . cannot be written: Is a directory"),
    ],
)
def test_a_server_that_cannot_do_it_does_not_start(home: Home, arguments: tuple[str, ...], said: str):
    """Exit 2, and a line that says why, before anything is served."""
    done = home.run("dev", "--port", "0", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_ledger_that_cannot_be_written_at_the_end(home: Home):
    """Its folder has gone meanwhile: a line that says so, exit 2, no traceback."""
    folder = home.folder / "gone"
    folder.mkdir()
    with home.dev("--ledger", str(folder / "ledger.json")) as server:
        (folder / "ledger.json").unlink()
        folder.rmdir()
        assert server.stop() == 2
        assert "ledger.json cannot be written: No such file or directory" in server.stderr


def test_faults_are_of_an_embedded_server(home: Home):
    """Another profile is refused before anything is sent; a server of something else is recognised."""
    elsewhere = {
        "RTCCTL_API_BASE": "https://rtc.live.cloudflare.com/v1",
        "RTCCTL_APP_ID": "a" * 32,
        "RTCCTL_APP_SECRET": "b" * 64,
    }
    done = home.run("fault", "set", "loss=5%", environment=elsewhere)
    assert done.status == 2
    assert "--profile local" in done.stderr
    assert home.run("fault", "list").status == 6  # nothing runs
