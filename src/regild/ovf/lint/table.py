"""All rules of `lint`, in the order in which they are tried and told.

What each consumer does was read in its source or measured (docs/guide/lint.md). A rule for every
target is one of DSP0243 itself, or one that most of them would trip over.
"""

from __future__ import annotations

from typing import Final

from regild.ovf.lint.envelope_rules import ENVELOPE_RULES
from regild.ovf.lint.package_rules import PACKAGE_RULES
from regild.ovf.lint.rule import TARGETS, Rule
from regild.ovf.lint.standard_rules import STANDARD_RULES

RULES: Final = (*PACKAGE_RULES, *ENVELOPE_RULES, *STANDARD_RULES)

__all__ = ["RULES", "TARGETS", "Rule"]
