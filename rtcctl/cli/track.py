"""`rtcctl track …`."""

# ruff: noqa: B008  # durations and ratios cannot change, so they may be defaults

import os
from typing import Annotated

import typer

from rtcctl.cli import names
from rtcctl.cli.noun import noun
from rtcctl.cli.options import (
    Common,
    For,
    MaxLoss,
    SessionId,
    Tone,
    TrackName,
    TrackWords,
    Wait,
    Yes,
    command,
    spelled,
    typed,
)
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError
from rtcctl.units import Hertz, Ratio, Seconds

app = noun("Publish, subscribe, list, close and wait for tracks.")


@command(app)
def publish(
    common: Common,
    track_name: TrackName,
    session_id: Annotated[
        str | None,
        typer.Argument(
            parser=typed(names.session_id),
            metavar="[SESSION]",
            help="A session that nobody has connected yet; without it a new one is made.",
            show_default=False,
        ),
    ] = None,
    tone: Tone = Hertz(440),
    for_: For = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once media flows; `session close` ends it.")] = False,
) -> int:
    """Publish a tone until Ctrl-C or --for."""
    from rtcctl.ops import track
    from rtcctl.results.event import Published

    request = track.PublishRequest(track_name, session_id, tone_hz=tone, for_s=for_)
    face = Face(
        name="track publish",
        calls=lambda _: track.publish_calls(request),
        announce=() if detach else (Published,),
    )
    if not detach:
        return run(track.publish, request, common, face)
    from rtcctl import config
    from rtcctl.ops import detach as detached

    log_folder = config.state_dir(os.environ) / "probes"
    return run(detached.publish, detached.DetachRequest(request, log_folder), common, face)


@command(app)
def subscribe(
    words: TrackWords,
    common: Common,
    for_: For = Seconds(10),
    wait: Wait = Seconds(10),
    max_loss: MaxLoss = Ratio(0.02),
) -> int:
    """Subscribe to a track and measure what arrives."""
    from rtcctl.ops import track

    assert for_ is not None
    request = track.SubscribeRequest(
        track.TrackRef(*spelled(names.track, words)), for_s=for_, wait_s=wait, max_fraction_lost=max_loss
    )
    face = Face(name="track subscribe", calls=lambda _: track.subscribe_calls(request))
    return run(track.subscribe, request, common, face)


@command(app, "list")
def list_(session_id: SessionId, common: Common) -> int:
    """List the tracks of a session."""
    from rtcctl.ops import track

    request = track.ListRequest(session_id)
    return run(track.list_, request, common, Face(name="track list", calls=lambda _: track.list_calls(request)))


@command(app)
def close(
    words: TrackWords,
    common: Common,
    all_: Annotated[bool, typer.Option("--all", help="All tracks of SESSION.")] = False,
    yes: Yes = False,
) -> int:
    """Close tracks: SESSION/TRACK…, or SESSION --all."""
    from rtcctl.ops import track

    if all_:
        if len(words) != 1:
            raise UsageError("--all takes one session.", hint="rtcctl track close SESSION --all")
        request = track.CloseRequest(all_of=spelled(names.session_id, words[0]))
    else:
        request = track.CloseRequest(tuple(track.TrackRef(*pair) for pair in spelled(names.tracks, words)))
    face = Face(name="track close", calls=lambda _: track.close_calls(request), yes=yes)
    return run(track.close, request, common, face)


@command(app)
def wait(words: TrackWords, common: Common, wait: Wait = Seconds(30)) -> int:
    """Wait until a track can be subscribed to."""
    from rtcctl.ops import track

    request = track.WaitRequest(track.TrackRef(*spelled(names.track, words)), wait_s=wait)
    return run(track.wait, request, common, Face(name="track wait", calls=lambda _: track.wait_calls(request)))
