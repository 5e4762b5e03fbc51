"""What a published track is made of, as a person spells it, and the sources that make it.

    NAME=SOURCE[:ARGUMENT][,OPTION=VALUE…]      mic=tone:440   cam=testsrc,size=640x360,fps=15   talk=file:talk.ogg

A comma or a percent sign in an argument is written as in a URL: `%2C`, `%25`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from rtcctl.errors import UsageError
from rtcctl.units import BitRate, Hertz, SpellingError

if TYPE_CHECKING:
    from rtcctl.probe.sender import Layer
    from rtcctl.probe.sources import Source

SOURCES = ("tone", "testsrc", "file", "screen", "camera", "stdin")

CODECS = {"audio": ("opus", "PCMU", "PCMA"), "video": ("VP8", "H264", "VP9", "AV1")}
"That can be published, by kind; the first one is the default."

_KIND_OF = {"tone": "audio", "testsrc": "video", "screen": "video", "camera": "video"}
"Of what they send; a file and stdin show it when they are opened."

KINDS = ("audio", "video")

SIMULCAST_RIDS = ("f", "h", "q")
"Full, half and quarter size: names whose alphabetical order is that of their quality."

DEFAULT_SIZE = (1280, 720)
DEFAULT_FRAME_RATE_HZ = 30.0
DEFAULT_TONE_HZ = 440.0
TONE_BITRATE_BPS = 64_000

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_RATE = re.compile(r"\d{1,3}(?:\.\d{1,3})?", re.ASCII)
_RID = re.compile(r"[A-Za-z0-9_-]{1,16}", re.ASCII)
MIN_FRAME_RATE_HZ, MAX_FRAME_RATE_HZ = 1.0, 120.0
MIN_SIDE, MAX_SIDE = 90, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSpec:
    """One track to publish."""

    track_name: str
    source: str
    "One of SOURCES."
    argument: str = ""
    "Frequencies of a tone, path of a file, display, device, format of stdin."
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate_hz: float | None = None
    bitrate_bps: float | None = None
    rids: tuple[str, ...] = ()
    "Of a simulcast, best first."
    loop: bool = False
    kind: str | None = None
    "Of a file: which of its streams; `None`: all that it has."

    def __str__(self) -> str:
        """As a person would spell it."""
        options = {
            "codec": self.codec,
            "size": f"{self.width}x{self.height}" if self.width else None,
            "fps": None if self.frame_rate_hz is None else f"{self.frame_rate_hz:g}",
            "bitrate": None if self.bitrate_bps is None else str(BitRate(self.bitrate_bps)),
            "simulcast": ":".join(self.rids) or None,
            "loop": "yes" if self.loop else None,
            "kind": self.kind,
        }
        argument = f":{quote(self.argument, safe='/:. +@~-_')}" if self.argument else ""
        said = "".join(f",{name}={value}" for name, value in options.items() if value is not None)
        return f"{self.track_name}={self.source}{argument}{said}"

    @property
    def tones_hz(self) -> tuple[float, ...]:
        """Of a tone: one, or left and right."""
        return (
            tuple(float(Hertz.parse(part)) for part in self.argument.split("+"))
            if self.argument
            else (DEFAULT_TONE_HZ,)
        )


def size(text: str) -> tuple[int, int]:
    """`1280x720`. Raises `SpellingError` for what no encoder takes, too."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SpellingError(f"{text!r} is not a size; write for example 1280x720")
    width, height = int(match[1]), int(match[2])
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise SpellingError(f"a picture is {MIN_SIDE} to {MAX_SIDE} pixels wide and high, not {text}")
    if width % 2 or height % 2:
        raise SpellingError(f"a picture has an even width and height, not {text}")
    return width, height


def frame_rate(text: str) -> float:
    """Frames a second: `30`. Raises `SpellingError`."""
    if not _RATE.fullmatch(text) or not MIN_FRAME_RATE_HZ <= float(text) <= MAX_FRAME_RATE_HZ:
        raise SpellingError(
            f"{text!r} is not a frame rate; write {MIN_FRAME_RATE_HZ:g} to {MAX_FRAME_RATE_HZ:g} frames a second"
        )
    return float(text)


def codec(text: str) -> str:
    """A codec by its registered name, in any case. Raises `SpellingError` for one that cannot be published."""
    known = {name.lower(): name for names in CODECS.values() for name in names}
    wanted = text.lower().replace(".", "")
    if wanted not in known:
        raise SpellingError(f"{text!r} is not a codec to publish; there are {', '.join(known.values())}")
    return known[wanted]


def rids(text: str) -> tuple[str, ...]:
    """Names of layers, best first: `f:h:q` or `f,h,q`. Raises `SpellingError`."""
    from rtcctl.media.sendtime import MAX_RID_BYTES

    names = tuple(re.split("[:,;]", text))
    if not all(_RID.fullmatch(name) for name in names):
        raise SpellingError(f"{text!r} does not name layers; write for example f,h,q (letters, digits, - and _)")
    if len(set(names)) != len(names):
        raise SpellingError(f"each layer has a name of its own, not {text}")
    if len({name[:MAX_RID_BYTES] for name in names}) != len(names):
        raise SpellingError(
            f"the first {MAX_RID_BYTES} characters of a layer's name are what packets carry, "
            f"and those of {text} are alike"
        )
    if not 2 <= len(names) <= 3:
        raise SpellingError(f"a simulcast has two or three layers, not {len(names)}")
    return names


def rids_warning(names: Sequence[str]) -> str | None:
    """Why a subscriber would get the wrong layer, when names do not sort best-first (Realtime docs: Simulcast)."""
    if list(names) == sorted(names):
        return None
    return (
        f"The layers {', '.join(names)} do not sort best-first: a subscriber with `asciibetical` ordering believes "
        f"{', '.join(sorted(names))} to be the order of quality, and steps from one to the wrong other. "
        "Call them f, h, q or a, b, c."
    )


def parse(text: str) -> TrackSpec:
    """`NAME=SOURCE[:ARGUMENT][,OPTION=VALUE…]`. Raises `SpellingError`."""
    name, equals, rest = text.partition("=")
    head, *options = rest.split(",")
    source, _, argument = head.partition(":")
    if not equals or source not in SOURCES or not name.strip() or not name.isprintable():
        raise SpellingError(
            f"{text!r} is not a track to publish; write NAME=SOURCE, for example mic=tone:440 or cam=testsrc "
            f"(sources: {', '.join(SOURCES)})"
        )
    spec = TrackSpec(track_name=name, source=source, argument=unquote(argument))
    for option in options:
        key, equals, value = option.partition("=")
        if key not in _OPTIONS or not equals:
            raise SpellingError(f"{option!r} is not an option of a source; there are {', '.join(_OPTIONS)}")
        spec = _OPTIONS[key](spec, value)
    return checked(spec)


def simple(
    track_names: Sequence[str],
    *,
    tones_hz: Sequence[float] = (),
    picture: str | None = None,
    stream: tuple[str, str] | None = None,
    loop: bool = False,
    options: Mapping[str, str],
) -> tuple[TrackSpec, ...]:
    """What single options mean: a tone (the default), a picture, both, or what a file or stdin (`stream`) has.

    An option concerns the tracks that can have it; raises `SpellingError` for one that concerns none, too.
    """
    if stream is not None:
        specs = [TrackSpec(track_name="", source=stream[0], argument=stream[1], loop=loop)]
    else:
        specs = []
        if tones_hz or picture is None:
            specs.append(TrackSpec(track_name="", source="tone", argument="+".join(f"{tone:g}" for tone in tones_hz)))
        if picture is not None:
            specs.append(TrackSpec(track_name="", source=picture))
        if loop:
            raise SpellingError("only a file can be looped")
    names = list(track_names)
    if len(names) == 1 and len(specs) == 2:
        names = [f"{names[0]}-{kind}" for kind in KINDS]
    if len(names) != len(specs):
        tracks = "one track" if len(specs) == 1 else f"{len(specs)} tracks"
        raise SpellingError(f"{len(names)} names for {tracks}; name each with its source: --track NAME=SOURCE")
    specs = [replace(spec, track_name=name) for spec, name in zip(specs, names, strict=True)]
    for key, value in options.items():
        concerned = [index for index, spec in enumerate(specs) if _concerns(spec, key, value)]
        if not concerned:
            raise SpellingError(f"{' and '.join(spec.source for spec in specs)} cannot have --{key} {value}")
        for index in concerned:
            specs[index] = _OPTIONS[key](specs[index], value)
    return tuple(checked(spec) for spec in specs)


def _concerns(spec: TrackSpec, key: str, value: str) -> bool:
    """Whether a track of this source can have that option."""
    if key == "codec":
        kind = _KIND_OF.get(spec.source)
        return kind is None or codec(value) in CODECS[kind]
    if spec.source == "tone":
        return key == "bitrate"
    return key in ("bitrate", "fps") or spec.source == "testsrc"


_OPTIONS: dict[str, Callable[[TrackSpec, str], TrackSpec]] = {
    "codec": lambda spec, value: replace(spec, codec=codec(value)),
    "size": lambda spec, value: replace(spec, width=size(value)[0], height=size(value)[1]),
    "fps": lambda spec, value: replace(spec, frame_rate_hz=frame_rate(value)),
    "bitrate": lambda spec, value: replace(spec, bitrate_bps=float(BitRate.parse(value))),
    "simulcast": lambda spec, value: replace(spec, rids=rids(value)),
    "loop": lambda spec, value: replace(spec, loop=value in ("", "yes", "true", "1")),
    "kind": lambda spec, value: replace(spec, kind=value),
}


def checked(spec: TrackSpec) -> TrackSpec:
    """The same, if its parts fit together. Raises `SpellingError`."""
    if spec.source == "tone":
        if len(spec.tones_hz) > 2:
            raise SpellingError(f"a tone has one frequency, or two for stereo, not {len(spec.tones_hz)}")
        _refuse(spec, "a tone", "width", "frame_rate_hz", "rids", "loop", "kind")
    if spec.source == "file" and not spec.argument:
        raise SpellingError("a file needs its path: file:PATH")
    if spec.kind is not None and spec.kind not in KINDS:
        raise SpellingError(f"{spec.kind!r} is not audio or video")
    if spec.loop and spec.source != "file":
        raise SpellingError("only a file can be looped")
    if spec.rids and spec.source != "testsrc":
        raise SpellingError("only testsrc is sent as simulcast")
    if spec.width and spec.source != "testsrc":
        raise SpellingError(f"the size of {spec.source} is what it is; only testsrc has one to choose")
    kind = _KIND_OF.get(spec.source)
    if spec.codec is not None and kind is not None and spec.codec not in CODECS[kind]:
        raise SpellingError(f"{spec.source} is {kind}: its codec is one of {', '.join(CODECS[kind])}, not {spec.codec}")
    return spec


def _refuse(spec: TrackSpec, what: str, *names: str) -> None:
    for name in names:
        if getattr(spec, name):
            said = {"width": "size", "frame_rate_hz": "fps", "rids": "simulcast"}.get(name, name)
            raise SpellingError(f"{what} has no {said}")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A track ready to be published."""

    track_name: str
    layers: tuple[Layer, ...]
    tone_hz: float | None = None
    "Of a tone, that of its left channel."

    @classmethod
    def of(cls, track_name: str, source: Source, tone_hz: float | None = None) -> Outgoing:
        """Without simulcast."""
        from rtcctl.probe.sender import Layer

        return cls(track_name, (Layer(source),), tone_hz)

    @property
    def kind(self) -> str:
        return self.layers[0].source.kind

    @property
    def description(self) -> str:
        """Of the source, for people."""
        best = self.layers[0].source.description
        return f"{best}, layers {', '.join(layer.rid for layer in self.layers)}" if len(self.layers) > 1 else best


async def open_tracks(specs: Sequence[TrackSpec]) -> tuple[Outgoing, ...]:
    """The sources of these, opened and checked: a file with sound and picture becomes two tracks.

    Raises `UsageError` for whatever cannot be published, before anything is created.
    """
    tracks: list[Outgoing] = []
    try:
        for spec in specs:
            tracks += await _opened(spec)
        names = [track.track_name for track in tracks]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"Two tracks are called {twice}.", hint="A session's tracks have names of their own.")
        for track in tracks:
            for layer in track.layers:
                await layer.source.prepare()
    except BaseException:
        for track in tracks:
            for layer in track.layers:
                await layer.source.close()
        raise
    return tuple(tracks)


async def _opened(spec: TrackSpec) -> list[Outgoing]:
    from rtcctl.probe.sender import Layer

    if spec.source == "tone":
        from rtcctl.probe.sources.tone import ToneSource

        bitrate_bps = _whole(spec.bitrate_bps) or TONE_BITRATE_BPS
        tone = ToneSource(spec.tones_hz, codec=spec.codec or "opus", bitrate_bps=bitrate_bps)
        return [Outgoing.of(spec.track_name, tone, spec.tones_hz[0])]
    if spec.source == "testsrc":
        return [Outgoing(spec.track_name, tuple(Layer(source, rid) for rid, source in _pictures(spec)))]
    sources = await _streams(spec)
    if len(sources) == 1:
        return [Outgoing.of(spec.track_name, sources[0])]
    return [Outgoing.of(f"{spec.track_name}-{source.kind}", source) for source in sources]


def _pictures(spec: TrackSpec) -> list[tuple[str, Source]]:
    """The test picture, in each size of a simulcast."""
    from rtcctl.probe.sources.testsrc import TestPictureSource

    width, height = (spec.width, spec.height) if spec.width and spec.height else DEFAULT_SIZE
    layers: list[tuple[str, Source]] = []
    for index, rid in enumerate(spec.rids or ("",)):
        scale = 2**index
        if width // scale < MIN_SIDE * 16 // 9 or height // scale < MIN_SIDE:
            raise UsageError(
                f"A simulcast of {len(spec.rids)} layers from {width}x{height} would have one of "
                f"{width // scale}x{height // scale}, which is too small.",
                hint="Publish a larger picture, for example --size 1280x720.",
            )
        bitrate_bps = None if spec.bitrate_bps is None else int(spec.bitrate_bps / scale**2)
        layers.append(
            (
                rid,
                TestPictureSource(
                    width // scale & ~1,
                    height // scale & ~1,
                    frame_rate_hz=spec.frame_rate_hz or DEFAULT_FRAME_RATE_HZ,
                    bitrate_bps=bitrate_bps,
                    codec=spec.codec or "VP8",
                    rid=rid,
                ),
            )
        )
    return layers


async def _streams(spec: TrackSpec) -> Sequence[Source]:
    """Sources whose pictures and sounds come from outside."""
    if spec.source == "file":
        from rtcctl.probe.sources.file import open_file

        is_audio = spec.codec in CODECS["audio"]
        sources = await open_file(
            Path(spec.argument),
            loop=spec.loop,
            want=KINDS if spec.kind is None else (spec.kind,),
            audio_codec=spec.codec if is_audio else None,
            video_codec=None if is_audio else spec.codec,
            video_bitrate_bps=_whole(spec.bitrate_bps),
        )
        concerned = "audio" if is_audio else "video"
        if spec.codec is not None and all(source.kind != concerned for source in sources):
            for source in sources:
                await source.close()
            raise UsageError(f"{spec.argument} has no {concerned} to send in {spec.codec}.")
        return sources
    if spec.source == "stdin":
        from rtcctl.probe.sources.stdin import open_stdin

        return [
            await open_stdin(
                sys.stdin.buffer, spec.argument or None, frame_rate_hz=spec.frame_rate_hz, codec=spec.codec
            )
        ]
    from rtcctl.probe.sources import capture

    open_device = capture.open_screen if spec.source == "screen" else capture.open_camera
    return [
        await open_device(
            spec.argument or None,
            frame_rate_hz=round(spec.frame_rate_hz or DEFAULT_FRAME_RATE_HZ),
            codec=spec.codec or "VP8",
            bitrate_bps=_whole(spec.bitrate_bps),
        )
    ]


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)
