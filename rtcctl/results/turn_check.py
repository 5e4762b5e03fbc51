"""Result of `turn check`: what happened at each URL, step by step, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from rtcctl.results.check import CheckStatus
from rtcctl.results.result import Percentiles, Result


class Step(StrEnum):
    """The way of a client to its first relayed packet, in order."""

    URL = "url"
    DNS = "dns"
    UDP = "udp"
    "A socket towards the server."
    TCP = "tcp"
    TLS = "tls"
    BINDING = "binding"
    ALLOCATE = "allocate"
    CHANNEL = "channel"
    "A permission and a channel for the peer."
    TRAFFIC = "traffic"


@dataclass(frozen=True, slots=True)
class TlsReport:
    """What the handshake showed; `None`: not known."""

    version: str | None
    "For example `TLSv1.3`."
    names: tuple[str, ...]
    "That the certificate is for."
    issuer: str | None
    days_left: float | None
    is_verified: bool
    problem: str | None
    "Why it was not trusted."
    intercepted_by: str | None
    "Whose certificate it is, if it is that of a product that opens TLS on the way."


Filtering = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
Mapping = Literal["no-nat"] | Filtering


@dataclass(frozen=True, slots=True)
class NatReport:
    """NAT behaviour (RFC 5780 §4.3, §4.4); `None`: the server did not answer what it takes to know."""

    mapping: Mapping | None
    filtering: Filtering | None


class Refusal(StrEnum):
    """What became of a credential that is no good."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    NOT_TESTED = "not-tested"


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the way ended, and why."""

    step: Step
    message: str
    code: int | None = None
    "Of the server's refusal (RFC 8656 §19, RFC 8489 §18.4)."
    is_silence: bool = False
    "Nothing came back at all."


@dataclass(frozen=True, slots=True)
class RelayTraffic:
    """What went through the relay: client, relay, relay, client."""

    rate_hz: float
    "Nominal."
    packets_sent: int
    packets_received: int
    packets_lost: int
    fraction_lost: float | None
    "`None`: nothing was sent, as the allocation ended before."
    rtt_ms: Percentiles | None
    "Of one packet on that way, which is one round trip between client and server; `None`: none arrived."
    jitter_ms: float | None
    "RFC 3550 A.8."
    silent_after_s: float | None = None
    "When the last packet arrived, where those that were sent long after did not."


@dataclass(frozen=True, slots=True)
class Before:
    """The same URL in an earlier run."""

    verdict: str
    rtt_p50_ms: float | None
    fraction_lost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlReport:
    """One URL; steps that were not reached are `None`."""

    url: str
    protocol: str | None
    "`udp`, `tcp` or `tls`; `None` for what is no URL of a server."
    host: str | None
    port: int | None
    is_turn: bool
    name: str = ""
    "That of its check: `turn-udp-3478`."
    is_required: bool = True
    verdict: CheckStatus = CheckStatus.FAILED
    reason: str = ""
    "In words; empty when there is nothing to say."
    stop: Stop | None = None
    addresses: tuple[str, ...] = ()
    "That the name resolves to, IPv4 and IPv6."
    address: str | None = None
    "That was used."
    dns_ms: float | None = None
    connect_ms: float | None = None
    "TCP."
    tls_ms: float | None = None
    tls: TlsReport | None = None
    binding_ms: float | None = None
    "Round trip of a STUN binding request."
    mapped_address: str | None = None
    "Where the server sees us."
    allocate_ms: float | None = None
    "Both requests: the first one is always answered with a challenge."
    relayed_address: str | None = None
    lifetime_s: int | None = None
    software: str | None = None
    channel_ms: float | None = None
    traffic: RelayTraffic | None = None
    wrong_password: Refusal = Refusal.NOT_TESTED
    expired: Refusal = Refusal.NOT_TESTED
    nat: NatReport | None = None
    before: Before | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCheck(Result):
    """`turn check`."""

    schema: ClassVar[str] = "rtcctl.turn.check/1"

    urls: tuple[UrlReport, ...]
    verdict: str
    "In a sentence."
    source: str
    "Where the servers are from: the profile's TURN key, or the file."
