"""What `lint` says of a package: one place that a rule found fault with."""

from __future__ import annotations

from regild.model.content import Value


class Finding(Value, frozen=True):
    """A rule that a package breaks, where, and what to do about it."""

    rule: str
    targets: tuple[str, ...]
    """The consumers that trip over it, of those that were asked for."""
    where: str
    """A file of the package, with a line where it is the .ovf."""
    what: str
    detail: str
    """What stands there, in the package's own words."""
    why: str
    fix: str
    safe: bool = False
    """`lint --fix` puts it right without a decision of anybody."""
