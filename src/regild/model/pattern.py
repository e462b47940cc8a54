"""Regular expressions over text that a stranger may have written: RE2, whose time grows with the
text and never faster, whatever text and expression are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

PATTERN_MAX = 1000
MEMORY_BYTES_MAX = 8 << 20


def fault_of(pattern: str) -> str:
    """Why a text cannot be used as an expression with one group; empty where it can."""
    import re2

    if len(pattern) > PATTERN_MAX:
        return f"is an expression of over {PATTERN_MAX} letters"
    try:
        groups = _compiled(pattern).groups
    except re2.error as error:
        said = error.args[0] if error.args else ""
        why = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return f"is no expression of RE2: {why}"
    return "" if groups == 1 else f"needs one group around the version, and has {groups}"


def first_group(pattern: str, text: str, whole: bool = False) -> str:
    """What the group holds where an expression first fits; empty where it does not. `whole`: all
    of the text must fit."""
    compiled = _compiled(pattern)
    found = compiled.fullmatch(text) if whole else compiled.search(text)
    return (found[1] or "") if found else ""


@lru_cache(maxsize=256)
def posix_patterns(*patterns: str) -> Callable[[str], bool]:
    """Tells whether any of some expressions of regex(7) fits anywhere in a text, letters of either
    case. What is none, is too long, or refers back to a group fits nowhere."""
    import re2

    options = _options()
    options.posix_syntax, options.case_sensitive, options.never_capture = True, False, True
    found = re2.Set.SearchSet(options)
    for one in patterns:
        if len(one) <= PATTERN_MAX:
            with suppress(re2.error):
                found.Add(one)
    found.Compile()
    return lambda text: bool(found.Match(text))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import re2

    return re2.compile(pattern, _options())


def _options() -> Any:
    import re2

    options = re2.Options()
    options.log_errors, options.max_mem = False, MEMORY_BYTES_MAX
    return options
