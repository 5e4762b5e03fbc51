"""Apps and TURN keys of the account: list, create, get, update, delete."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rtcctl.errors import RtcctlError, UsageError
from rtcctl.ops.env import Env
from rtcctl.ops.session import COMMAND_DEADLINE_S
from rtcctl.realtime.curl import ACCOUNT_TOKEN, ApiCall
from rtcctl.realtime.profile import Profile
from rtcctl.results import account as results
from rtcctl.results.result import Failure
from rtcctl.results.target import Target

if TYPE_CHECKING:
    from rtcctl.realtime.account import AccountClient, AccountItem, Collection

One = TypeVar("One", bound=results.OneItem)


class Store(Protocol):
    """Where the secret of what is made is put."""

    def put(self, identifier: str, secret: str, api_base: str) -> tuple[str, tuple[str, ...]]:
        """Where it is now, and lines by which it is used. Raises `UsageError`."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    collection: Collection


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """`store` makes ready to keep the secret, or raises `UsageError`: before there is one. `None`: it is handed out."""

    collection: Collection
    name: str
    store: Callable[[], AbstractContextManager[Store]] | None = None


@dataclass(frozen=True, slots=True)
class GetRequest:
    collection: Collection
    uid: str


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    collection: Collection
    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    collection: Collection
    uid: str


def list_calls(request: ListRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The call that `list_items` makes."""
    return (_call("GET", profile, request.collection),)


def create_calls(request: CreateRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The call that `create` makes."""
    return (_call("POST", profile, request.collection, body={"name": request.name}),)


def get_calls(request: GetRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The call that `get` makes."""
    return (_call("GET", profile, request.collection, request.uid),)


def update_calls(request: UpdateRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The call that `update` makes."""
    return (_call("PUT", profile, request.collection, request.uid, {"name": request.name}),)


def delete_calls(request: DeleteRequest, profile: Profile) -> tuple[ApiCall, ...]:
    """The calls that `delete` makes."""
    return tuple(_call(method, profile, request.collection, request.uid) for method in ("GET", "DELETE"))


def _call(method: str, profile: Profile, collection: Collection, uid: str = "", body: Any = None) -> ApiCall:
    from rtcctl.realtime.account import account_path

    return ApiCall(method, account_path(profile, collection, uid), body, secret=ACCOUNT_TOKEN)


async def list_items(request: ListRequest, env: Env) -> results.AppList | results.TurnKeyList:
    """All there are."""
    async with _client(env) as client:
        items = tuple(
            results.AccountItem(id=i.uid, name=i.name, created_at=i.created_at, modified_at=i.modified_at)
            for i in await client.list(request.collection)
        )
    if request.collection == "apps":
        return results.AppList(target=_target(env), apps=items)
    return results.TurnKeyList(target=_target(env), turn_keys=items)


async def create(request: CreateRequest, env: Env) -> results.CreatedItem:
    """Make one. Its secret is stored, or handed out; also handed out when it could not be stored after all."""
    kind = results.AppCreate if request.collection == "apps" else results.TurnKeyCreate
    if request.store is None:
        return _result(kind, env, await _made(request, env), secret_shown=True)
    with request.store() as store:
        item = await _made(request, env)
        try:
            stored_in, usage = store.put(item.uid, item.secret, env.profile.api_base)
        except RtcctlError as error:
            lost = UsageError(
                f"The secret could not be stored, so it is printed, this once: {error.message}", hint=error.hint
            )
            return replace(_result(kind, env, item, secret_shown=True), failure=Failure.of(lost))
    return replace(_result(kind, env, item), stored_in=stored_in, usage=usage)


async def _made(request: CreateRequest, env: Env) -> AccountItem:
    async with _client(env) as client:
        return await client.create(request.collection, request.name)


async def get(request: GetRequest, env: Env) -> results.OneItem:
    """One of them."""
    async with _client(env) as client:
        item = await client.get(request.collection, request.uid)
    return _result(results.AppGet if request.collection == "apps" else results.TurnKeyGet, env, item)


async def update(request: UpdateRequest, env: Env) -> results.OneItem:
    """Give one of them another name."""
    async with _client(env) as client:
        item = await client.update(request.collection, request.uid, request.name)
    return _result(results.AppUpdate if request.collection == "apps" else results.TurnKeyUpdate, env, item)


async def delete(request: DeleteRequest, env: Env) -> results.OneItem:
    """End one of them, and all that goes on with it; that is confirmed first."""
    is_app = request.collection == "apps"
    async with _client(env) as client:
        item = await client.get(request.collection, request.uid)
        named = f"{item.uid} ({item.name})" if item.name else item.uid
        own = env.profile.app_id if is_app else env.profile.turn_key_id
        used = f", which profile {env.profile.name} uses" if item.uid == own else ""
        what, ends = ("app", "sessions") if is_app else ("TURN key", "credentials")
        env.confirm(f"Delete {what} {named}{used}? Its {ends} end, and there is no way back.")
        item = await client.delete(request.collection, request.uid)
    return _result(results.AppDelete if is_app else results.TurnKeyDelete, env, item)


def _client(env: Env) -> AccountClient:
    return env.account_client(deadline_s=COMMAND_DEADLINE_S)


def _target(env: Env) -> Target:
    """The account is no app's: its API instead of the profile's app."""
    return replace(env.target, api_base=env.profile.account_api_base, app_id="")


def _result(kind: type[One], env: Env, item: AccountItem, *, secret_shown: bool | None = None) -> One:
    values: dict[str, Any] = {
        "target": _target(env),
        "id": item.uid,
        "name": item.name,
        "created_at": item.created_at,
        "modified_at": item.modified_at,
    }
    if issubclass(kind, results.CreatedItem):
        values["secret"] = item.secret if secret_shown else None
    return kind(**values)
