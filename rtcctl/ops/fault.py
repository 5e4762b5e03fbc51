"""Faults in a running embedded server, and its ledger."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import quote

from rtcctl.errors import UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.media import is_loopback
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.admin import AdminClient
from rtcctl.realtime.curl import ApiCall
from rtcctl.results.fault import Fault, FaultClear, FaultLedger, FaultList, FaultSet, Stream


@dataclass(frozen=True, slots=True)
class SetRequest:
    """`faults` as they are written (`server/faults/grammar.py`)."""

    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListRequest:
    pass


@dataclass(frozen=True, slots=True)
class ClearRequest:
    """Without ids, all."""

    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerRequest:
    """`session_id`: empty for all."""

    session_id: str = ""


def set_calls(request: SetRequest) -> tuple[ApiCall, ...]:
    """The calls that `set_faults` makes."""
    return tuple(ApiCall("POST", "/rtcctl/faults", {"fault": fault}, secret="") for fault in request.faults)


def list_calls() -> tuple[ApiCall, ...]:
    """The call that `list_faults` makes."""
    return (ApiCall("GET", "/rtcctl/faults", secret=""),)


def clear_calls(request: ClearRequest) -> tuple[ApiCall, ...]:
    """The calls of `clear` that remove something."""
    paths = [f"/rtcctl/faults/{fault_id}" for fault_id in request.ids] or ["/rtcctl/faults"]
    return tuple(ApiCall("DELETE", path, secret="") for path in paths)


def ledger_calls(request: LedgerRequest) -> tuple[ApiCall, ...]:
    """The first call that `ledger` makes; long ledgers come in pages."""
    query = f"?session={quote(request.session_id, safe='')}" if request.session_id else ""
    return (ApiCall("GET", f"/rtcctl/ledger{query}", secret=""),)


async def set_faults(request: SetRequest, env: Env) -> FaultSet:
    """Add faults, all or none: what cannot be read is a `UsageError` before anything is set."""
    from rtcctl.server.faults.grammar import parse
    from rtcctl.units import SpellingError

    for fault in request.faults:
        try:
            parse(fault)
        except SpellingError as error:
            raise UsageError(f"{fault!r}: {error}.", hint="rtcctl fault set --help") from None
    async with _admin(env) as client:
        faults = [_fault(await client.set_fault(fault)) for fault in request.faults]
    return FaultSet(target=env.target, faults=tuple(faults))


async def list_faults(request: ListRequest, env: Env) -> FaultList:
    """Those that are set."""
    async with _admin(env) as client:
        return FaultList(target=env.target, faults=tuple(_fault(item) for item in await client.faults()))


async def clear(request: ClearRequest, env: Env) -> FaultClear:
    """Remove faults, all or none."""
    async with _admin(env) as client:
        cleared = await client.clear_faults(request.ids)
    return FaultClear(target=env.target, faults=tuple(_fault(item) for item in cleared))


async def ledger(request: LedgerRequest, env: Env) -> FaultLedger:
    """What was done to which packet, and what the API answered to whom."""
    async with _admin(env) as client:
        found = await client.ledger(session_id=request.session_id)
    return FaultLedger(
        target=env.target,
        packets_forgotten=found["packets_forgotten"],
        requests_forgotten=found["requests_forgotten"],
        streams=streams(found["packets"]),
        packets=tuple(found["packets"]),
        requests=tuple(found["requests"]),
    )


def streams(packets: list[dict[str, Any]]) -> tuple[Stream, ...]:
    """Rows of the ledger, added up by session, direction and SSRC."""
    rows: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in packets:
        if row["sequence_number"] is not None:
            rows[row["session_id"], row["direction"], row["ssrc"]].append(row)
    return tuple(_stream(*key, of_stream) for key, of_stream in rows.items())


def _stream(session_id: str, direction: str, ssrc: int, rows: list[dict[str, Any]]) -> Stream:
    originals = [row for row in rows if row["kind"] == "original"]
    again = [row for row in rows if row["kind"] != "original"]
    held_ms = [row["held_s"] * 1000 for row in rows if row["held_s"] is not None]
    return Stream(
        session_id=session_id,
        direction=direction,
        track=rows[-1]["track"],
        ssrc=ssrc,
        originals=len(originals),
        originals_dropped=sum(row["fate"] == "dropped" for row in originals),
        retransmissions=len(again),
        retransmissions_dropped=sum(row["fate"] == "dropped" for row in again),
        held_ms=median(held_ms) if held_ms else None,
    )


def _admin(env: Env) -> AdminClient:
    if not is_loopback(env.profile.api_base):
        raise UsageError(
            f"Faults are of an embedded server on this machine; profile {env.profile.name} is {env.profile.api_base}.",
            hint="Choose the embedded server with --profile local",
        )
    return env.admin_client(deadline_s=COMMAND_DEADLINE_S)


def _fault(item: dict[str, Any]) -> Fault:
    return Fault(**{key: item[key] for key in ("id", "fault", "is_media", "met", "times")})
