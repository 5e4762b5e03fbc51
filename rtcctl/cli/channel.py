"""`rtcctl channel …`."""

# ruff: noqa: B008  # durations, rates and sizes cannot change, so they may be defaults

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtcctl.cli import names
from rtcctl.cli.noun import noun
from rtcctl.cli.options import (
    Common,
    For,
    MaxLatency,
    MaxLoss,
    NoRecover,
    RecoverFor,
    SessionId,
    Wait,
    Yes,
    command,
    longer_than_nothing,
    recovery_of,
    spelled,
    typed,
)
from rtcctl.cli.run import Face, run
from rtcctl.errors import UsageError
from rtcctl.units import Bytes, MessageRate, Seconds

if TYPE_CHECKING:
    from rtcctl.ops.channels_media import ChannelRef, Delivery

app = noun("Publish, hear, probe, update and close data channels.")

_U16_MAX = 65_535

ChannelWords = Annotated[
    list[str],
    typer.Argument(metavar="SESSION/NAME...", help="The data channel; SESSION NAME works too.", show_default=False),
]
Ordered = Annotated[bool, typer.Option("--ordered/--unordered", help="Whether messages arrive in their order.")]
MaxRetransmits = Annotated[
    int | None,
    typer.Option(
        "--max-retransmits",
        metavar="N",
        min=0,
        max=_U16_MAX,
        help="Send a lost message again so often and no more; 0 is fire and forget.",
        show_default=False,
    ),
]
MaxLifetime = Annotated[
    Seconds | None,
    typer.Option(
        "--max-lifetime",
        parser=typed(longer_than_nothing),
        metavar="DURATION",
        help="Send a lost message again for so long and no longer.",
        show_default=False,
    ),
]


class Policy(StrEnum):
    """Delivery policies that are probed."""

    CHAT = "chat"
    GAME = "game"
    UNORDERED = "unordered"
    LIFETIME = "lifetime"


@command(app, "open", probe=True)
def open_(
    common: Common,
    channel_names: Annotated[
        list[str],
        typer.Option(
            "--name",
            parser=typed(names.channel_name),
            metavar="NAME",
            help="Name of the data channel; repeatable.",
            show_default=False,
        ),
    ],
    ordered: Ordered = True,
    max_retransmits: MaxRetransmits = None,
    max_lifetime: MaxLifetime = None,
    for_: For = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once they are open; `session close` ends it.")
    ] = False,
    recover_for: RecoverFor = None,
    no_recover: NoRecover = False,
) -> int:
    """Publish data channels and hold them until Ctrl-C or --for."""
    from rtcctl.ops import channel_open
    from rtcctl.results.channel import ChannelPublished, MessageReceived

    delivery = _delivery(ordered, max_retransmits, max_lifetime)
    channel_open.check_names(channel_names)
    request = channel_open.OpenRequest(
        tuple(channel_names), delivery, for_s=for_, recover_for_s=recovery_of(recover_for, no_recover)
    )
    face = Face(
        name="channel open",
        calls=lambda _: channel_open.open_calls(request),
        announce=() if detach else (ChannelPublished, MessageReceived),
    )
    if not detach:
        return run(channel_open.open_, request, common, face)
    from rtcctl import config
    from rtcctl.ops import channel_detach

    log_folder = config.state_dir(os.environ) / "probes"
    return run(channel_detach.open_, channel_detach.DetachRequest(request, log_folder), common, face)


@command(app, probe=True)
def send(
    common: Common,
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE]...", help="Texts to send.", show_default=False)
    ] = None,
    channel_name: Annotated[
        str | None,
        typer.Option(
            "--name",
            parser=typed(names.channel_name),
            metavar="NAME",
            help="Publish a data channel of this name, and send to its subscribers.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="SESSION/NAME",
            help="Send to the publisher of this one; whoever had the right to reply loses it.",
            show_default=False,
        ),
    ] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Send each line of standard input.")] = False,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", metavar="FILE", help="Send the bytes of a file as one message; repeatable.", show_default=False
        ),
    ] = None,
    every: Annotated[
        Seconds,
        typer.Option("--every", parser=typed(Seconds.parse), metavar="DURATION", help="Pause between two messages."),
    ] = Seconds(0),
    delay: Annotated[
        Seconds,
        typer.Option(
            "--delay",
            parser=typed(Seconds.parse),
            metavar="DURATION",
            help="Pause before the first one: time for subscribers to come.",
        ),
    ] = Seconds(0),
    wait_hello: Annotated[
        Seconds | None,
        typer.Option(
            "--wait-hello",
            parser=typed(longer_than_nothing),
            metavar="DURATION",
            help="Begin once a subscriber that may reply has said something; at most so long.",
            show_default=False,
        ),
    ] = None,
    ordered: Ordered = True,
    max_retransmits: MaxRetransmits = None,
    max_lifetime: MaxLifetime = None,
    wait: Wait = Seconds(10),
    recover_for: RecoverFor = None,
    no_recover: NoRecover = False,
) -> int:
    """Send texts, lines or files over a data channel."""
    from rtcctl.ops import channel_send
    from rtcctl.ops.channels_media import ChannelRef
    from rtcctl.results.channel import ChannelPublished, MessageReceived

    if (channel_name is None) == (to is None):
        raise UsageError(
            "Say where to send: to subscribers of a new channel, or to a publisher.",
            hint="rtcctl channel send --name chat … or rtcctl channel send --to SESSION/NAME …",
        )
    if not (messages or stdin or files):
        raise UsageError("There is nothing to send.", hint="Name a MESSAGE, a --file, or --stdin.")
    if stdin and sys.stdin.isatty():
        raise UsageError("Standard input is a terminal.", hint="Write the messages as arguments, or into a pipe.")
    if wait_hello is not None and to is not None:
        raise UsageError("A publisher that is there needs no --wait-hello.")
    delivery = _delivery(ordered, max_retransmits, max_lifetime)
    request = channel_send.SendRequest(
        name=channel_name,
        to=None if to is None else ChannelRef(*spelled(names.channels, [to])[0]),
        messages=(*map(_text, messages or ()), *map(_read, files or ())),
        lines=sys.stdin.buffer if stdin else None,
        delivery=delivery,
        every_s=every,
        delay_s=delay,
        hello_s=wait_hello,
        wait_s=wait,
        recover_for_s=recovery_of(recover_for, no_recover),
    )
    face = Face(
        name="channel send",
        calls=lambda _: channel_send.send_calls(request),
        announce=(ChannelPublished, MessageReceived),
    )
    return run(channel_send.send, request, common, face)


@command(app, probe=True)
def listen(
    words: ChannelWords,
    common: Common,
    ordered: Ordered = True,
    max_retransmits: MaxRetransmits = None,
    max_lifetime: MaxLifetime = None,
    wait_for_ack: Annotated[
        bool, typer.Option("--wait-for-ack", help="Have the SFU deliver nothing before the channel is open here.")
    ] = False,
    can_reply: Annotated[
        bool, typer.Option("--can-reply", help="Have the right to reply, which whoever had it loses.")
    ] = False,
    hello: Annotated[
        str | None,
        typer.Option(
            "--hello",
            metavar="TEXT",
            help="Say this to the publisher once, as soon as it can hear.",
            show_default=False,
        ),
    ] = None,
    reply: Annotated[
        str | None,
        typer.Option("--reply", metavar="TEXT", help="Say this to the publisher for each message.", show_default=False),
    ] = None,
    for_: For = None,
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, help="End after N messages; fewer fail.", show_default=False),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the bytes of messages and nothing else; a line end after texts.")
    ] = False,
    wait: Wait = Seconds(10),
    recover_for: RecoverFor = None,
    no_recover: NoRecover = False,
) -> int:
    """Print what comes over data channels; the publisher's delivery policy has to be repeated."""
    from rtcctl.ops import channel_listen
    from rtcctl.results.channel import MessageReceived

    if (reply is not None or hello is not None) and not can_reply:
        raise UsageError("Without --can-reply the SFU drops what is said to the publisher.", hint="Add --can-reply.")
    delivery = _delivery(ordered, max_retransmits, max_lifetime)
    request = channel_listen.ListenRequest(
        _refs(words),
        delivery,
        wait_for_ack=wait_for_ack,
        can_reply=can_reply,
        hello=hello,
        reply=reply,
        for_s=for_,
        wait_s=wait,
        count=count,
        recover_for_s=recovery_of(recover_for, no_recover),
    )
    face = Face(
        name="channel listen",
        calls=lambda _: channel_listen.listen_calls(request),
        announce=(MessageReceived,),
        is_raw=raw,
    )
    return run(channel_listen.listen, request, common, face)


@command(app)
def update(
    session_id: SessionId,
    common: Common,
    id_: Annotated[
        int,
        typer.Option(
            "--id", metavar="N", min=1, max=65_534, help="Id of the subscription in SESSION.", show_default=False
        ),
    ],
    can_reply: Annotated[
        bool | None,
        typer.Option(
            "--can-reply/--no-can-reply",
            help="Give it the right to reply, which whoever had it loses; or take it away.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Change whether a live subscription may reply."""
    from rtcctl.ops import channel

    if can_reply is None:
        raise UsageError("Nothing is to be changed.", hint="Say what: --can-reply or --no-can-reply.")
    request = channel.UpdateRequest(session_id, id_, can_reply)
    face = Face(name="channel update", calls=lambda _: channel.update_calls(request))
    return run(channel.update, request, common, face)


@command(app)
def close(
    words: ChannelWords,
    common: Common,
    ids: Annotated[
        list[int] | None,
        typer.Option(
            "--id", metavar="N", min=1, max=65_534, help="Id of a channel of SESSION; repeatable.", show_default=False
        ),
    ] = None,
    yes: Yes = False,
) -> int:
    """Close data channels: SESSION/NAME…, or SESSION --id N."""
    from rtcctl.ops import channel

    if ids:
        if len(words) != 1:
            raise UsageError("--id is of one session.", hint="rtcctl channel close SESSION --id 1 --id 2")
        session = spelled(names.session_id, words[0])
        request = channel.CloseRequest(ids_of=session, ids=tuple(dict.fromkeys(ids)))
    else:
        request = channel.CloseRequest(tuple(dict.fromkeys(_refs(words))))
    face = Face(name="channel close", calls=lambda _: channel.close_calls(request), yes=yes)
    return run(channel.close, request, common, face)


@command(app, probe=True)
def probe(
    common: Common,
    policies: Annotated[
        list[Policy] | None,
        typer.Option("--policy", help="Delivery policy to measure; repeatable.  [default: all]", show_default=False),
    ] = None,
    rate: Annotated[
        MessageRate, typer.Option("--rate", parser=typed(MessageRate.parse), metavar="N/s", help="Messages a second.")
    ] = MessageRate(50),
    size: Annotated[
        Bytes,
        typer.Option("--size", parser=typed(Bytes.parse), metavar="SIZE", help="Of each message, as 100B or 4KiB."),
    ] = Bytes(100),
    for_: For = Seconds(3),
    max_loss: MaxLoss = None,
    max_latency: MaxLatency = None,
) -> int:
    """Measure latency, loss, order and the largest message of each delivery policy.

    A reliable channel may lose nothing; --max-loss is for those that may.
    """
    from rtcctl.ops import channel_probe

    assert for_ is not None
    request = channel_probe.ProbeRequest(
        tuple(policy.value for policy in policies or Policy),
        rate_hz=rate,
        size_bytes=size,
        for_s=for_,
        max_fraction_lost=max_loss,
        max_latency_ms={limit[0]: limit[1].milliseconds for limit in max_latency or ()},
    )
    face = Face(name="channel probe", calls=lambda _: channel_probe.probe_calls(request))
    return run(channel_probe.probe, request, common, face)


def _delivery(ordered: bool, max_retransmits: int | None, max_lifetime: Seconds | None) -> "Delivery":
    from rtcctl.ops.channels_media import Delivery

    if max_retransmits is not None and max_lifetime is not None:
        raise UsageError("--max-retransmits and --max-lifetime exclude each other.")
    lifetime_ms = None if max_lifetime is None else max(1, round(max_lifetime.milliseconds))
    if lifetime_ms is not None and lifetime_ms > _U16_MAX:
        raise UsageError(f"--max-lifetime is at most {_U16_MAX} ms.")
    return Delivery(ordered, max_retransmits, lifetime_ms)


def _refs(words: list[str]) -> "tuple[ChannelRef, ...]":
    from rtcctl.ops.channels_media import ChannelRef

    return tuple(ChannelRef(*pair) for pair in spelled(names.channels, words))


def _text(text: str) -> str:
    """A message as it was typed, if it is text at all: the shell hands on any bytes."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{text!r} is not UTF-8 text.", hint="Send binary data as a file: --file FILE.")
    return text


def _read(path: Path) -> bytes:
    """The bytes of a file, or enough of them to see that it is too large."""
    from rtcctl.ops.channel_send import MAX_MESSAGE_BYTES

    try:
        if path.stat().st_size > MAX_MESSAGE_BYTES:
            raise UsageError(
                f"{path} has {path.stat().st_size:,} bytes: a data channel carries at most {MAX_MESSAGE_BYTES:,}.",
                hint=f"Send it in pieces: split --bytes {MAX_MESSAGE_BYTES} {path}",
            )
        with path.open("rb") as file:
            return file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
