"""`python -m tests.bench mixed`: a busy server on one core: twenty rooms of speech and two cameras at once.

Twenty publishers of audio (50 packets/s) with fifty subscribers each, and two of video (1 Mbit/s, 30 frames/s) with
twenty-five each: 1,050 subscriptions, 56,000 packets/s out. Reports, NACKs answered, congestion feedback and the header
extensions of browsers are on. The server has one core, with extra `fast`; the load and the sinks (in C) have another.
What counts is that nothing is lost, and how much of the core that takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time

from tests.bench.load import Camera, CSinks, Listener, Sfu, Speaker, cpu_seconds, pin_load

SPEAKERS, LISTENERS = 20, 50
CAMERAS, VIEWERS = 2, 25


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench mixed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--no-uvloop", action="store_true")
    arguments = parser.parse_args(argv)
    pin_load()
    sfu = Sfu(uvloop=not arguments.no_uvloop)
    with tempfile.TemporaryDirectory() as folder:
        speakers, cameras = sfu.connect(SPEAKERS), sfu.connect(CAMERAS)
        listeners, viewers = sfu.connect(LISTENERS), sfu.connect(VIEWERS)
        audio, video = sfu.publish(speakers), sfu.publish(cameras, "video")
        heard = sfu.subscribe([(index, track) for index in listeners for track in audio])
        seen = sfu.subscribe([(index, track) for index in viewers for track in video])
        sinks = CSinks([sfu.peers[index].sock for index in (*listeners, *viewers)], folder)
        now = time.monotonic()
        sources: list[Speaker | Camera] = [
            Speaker(sfu.peers[index], now + i / 1000, has_extensions=True) for i, index in enumerate(speakers)
        ]
        sources += [Camera(sfu.peers[index], now + i / 60) for i, index in enumerate(cameras)]
        reporters = [
            Listener(sfu.peers[index], heard[i * SPEAKERS : (i + 1) * SPEAKERS], now + i / LISTENERS)
            for i, index in enumerate(listeners)
        ]
        reporters += [
            Listener(sfu.peers[index], seen[i * CAMERAS : (i + 1) * CAMERAS], now + i / VIEWERS)
            for i, index in enumerate(viewers)
        ]
        before, sent = cpu_seconds(sfu.process.pid), [0, 0]
        late_s = 0.0
        end = time.monotonic() + arguments.seconds
        while (now := time.monotonic()) < end:
            late_s = max(late_s, now - min(source.due for source in sources))
            for source in sources:
                sent[isinstance(source, Camera)] += source.send_due(now)
            for reporter in reporters:
                reporter.send_due(now)
            time.sleep(0.0005)
        time.sleep(0.3)
        counts = sinks.counts()
        cpu_s = cpu_seconds(sfu.process.pid) - before
        counted = sfu.ask(count=True)
        sinks.close()
        for peer in sfu.peers:
            peer.read()
        sfu.close()
    expected = (sent[0] * LISTENERS, sent[1] * VIEWERS)
    received = (sum(c[0] for c in counts[:LISTENERS]), sum(c[0] for c in counts[LISTENERS:]))
    write = sys.stdout.write
    write(f"{'':8}{'sent':>10}{'expected':>12}{'received':>12}{'lost':>8}\n")
    for name, publishers_sent, wanted, got in zip(("audio", "video"), sent, expected, received, strict=True):
        write(f"{name:8}{publishers_sent:10,}{wanted:12,}{got:12,}{wanted - got:8,}\n")
    write(f"packets the kernel refused: {counted['dropped']}; sessions closed by an error: {counted['errors']}\n")
    write(f"server: {cpu_s / arguments.seconds:.0%} of a core, {cpu_s / sum(received) * 1e6:.1f} µs a packet; ")
    write(f"the load was at most {late_s * 1000:.0f} ms late\n")
    return 0 if received == expected else 1
