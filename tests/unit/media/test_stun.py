"""STUN messages (RFC 8489), with the samples of RFC 5769."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.errors import ParseError
from rtcctl.media.stun import (
    Attribute,
    Message,
    MessageClass,
    Method,
    error_value,
    is_stun,
    mapped_address_value,
)

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)
"RFC 5769 §2.1."
RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
"RFC 5769 §2.2."
TRANSACTION = bytes(range(12))

messages = st.builds(
    Message,
    st.integers(0, 0xFF),
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.dictionaries(
        st.integers(0, 0xFFFF).filter(lambda kind: kind not in (Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT)),
        st.binary(max_size=40),
        max_size=5,
    ),
)


def test_sample_request():
    """The request of RFC 5769 parses, and its integrity and fingerprint hold."""
    message = Message.parse(REQUEST)
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
    assert message.username == "evtj:h6vY"
    assert message.attributes[Attribute.PRIORITY] == bytes.fromhex("6e0001ff")
    assert message.has_fingerprint
    assert message.check_integrity(PASSWORD)
    assert not message.check_integrity(b"another")
    assert bytes(message) == REQUEST


def test_sample_response():
    """The response of RFC 5769 names the mapped address."""
    message = Message.parse(RESPONSE)
    assert message.message_class is MessageClass.SUCCESS
    assert message.mapped_address == ("192.0.2.1", 32853)
    assert message.check_integrity(PASSWORD)


@pytest.mark.parametrize("address", [("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 1)])
def test_mapped_address(address):
    """A mapped address survives the obfuscation, IPv4 and IPv6."""
    value = mapped_address_value(*address, TRANSACTION)
    message = Message(Method.BINDING, MessageClass.SUCCESS, TRANSACTION, {Attribute.XOR_MAPPED_ADDRESS: value})
    assert Message.parse(bytes(message)).mapped_address == address


def test_mapped_address_of_unknown_family():
    """A mapped address whose family and size do not match is none."""
    for value in (b"", bytes(8), b"\0\2" + bytes(6), b"\0\1" + bytes(18)):
        message = Message(Method.BINDING, MessageClass.SUCCESS, TRANSACTION, {Attribute.XOR_MAPPED_ADDRESS: value})
        assert message.mapped_address is None


@pytest.mark.parametrize("address", [("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 1)])
@pytest.mark.parametrize("kind", [Attribute.XOR_RELAYED_ADDRESS, Attribute.XOR_PEER_ADDRESS])
def test_xor_addresses(address, kind):
    """All that are XORed are read as the mapped address is; one that is not there, or no address, is none."""
    value = mapped_address_value(*address, TRANSACTION)
    message = Message(Method.ALLOCATE, MessageClass.SUCCESS, TRANSACTION, {kind: value})
    assert Message.parse(bytes(message)).xor_address(kind) == address
    assert message.xor_address(Attribute.XOR_MAPPED_ADDRESS) is None
    for no_address in (b"", value[:-1], value[:1] + b"\3" + value[2:]):
        assert Message(Method.ALLOCATE, MessageClass.SUCCESS, TRANSACTION, {kind: no_address}).xor_address(kind) is None


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"\0\1\x80\x55\xc0\0\2\1", ("192.0.2.1", 32853)),
        (b"\0\2\0\1" + bytes.fromhex("20010db8") + bytes(11) + b"\1", ("2001:db8::1", 1)),
        (b"\0\2\x80\x55\xc0\0\2\1", None),
        (b"\0\1\x80\x55\xc0\0\2", None),
        (b"", None),
    ],
)
def test_plain_addresses(value, address):
    """MAPPED-ADDRESS, OTHER-ADDRESS and the like are written as they are."""
    for kind in (Attribute.MAPPED_ADDRESS, Attribute.OTHER_ADDRESS, Attribute.ALTERNATE_SERVER):
        assert Message(Method.BINDING, MessageClass.SUCCESS, TRANSACTION, {kind: value}).plain_address(kind) == address


def test_error_reason():
    """The words of an error response; what is no UTF-8 is readable all the same, and no words are none."""
    for value, reason in (
        (error_value(486, "Allocation Quota Reached"), "Allocation Quota Reached"),
        (error_value(401, "") + b"\xffno", "\ufffdno"),
        (error_value(401, ""), ""),
        (b"", ""),
    ):
        message = Message(Method.ALLOCATE, MessageClass.ERROR, TRANSACTION, {Attribute.ERROR_CODE: value})
        assert message.error_reason == reason
    assert Message(Method.ALLOCATE, MessageClass.ERROR, TRANSACTION).error_reason == ""


def test_error_code():
    """An error response says its code."""
    message = Message(
        Method.BINDING, MessageClass.ERROR, TRANSACTION, {Attribute.ERROR_CODE: error_value(487, "Role Conflict")}
    )
    assert Message.parse(bytes(message)).error_code == 487
    assert Message(Method.BINDING, MessageClass.ERROR, TRANSACTION).error_code is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\0\0\x03\0", 300),
        (b"\0\0\x06\x63", 699),
        (b"\xff\xff\xfc\x01", 401),  # 21 bits are reserved
        (b"\0\0\0\0", None),
        (b"\0\0\x02\x63", None),
        (b"\0\0\x07\0", None),
        (b"\0\0\x04\x64", None),
        (b"\0\0\x04", None),
    ],
)
def test_what_is_no_error_code(value: bytes, code: int | None):
    """Class 3…6 and number 0…99; anything else is none (RFC 8489 §14.8)."""
    message = Message(Method.BINDING, MessageClass.ERROR, TRANSACTION, {Attribute.ERROR_CODE: value})
    assert message.error_code == code


def test_integrity_covers_everything_before_it():
    """A changed byte before the integrity breaks it."""
    for at in range(len(REQUEST) - 32):
        changed = bytearray(REQUEST[:-8])
        changed[3] -= 8  # without the fingerprint, which would notice
        changed[at] ^= 1
        try:
            message = Message.parse(changed)
        except ParseError:
            continue
        assert not message.check_integrity(PASSWORD)


def test_attributes_behind_the_integrity_are_ignored():
    """Whoever appends an attribute to a sealed message adds nothing to it."""
    sealed = bytearray(Message(Method.BINDING, MessageClass.REQUEST, TRANSACTION).with_integrity(PASSWORD).__bytes__())
    del sealed[-8:]
    sealed += Attribute.USE_CANDIDATE.to_bytes(2, "big") + b"\0\0"
    sealed[2:4] = (len(sealed) - 20).to_bytes(2, "big")
    message = Message.parse(sealed)
    assert Attribute.USE_CANDIDATE not in message.attributes
    assert message.check_integrity(PASSWORD)


def test_username_that_is_no_text():
    """A USERNAME that is not UTF-8 names nobody."""
    message = Message(Method.BINDING, MessageClass.REQUEST, TRANSACTION, {Attribute.USERNAME: b"\xff"})
    assert message.username == ""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "header of 20"),
        (b"\x80" + REQUEST[1:], "two zero bits"),
        (REQUEST[:-4], "length of the datagram"),
        (REQUEST[:4] + bytes(4) + REQUEST[8:], "magic cookie"),
        (REQUEST[:-1] + b"\0", "CRC-32"),
        (REQUEST[:20] + b"\x80\x22\x01\x00" + REQUEST[24:], "bytes of attribute"),
        (b"\0\1\0\x08" + REQUEST[4:20] + b"\0\x08\0\x04" + bytes(4), "MESSAGE-INTEGRITY"),
        (b"\0\1\0\x04" + REQUEST[4:20] + b"\x80\x28\0\0", "FINGERPRINT of 4"),
    ],
)
def test_malformed(data, expected):
    """What is malformed is said to be, with what was expected."""
    with pytest.raises(ParseError, match=expected):
        Message.parse(data)


@given(messages)
def test_round_trip(message):
    """Written and parsed is the same, sealed or not."""
    assert Message.parse(bytes(message)) == message
    assert is_stun(bytes(message))
    sealed = message.with_integrity(b"key")
    assert sealed.check_integrity(b"key")
    assert sealed.has_fingerprint
    assert message.with_fingerprint().has_fingerprint
    assert {kind: sealed.attributes[kind] for kind in message.attributes} == message.attributes


@given(st.integers(0, len(REQUEST)), st.binary(max_size=80))
def test_noise(cut, noise):
    """A valid beginning with anything behind it parses or is a ParseError."""
    try:
        message = Message.parse(REQUEST[:cut] + noise)
    except ParseError:
        return
    message.check_integrity(PASSWORD)
    assert isinstance(message.unknown_attributes(), tuple)
    assert message.error_code is None or 300 <= message.error_code <= 699
    assert message.mapped_address is None or message.mapped_address[1] >= 0
