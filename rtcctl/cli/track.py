"""`rtcctl track …`."""

# ruff: noqa: B008  # durations and ratios cannot change, so they may be defaults

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli import names
from rtcctl.cli.noun import noun
from rtcctl.cli.options import (
    Common,
    For,
    Interval,
    MaxLoss,
    NoRecover,
    Pcap,
    RecoverFor,
    RelayOnly,
    RelayVia,
    SessionId,
    TrackWords,
    Wait,
    Yes,
    command,
    recovery_of,
    relay_of,
    spelled,
    typed,
)
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError
from rtcctl.units import BitRate, Hertz, Ratio, Seconds

if TYPE_CHECKING:
    from rtcctl.ops.track import Layering

app = noun("Publish, subscribe, list, close, update and wait for tracks.")


class Picture(StrEnum):
    """Pictures that need nothing from outside."""

    TESTSRC = "testsrc"


class StdinFormat(StrEnum):
    """What can be read from a pipe."""

    OGG = "ogg"
    WAV = "wav"
    S16LE = "s16le"
    IVF = "ivf"
    H264 = "h264"


class Policy(StrEnum):
    """What the SFU may do by itself (Realtime docs: Simulcast)."""

    NONE = "none"
    ASCIIBETICAL = "asciibetical"


class Offering(StrEnum):
    """Who makes the offer of a subscription."""

    SFU = "sfu"
    CLIENT = "client"


class PeerKind(StrEnum):
    """Which peer measures."""

    AIORTC = "aiortc"
    LEAN = "lean"


Rid = Annotated[
    str | None, typer.Option("--rid", metavar="RID", help="Layer of a simulcast to prefer.", show_default=False)
]
PriorityOrdering = Annotated[
    Policy | None,
    typer.Option(
        "--priority-ordering",
        help="asciibetical: the SFU may take a later layer (a is best, z is worst) when bandwidth is short.",
        show_default=False,
    ),
]
RidNotAvailable = Annotated[
    Policy | None,
    typer.Option(
        "--rid-not-available",
        help="asciibetical: the SFU may take the next layer when the preferred one is not sent.",
        show_default=False,
    ),
]


@command(app, probe=True)
def publish(
    common: Common,
    session_id: Annotated[
        str | None,
        typer.Argument(
            parser=typed(names.session_id),
            metavar="[SESSION]",
            help="A session that nobody has connected yet; without it a new one is made.",
            show_default=False,
        ),
    ] = None,
    track_names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            parser=typed(names.track_name),
            metavar="NAME",
            help="Name of the track; sound and picture are called NAME-audio and NAME-video.",
            show_default=False,
        ),
    ] = None,
    tracks: Annotated[
        list[str] | None,
        typer.Option(
            "--track",
            metavar="NAME=SOURCE",
            help="A track with its source, repeatable: mic=tone:440, cam=testsrc,size=640x360,fps=15, talk=file:a.ogg.",
            show_default=False,
        ),
    ] = None,
    tones: Annotated[
        list[Hertz] | None,
        typer.Option(
            "--tone",
            parser=typed(Hertz.parse),
            metavar="HZ",
            help="Publish a tone; twice for left and right.  [default: 440]",
            show_default=False,
        ),
    ] = None,
    video: Annotated[
        Picture | None, typer.Option("--video", help="Publish a test picture that counts.", show_default=False)
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="PATH", help="Publish the sound and picture of a file.", show_default=False),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin the file again at its end.")] = False,
    screen: Annotated[bool, typer.Option("--screen", help="Publish the screen.")] = False,
    camera: Annotated[bool, typer.Option("--camera", help="Publish the camera.")] = False,
    stdin: Annotated[
        StdinFormat | None, typer.Option("--stdin", help="Publish what comes on stdin.", show_default=False)
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", metavar="CODEC", help="opus, PCMU, PCMA; VP8, H264, VP9, AV1.", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Of the picture.  [default: 1280x720]", show_default=False),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option("--fps", metavar="N", help="Pictures a second.  [default: 30]", show_default=False),
    ] = None,
    bitrate: Annotated[
        BitRate | None,
        typer.Option(
            "--bitrate",
            parser=typed(BitRate.parse),
            metavar="RATE",
            help="Of the encoder, as 2Mbps.",
            show_default=False,
        ),
    ] = None,
    simulcast: Annotated[bool, typer.Option("--simulcast", help="Send the picture in three layers: f, h, q.")] = False,
    rids: Annotated[
        str | None,
        typer.Option(
            "--rids", metavar="A,B,C", help="Send it in layers of these names, best first.", show_default=False
        ),
    ] = None,
    for_: For = None,
    interval: Interval = Seconds(1),
    relay: RelayOnly = False,
    relay_via: RelayVia = None,
    pcap: Pcap = None,
    recover_for: RecoverFor = None,
    no_recover: NoRecover = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return once media flows; `session close` ends it.")] = False,
) -> int:
    """Publish tracks until Ctrl-C, --for, or the end of the file."""
    from rtcctl.ops import publish as publishing
    from rtcctl.ops import sources
    from rtcctl.ops.relay import calls
    from rtcctl.results.event import Published

    if tracks:
        single = (track_names, tones, video, file, loop, screen, camera, stdin)
        if any((*single, codec, size, fps, bitrate, simulcast, rids)):
            raise UsageError(
                "--track says all of a track: give its source and options there.",
                hint="rtcctl track publish --track mic=tone:440 --track cam=testsrc,size=640x360,fps=15,codec=H264",
            )
        specs = tuple(spelled(sources.parse, text) for text in tracks)
    else:
        if not track_names:
            raise UsageError("The track has no name.", hint="Add --name, for example --name mic.")
        pictures = [*(["testsrc"] if video else []), *(["screen"] if screen else []), *(["camera"] if camera else [])]
        streams = [*([("file", file)] if file else []), *([("stdin", stdin.value)] if stdin else [])]
        if len(pictures) + len(streams) > 1 or (streams and tones):
            raise UsageError(
                "Those sources do not go together in one track.",
                hint="Name each track with its source: --track mic=tone:440 --track talk=file:talk.ogg",
            )
        options = {
            "codec": codec,
            "size": size,
            "fps": fps,
            "bitrate": None if bitrate is None else str(bitrate),
            "simulcast": rids or (",".join(sources.SIMULCAST_RIDS) if simulcast else None),
        }
        specs = spelled(
            lambda names: sources.simple(
                names,
                tones_hz=tones or (),
                picture=pictures[0] if pictures else None,
                stream=streams[0] if streams else None,
                loop=loop,
                options={name: value for name, value in options.items() if value is not None},
            ),
            track_names,
        )
    if detach and any(spec.source == "stdin" for spec in specs):
        raise UsageError("A detached publisher has no stdin.", hint="Leave --detach away, or publish a file.")
    request = publishing.PublishRequest(
        specs,
        session_id,
        for_s=for_,
        interval_s=interval,
        relay=relay_of(relay, relay_via),
        recover_for_s=recovery_of(recover_for, no_recover),
    )
    face = Face(
        name="track publish",
        calls=lambda profile: (*calls(request.relay, for_, profile), *publishing.publish_calls(request)),
        announce=() if detach else (Published,),
        pcap=None if detach else pcap,
    )
    if not detach:
        return run(publishing.publish, request, common, face)
    from rtcctl import config
    from rtcctl.ops import detach as detached

    log_folder = config.state_dir(os.environ) / "probes"
    captured = () if pcap is None else ("--pcap", str(pcap.absolute()))
    return run(detached.publish, detached.DetachRequest(request, log_folder, captured), common, face)


@command(app, probe=True)
def subscribe(
    words: TrackWords,
    common: Common,
    for_: For = Seconds(10),
    wait: Wait = Seconds(10),
    max_loss: MaxLoss = Ratio(0.02),
    verify: Annotated[
        bool, typer.Option("--verify", help="Decode, and judge the tone that is heard and the picture that is seen.")
    ] = False,
    tone: Annotated[
        Hertz | None,
        typer.Option(
            "--tone",
            parser=typed(Hertz.parse),
            metavar="HZ",
            help="The tone that --verify expects; without it, any.",
            show_default=False,
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Play the sound on this machine's sound device.")] = False,
    play_on: Annotated[
        str | None, typer.Option("--play-on", metavar="DEVICE", help="Play it on this one.", show_default=False)
    ] = None,
    rid: Rid = None,
    priority_ordering: PriorityOrdering = None,
    rid_not_available: RidNotAvailable = None,
    offered_by: Annotated[
        Offering, typer.Option("--offered-by", help="Who offers: the SFU, or we, from a pool of m-sections.")
    ] = Offering.SFU,
    peer: Annotated[
        PeerKind,
        typer.Option("--peer", help="Which peer measures: aiortc, the independent one, or lean, the cheap one."),
    ] = PeerKind.AIORTC,
    interval: Interval = Seconds(1),
    relay: RelayOnly = False,
    relay_via: RelayVia = None,
    pcap: Pcap = None,
    recover_for: RecoverFor = None,
    no_recover: NoRecover = False,
) -> int:
    """Subscribe to tracks and measure what arrives."""
    from rtcctl.ops import subscribe as subscribing
    from rtcctl.ops import track
    from rtcctl.ops.relay import calls

    assert for_ is not None
    if tone is not None and not verify:
        raise UsageError("--tone says what --verify expects.", hint=f"Add --verify: --verify --tone {tone}.")
    request = subscribing.SubscribeRequest(
        tuple(track.TrackRef(*pair) for pair in spelled(names.tracks, words)),
        for_s=for_,
        wait_s=wait,
        max_fraction_lost=max_loss,
        layering=_layering(rid, priority_ordering, rid_not_available),
        verify=verify,
        tone_hz=tone,
        play_on=play_on or ("default" if play else None),
        interval_s=interval,
        offered_by=offered_by.value,
        peer=peer.value,
        relay=relay_of(relay, relay_via),
        recover_for_s=recovery_of(recover_for, no_recover),
    )
    face = Face(
        name="track subscribe",
        calls=lambda profile: (*calls(request.relay, for_, profile), *subscribing.subscribe_calls(request)),
        pcap=pcap,
    )
    return run(subscribing.subscribe, request, common, face)


@command(app)
def update(
    session_id: SessionId,
    common: Common,
    mid: Annotated[
        str,
        typer.Option("--mid", metavar="MID", help="M-section of the subscription in SESSION.", show_default=False),
    ],
    rid: Rid = None,
    priority_ordering: PriorityOrdering = None,
    rid_not_available: RidNotAvailable = None,
) -> int:
    """Change the layer of a live subscription."""
    from rtcctl.ops import track

    layering = _layering(rid, priority_ordering, rid_not_available)
    if not layering.wire():
        raise UsageError("Nothing is to be changed.", hint="Say which layer: --rid q.")
    request = track.UpdateRequest(session_id, mid, layering)
    return run(track.update, request, common, Face(name="track update", calls=lambda _: track.update_calls(request)))


def _layering(rid: str | None, ordering: Policy | None, fallback: Policy | None) -> "Layering":
    from rtcctl.ops.track import Layering

    return Layering(rid, None if ordering is None else ordering.value, None if fallback is None else fallback.value)


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
