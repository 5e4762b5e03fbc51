"""The cases of a table against one service, all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

Result = TypeVar("Result")


async def all_pass(cases: Mapping[str, Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run them to their ends; fails with all that failed, by name."""
    results = await asyncio.gather(*cases.values(), return_exceptions=True)
    failed = []
    for name, result in zip(cases, results, strict=True):
        if isinstance(result, Exception):
            result.add_note(f"case: {name}")
            failed.append(result)
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(results)} cases", failed)
    return [result for result in results if not isinstance(result, BaseException)]
