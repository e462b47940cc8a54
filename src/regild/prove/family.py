"""How the files of packages are held against what the packages brought, by family of packages, as
one literal table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from regild.model.plan import Difference
from regild.prove.apk_files import (
    check_apk_config,
    check_apk_lists,
    check_apk_shipped,
    check_apk_sums,
)
from regild.prove.files import check_config, check_lists, check_shipped, check_sums
from regild.prove.rpm_files import (
    check_rpm_config,
    check_rpm_lists,
    check_rpm_shipped,
    check_rpm_sums,
)
from regild.prove.scene import Scene

Ask = Callable[[Scene], Iterable[Difference]]


class Family(NamedTuple):
    """The questions to one family's packages."""

    is_there: Callable[[Scene], bool]
    """Whether a scene has a database of this family."""
    lists: Ask
    shipped: Ask
    config: Ask
    sums: Ask


FAMILIES: tuple[Family, ...] = (
    Family(
        lambda scene: scene.dpkg is not None, check_lists, check_shipped, check_config, check_sums
    ),
    Family(
        lambda scene: scene.rpm is not None,
        check_rpm_lists,
        check_rpm_shipped,
        check_rpm_config,
        check_rpm_sums,
    ),
    Family(
        lambda scene: scene.apk is not None,
        check_apk_lists,
        check_apk_shipped,
        check_apk_config,
        check_apk_sums,
    ),
)
"""In order of trial: rpm is also a tool that a guest of dpkg may have."""


def find_family(scene: Scene) -> Family | None:
    """The family of a scene's packages; None where its files cannot be asked about."""
    return next((one for one in FAMILIES if one.is_there(scene)), None)
