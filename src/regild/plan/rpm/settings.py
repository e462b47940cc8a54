"""What the guest's settings mean for a solver (dnf.conf(5), zypp.conf)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from regild.model.content import Planning, TextFile

DNF = ("/etc/dnf/dnf.conf", "/etc/yum.conf")
ZYPP = "/etc/zypp/zypp.conf"
MODULES = "/etc/dnf/modules.d/"
PROTECTED = ("/etc/dnf/protected.d/", "/etc/yum/protected.d/")
ZYPP_LOCKS = "/etc/zypp/locks"
INSTALLONLY = (
    "kernel",
    "kernel-PAE",
    "installonlypkg(kernel)",
    "installonlypkg(kernel-module)",
    "installonlypkg(vm)",
    "multiversion(kernel)",
)
"""dnf's own list, to which a guest's setting adds."""
LIMIT = 3
"""dnf's own installonly_limit."""
TRUE = ("1", "yes", "true", "on", "enabled")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that decide about a transaction."""

    best: bool
    weak: bool
    """Weak dependencies of what is new are installed too."""
    autodetect: bool
    """What an installed package recommends in vain is not brought in by others either."""
    vendor_change: bool
    limit: int
    """How many versions of an installonly package stay; 0 for all."""
    installonly: tuple[str, ...]
    excludes: tuple[str, ...]
    includes: tuple[str, ...]
    not_weak: tuple[str, ...]
    protected: tuple[str, ...]
    streams: dict[str, str]
    """The enabled stream of a module; empty for one that is disabled."""
    locks: tuple[str, ...]
    """Patterns of whole packages (name, epoch, version, release, architecture) that stay."""
    names: tuple[str, ...]
    """Patterns of names that stay as they are."""


def read_settings(planning: Planning) -> Settings:
    """The settings of a guest, dnf's own defaults where it says nothing."""
    told = dict(_lines(file for file in planning.settings if file.path in DNF))
    zypp = dict(_lines(file for file in planning.settings if file.path == ZYPP))
    limit = told.get("installonly_limit", str(LIMIT))
    weak = _truth(told, "install_weak_deps", True) and not _truth(
        zypp, "solver.onlyrequires", False
    )
    # SUSE's own default, where dnf's is to take a newer version from anybody.
    vendor = _truth(zypp, "solver.allowvendorchange", False) if zypp else True
    return Settings(
        best=_truth(told, "best", False),
        weak=weak,
        autodetect=_truth(told, "exclude_from_weak_autodetect", True),
        vendor_change=_truth(told, "allow_vendor_change", vendor),
        limit=int(limit) if limit.isdecimal() and len(limit) < 6 else 0,
        installonly=(*INSTALLONLY, *_words(told, "installonlypkgs")),
        excludes=(*_words(told, "exclude"), *_words(told, "excludepkgs")),
        includes=_words(told, "includepkgs"),
        not_weak=_words(told, "exclude_from_weak"),
        protected=tuple(_protected(planning.settings, told)),
        streams=_streams(planning.settings),
        locks=tuple(
            line
            for file in planning.preferences
            if file.path != ZYPP_LOCKS
            for line in file.text.splitlines()
        ),
        names=tuple(
            line
            for file in planning.preferences
            if file.path == ZYPP_LOCKS
            for line in file.text.splitlines()
        ),
    )


def options_of(options: Iterable[str]) -> dict[str, str]:
    """A source's own options by name."""
    return dict(one.partition("=")[::2] for one in options)


def is_true(value: str) -> bool:
    """What dnf takes for yes."""
    return value.strip().lower() in TRUE


def _lines(files: Iterable[TextFile]) -> Iterable[tuple[str, str]]:
    for file in files:
        for line in file.text.splitlines():
            name, _, value = line.partition("=")
            yield name, value


def _truth(told: dict[str, str], name: str, default: bool) -> bool:
    return is_true(told[name]) if name in told else default


def _words(told: dict[str, str], name: str) -> tuple[str, ...]:
    return tuple(told.get(name, "").replace(",", " ").split())


def _protected(files: Iterable[TextFile], told: dict[str, str]) -> Iterable[str]:
    for file in files:
        if file.path.startswith(PROTECTED):
            yield from file.text.split()
    yield from (word for word in _words(told, "protected_packages") if not word.startswith("glob:"))


def _streams(files: Iterable[TextFile]) -> dict[str, str]:
    found = {}
    for file in files:
        if file.path.startswith(MODULES):
            told = dict(_lines((file,)))
            enabled = told.get("state") == "enabled"
            found[told.get("name", "")] = told.get("stream", "") if enabled else ""
    return found
