"""The values that an envelope gives its own properties (DSP0243, 9.5), for what refers to them.

A disk's capacity may be `${NAME}` (9.1). What is meant is the value that the package itself states;
who deploys it may choose another, so a size that comes from here is what to expect, not a promise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from regild.ovf.markup import Element

PROPERTIES_MAX: Final = 10_000
_REFERENCE = re.compile(r"\s*\$\{([^${}]{1,1024})\}\s*\Z")


def resolved(text: str, properties: Mapping[str, str]) -> str:
    """A text, or the value of the property that it refers to; empty where there is none."""
    found = _REFERENCE.match(text)
    return properties.get(found[1], "") if found else text


def read_properties(sections: Iterable[Element]) -> Mapping[str, str]:
    """The value of each property of some ProductSections by its whole name, `CLASS.KEY.INSTANCE`
    without the empty parts.

    One that has two values in different places has none.
    """
    found: dict[str, str] = {}
    for section in sections:
        ovf = section.name[0]
        around = section.value("class", ovf), section.value("instance", ovf)
        for stated in section.all(ovf, "Property"):
            parts = around[0], stated.value("key", ovf), around[1]
            name = ".".join(part for part in parts if part)
            value = _value(stated, ovf)
            found[name] = value if found.get(name, value) == value else ""
            if len(found) >= PROPERTIES_MAX:
                return found
    return found


def _value(stated: Element, ovf: str) -> str:
    """The value of a property: its own, else the first of those for one configuration."""
    own = stated.value("value", ovf)
    first = stated.first(ovf, "Value")
    return own or (first.value("value", ovf) if first is not None else "")
