"""Headless Chromium at the other end: data channels."""

from __future__ import annotations

import pytest

from tests.support.browser import OpenPage
from tests.support.command import Home
from tests.support.participant import call, eventually, microphone


def test_one_publisher_and_many_subscribers_in_order(home: Home, chromium: OpenPage):
    """A reliable channel brings every message to each subscriber in order, up to 16 KiB; it is one-way."""
    messages: list[str | int] = [str(number) for number in range(500)] + [16 * 1024, "end"]
    with home.dev() as server, call(server) as join:
        alice, *others = (join(chromium) for _ in range(3))
        for one in (alice, *others):
            one.establish_channels()
        assert alice.open_channel("chat") > 0  # 0 is `server-events`
        for one in others:
            one.open_channel("chat", alice)
        alice.say("chat", *messages)
        for one in others:
            assert one.hears("chat", "end") == messages
        # What a subscriber says reaches nobody. `back` comes later, over the same association.
        others[0].say("chat", "dropped")
        others[0].open_channel("back")
        alice.open_channel("back", others[0])
        others[0].say("back", "later")
        alice.hears("back", "later")
        assert alice.heard("chat") == []
        assert others[1].heard("chat") == messages


def test_unordered_without_retransmission(home: Home, chromium: OpenPage):
    """`ordered: false, maxRetransmits: 0`, said by both ends: what arrives is what was sent, each at most once."""
    policy = {"ordered": False, "maxRetransmits": 0}
    messages = [str(number) for number in range(300)]
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        for one in (alice, bob):
            one.establish_channels()
        alice.open_channel("state", **policy)
        bob.open_channel("state", alice, **policy)
        alice.say("state", *messages)
        heard = eventually(
            lambda: bob.heard("state"), lambda heard: len(heard) > 0.9 * len(messages), what="most messages"
        )
        assert len(set(heard)) == len(heard)
        assert set(heard) <= set(messages)


def test_replies(home: Home, chromium: OpenPage):
    """`canReply`: the subscriber's messages reach the publisher and nobody else; who gets the right last has it."""
    with home.dev() as server, call(server) as join:
        alice, bob, carol = (join(chromium) for _ in range(3))
        for one in (alice, bob, carol):
            one.establish_channels()
        alice.open_channel("chat")
        bob.open_channel("chat", alice, canReply=True)
        carol.open_channel("chat", alice)
        bob.say("chat", "from bob")
        alice.hears("chat", "from bob")
        carol.update_channel("chat", alice, canReply=True)
        bob.say("chat", "from bob, who may not any more")
        carol.say("chat", "from carol")
        alice.hears("chat", "from carol")
        alice.say("chat", "to both")
        assert bob.hears("chat", "to both") == ["to both"]
        assert carol.hears("chat", "to both") == ["to both"]
        assert alice.heard("chat") == ["from bob", "from carol"]


def test_delivery_waits_for_the_first_message(home: Home, chromium: OpenPage):
    """`waitForAck`: nothing is delivered before the subscriber's first message, which nobody hears."""
    with home.dev() as server, call(server) as join:
        alice, bob, carol = (join(chromium) for _ in range(3))
        for one in (alice, bob, carol):
            one.establish_channels()
        alice.open_channel("chat")
        bob.open_channel("chat", alice, waitForAck=True, canReply=True)
        carol.open_channel("chat", alice)
        alice.say("chat", "early")
        carol.hears("chat", "early")
        assert bob.heard("chat") == []
        bob.say("chat", "ack", "reply")
        assert alice.hears("chat", "reply") == ["reply"]
        alice.say("chat", "late")
        assert bob.hears("chat", "late")[-1] == "late"


@pytest.mark.parametrize(("first", "offerer"), [("channel", "client"), ("track", "sfu")])
def test_channels_and_tracks_share_a_session(home: Home, chromium: OpenPage, first: str, offerer: str):
    """Whichever comes first, the other joins it on the same transport; closing a channel leaves the track alone."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        if first == "track":
            alice.publish(microphone())
        alice.establish_channels(offerer=offerer)
        alice.open_channel("chat")
        if first == "channel":
            alice.publish(microphone())
        (mid,) = bob.pull(alice, "mic")
        bob.establish_channels()
        bob.open_channel("chat", alice)
        alice.say("chat", "hello")
        bob.hears("chat", "hello")
        assert bob.received(mid)["packetsLost"] == 0
        assert "errorCode" not in alice.close_channel("chat")
        eventually(lambda: bob.channel_state("chat"), lambda state: state == "closed", what="bob's end is closed")
        assert bob.received(mid)["packetsLost"] == 0


def test_channels_outlive_a_new_transport(home: Home, chromium: OpenPage):
    """Channels go on when Chromium begins with DTLS and SCTP anew because the first m-section was stopped."""
    with home.dev() as server, call(server) as join:
        alice, bob = join(chromium), join(chromium)
        published = alice.publish(microphone())
        alice.establish_channels()
        alice.open_channel("chat")
        bob.establish_channels()
        bob.open_channel("chat", alice, canReply=True)
        alice.say("chat", "before")
        bob.hears("chat", "before")
        alice.close(published["mic"])
        alice.say("chat", "during")
        bob.hears("chat", "during")
        bob.say("chat", "after")
        alice.hears("chat", "after")
