"""A question to the catalogue, taken apart: `package:libssl3 < 3.0.17 and channel:production`.

    QUESTION = TERM { "and" TERM }
    TERM     = ["not"] FIELD ":" VALUE [ OPERATOR VERSION ]
    FIELD    = package | source | image | channel | group | platform
    OPERATOR = < | <= | = | >= | >

Only `package` and `source` take an operator and a version. `image`, `channel` and `group` take
patterns with * and ?; `platform` is a distribution, with or without a version: `debian-12`.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from regild.errors import UsageError
from regild.model.content import Value

Field = Literal["package", "source", "image", "channel", "group", "platform"]
Operator = Literal["", "<", "<=", "=", ">=", ">"]

MAX_SIGNS = 4096
_TERM = re.compile(
    r"\s*(?P<not>not\s+)?(?P<field>[a-z]+):(?P<value>[^\s<>=]+)"
    r"(?:\s*(?P<operator><=|>=|<|>|==?)\s*(?P<version>[^\s<>=]+))?\s*"
)
_AND = re.compile(r"and\s+|,")
VERSIONED = ("package", "source")


class Term(Value, frozen=True):
    """One condition."""

    field: Field
    value: str
    operator: Operator = ""
    version: str = ""
    negated: bool = False

    def __str__(self) -> str:
        compared = f" {self.operator} {self.version}" if self.operator else ""
        return f"{'not ' if self.negated else ''}{self.field}:{self.value}{compared}"


def read_question(text: str) -> tuple[Term, ...]:
    """The terms of a question, all of which must hold.

    Raises: UsageError, naming the place.
    """
    if len(text) > MAX_SIGNS:
        raise UsageError(what=f"a question has at most {MAX_SIGNS} signs")
    terms, at = [], 0
    while True:
        found = _TERM.match(text, at)
        if found is None:
            where = text[at : at + 40].strip() or "its end"
            what = f"the question is not understood at {where!r}: say package:NAME < VERSION"
            raise UsageError(what=what)
        terms.append(_term(found))
        at = found.end()
        if at == len(text):
            return tuple(terms)
        joined = _AND.match(text, at)
        if joined is None:
            raise UsageError(what=f"terms are joined by 'and', not by {text[at : at + 40]!r}")
        at = joined.end()


def _term(found: re.Match[str]) -> Term:
    field, operator = found["field"], (found["operator"] or "").replace("==", "=")
    if field not in get_args(Field):
        raise UsageError(what=f"{field} is none of {', '.join(get_args(Field))}")
    if operator and field not in VERSIONED:
        raise UsageError(what=f"{field} has no versions to compare")
    version = found["version"] or ""
    negated = found["not"] is not None
    return Term(field, found["value"], operator, version, negated)  # type: ignore[arg-type] # checked above and by the expression
