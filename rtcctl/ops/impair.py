"""`--impair`: what is done to the packets of the peers of one command, and who writes it down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from rtcctl.media.impair import Impairment, parse_path
from rtcctl.media.ledger import PacketRow
from rtcctl.units import SpellingError

if TYPE_CHECKING:
    from rtcctl.ops.env import Env
    from rtcctl.probe.impaired import ImpairedPath

_SEED_BITS = 32


def forget(row: PacketRow) -> None:
    """A ledger that nobody asked for."""


@dataclass(slots=True)
class Impairing:
    """Of all peers of a command, each with a path of its own."""

    by_way: dict[str, Impairment]
    "`up` is towards the server; each has its seed."
    texts: tuple[str, ...]
    "As they were written, with the seeds that were drawn: repeated with these, the command meets the same."
    has_drawn: bool
    "Whether a seed was drawn."
    write: Callable[[PacketRow], None] = forget
    ledger: str | None = None
    "The file that `write` writes."
    _peers: int = field(default=0, init=False)

    @classmethod
    def parse(cls, texts: Sequence[str], random: Random) -> Impairing:
        """One text, or one for each direction. Raises `SpellingError`."""
        by_way: dict[str, Impairment] = {}
        complete = []
        for text in texts:
            parsed = parse_path(text)
            if both := by_way.keys() & parsed.keys():
                raise SpellingError(f"there are two for direction {min(both)}; write them as one, with commas")
            if next(iter(parsed.values())).seed is None:
                seed = random.getrandbits(_SEED_BITS)
                parsed = {way: replace(impairment, seed=seed) for way, impairment in parsed.items()}
                text = f"{text},seed={seed}"
            by_way |= parsed
            complete.append(text)
        return cls(by_way, tuple(complete), has_drawn=complete != list(texts))

    def path(self, env: Env) -> ImpairedPath:
        """Of the next peer."""
        from rtcctl.probe.impaired import ImpairedPath

        self._peers += 1
        return ImpairedPath(
            self.by_way,
            number=self._peers,
            app_id=env.profile.app_id,
            clock=env.clock,
            wallclock=env.wallclock,
            write=self.write,
        )

    def options(self) -> list[str]:
        """Of a command line that does the same."""
        ledger = [] if self.ledger is None else ["--impair-ledger", self.ledger]
        return [*(word for text in self.texts for word in ("--impair", text)), *ledger]
