"""The native architecture of a guest, as its packages show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from regild.model.content import Package, Platform

ANY_ARCHITECTURE = ("", "noarch", "any", "all")
"""What the families call packages that fit every architecture."""


def with_architecture(
    platform: Platform, packages: Iterable[Package], manager: str
) -> Platform | None:
    """The platform with the architecture of the package manager's own package, else the most
    frequent one; None where it is known already or nothing shows it."""
    fitting = [one for one in packages if one.arch not in ANY_ARCHITECTURE]
    if platform.arch or not fitting:
        return None
    own = [one.arch for one in fitting if one.name == manager]
    counted = Counter(own or sorted(one.arch for one in fitting))
    return replace(platform, arch=counted.most_common(1)[0][0])
