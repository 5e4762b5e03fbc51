"""Errors as a person, or a program, reads them: `error:` and `hint:` on stderr, or one JSON object."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rtcctl.cli.run import EXTRA_MODULES
from rtcctl.errors import ApiError, ExitStatus, ParseError, RtcctlError, UsageError
