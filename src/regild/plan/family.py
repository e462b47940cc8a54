"""What differs between families of packages when a plan is written down, as one literal table;
pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from regild.errors import UnsupportedError
from regild.model.content import Platform
from regild.model.plan import Method
from regild.model.purl import debian_url, package_url, rpm_url
from regild.plan.method import apk_method, choose_method, rpm_method

Choose = Callable[[str, frozenset[str]], tuple[Method, str]]


class Family(NamedTuple):
    """One family of packages."""

    database: str
    """Where a new package will be listed, unless others of the guest are listed elsewhere."""
    any_arch: str
    """The architecture of packages that fit every one."""
    url: Callable[[str, str, str, Platform], str]
    """The package URL of a name, version and architecture."""
    size_field: str
    """The field of the planning state that holds a package's size, and the bytes of its unit."""
    size_unit: int
    choose_method: Choose
    leaves_boot: bool = False
    """What takes the booted machine is left out of a plan for a change offline."""
    several: bool = False
    """Several versions of one package can be installed at once."""


def _deb_method(name: str, present: frozenset[str]) -> tuple[Method, str]:
    return choose_method(name, present)


def _rpm_method(name: str, present: frozenset[str]) -> tuple[Method, str]:
    return rpm_method(name)


def _apk_method(name: str, present: frozenset[str]) -> tuple[Method, str]:
    return apk_method(name, present)


def _apk_url(name: str, version: str, arch: str, platform: Platform) -> str:
    distro = f"{platform.id}-{platform.version}".strip("-")
    return package_url("apk", name, version, namespace=platform.id, arch=arch, distro=distro)


def _rpm_url(name: str, version: str, arch: str, platform: Platform) -> str:
    epoch, colon, release = version.rpartition(":")
    return rpm_url(name, release, int(epoch) if colon else 0, arch, platform)


FAMILIES: dict[str, Family] = {
    "deb": Family(
        "/var/lib/dpkg/status",
        "all",
        debian_url,
        "Installed-Size",
        1024,
        _deb_method,
        leaves_boot=True,
    ),
    "rpm": Family(
        "/var/lib/rpm", "noarch", _rpm_url, "Size", 1, _rpm_method, leaves_boot=True, several=True
    ),
    "apk": Family(
        "/lib/apk/db/installed", "noarch", _apk_url, "I", 1, _apk_method, leaves_boot=True
    ),
}
"""By purl type, which is also `Planning.type`."""


def family_of(type: str) -> Family:
    """What a family's plans are written with.

    Raises: UnsupportedError.
    """
    if type not in FAMILIES:
        raise UnsupportedError(where="the image", why=f"no plan is made for {type!r} packages")
    return FAMILIES[type]


def sizes_of(family: Family, status: str) -> Iterator[tuple[tuple[str, str, str], int]]:
    """Installed size in bytes by package name, architecture and version, as a planning state has
    it."""
    for paragraph in status.split("\n\n"):
        yield _size_of(family, paragraph)


KEY_FIELDS = {"Package": 0, "P": 0, "Architecture": 1, "Arch": 1, "A": 1, "Version": 2, "V": 2}
"""Where name, architecture and version stand in a paragraph's key, by the families' fields."""


@lru_cache(maxsize=4_000)
def _size_of(family: Family, paragraph: str) -> tuple[tuple[str, str, str], int]:
    """The size that one paragraph states; images of one suite have the same ones."""
    key, size = ["", "", ""], 0
    for line in paragraph.split("\n"):
        field, _, value = line.partition(":")
        if field in KEY_FIELDS:
            key[KEY_FIELDS[field]] = value.strip()
        elif field == family.size_field and (digits := value.strip()).isdecimal():
            size = int(digits[:15]) * family.size_unit
        elif family.several and field == "Provides":
            break  # the relations come last, and there are many
    return (key[0], key[1], key[2]), size
