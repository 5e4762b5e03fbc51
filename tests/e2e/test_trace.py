"""The flight recorder as a user has it: every artefact of a failed smoke, of a subscription, of a killed process."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from rtcctl.realtime.development import DEVELOPMENT_APP_SECRET, DEVELOPMENT_TURN_KEY_TOKEN
from rtcctl.trace.folder import DUMP, read_lines
from rtcctl.trace.reading import read
from tests.support.command import Home

SECRETS = (DEVELOPMENT_APP_SECRET, DEVELOPMENT_TURN_KEY_TOKEN)


class Captured(NamedTuple):
    """A packet of a capture file."""

    source: tuple[str, int]
    destination: tuple[str, int]
    data: bytes
    size: int
    "Before it was cut."

    @property
    def is_rtcp(self) -> bool:
        return 192 <= self.data[1] <= 223


def captured(path: Path) -> list[Captured]:
    """The packets of a capture file."""
    data = path.read_bytes()
    packets, at = [], 24
    while at < len(data):
        _, _, kept, size = struct.unpack_from("<IIII", data, at)
        packet = data[at + 16 : at + 16 + kept]
        source, destination = (str(IPv4Address(packet[start : start + 4])) for start in (12, 16))
        ports = struct.unpack_from("!HH", packet, 20)
        packets.append(Captured((source, ports[0]), (destination, ports[1]), packet[28:], size - 28))
        at += 16 + kept
    return packets


def credentials_in(text: str) -> list[str]:
    """ICE credentials that were not masked."""
    return [
        part[:20]
        for name in ("ice-pwd:", "ice-ufrag:")
        for part in text.split(name)[1:]
        if not part.startswith("masked")
    ]


def last_of(dump: dict[str, Any], type_: str, property_: str) -> list[Any]:
    """The newest value of a property of each object of a type."""
    return [
        json.loads(stats["values"])[-1]
        for connection in dump["PeerConnections"].values()
        for name, stats in connection["stats"].items()
        if stats["statsType"] == type_ and name.endswith(f"-{property_}")
    ]


def test_a_failed_smoke_leaves_a_ticket(home: Home):
    """By itself, named in every output; it tells what was refused, and no secret; what passes leaves none."""
    with home.dev("--fault", "renegotiate=400,times=1") as server:
        junit = home.folder / "smoke.xml"
        done = home.run("smoke", "--for=300ms", "--output=json", f"--report=junit:{junit}")
        assert done.status == 5, done.stderr
        (ticket,) = (home.state / "tickets").iterdir()
        assert done.document["ticket"] == str(ticket)
        assert f"rtcctl explain {ticket}" in done.stderr
        assert str(ticket) in "".join(ElementTree.parse(junit).getroot().itertext())
        passed = home.run("smoke", "--for=300ms", "--only=content", "--trace", str(home.folder / "asked for"))
        assert passed.status == 0, passed.stdout + passed.stderr
        assert list((home.state / "tickets").iterdir()) == [ticket]
        app_id = server.ready["app_id"]
    lines = list(read_lines(ticket))
    begin, end = lines[0], lines[-1]
    assert begin["command"] == "smoke"
    assert begin["versions"]["aiortc"]
    assert begin["target"]["app_id"] == app_id
    assert {line["kind"] for line in lines} >= {"exchange", "peer", "description", "state", "statistics", "event"}
    assert (end["kind"], end["exit_status"], end["result"]["schema"]) == ("end", 5, "rtcctl.smoke/1")
    explained = home.run("explain", str(ticket), "--output=json")
    assert explained.status == 0, explained.stderr
    assert "/renegotiate: 400" in explained.document["verdict"]
    assert explained.document["session_ids"] == done.document["session_ids"]
    assert json.loads((ticket / DUMP).read_text("utf-8"))["PeerConnections"]
    for folder in (ticket, home.folder / "asked for"):
        text = "".join(path.read_text("utf-8") for path in folder.iterdir())
        assert "a=ice-pwd:masked" in text
        assert not credentials_in(text)
        assert not [secret for secret in SECRETS if secret in text]
        issued = [line for line in read_lines(folder) if "generate-ice-servers" in line.get("url", "")]
        for call in issued:
            assert {server.get("credential", "•••") for server in call["answer_body"]["iceServers"]} == {"•••"}
    assert read(home.folder / "asked for").verdict == "Nothing failed."


def test_a_publisher_that_is_killed_and_its_subscriber(home: Home):
    """Figures in trace, dump and capture are those of the command; of the killed one all is there but the end."""
    published, subscribed, capture = (home.folder / name for name in ("published", "subscribed", "a.pcap"))
    publish = ("track", "publish", "--name=mic", "--output=jsonl", f"--trace={published}")
    with home.dev(), home.running(*publish) as publisher:
        session_id = publisher.event("published")["session_id"]
        arguments = ("--for=1s", f"--trace={subscribed}", f"--pcap={capture}", "--output=json")
        done = home.run("track", "subscribe", f"{session_id}/mic", *arguments)
        assert done.status == 0, done.stderr
        publisher.stop(signal.SIGKILL)

    killed = read(published)
    assert (killed.is_complete, killed.peers, killed.session_ids) == (False, 1, (session_id,))
    assert killed.verdict.startswith("It was killed, or still runs")
    kinds = Counter(line["kind"] for line in read_lines(published))
    reports = [line["reports"] for line in read_lines(published) if line["kind"] == "statistics"][-1]
    sent = next(report for report in reports if report["type"] == "outbound-rtp")
    assert sent["packetsSent"] > 0
    assert {report["id"] for report in reports} >= {sent["codecId"], sent["transportId"], "CP1", "CL1", "CR1"}
    assert not [report for report in reports if "-" in report["id"]], "dumps part id and property by a hyphen"
    assert kinds["description"] == 2
    assert not (published / DUMP).exists()

    assert read(subscribed).verdict == "Nothing failed."
    dump = json.loads((subscribed / DUMP).read_text("utf-8"))
    document = done.document
    assert last_of(dump, "inbound-rtp", "packetsReceived")[0] >= document["packets_received"] > 0
    assert last_of(dump, "inbound-rtp", "packetsLost") == [document["packets_lost"]] == [0]
    local, remote = document["candidate_pair"].split(" ")[0], document["candidate_pair"].split(" ")[2]
    assert last_of(dump, "local-candidate", "port") == [int(local.rpartition(":")[2])]

    packets = captured(capture)
    ours, theirs = (tuple(text.rsplit(":", 1)) for text in (local, remote))
    arrived = [packet for packet in packets if packet.destination == (ours[0], int(ours[1]))]
    assert {packet.source for packet in arrived} == {(theirs[0], int(theirs[1]))}
    media = [packet for packet in arrived if not packet.is_rtcp]
    assert len(media) >= document["packets_received"]
    assert {struct.unpack_from("!I", packet.data, 8)[0] for packet in media} == set(
        last_of(dump, "inbound-rtp", "ssrc")
    )
    assert max(len(packet.data) for packet in media) < 40 < min(packet.size for packet in media)
    assert [packet for packet in packets if packet.is_rtcp and packet.source == (ours[0], int(ours[1]))]
    if shutil.which("tshark"):
        asked = ["tshark", "-r", str(capture), "-d", f"udp.port=={theirs[1]},rtp", "-Y", "rtp", "-T", "fields", "-e"]
        seen = subprocess.run([*asked, "rtp.ssrc"], capture_output=True, text=True, timeout=60, check=True)
        assert len(seen.stdout.split()) == len(media)
