"""httpx, without its own command line: that loads rich and pygments wherever they are installed,
two thirds of what loading all of it costs, for a program that nobody runs here."""

import sys
from typing import Any, cast

# A module that is None counts as one that is not installed.
cast(dict[str, Any], sys.modules).setdefault("httpx._main", None)

import httpx  # noqa: E402 - only now

__all__ = ["httpx"]
