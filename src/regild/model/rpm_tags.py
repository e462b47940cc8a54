"""How rpm's headers hold relations between packages (rpmtag.h, rpmds.h)."""

from __future__ import annotations

RELATIONS = (
    ("Provides", 1047, 1112, 1113),
    ("Requires", 1049, 1048, 1050),
    ("Conflicts", 1054, 1053, 1055),
    ("Obsoletes", 1090, 1114, 1115),
    ("Recommends", 5046, 5048, 5047),
    ("Suggests", 5049, 5051, 5050),
    ("Supplements", 5052, 5054, 5053),
    ("Enhances", 5055, 5057, 5056),
)
"""Field, and the tags of its names, flags and versions (rpm's rpmtag.h)."""
SIGNS = {2: "<", 4: ">", 8: "=", 10: "<=", 12: ">="}
"""By the lowest bits of a relation's flags (RPMSENSE_LESS, _GREATER, _EQUAL)."""
OF_RPM = "rpmlib("
"""What a package asks of rpm itself; no package provides it."""
