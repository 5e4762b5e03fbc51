"""`rtcctl smoke`."""

# ruff: noqa: B008  # durations and ratios cannot change, so they may be defaults

import os
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli.noun import noun
from rtcctl.cli.options import (
    Common,
    For,
    MaxJitter,
    MaxLatency,
    MaxLoss,
    MaxRtt,
    Pcap,
    RelayOnly,
    RelayVia,
    comma_separated,
    command,
    relay_of,
)
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError
from rtcctl.units import Ratio, Seconds, SpellingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtcctl.ops.env import Env
    from rtcctl.ops.smoke import SmokeRequest
    from rtcctl.realtime.curl import ApiCall
    from rtcctl.realtime.profile import Profile
    from rtcctl.results.smoke import Smoke

app = noun("Check the whole path: API, session, media, content, quality.", has_verbs=False)


@command(app, probe=True)
def smoke(
    common: Common,
    for_: For = Seconds(5),
    embedded: Annotated[bool, typer.Option("--embedded", help="Start a server for this run, whatever is set.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CHECK", help="Judge only these; repeatable, or a,b.", show_default=False),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="CHECK", help="Do not judge these.", show_default=False)
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", metavar="CHECK", help="Fail when these are skipped.", show_default=False),
    ] = None,
    attempts: Annotated[
        int, typer.Option("--attempts", metavar="N", min=1, max=100, help="Whole runs, until one passes.")
    ] = 1,
    max_loss: MaxLoss = Ratio(0.02),
    max_jitter: MaxJitter = Seconds(0.03),
    max_rtt: MaxRtt = Seconds(0.3),
    max_latency: MaxLatency = None,
    relay: RelayOnly = False,
    relay_via: RelayVia = None,
    pcap: Pcap = None,
) -> int:
    """Check the whole path: API, session, media, content, quality.

    A tone is published and subscribed to through the SFU, and what arrives is measured. With no profile configured and
    no `rtcctl dev` running, an embedded server is started for the run.
    """
    from rtcctl.ops.smoke import Limits, SmokeRequest

    if embedded and common.profile is not None:
        raise UsageError("--embedded and --profile exclude each other.", hint="--embedded needs no profile.")
    assert for_ is not None
    assert max_loss is not None
    request = SmokeRequest(
        for_s=for_,
        limits=Limits(
            max_fraction_lost=max_loss,
            max_jitter_ms=max_jitter.milliseconds,
            max_rtt_ms=max_rtt.milliseconds,
            max_latency_ms={limit[0]: limit[1].milliseconds for limit in max_latency or ()},
        ),
        only=_names("--only", only),
        skip=_names("--skip", skip),
        require=_names("--require", require),
        attempts=attempts,
        embedded=embedded,
        relay=relay_of(relay, relay_via),
    )
    if embedded:
        # The whole bundle of a profile, so that variables of another one are ignored, and said to be.
        common = common._replace(profile="local")
    face = Face(name="smoke", calls=lambda profile: _calls(request, profile), leaves_ticket=True, pcap=pcap)
    return run(_smoke, request, common, face)


def _names(option: str, values: list[str] | None) -> tuple[str, ...]:
    try:
        return comma_separated(values)
    except SpellingError as error:
        raise UsageError(f"{option}: {error}.", hint="rtcctl smoke --help") from None


async def _smoke(request: "SmokeRequest", env: "Env") -> "Smoke":
    """The operation; where nothing is configured and nothing runs, against a server of its own."""
    from dataclasses import replace

    from rtcctl import config
    from rtcctl.ops.smoke import smoke

    if (
        not request.embedded
        and env.profile.name == "local"
        and not config.running_servers(config.state_dir(os.environ))
    ):
        request = replace(request, embedded=True)
    return await smoke(request, env)


def _calls(request: "SmokeRequest", profile: "Profile") -> "Sequence[ApiCall]":
    from rtcctl.ops import publish, relay, session, subscribe
    from rtcctl.ops.smoke import TRACK_NAME
    from rtcctl.ops.sources import TrackSpec
    from rtcctl.ops.track import TrackRef

    spec = TrackSpec(track_name=TRACK_NAME, source="tone")
    published = publish.publish_calls(publish.PublishRequest((spec,)))
    ref = TrackRef("$PUBLISHER_SESSION_ID", TRACK_NAME)
    subscribed = subscribe.subscribe_calls(subscribe.SubscribeRequest((ref,)))
    # For the check `turn`, too.
    relayed = request.relay or (relay.RelayPolicy() if profile.turn_key_id else None)
    credentials = relay.calls(relayed, request.for_s, profile)
    return (*credentials, *published, *subscribed, *session.get_calls(session.GetRequest("$SESSION_ID")))
