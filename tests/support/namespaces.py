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


_TABLE = """
nft add table ip truth
nft add counter ip truth dropped
nft add chain ip truth input '{ type filter hook input priority 0; }'
"""
_RULE = """
nft add rule ip truth input 'meta l4proto udp @th,64,2 2 @th,73,7 %d numgen random %s counter name dropped drop'
"""
"RTP alone, by the first byte (RFC 7983 §7) and the payload type; RTCP, STUN and DTLS pass."


class Dropping:
    """nftables in one host: RTP is dropped at random as it comes in, and the kernel counts what it has dropped."""

    def __init__(self, host: Host, payload_type: int) -> None:
        require("nft", why="drops packets in the kernel, and counts them")
        is_able = _works(_TABLE + _RULE % (payload_type, "mod 2 < 1"))
        require("nft", why="this kernel drops no packets at random", is_there=is_able)
        self._host = host
        self._payload_type = payload_type
        host.run(_TABLE)

    def start(self, share: str) -> None:
        """`share`: as nftables writes it, `mod 10 < 2` for a fifth."""
        self._host.run(_RULE % (self._payload_type, share))

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
    require(
        "unshare", why="the kernel makes no veth pairs", is_there=_works("ip link add name x type veth peer name y")
    )
    with ExitStack() as stack:
        near = stack.enter_context(_namespace(("unshare", "--map-root-user", "--net")))
        far = stack.enter_context(_namespace((*near.enter, "unshare", "--net")))
        near.run(f"ip link set lo up; ip link add name cable type veth peer name elbac netns {far.pid}")
        near.run(f"ip address add {NEAR}/24 dev cable; ip link set cable up")
        far.run(f"ip link set lo up; ip address add {FAR}/24 dev elbac; ip link set elbac up")
        yield near, far


def _works(command: str) -> bool:
    """Whether a line of shell succeeds in a network namespace of its own."""
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-ec", command], capture_output=True, check=False
    )
    return done.returncode == 0


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
