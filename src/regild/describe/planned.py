"""Whether a Content is enough to plan from."""

from __future__ import annotations

from regild.errors import NoPackageDatabase
from regild.model.content import Content

PLANNED = ("deb", "rpm", "apk")
"""The families of packages that can be planned for."""


def require_planning(content: Content, families: tuple[str, ...] = PLANNED) -> None:
    """Pass where there is a package database of one of the families, wholly read, to plan from.

    Raises: NoPackageDatabase, naming what could not be read.
    """
    if content.planning.type in families:
        return
    listed = " and ".join(sorted({one.type for one in content.packages}))
    kept = "planned for and not changed yet" if content.planning.type in PLANNED else "only listed"
    why = f"its packages are of {listed}, which are {kept}" if listed else "it lists no package"
    whys = [f"{one.where}: {one.why}" for one in content.unknowns] or [why]
    raise NoPackageDatabase(where="the guest", why="; ".join(whys[:3]))
