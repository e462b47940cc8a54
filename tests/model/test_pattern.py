"""Expressions of an image's settings, held against those of the machine's own C library."""

from __future__ import annotations

import ctypes
import time

import pytest

from regild.model.pattern import posix_patterns

EXTENDED, ICASE, NOSUB = 1, 2, 8
NAMES = (
    "firmware-linux", "firmware-linux-nonfree", "linux-image-amd64", "linux-image-6.1.0-50-amd64",
    "linux-image-6.1.0-50-amd64-dbg", "libc6", "libstdc++6", "a", "aa", "a.b", "axb", "xaay",
)  # fmt: skip
PATTERNS = (
    "^firmware-linux.*", "^linux-firmware$", "^linux-image-[a-z0-9]*$", "^linux-image-[a-z0-9-]*$",
    "^.*-dbg$", "LINUX", "^(a+)+$", r"a\.b", "a.b", "^libstdc\\+\\+[0-9]$", "[[:digit:]]$",
    "^[^[:alpha:]]", "(image|libc)6?$", "a{2}", "x{0,1}aa", "^$", "", "[]x]a", "a|", "(((", "[a",
)  # fmt: skip


def c_library(pattern: str, text: str) -> bool:
    """What regcomp(3) and regexec(3) say, as apt uses them; False where it is no expression."""
    library = ctypes.CDLL(None)
    room = ctypes.create_string_buffer(4096)
    if library.regcomp(room, pattern.encode(), EXTENDED | ICASE | NOSUB):
        return False
    try:
        return bool(library.regexec(room, text.encode(), 0, None, 0) == 0)
    finally:
        library.regfree(room)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_expression_means_what_it_means_to_the_c_library(pattern: str) -> None:
    found = list(filter(posix_patterns(pattern), NAMES))
    assert found == [name for name in NAMES if c_library(pattern, name)]


def test_a_hostile_expression_costs_no_time() -> None:
    before = time.process_time()
    for pattern in ("^(a+)+$", "^(a|a)*$", "(.*)(.*)(.*)(.*)(.*)(.*)(.*)b$", "(((a*)*)*)*b"):
        assert not posix_patterns(pattern, "c")("a" * 254 + "-")
    assert time.process_time() - before < 5


@pytest.mark.parametrize("pattern", ["(a", r"(a)\1", "a" * 2000, "((a{100}){100}){100}"])
def test_what_is_no_expression_fits_nowhere_and_spoils_no_other(pattern: str) -> None:
    assert not posix_patterns(pattern)("a")
    assert list(filter(posix_patterns("^b$", pattern, "c"), ("a", "b", "(", "c"))) == ["b", "c"]


def test_of_no_expressions_none_fits() -> None:
    assert not posix_patterns()("a")
