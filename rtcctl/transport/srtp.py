"""SRTP and SRTCP (RFC 3711, RFC 7714) by libsrtp, called through pylibsrtp's own binding.

`pylibsrtp.Session.protect` copies a packet twice and allocates for each; calling libsrtp on buffers that are kept
costs a third of that. Everything here works in place.

The forwarding path calls `srtp_protect` (libsrtp's function itself) with `SrtpSession.sender`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pylibsrtp  # noqa: F401 (initialises the library)
from pylibsrtp._binding import ffi, lib

from rtcctl.errors import NetworkError

srtp_protect = lib.srtp_protect
"""`srtp_protect(sender, packet, length)` → 0 when done; `length` (int *) is replaced by the new one."""

MAX_TRAILER_SIZE = 16 + 4
"Bytes that protection adds at most: the tag, and for RTCP the index."

_KEPT_SIZE = 2048
"Bytes of the buffer that a session protects its own packets in: no datagram of WebRTC is larger."

_OK = 0
_REPLAY_WINDOW = 1024
"Packets: a retransmission may come this late. More than any retransmission cache holds."


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2)."""

    openssl_name: bytes
    libsrtp_id: int
    key_size: int
    "Bytes of master key."
    salt_size: int
    "Bytes of master salt."
    tag_size: int
    "Bytes that protection adds to an RTP packet."


PROFILES = (
    # The first that both know is taken; GCM costs a packet less than CM with HMAC-SHA1.
    SrtpProfile(b"SRTP_AEAD_AES_128_GCM", lib.srtp_profile_aead_aes_128_gcm, 16, 12, 16),
    SrtpProfile(b"SRTP_AES128_CM_SHA1_80", lib.srtp_profile_aes128_cm_sha1_80, 16, 14, 10),
)


@dataclass(frozen=True, slots=True, repr=False)
class SrtpKeys:
    """A profile, and master key with salt of each direction."""

    profile: SrtpProfile
    local: bytes
    remote: bytes


class SrtpSession:
    """Both directions of one peer's SRTP and SRTCP; one per DTLS association."""

    __slots__ = (
        "_keep",
        "_kept",
        "_length",
        "_packet",
        "_packet_view",
        "_receiver_owner",
        "_sender_owner",
        "receiver",
        "sender",
    )

    def __init__(self, keys: SrtpKeys) -> None:
        self._keep: list[Any] = []
        # Retransmissions repeat a number, with the same bytes.
        self._sender_owner = self._create(keys.profile, keys.local, lib.ssrc_any_outbound, allow_repeat_tx=True)
        self._receiver_owner = self._create(keys.profile, keys.remote, lib.ssrc_any_inbound, allow_repeat_tx=False)
        self.sender = self._sender_owner[0]
        "libsrtp's handle for `srtp_protect`."
        self.receiver = self._receiver_owner[0]
        "libsrtp's handle for unprotecting."
        self._length = ffi.new("int *")
        self._kept: tuple[bytearray, memoryview, Any] | None = None

    def unprotect_rtp_in_place(self, packet: Any, size: int) -> int:
        """Verify and decrypt `size` bytes at a pointer; returns the new size, or -1 for a packet to drop."""
        length = self._length
        length[0] = size
        return length[0] if lib.srtp_unprotect(self.receiver, packet, length) == _OK else -1

    def unprotect_rtcp_in_place(self, packet: Any, size: int) -> int:
        """The same for a compound RTCP packet."""
        length = self._length
        length[0] = size
        return length[0] if lib.srtp_unprotect_rtcp(self.receiver, packet, length) == _OK else -1

    def protect_rtp_kept(self, packet: bytes) -> memoryview | None:
        """An RTP packet protected in a buffer that is kept: it must be sent before the next call.

        None when libsrtp refuses it, or when it is too long.
        """
        if self._kept is None:
            # Whoever only forwards needs none.
            memory = bytearray(_KEPT_SIZE)
            self._kept = memory, memoryview(memory), ffi.from_buffer(memory)
        memory, view, pointer = self._kept
        size = len(packet)
        if size > _KEPT_SIZE - MAX_TRAILER_SIZE:
            return None
        memory[:size] = packet
        length = self._length
        length[0] = size
        return view[: length[0]] if lib.srtp_protect(self.sender, pointer, length) == _OK else None

    def protect_rtp(self, packet: bytes) -> bytes | None:
        """A protected copy of an RTP packet, None when libsrtp refuses it (a number out of its window)."""
        return self._copy(lib.srtp_protect, self.sender, packet)

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """A protected copy of a compound RTCP packet."""
        return self._copy(lib.srtp_protect_rtcp, self.sender, packet)

    def unprotect_rtp(self, packet: bytes) -> bytes | None:
        """A decrypted copy of an RTP packet, None when it must be dropped."""
        return self._copy(lib.srtp_unprotect, self.receiver, packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """A decrypted copy of a compound RTCP packet, None when it must be dropped."""
        return self._copy(lib.srtp_unprotect_rtcp, self.receiver, packet)

    def close(self) -> None:
        """Free both directions; the session must not be used after this."""
        for owner in (self._sender_owner, self._receiver_owner):
            ffi.release(owner)

    def _copy(self, function: Any, handle: Any, packet: bytes) -> bytes | None:
        buffer = bytearray(len(packet) + MAX_TRAILER_SIZE)
        buffer[: len(packet)] = packet
        self._length[0] = len(packet)
        done = function(handle, ffi.from_buffer(buffer), self._length) == _OK
        return bytes(buffer[: self._length[0]]) if done else None

    def _create(self, profile: SrtpProfile, key: bytes, kind: int, *, allow_repeat_tx: bool) -> Any:
        policy = ffi.new("srtp_policy_t *")
        refused = lib.srtp_crypto_policy_set_from_profile_for_rtp(ffi.addressof(policy.rtp), profile.libsrtp_id)
        refused |= lib.srtp_crypto_policy_set_from_profile_for_rtcp(ffi.addressof(policy.rtcp), profile.libsrtp_id)
        material = ffi.new("unsigned char[]", key)
        policy.key = material
        policy.ssrc.type = kind
        policy.window_size = _REPLAY_WINDOW
        policy.allow_repeat_tx = allow_repeat_tx
        owner = ffi.gc(ffi.new("srtp_t *"), _dealloc)
        if refused or lib.srtp_create(owner, policy) != _OK:
            raise NetworkError(f"libsrtp refuses {profile.openssl_name.decode()}", phase="dtls")
        return owner


def _dealloc(owner: Any) -> None:
    if owner[0] != ffi.NULL:
        lib.srtp_dealloc(owner[0])
        owner[0] = ffi.NULL
