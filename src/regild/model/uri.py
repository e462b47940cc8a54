"""Addresses as people may be shown them."""

from __future__ import annotations

import re

_LOGIN = re.compile(r"(?<=//)[^/?#]*@")


def without_credentials(uri: str) -> str:
    """An address without the user and password that may stand in it."""
    return _LOGIN.sub("", uri)
