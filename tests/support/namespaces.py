"""Two hosts with a cable between them, as two network namespaces of one machine, made without root."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support.requirements import require, require_lonely_host

NEAR, FAR = "10.9.0.1", "10.9.0.2"


@dataclass(frozen=True)
class Host:
    """One network namespace, which lives as long as the process that was started in it."""

    pid: int

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command is put behind to run there."""
        return ("nsenter", f"--target={self.pid}", "--user", "--net", "--preserve-credentials")

    def run(self, command: str) -> str:
        """Run a line of shell there; what it prints. Fails when it does."""
        done = subprocess.run([*self.enter, "sh", "-ec", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout


class Dropping:
    """nftables in one host: RTP is dropped at random as it comes in, and the kernel counts what it has dropped.

    RTP alone, by the first byte (RFC 7983 §7) and the payload type; RTCP, STUN and DTLS pass.
    """

    def __init__(self, host: Host, payload_type: int) -> None:
        require("nft", why="drops packets in the kernel, and counts them")
        self._host = host
        self._is_rtp = f"@th,64,2 2 @th,73,7 {payload_type}"
        host.run("nft add table ip truth; nft add counter ip truth dropped")
        host.run("nft add chain ip truth input '{ type filter hook input priority 0; }'")

    def start(self, share: str) -> None:
        """`share`: as nftables writes it, `mod 10 < 2` for a fifth."""
        rule = f"meta l4proto udp {self._is_rtp} numgen random {share} counter name dropped drop"
        self._host.run(f"nft add rule ip truth input '{rule}'")

    def stop(self) -> int:
        """Drop nothing more; how many packets there were."""
        self._host.run("nft flush chain ip truth input")
        items = json.loads(self._host.run("nft -j list counter ip truth dropped"))["nftables"]
        packets: int = next(item["counter"]["packets"] for item in items if "counter" in item)
        return packets


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """A host at `NEAR` and one at `FAR`."""
    require_lonely_host()
    require("nsenter", why="starts commands in another network namespace")
    with ExitStack() as stack:
        near = stack.enter_context(_namespace(("unshare", "--map-root-user", "--net")))
        far = stack.enter_context(_namespace((*near.enter, "unshare", "--net")))
        near.run(f"ip link set lo up; ip link add name cable type veth peer name elbac netns {far.pid}")
        near.run(f"ip address add {NEAR}/24 dev cable; ip link set cable up")
        far.run(f"ip link set lo up; ip address add {FAR}/24 dev elbac; ip link set elbac up")
        yield near, far


@contextmanager
def _namespace(unshare: tuple[str, ...]) -> Iterator[Host]:
    keeper = subprocess.Popen(
        [*unshare, "sh", "-c", "echo there; exec sleep infinity"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "there\n"
        yield Host(keeper.pid)
    finally:
        keeper.kill()
        keeper.wait()
        if keeper.stdout is not None:
            keeper.stdout.close()
