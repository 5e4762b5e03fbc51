"""Every target takes its corpus and noise on top of it: no exception but those it may raise, no hang."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.growth import FACTOR, seconds_of, slowest
from tests.fuzz.target import VECTORS, Target, conversation, records
from tests.fuzz.targets import TARGETS
from tests.support.requirements import require, slow

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
EXAMPLES = 60
"Of noise, for each target: a fuzzer does as many in milliseconds. This is here to notice what has changed."


@every_target
def test_vectors(target: Target) -> None:
    """What real peers send, what standards show, and everything that was once a crash."""
    assert target.vectors
    taken = [path.name for path in target.vectors if target(path.read_bytes())]
    assert taken, "nothing of it is accepted: what is tested is one check at the beginning"


@every_target
def test_noise(target: Target) -> None:
    """A valid beginning and noise, bytes changed, pieces repeated, taken out, or put in from another vector."""
    vectors = [path.read_bytes() for path in target.vectors]

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck), deadline=None
    )
    @given(mutated(vectors))
    def takes_it(data: bytes) -> None:
        target(data)

    takes_it()


@st.composite
def mutated(draw: st.DrawFn, vectors: list[bytes]) -> bytes:
    data = draw(st.sampled_from(vectors))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 40)))
        match draw(st.integers(0, 4)):
            case 0:
                data = data[:at] + draw(st.binary(max_size=40))
            case 1:
                data = data[:at] + draw(st.binary(min_size=end - at, max_size=end - at)) + data[end:]
            case 2:
                data = data[:at] + data[at:end] * draw(st.integers(0, 20)) + data[end:]
            case 3:
                other = draw(st.sampled_from(vectors))
                data = data[:at] + other[draw(st.integers(0, len(other))) :][:200] + data[end:]
            case _:
                data = data[:at] + draw(st.sampled_from((b"\0", b"\xff\xff", b"\x7f", b"\r\n", b"9" * 25))) + data[end:]
    return data


def test_a_conversation_is_read_back() -> None:
    """Records keep their flags and bytes; a length that lies gives what there is."""
    parts = [(0, b""), (255, b"x" * 300), (7, b"\0\0\0")]
    assert list(records(conversation(parts))) == parts
    assert list(records(b"\x01\xff\xffabc")) == [(1, b"abc")]


def test_the_corpus_is_small_and_each_folder_has_its_target() -> None:
    """Below 400 files and 400 KB, and the README names every folder."""
    files = [path for path in VECTORS.rglob("*") if path.is_file()]
    assert len(files) < 400
    assert sum(path.stat().st_size for path in files) < 400_000
    folders = {path.name for path in VECTORS.iterdir() if path.is_dir()}
    assert folders == set(TARGETS)
    index = (VECTORS / "README.md").read_text("utf-8")
    assert [name for name in sorted(folders) if f"`{name}`" not in index] == []


OFFER = (VECTORS / "sdp" / "chromium-publish-simulcast-datachannel.sdp").read_bytes()
NUMBERS = range(30_000)
SECTIONS = b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 2000
LARGE = {
    "rids": OFFER.replace(
        b"a=simulcast:send f;h;q\r\n",
        "".join(f"a=rid:r{n} send\r\n" for n in NUMBERS).encode()
        + f"a=simulcast:send {';'.join(f'r{n}' for n in NUMBERS)}\r\n".encode(),
    ),
    "formats": OFFER.replace(b"t=0 0\r\n", b"t=0 0\r\n" + b"a=rtpmap:96 VP8/90000\r\n" * 20_000) + SECTIONS,
    "extensions": OFFER.replace(b"t=0 0\r\n", b"t=0 0\r\n" + b"a=extmap:1 u\r\n" * 40_000) + SECTIONS,
    "path": b"GET /v1/apps/a" + b"/sessions/s" * 40_000,
}
"What once took half a minute, of a server with all its sessions waiting."


@pytest.mark.parametrize("name", LARGE)
def test_a_large_description_or_path_is_dealt_with_at_once(name: str) -> None:
    """Thousands of one thing, each of which was looked for among thousands of another."""
    assert len(LARGE[name]) > 400_000
    for target in ("sdp", "explanation"):
        assert seconds_of(TARGETS[target], LARGE[name]) < 2


@slow
@every_target
def test_time_grows_as_the_input_does(target: Target) -> None:
    """Four times as much of anything takes four times as long, with room for a busy machine; squared would be 16."""
    assert slowest(target).ratio < 2.5 * FACTOR


@slow
@every_target
def test_coverage_guided(target: Target, tmp_path: Path) -> None:
    """Half a minute of atheris finds no crash, and nothing that takes 5 s."""
    require("atheris", why="fuzzing guided by coverage", is_there=importlib.util.find_spec("atheris") is not None)
    command = [sys.executable, "-m", "tests.fuzz", target.name, "--for", "30s", "--into", str(tmp_path)]
    done = subprocess.run(command, cwd=VECTORS.parents[1], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-8000:]
