"""The admin API of an embedded server: its faults and its ledger. It has no secret, and answers this machine alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from rtcctl.errors import ApiError, AuthError, UsageError
from rtcctl.realtime.curl import admin_base
from rtcctl.realtime.http import Client

_PAGES = 100
"More than a ledger has, unless it grows faster than it can be read."


class AdminClient(Client):
    """A client of one server; the profile says where it is."""

    async def set_fault(self, fault: str) -> dict[str, Any]:
        """Add a fault, and say what it became."""
        return await self._call("POST", "faults", {"fault": fault})

    async def faults(self) -> list[dict[str, Any]]:
        """Those that are set."""
        return list((await self._call("GET", "faults"))["faults"])

    async def clear_faults(self, fault_ids: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Remove those, all or none; without ids whatever is set. Raises `UsageError` when there is no such fault."""
        known = {fault["id"] for fault in await self.faults()} if fault_ids else set()
        if unknown := next((str(fault_id) for fault_id in fault_ids if fault_id not in known), ""):
            raise UsageError(f"There is no fault {unknown}.", hint="rtcctl fault list")
        paths = [f"faults/{fault_id}" for fault_id in dict.fromkeys(fault_ids)] or ["faults"]
        return [fault for path in paths for fault in (await self._call("DELETE", path))["faults"]]

    async def ledger(self, *, session_id: str = "") -> dict[str, Any]:
        """All rows that are kept, of all sessions or of one."""
        whole: dict[str, Any] = {}
        packets_from = requests_from = 0
        for _ in range(_PAGES):
            asked = f"packets_from={packets_from}&requests_from={requests_from}&session={quote(session_id, safe='')}"
            page = await self._call("GET", f"ledger?{asked}")
            if not whole:
                whole = page
            else:
                whole["packets"] += page["packets"]
                whole["requests"] += page["requests"]
            if (packets_from, requests_from) == (page["packets_next"], page["requests_next"]):
                break
            packets_from, requests_from = page["packets_next"], page["requests_next"]
        return whole

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            answer = await self._api.call(method, f"{admin_base(self.profile.api_base)}/{path}", body, secret=None)
        except AuthError as error:
            error.hint = (
                "It has no secret, and answers this machine alone, under the base URL that `rtcctl dev` prints."
            )
            raise
        except ApiError as error:
            if error.status == 404 and path.startswith(("faults", "ledger")) and not path.startswith("faults/"):
                raise UsageError(
                    f"There is no embedded server of rtcctl at {self.profile.api_base}.", hint="Start one: rtcctl dev"
                ) from None
            raise
        if not isinstance(answer.body, dict):
            raise ApiError(f"{method} {path}: the answer is not that of the admin API.", status=answer.status)
        return answer.body
