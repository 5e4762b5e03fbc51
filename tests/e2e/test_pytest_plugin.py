"""The plugin in somebody else's project: their files, their plugins, their pytest in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points

import pytest

from tests.support.plugin import PLUGIN, WITH_PLUGIN, is_installed, without

pytest_plugins = ["pytester"]

HEAVY = ("aioice", "aiortc", "asyncio", "av", "httpx", "OpenSSL", "pydantic", "rich", "starlette", "typer", "uvicorn")

CALL = """
    def test_a_tone(realtime):
        with realtime.peer() as alice, realtime.peer() as bob:
            session_id = realtime.publish(alice, "mic")
            realtime.subscribe(bob, session_id, "mic")
            bob.assert_tone(440)
"""


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run these tests with warnings as errors."""
    pytester.makepyfile(textwrap.dedent(source))
    return pytester.runpytest_subprocess("-W", "error", *options, timeout=60)


def test_the_entry_point_is_there() -> None:
    """An installed rtcctl brings the fixture without a line in `conftest.py`."""
    if not is_installed():
        pytest.skip("this environment has an rtcctl that was installed before the plugin was")
    (point,) = [point for point in entry_points(group="pytest11") if point.value == PLUGIN]
    assert point.load().realtime


def test_without_any_other_plugin(pytester: pytest.Pytester) -> None:
    """Plain functions, one server for all of them, each with an app of its own."""
    source = (
        CALL
        + """
    seen = []

    def test_one(realtime):
        seen.append(realtime)

    def test_other(realtime):
        (one,) = seen
        assert one.base_url == realtime.base_url
        assert one.app_id != realtime.app_id
        assert realtime.requests == []
    """
    )
    run(pytester, source, *WITH_PLUGIN).assert_outcomes(passed=3)


def test_with_pytest_asyncio(pytester: pytest.Pytester) -> None:
    """Coroutines of its event loop await the peers."""
    source = """
    import pytest

    @pytest.mark.asyncio
    async def test_a_tone(realtime):
        async with realtime.async_peer() as alice, realtime.async_peer() as bob:
            session_id = await realtime.publish(alice, "mic")
            await realtime.subscribe(bob, session_id, "mic")
            await bob.assert_tone(440)
    """
    options = "-o", "asyncio_default_fixture_loop_scope=function"
    run(pytester, source, *options, *without("anyio", "xdist")).assert_outcomes(passed=1)


def test_with_anyio(pytester: pytest.Pytester) -> None:
    """The same under both of its backends."""
    source = """
    import pytest

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
    async def test_a_tone(realtime, anyio_backend):
        async with realtime.async_peer() as alice, realtime.async_peer() as bob:
            session_id = await realtime.publish(alice, "mic")
            await realtime.subscribe(bob, session_id, "mic")
            await bob.assert_tone(440)
    """
    run(pytester, source, *without("asyncio", "xdist")).assert_outcomes(passed=2)


def test_under_xdist(pytester: pytest.Pytester) -> None:
    """Each worker has a server of its own."""
    source = """
    import os
    import pathlib
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_where(realtime, number):
        worker = os.environ["PYTEST_XDIST_WORKER"]
        pathlib.Path(__file__).with_name(f"{worker}-{number}.txt").write_text(realtime.base_url)
    """
    run(pytester, source, "-n", "2", "--dist", "each", *without("asyncio", "anyio")).assert_outcomes(passed=8)
    urls = {file.name.partition("-")[0]: file.read_text() for file in pytester.path.glob("gw*.txt")}
    assert len(urls) == len(set(urls.values())) == 2


FAILING = """
    import httpx

    def test_a_wrong_call(realtime):
        url = f"{realtime.base_url}/apps/{realtime.app_id}/sessions/new"
        headers = {"Authorization": f"Bearer {realtime.app_secret}"}
        with httpx.Client(headers=headers) as http:
            assert http.post(url, json={}).status_code == 201

    def test_a_wrong_tone(realtime):
        with realtime.peer() as alice, realtime.peer() as bob:
            realtime.subscribe(bob, realtime.publish(alice, "mic"), "mic")
            bob.assert_tone(880, within=0.3)

    def test_silence(realtime):
        with realtime.peer() as peer:
            peer.assert_tone(440, within=0.1)

    def test_it_does_not_use_it():
        assert False
"""


def test_what_was_said_is_in_the_report(pytester: pytest.Pytester) -> None:
    """A test that fails shows its own calls and what is wrong with them, once, and no secret."""
    result = run(pytester, FAILING, *WITH_PLUGIN)
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "*- Realtime API calls -*",
            "POST …/sessions/new  400 decoding_error",
            "*sessionDescription*",
            "E*another tone: 440.? Hz instead of 880 Hz*",
            "E*Realtime API calls:*",
            "E*…/sessions/*/tracks/new  200",
            "E*No tone of 440 Hz within 0.1 s:*",
            "E*Realtime API calls:*",
            "E*The API was not called.*",
        ]
    )
    # Where CI is set, pytest repeats each message in its summary, whole.
    text, _, _ = result.stdout.str().partition("short test summary info")
    assert text.count("- Realtime API calls -") == 1, "not where there is nothing to say, nor where it is said already"
    assert text.count("…/sessions/new") == 3
    assert "rtcctl/testing/" not in text, "what is ours is no part of the traceback"


INDIRECT = """
    import httpx
    import pytest

    @pytest.fixture
    def call(realtime):
        headers = {"Authorization": f"Bearer {realtime.app_secret}"}
        with httpx.Client(base_url=f"{realtime.base_url}/apps/{realtime.app_id}", headers=headers) as http:
            yield lambda: http.post("/sessions/new", json={})

    @pytest.fixture
    def broken(call):
        assert call().status_code == 201

    @pytest.fixture
    def late(call):
        yield
        assert call().status_code == 201

    def test_setup(broken):
        pass

    def test_teardown(late):
        pass

    def test_dynamic(request):
        assert request.getfixturevalue("call")().status_code == 201
"""


@pytest.mark.parametrize(
    ("test", "outcome"),
    [("setup", {"errors": 1}), ("teardown", {"passed": 1, "errors": 1}), ("dynamic", {"failed": 1})],
)
def test_it_is_there_whatever_has_failed(pytester: pytest.Pytester, test: str, outcome: dict[str, int]) -> None:
    """A fixture before or after the test, and a test that asked for its fixtures only when it ran."""
    result = run(pytester, INDIRECT, *WITH_PLUGIN, "-k", test)
    result.assert_outcomes(**outcome, deselected=2)
    result.stdout.fnmatch_lines(["*- Realtime API calls -*", "POST …/sessions/new  400 decoding_error"])


def test_a_mistake_is_shown_where_it_was_made(pytester: pytest.Pytester) -> None:
    """The line of the test, what is wrong and the hint: nothing of ours, nor of asyncio."""
    source = """
    import pytest

    def test_a_peer(realtime):
        with realtime.peer() as peer:
            peer.publish_tone(30000)

    def test_without_a_backend(realtime):
        with realtime.peer() as peer:
            realtime.publish(peer, "mic", tone_hz=30000)

    def test_a_fault(realtime):
        realtime.faults.set("nonsense")

    @pytest.mark.asyncio
    async def test_coroutines(realtime):
        async with realtime.async_peer() as peer:
            await peer.publish_tone(30000)
    """
    options = "-o", "asyncio_default_fixture_loop_scope=function"
    result = run(pytester, source, *options, *without("anyio", "xdist"))
    result.assert_outcomes(failed=4)
    text, _, _ = result.stdout.str().partition("short test summary info")
    assert "rtcctl/" not in text
    assert "concurrent/" not in text
    assert text.count(" hint: From 40 to ") == 3
    assert len(text.splitlines()) < 90


def test_options_of_the_server(pytester: pytest.Pytester) -> None:
    """A fixture of the project's own overrides them."""
    source = """
    import pytest

    @pytest.fixture(scope="session")
    def realtime_server_options():
        return {"faults": ["sessions/new=400"]}

    def test_it(realtime):
        with pytest.raises(Exception), realtime.peer() as peer:
            realtime.publish(peer, "mic")
        assert realtime.requests[0].fault == "sessions/new=400"
    """
    run(pytester, source, *WITH_PLUGIN).assert_outcomes(passed=1)


@pytest.mark.parametrize("missing", ["uvicorn", "aiortc"])
def test_without_the_extra(pytester: pytest.Pytester, missing: str) -> None:
    """With rtcctl alone a test that wants it fails, and says what to install; others run."""
    pytester.makeconftest(f"import sys; sys.modules[{missing!r}] = None")
    source = """
    def test_others():
        pass

    def test_it(realtime):
        realtime.peer()
    """
    result = run(pytester, source, *WITH_PLUGIN)
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed") == 1
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1
    assert f"{missing} is not installed" in result.stdout.str()
    assert "pip install 'rtcctl[probe]'" in result.stdout.str()


def test_it_costs_nothing_where_it_is_not_used() -> None:
    """Beside pytest it loads two small files: nothing of ours, nothing heavy, nothing of asyncio."""
    program = f"""
import json, sys, pytest
before = set(sys.modules)
import {PLUGIN}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert loaded == ["rtcctl", PLUGIN]
    assert not set(HEAVY) & set(loaded)
