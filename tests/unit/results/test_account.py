"""Results of `app …` and `turn key …`."""

from __future__ import annotations

import pytest

from rtcctl.results.account import AppCreate, CreatedItem, TurnKeyCreate


@pytest.mark.parametrize("kind", [AppCreate, TurnKeyCreate])
def test_a_new_secret_is_in_no_repr(kind: type[CreatedItem]) -> None:
    """A traceback or a log may show one."""
    result = kind(id="a", name="n", created_at=None, modified_at=None, secret="secret-of-the-app")
    assert "secret-of-the-app" not in repr(result)
