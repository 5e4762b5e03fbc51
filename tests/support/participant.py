"""One who takes part in a call from a browser's tab: the page's functions, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from tests.support.browser import PAGE, OpenPage, Page, served
from tests.support.command import Running

Value = TypeVar("Value")

SIMULCAST: tuple[dict[str, Any], ...] = (
    {"rid": "f"},
    {"rid": "h", "scaleResolutionDownBy": 2},
    {"rid": "q", "scaleResolutionDownBy": 4},
)
"Three layers, named best first in the order of the alphabet."

IN_FLIGHT = 10
"Packets of a track that may be on their way, or not in the browser's statistics yet, when it ends."


def microphone(name: str = "mic") -> dict[str, Any]:
    """A track of the fake microphone, untouched on its way."""
    processing = ("echoCancellation", "noiseSuppression", "autoGainControl")
    return {"name": name, "kind": "audio", "constraints": dict.fromkeys(processing, False)}


def camera(
    name: str = "camera",
    *,
    width: int = 640,
    height: int = 480,
    frame_rate_hz: int = 20,
    encodings: Sequence[Mapping[str, Any]] | None = None,
    codec: str | None = None,
) -> dict[str, Any]:
    """A track of the fake camera. `codec`: the only one to offer, by its MIME type."""
    constraints = {"width": {"exact": width}, "height": {"exact": height}, "frameRate": frame_rate_hz}
    return {"name": name, "kind": "video", "constraints": constraints, "encodings": encodings, "codec": codec}


def eventually(
    look: Callable[[], Value], is_good: Callable[[Value], object], *, what: str, timeout_s: float = 10.0
) -> Value:
    """What `look` returns once it is good; fails with the last that was not."""
    deadline = time.monotonic() + timeout_s
    while not is_good(value := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}; the last: {value}"
        time.sleep(0.05)
    return value


@dataclass(eq=False)
class Participant:
    """A page with one session."""

    page: Page
    session_id: str

    # Tracks

    def publish(self, *tracks: Mapping[str, Any], restart_ice: bool = False) -> dict[str, str]:
        """Publish them in one call; their mids by name."""
        mids: dict[str, str] = self.page.evaluate("publish", {"tracks": tracks, "iceRestart": restart_ice})
        return mids

    def publish_layers(self, name: str, *, width: int, height: int) -> str:
        """Publish a camera in three layers and wait until each is sent; its mid.

        Without feedback about congestion only the least would be, however long one waited.
        """
        mid = self.publish(camera(name, width=width, height=height, frame_rate_hz=10, encodings=SIMULCAST))[name]
        eventually(
            lambda: {rid: report.get("framesSent", 0) for rid, report in self.outbound(mid).items()},
            lambda sent: len(sent) == len(SIMULCAST) and min(sent.values()) > 5,
            what="frames of each layer",
            timeout_s=20,
        )
        return mid

    def publish_answering(self, track: Mapping[str, Any], *, bidirectional: bool = False) -> str:
        """Publish one by an offer of the SFU; its mid."""
        mid: str = self.page.evaluate("publishAnswering", {**track, "bidirectional": bidirectional})
        return mid

    def publish_unnamed(self, *tracks: Mapping[str, Any]) -> dict[str, str]:
        """Publish what an offer holds; the names that the SFU has given, by mid."""
        names: dict[str, str] = self.page.evaluate("publishUnnamed", tracks)
        return names

    def pull(self, publisher: Participant | str, *names: str, preferred_rid: str | None = None) -> list[str]:
        """Pull tracks of one publisher in one call; their mids, in the order of the names."""
        simulcast = {} if preferred_rid is None else {"simulcast": {"preferredRid": preferred_rid}}
        session_id = publisher if isinstance(publisher, str) else publisher.session_id
        return self.pull_items({"sessionId": session_id, "trackName": name} | simulcast for name in names)

    def pull_items(self, items: Iterable[Mapping[str, Any]], *, offering: bool = False) -> list[str]:
        """Pull what the API calls so, all of which must be there. `offering`: by an offer of the client."""
        answered = self.page.evaluate("pullOffering" if offering else "pull", list(items))
        assert not [item for item in answered if "errorCode" in item], answered
        return [item["mid"] for item in answered]

    def prefer(self, mid: str, publisher: Participant | str, name: str, rid: str) -> None:
        """Ask for another layer."""
        session_id = publisher if isinstance(publisher, str) else publisher.session_id
        item = {"mid": mid, "sessionId": session_id, "trackName": name, "simulcast": {"preferredRid": rid}}
        (answered,) = self.page.evaluate("update", [item])
        assert "errorCode" not in answered, answered

    def close(self, *mids: str, force: bool = False) -> dict[str, Any]:
        """Close tracks of this session; by negotiation the transceivers are stopped."""
        answered: dict[str, Any] = self.page.evaluate("close", {"mids": mids, "force": force})
        return answered

    def mute(self, mid: str) -> None:
        """Send nothing, without negotiation."""
        self.page.evaluate("mute", mid)

    def unmute(self, mid: str) -> None:
        """Send again."""
        self.page.evaluate("unmute", mid)

    # What arrives

    def inbound(self, mid: str) -> dict[str, Any]:
        """The browser's `inbound-rtp` report; empty before the first packet."""
        return self.page.evaluate("inbound", mid) or {}

    def outbound(self, mid: str) -> dict[str | None, dict[str, Any]]:
        """Its `outbound-rtp` reports, by rid."""
        return {report.get("rid"): report for report in self.page.evaluate("outbound", mid)}

    def received(self, mid: str, more: int = 25, *, timeout_s: float = 10.0) -> dict[str, Any]:
        """The report once that many more packets of audio, or frames of video, have arrived."""
        return self.all_received([mid], more, timeout_s=timeout_s)[mid]

    def all_received(
        self, mids: Sequence[str], more: int = 25, *, timeout_s: float = 10.0
    ) -> dict[str, dict[str, Any]]:
        """The same of several tracks, by mid."""

        def look() -> dict[str, dict[str, Any]]:
            return {mid: self.inbound(mid) for mid in mids}

        wanted = {mid: self._count(report) + more for mid, report in look().items()}
        return eventually(
            look,
            lambda reports: all(self._count(reports[mid]) >= count for mid, count in wanted.items()),
            what=f"{more} more of each mid of {', '.join(mids)}",
            timeout_s=timeout_s,
        )

    def received_size(self, mid: str, width: int, height: int, *, timeout_s: float = 10.0) -> dict[str, Any]:
        """The report once what is decoded has that size."""
        return eventually(
            lambda: self.inbound(mid),
            lambda report: (report.get("frameWidth"), report.get("frameHeight")) == (width, height),
            what=f"pictures of {width}×{height}",
            timeout_s=timeout_s,
        )

    def frequency_hz(self, mid: str, *, channel: int | None = None) -> float | None:
        """What is heard, by the browser's FFT (bins of 6 Hz); `None` for silence. `channel`: 0 left, 1 right."""
        heard: float | None = self.page.evaluate("frequency", {"mid": mid, "channel": channel})
        return heard

    def contrast(self, mid: str) -> float:
        """How much brightness varies across what is seen: 0 for a blank picture."""
        seen: float = self.page.evaluate("picture", mid)["contrast"]
        return seen

    def watch(self, mid: str) -> None:
        """Note when each picture is shown from now on."""
        self.page.evaluate("watch", mid)

    def changes_ms(self, mid: str) -> list[float]:
        """How long the last picture of one size stood before the first of the next, for each change since `watch`."""
        shown: list[tuple[float, int]] = self.page.evaluate("mid => shown[mid]", mid)
        return [at - before for (before, old), (at, new) in pairwise(shown) if new != old]

    def time_to_first_frame_ms(self, mid: str) -> float:
        """From the request that pulled it to the first picture."""
        waited = eventually(
            lambda: self.page.evaluate("timeToFirstFrame", mid),
            lambda value: value is not None,
            what=f"a first picture on mid {mid}",
        )
        assert isinstance(waited, float | int)
        return waited

    @staticmethod
    def _count(report: Mapping[str, Any]) -> int:
        if report.get("kind") == "video":
            return int(report.get("framesDecoded", 0))
        return int(report.get("packetsReceived", 0))

    # The transport

    def transport(self) -> dict[str, Any]:
        """States, user fragments and the selected pair."""
        state: dict[str, Any] = self.page.evaluate("transport")
        return state

    def restart_ice(self) -> None:
        """By an offer to `renegotiate`."""
        self.page.evaluate("restartIce")

    # Data channels

    def establish_channels(self, *, offerer: str = "sfu") -> None:
        """The transport below data channels. `offerer`: `sfu` or `client`."""
        assert self.page.evaluate("establish", {"offerer": offerer}) == 0

    def update_channel(self, name: str, publisher: Participant, **fields: Any) -> None:
        """Change the flags of a subscription."""
        item = {"location": "remote", "sessionId": publisher.session_id, "dataChannelName": name, **fields}
        answered = self.page.evaluate("updateChannel", item)
        assert "errorCode" not in answered, answered

    def close_channel(self, name: str) -> dict[str, Any]:
        """Close one by the API; its answer."""
        answered: dict[str, Any] = self.page.evaluate("closeChannel", name)
        return answered

    def channel_state(self, name: str) -> str:
        """As the browser has it: `open`, `closed` …"""
        state: str = self.page.evaluate("channelState", name)
        return state

    def open_channel(self, name: str, publisher: Participant | None = None, **fields: Any) -> int:
        """Publish a channel, or subscribe to that of `publisher`; its id once it is open."""
        source: dict[str, Any] = {"location": "local"}
        if publisher is not None:
            source = {"location": "remote", "sessionId": publisher.session_id}
        number: int = self.page.evaluate("openChannel", {"dataChannelName": name, **source, **fields})
        return number

    def say(self, name: str, *messages: str | int) -> None:
        """Send on a channel: texts, and binary messages of so many bytes."""
        self.page.evaluate("say", {"name": name, "messages": messages})

    def heard(self, name: str) -> list[str | int]:
        """What has arrived on it: texts, and sizes of binary messages."""
        messages: list[str | int] = self.page.evaluate("heard", name)
        return messages

    def hears(self, name: str, message: str | int) -> list[str | int]:
        """What has arrived once that message has."""
        return eventually(lambda: self.heard(name), lambda all_: message in all_, what=f"{message!r} on {name}")


@contextmanager
def call(server: Running) -> Iterator[Callable[[OpenPage], Participant]]:
    """A function that lets one take part, by a browser of choice; all leave at the end.

    The server's log becomes the test's output. An unexpected error in it, which the server survives, fails the test.
    """
    app = {"base": server.ready["base_url"], "id": server.ready["app_id"], "secret": server.ready["app_secret"]}
    pages: list[Page] = []
    with served(PAGE) as base_url:

        def join(open_page: OpenPage) -> Participant:
            pages.append(page := open_page(f"{base_url}/index.html"))
            return Participant(page, page.evaluate("start", app))

        try:
            yield join
            assert "Traceback" not in server.stderr
        finally:
            print(server.stderr)  # noqa: T201
            for page in pages:
                page.close()
