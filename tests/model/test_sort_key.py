"""Keys for a database's index sort as the versions of each family do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.model.versions import ORDERS, sort_key

VERSIONS = {
    "deb": st.from_regex(
        r"([0-9]{1,2}:)?[0-9][A-Za-z0-9.+~]{0,8}(-[A-Za-z0-9.+~]{1,5})?", fullmatch=True
    ),
    "rpm": st.from_regex(
        r"([0-9]{1,2}:)?[0-9][A-Za-z0-9.+~^_]{0,8}(-[A-Za-z0-9.~^]{1,5})?", fullmatch=True
    ),
    "apk": st.from_regex(
        r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}[a-z]?(_(alpha|rc|p|git)[0-9]{0,2})?(-r[0-9])?",
        fullmatch=True,
    ),
}


@pytest.mark.parametrize("family", VERSIONS)
@settings(max_examples=300)
@given(data=st.data())
def test_sort_keys_sort_as_the_versions_do(family: str, data: st.DataObject) -> None:
    one, other = data.draw(VERSIONS[family]), data.draw(VERSIONS[family])
    order = ORDERS[family]
    first, second = sort_key(family, one), sort_key(family, other)
    assert first is not None
    assert second is not None
    assert (first < second, first == second) == (
        order(one) < order(other),
        order(one) == order(other),
    )


def test_a_family_without_a_known_order_has_no_sort_key() -> None:
    assert sort_key("pypi", "1.0") is None
