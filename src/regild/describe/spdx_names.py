"""What distributions call licences, in the names of the SPDX list (SPDX 2.3, annexes D and E).

Nothing is guessed: a name that is not on the list, and that no rule here leads to it, stays as the
package has it. Sources: Debian's copyright-format 1.0, clause 7; the short names that Fedora and
Alpine used before they took those of SPDX.
"""

from __future__ import annotations

import re
from functools import cache

TEXT_MAX = 1000

_GNU = re.compile(r"(a|l|)gpl-?v?([1-3])(?:\.(\d))?(?:\.0)?(\+?)\Z", re.IGNORECASE)
_FDL = re.compile(r"gfdl-(niv-)?(1\.[1-3])(\+?)\Z", re.IGNORECASE)
_WORDS = re.compile(r"\s+(and|or)\s+", re.IGNORECASE)
_COMMA = re.compile(r",\s+(and|or)\s+", re.IGNORECASE)
_WITH = re.compile(r"(\S+)\s+with\s+(\S+)(?:\s+exception)?\Z", re.IGNORECASE)
ALIASES = {
    "expat": "MIT",
    "mit/x11": "MIT",
    "asl 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic-1": "Artistic-1.0",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "bzip": "bzip2-1.0.6",
    "cc0": "CC0-1.0",
    "mplv1.1": "MPL-1.1",
    "mplv2.0": "MPL-2.0",
    "openldap-2.8": "OLDAP-2.8",
}
EXCEPTIONS = {
    "bison": "Bison-exception-2.2",
    "classpath": "Classpath-exception-2.0",
    "font": "Font-exception-2.0",
    "libtool": "Libtool-exception",
    "linux-syscall-note": "Linux-syscall-note",
    "texinfo": "Texinfo-exception",
}


def to_spdx(stated: str) -> str | None:
    """What a package states as an expression of SPDX, or None where a part of it is not known.

    `and` binds before `or`, as in SPDX, and both before one with a comma, as in Debian.
    """
    if len(stated) > TEXT_MAX:
        return None
    if "(" in stated:
        return _listed(stated)
    parts = [_joined(part) for part in _COMMA.split(stated)[::2]]
    if len(parts) == 1:
        return parts[0]
    words = {word.upper() for word in _COMMA.findall(stated)}
    if None in parts or len(words) != 1:
        return None
    return f" {words.pop()} ".join(f"({one})" if " " in str(one) else str(one) for one in parts)


def all_of(expressions: list[str]) -> str:
    """The expression by which all of several apply."""
    if len(expressions) == 1:
        return expressions[0]
    return " AND ".join(f"({one})" if " OR " in one else one for one in expressions)


def _joined(text: str) -> str | None:
    """Names with `and` and `or` between them; None where one is not known."""
    found = [
        _operand(part) if number % 2 == 0 else part.upper()
        for number, part in enumerate(_WORDS.split(text.strip()))
    ]
    return None if None in found else " ".join(str(one) for one in found)


@cache
def _operand(text: str) -> str | None:
    plain = text.strip()
    found = _WITH.match(plain)
    if found:
        licence, exception = _operand(found[1]), EXCEPTIONS.get(found[2].lower())
        return f"{licence} WITH {exception}" if licence and exception else None
    return ALIASES.get(plain.lower()) or _gnu(plain) or _listed(plain)


def _gnu(text: str) -> str | None:
    """`GPL-2+`, `LGPLv2.1`, `GFDL-NIV-1.3+` in the words of SPDX."""
    if found := _GNU.match(text):
        kind, major, minor, later = found.groups()
        family = f"{kind.upper()}GPL-{major}.{minor or 0}"
    elif found := _FDL.match(text):
        kept, version, later = found.groups()
        family = f"GFDL-{version}" + ("-no-invariants" if kept else "")
    else:
        return None
    return _listed(f"{family}-{'or-later' if later else 'only'}")


@cache
def _listed(text: str) -> str | None:
    """An expression of nothing but names of the list, in the list's spelling."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        found = str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None
    return None if "LicenseRef-" in found or not found.isascii() else found
