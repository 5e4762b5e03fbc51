"""Log lines as lines of a trace: what ICE tried is said nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

LOGGERS = ("rtcctl", "aioice", "aiortc")


class LogLines(logging.Handler):
    """From `install` to `remove`, each log line of INFO and above goes to `note`, and where it went before."""

    def __init__(self, note: Callable[..., Any]) -> None:
        super().__init__(logging.INFO)
        self._note = note
        self._levels: dict[str, int] = {}

    def install(self) -> None:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            if logger.getEffectiveLevel() > logging.INFO:
                self._levels[name] = logger.level
                logger.setLevel(logging.INFO)
        logging.getLogger().addHandler(self)

    def remove(self) -> None:
        logging.getLogger().removeHandler(self)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        self._note("log", level=record.levelname, logger=record.name, text=record.getMessage())
        # Without any handler, warnings go to stderr; with this one alone they still do.
        usual = logging.lastResort
        if logging.getLogger().handlers == [self] and usual is not None and record.levelno >= usual.level:
            usual.handle(record)
