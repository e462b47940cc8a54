"""What a package-lock.json (version 2 or 3) says has to be below node_modules.

Source: npm, "package-lock.json"; `integrity` is as in Subresource Integrity, `os`, `cpu` and `libc`
are as in package.json.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

import msgspec

from regild.errors import Malformed
from regild.model.digest import Digest

PACKAGES_MAX = 50_000
STRENGTHS = ("sha512", "sha384", "sha256")
"""What a file is believed by, the best first; sha1 is not among it."""
CPUS = {"amd64": "x64", "arm64": "arm64", "i386": "ia32", "armhf": "arm"}
LENGTHS = {"sha512": 64, "sha384": 48, "sha256": 32}

_NAME = re.compile(r"(?:@[A-Za-z0-9._~-]{1,100}/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,213}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}")


class Locked(NamedTuple):
    """One package that a lock asks for."""

    name: str
    version: str
    uri: str
    digest: Digest


class _Entry(msgspec.Struct, rename="camel"):
    version: str = ""
    resolved: str | bool = ""
    integrity: str = ""
    name: str = ""
    link: bool = False
    dev: bool = False
    os: list[str] = msgspec.field(default_factory=list)
    cpu: list[str] = msgspec.field(default_factory=list)
    libc: list[str] = msgspec.field(default_factory=list)
    in_bundle: bool = False
    optional: bool = False


class _Lock(msgspec.Struct, rename="camel"):
    lockfile_version: int
    packages: dict[str, _Entry]


def read_lock(text: str, where: str, arch: str) -> tuple[Locked, ...]:
    """The packages that a lock asks for on a machine with Debian's name of its architecture, those
    for development left out; sorted.

    Raises: Malformed, also for a package that no strong digest vouches for.
    """
    try:
        lock = msgspec.json.decode(text, type=_Lock)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(where=where, why=f"it is no package-lock.json of npm 7: {error}") from error
    if lock.lockfile_version not in (2, 3) or len(lock.packages) > PACKAGES_MAX:
        raise Malformed(where=where, why="its version is not 2 or 3, or it lists too much")
    found = {
        _locked(place, entry, where)
        for place, entry in lock.packages.items()
        if place and not entry.link and not entry.dev and _is_for(entry, arch)
    }
    return tuple(sorted(found))


def _locked(place: str, entry: _Entry, where: str) -> Locked:
    name = entry.name or place.rpartition("node_modules/")[2]
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(entry.version):
        raise Malformed(where=where, why=f"{place[:80]!r} has no valid name or version")
    if entry.in_bundle:
        raise Malformed(where=where, why=f"{name} comes within another package: not supported")
    uri = entry.resolved if isinstance(entry.resolved, str) else ""
    return Locked(name, entry.version, uri, _digest(entry.integrity, name, where))


def _digest(integrity: str, name: str, where: str) -> Digest:
    """The strongest digest that vouches for a package."""
    told = dict(one.partition("-")[::2] for one in integrity.split())
    for algorithm in STRENGTHS:
        if algorithm in told:
            try:
                content = base64.b64decode(told[algorithm].partition("?")[0], validate=True)
            except ValueError as error:  # binascii's own is one
                raise Malformed(where=where, why=f"the integrity of {name} is none") from error
            if len(content) == LENGTHS[algorithm]:
                return Digest(f"{algorithm}:{content.hex()}")
    raise Malformed(where=where, why=f"no strong digest vouches for {name}")


def _is_for(entry: _Entry, arch: str) -> bool:
    """Whether a package that is only for some machines is for this one."""
    wished = ((entry.os, "linux"), (entry.cpu, CPUS.get(arch, arch)), (entry.libc, "glibc"))
    return not entry.optional or all(_allows(rules, value) for rules, value in wished)


def _allows(rules: list[str], value: str) -> bool:
    refused = [one[1:] for one in rules if one.startswith("!")]
    named = [one for one in rules if not one.startswith("!")]
    return value not in refused and (not named or value in named)
