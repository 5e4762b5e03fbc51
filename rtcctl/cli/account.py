"""What `rtcctl app …` and `rtcctl turn key …` share: five verbs, for one collection of the account."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rtcctl.cli import names
from rtcctl.cli.options import Common, Yes, command, typed
from rtcctl.cli.run import Face, run

if TYPE_CHECKING:
    from rtcctl.ops.account import CreateRequest
    from rtcctl.ops.env import Env
    from rtcctl.realtime.account import Collection
    from rtcctl.results.account import CreatedItem

Uid = Annotated[
    str, typer.Argument(parser=typed(names.uid), metavar="ID", help="As list shows it.", show_default=False)
]
Name = Annotated[
    str,
    typer.Argument(
        parser=typed(names.display_name), metavar="NAME", help="For people; it need not be unique.", show_default=False
    ),
]
SecretTo = Annotated[
    str | None,
    typer.Option(
        "--secret-to",
        metavar="keyring|FILE",
        help="Store the secret instead of printing it: with the profile, or in a new file that only you can read.",
        show_default=False,
    ),
]


class Noun(NamedTuple):
    """How the verbs speak."""

    command: str
    collection: "Collection"
    one: str
    many: str
    ends: str


def add_verbs(app: typer.Typer, noun: Noun) -> None:
    """Give a noun its verbs."""

    def list_(common: Common) -> int:
        from rtcctl.ops import account

        request = account.ListRequest(noun.collection)
        return run(account.list_items, request, common, face("list", account.list_calls, request))

    def create(name: Name, common: Common, secret_to: SecretTo = None) -> int:
        from rtcctl import config
        from rtcctl.cli import secret_to as places
        from rtcctl.ops import account

        resolution = config.resolve(common.profile)
        kind = places.APP if noun.collection == "apps" else places.TURN
        store = places.store_of(secret_to, kind, resolution.profile.name)
        request = account.CreateRequest(noun.collection, name, store)
        look = f"rtcctl {noun.command} list"
        shown = face("create", account.create_calls, request, resolution=resolution, look=look)
        return run(_create, request, common, shown)

    def get(uid: Uid, common: Common) -> int:
        from rtcctl.ops import account

        request = account.GetRequest(noun.collection, uid)
        return run(account.get, request, common, face("get", account.get_calls, request))

    def update(uid: Uid, name: Name, common: Common) -> int:
        from rtcctl.ops import account

        request = account.UpdateRequest(noun.collection, uid, name)
        return run(account.update, request, common, face("update", account.update_calls, request))

    def delete(uid: Uid, common: Common, yes: Yes = False) -> int:
        from rtcctl.ops import account

        request = account.DeleteRequest(noun.collection, uid)
        return run(account.delete, request, common, face("delete", account.delete_calls, request, yes=yes))

    def face(verb: str, calls: Any, request: Any, **more: Any) -> Face:
        return Face(name=f"{noun.command} {verb}", calls=lambda profile: calls(request, profile), **more)

    list_.__doc__ = f"List the {noun.many} of the account."
    create.__doc__ = f"Make {noun.one}. Its secret is shown this once, or stored."
    get.__doc__ = f"Show {noun.one}, without its secret."
    update.__doc__ = f"Give {noun.one} another name."
    delete.__doc__ = f"Delete {noun.one}; its {noun.ends} end."
    command(app, "list")(list_)
    for verb in (create, get, update, delete):
        command(app)(verb)


async def _create(request: "CreateRequest", env: "Env") -> "CreatedItem":
    """The operation; a secret that it hands out is hidden in the log of a CI job first."""
    from rtcctl.cli.reports import hide_in_job_log
    from rtcctl.ops.account import create

    result = await create(request, env)
    hide_in_job_log([result.secret] if result.secret else [])
    return result
