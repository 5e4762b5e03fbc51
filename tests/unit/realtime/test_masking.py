"""What others say is made fit for messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtcctl.realtime.masking import MASK, mask, presentable

SECRET = "0123456789abcdef"


@given(st.text(max_size=400), st.text(max_size=400))
def test_no_secret_survives(before: str, after: str):
    """Masked before it is cut: not even the beginning of one is left at the end."""
    shown = presentable(before + SECRET + after, [SECRET])
    assert SECRET not in shown
    assert len(shown) <= 300
    assert "\n" not in shown


def test_the_longest_secret_goes_first():
    """A secret that contains another leaves no rest."""
    assert mask("12345678-abcdefgh", ["12345678", "12345678-abcdefgh"]) == MASK


def test_short_texts_are_no_secrets():
    """Masking every `b` would garble and protect nothing."""
    assert mask("abc", ["b"]) == "abc"


def test_sdp_ice_credentials_and_bearers_go():
    """Services echo what they were sent."""
    assert presentable("bad: v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\na=ice-pwd:abc", []) == "bad: [SDP]"
    assert presentable('bad: "v=0\\r\\no=-"', []) == 'bad: "[SDP]'
    assert presentable("line a=ice-pwd:abcdef\r\nnext", []) == f"line a=ice-pwd:{MASK} next"
    assert presentable("Authorization: Bearer abc.def", []) == f"Authorization: Bearer {MASK}"


def test_tokens_of_others_go():
    """A JSON Web Token in what was sent is a secret that nobody has told us of; a file name is none."""
    token = "eyJhbGciOiJFUzI1NiJ9.eyJyb29tIjoiYm9keSJ9.Ym9keS10b2tlbi1pcy1zZWNyZXQ"
    assert presentable(f'{{"token": "{token}"}}, again {token}.', []) == f'{{"token": "{MASK}"}}, again {MASK}.'
    assert presentable(f"cut: {token[:40]}", []) == f"cut: {MASK}"
    assert presentable("eyJ.json of keyJ", []) == "eyJ.json of keyJ"


def test_html_becomes_one_line():
    """A gateway's error page is shown, but shortly."""
    shown = presentable("<html>\r\n<h1>502\x00 Bad Gateway</h1>" + "x" * 500, [])
    assert shown.startswith("<html> <h1>502 Bad Gateway</h1>x")
    assert shown.endswith("…")
