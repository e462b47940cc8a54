# ruff: noqa: E501
"""Randomly aged Debian images: package databases drawn from the real indexes of a suite."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regild.model.content import Planning, TextFile
from regild.model.digest import sha256_of
from regild.model.plan import Mode
from regild.model.release import IndexFile
from regild.model.versions import debian_key
from regild.plan.debian.relations import read_clauses
from regild.plan.debian.shelf import Shelf
from regild.plan.solver import Request

SITE = "mirror.example"
VENDOR = "vendor.example"
RELATIONS = ("Pre-Depends", "Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Provides")
AGED = "~aged1"
SECTIONS = (
    'APT::Never-MarkAuto-Sections:: "metapackages";\nAPT::Never-MarkAuto-Sections:: "tasks";\n'
    'APT::Move-Autobit-Sections:: "oldlibs";\n'
)
"""As in Debian's own /etc/apt/apt.conf.d/01autoremove."""
FILE = {"Filename": "pool/x.deb", "Size": "1000", "SHA256": "0" * 64}

Stanza = dict[str, str]
"""The fields of one paragraph."""


@dataclass(frozen=True)
class Part:
    """One index of a suite: where it lies, and what its release says of itself."""

    path: Path
    area: str
    """`debian` or `debian-security`."""
    suite: str
    arch: str
    release: str
    """The text of its release file."""
    digest: str = ""
    """SHA-256 of the index."""

    @property
    def index(self) -> IndexFile:
        said = dict(
            re.findall(r"^(Suite|Codename|Version|Origin|Label): (.*)$", self.release, re.M)
        )
        return IndexFile(
            path=str(self.path), digest=self.digest, where=self.suite,
            arch=self.arch, component="main", suite=said.get("Suite", ""),
            codename=said.get("Codename", ""), version=said.get("Version", ""),
            origin=said.get("Origin", ""), label=said.get("Label", ""), site=SITE,
            security=self.suite.endswith("-security"),
        )  # fmt: skip


@dataclass
class Release:
    """The parts of one release of Debian for some architectures, and its packages."""

    parts: Sequence[Part]
    stanzas: dict[tuple[str, str], dict[str, Stanza]] = field(default_factory=dict)
    """By name and architecture (`all` is amd64), by version."""
    shelves: dict[tuple[str, ...], Shelf] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in self.parts:
            for text in part.path.read_text().split("\n\n"):
                if text.strip():
                    one = fields_of(text)
                    arch = one["Architecture"].replace("all", "amd64")
                    self.stanzas.setdefault((one["Package"], arch), {})[one["Version"]] = one

    @property
    def code(self) -> str:
        """Its name, as Debian calls it."""
        return next(part.index.codename for part in self.parts)

    def shelf(self, architectures: tuple[str, ...]) -> Shelf:
        """The release proper as libsolv's pool, to draw installed sets from."""
        if architectures not in self.shelves:
            first = [
                part.index
                for part in self.parts
                if "-" not in part.suite and part.arch in architectures
            ]
            self.shelves[architectures] = Shelf(first, architectures)
            self.shelves[architectures].pool.createwhatprovides()
        return self.shelves[architectures]


def fields_of(text: str) -> Stanza:
    """The fields of a paragraph, continued lines as they are."""
    return dict(re.findall(r"^([A-Za-z0-9-]+): *((?:.*)(?:\n[ \t].*)*)", text, re.M))


@dataclass(frozen=True)
class Image:
    """One aged image: what is installed, and everything that decides about it."""

    planning: Planning
    indexes: tuple[IndexFile, ...]
    mode: Mode
    parts: tuple[Part, ...]
    vendor: Path | None = None

    @property
    def request(self) -> Request:
        return Request(self.planning, self.indexes, self.mode)


class Aging:
    """Draws one image."""

    def __init__(self, release: Release, seed: int, folder: Path) -> None:
        self.release, self.seed, self.folder = release, seed, folder
        self.dice = random.Random(seed)
        self.architectures = ("amd64", "i386") if self.dice.random() < 0.3 else ("amd64",)
        self.installed: dict[tuple[str, str], Stanza] = {}
        self.vendor: list[Stanza] = []
        self.holds: set[str] = set()
        self.wanted: frozenset[str] = frozenset()
        self.auto: tuple[str, ...] = ()
        """What came for others only, and needs marks of its own: `name:arch`."""
        self.sections = ""
        """Settings that move marks by the packages' sections."""

    def image(self) -> Image:
        """The image, with a file of third-party packages in the folder where there are some."""
        dice = self.dice
        self._install()
        self._mark(random.Random(self.seed * 7 + 1))
        self._age()
        self._file(random.Random(self.seed * 7 + 2))
        self._forget()
        mode: Mode = dice.choice(("upgrade", "full"))
        if dice.random() < 0.6:
            self._add_vendor()
        names = sorted({name for name, _ in self.installed})
        self.holds = set(dice.sample(names, dice.choice((0, 0, 1, 2, 4))))
        parts = tuple(part for part in self.release.parts if part.arch in self.architectures)
        indexes = [part.index for part in parts]
        path = None
        if self.vendor:
            path = self.folder / "vendor-packages"
            path.write_text("\n".join(paragraph({**one, **FILE}) for one in self.vendor))
            indexes.append(IndexFile(
                path=str(path), digest=sha256_of(path.read_bytes()), where="vendor", arch="amd64",
                component="main", suite="stable", codename="vendor", origin="Vendor",
                label="Vendor", site=VENDOR,
            ))  # fmt: skip
        return Image(self._planning(), tuple(indexes), mode, parts, path)

    def _planning(self) -> Planning:
        dice = self.dice
        settings = []
        if dice.random() < 0.25:
            settings.append('APT::Install-Recommends "false";\n')
        if dice.random() < 0.08:
            settings.append(f'APT::Default-Release "{self.release.code}";\n')
        settings.append(self.sections)
        pins = "\n".join(self._pins())
        return Planning(
            "deb",
            status="\n".join(self._status()),
            auto=tuple(one for one in self.auto if self._is_there(one)),
            architectures=self.architectures,
            preferences=(TextFile("/etc/apt/preferences", pins),) if pins else (),
            settings=(TextFile("/etc/apt/apt.conf", "".join(settings)),) if any(settings) else (),
        )

    def _install(self) -> None:
        """A consistent set: what every system has, and some packages with all that they need."""
        import solv

        shelf = self.release.shelf(self.architectures)
        pool, job = shelf.pool, solv.Job
        first = [
            name
            for (name, arch), versions in self.release.stanzas.items()
            if arch == "amd64"
            and next(iter(versions.values())).get("Priority") in ("required", "important")
        ]
        names = sorted(name for name, arch in self.release.stanzas if arch == "amd64")
        wanted = first + self.dice.sample(names, self.dice.randint(5, 40))
        if "i386" in self.architectures:
            same = [
                f"{name}:i386" for (name, arch), versions in sorted(self.release.stanzas.items())
                if arch == "i386" and next(iter(versions.values())).get("Multi-Arch") == "same"
            ]  # fmt: skip
            wanted += self.dice.sample(same, 4)
        self.wanted = frozenset(wanted)
        with_recommended = self.dice.random() < 0.4
        jobs = [
            pool.Job(job.SOLVER_INSTALL | job.SOLVER_SOLVABLE_NAME, pool.str2id(name))
            for name in wanted
            if pool.whatprovides(pool.str2id(name))
        ]

        asked: dict[tuple[Any, ...], list[int] | None] = {}

        def solved(jobs: list[Any]) -> list[int] | None:
            """What a solution installs; halving asks about one set several times."""
            key = tuple(one.what for one in jobs)
            if key not in asked:
                solver = pool.Solver()
                solver.set_flag(solver.SOLVER_FLAG_IGNORE_RECOMMENDED, int(not with_recommended))
                asked[key] = None if solver.solve(jobs) else solver.raw_decisions(1)
            return asked[key]

        def granted(before: list[Any], more: list[Any]) -> list[Any]:
            """Those that can be had, an earlier one before a later one."""
            if solved(before + more) is not None:
                return before + more
            half = len(more) // 2
            return before if not half else granted(granted(before, more[:half]), more[half:])

        found = [one for one in solved(granted([], jobs)) or [] if one > 1]
        for one in map(pool.id2solvable, found):
            name, _, arch = one.name.partition(":")
            version = one.vendor.split(" ")[0]
            self.installed[name, arch or "amd64"] = dict(
                self.release.stanzas[name, arch or "amd64"][version]
            )

    def _mark(self, dice: random.Random) -> None:
        """Say of packages that nobody asked for that they came for others; of some not, and of a
        fifth of the images nothing."""
        share = dice.choice((0, 0.8, 0.9, 0.95, 1))
        self.auto = tuple(
            f"{name}:{arch}"
            for name, arch in sorted(self.installed)
            if (name if arch == "amd64" else f"{name}:{arch}") not in self.wanted
            and dice.random() < share
        )

    def _is_there(self, title: str) -> bool:
        name, _, arch = title.partition(":")
        return (name, arch) in self.installed

    def _age(self) -> None:
        """Some sources in an older version, which relations between the installed ones know of."""
        dice = self.dice
        sources = sorted({source_of(one) for one in self.installed.values()})
        rate = dice.choice((0.02, 0.1, 0.25))
        chosen = {source for source in sources if dice.random() < rate}
        while needed := set(self._needed_as_they_are(chosen)):
            chosen -= needed
        renamed = {
            (one["Package"], one["Version"])
            for one in self.installed.values()
            if source_of(one) in chosen
        }
        for one in self.installed.values():
            if source_of(one) in chosen:
                for kind in RELATIONS[:4]:
                    if kind in one:
                        one[kind] = self._older(one[kind], renamed)
                one["Version"] += AGED
                if dice.random() < 0.3:
                    one.pop("Recommends", None)

    def _file(self, dice: random.Random) -> None:
        """Most images have Debian's settings about sections; what is aged may not yet be of oldlibs,
        and some of it is a metapackage."""
        if dice.random() < 0.2:
            return
        self.sections = SECTIONS
        for _, one in sorted(self.installed.items()):
            if one["Version"].endswith(AGED):
                if one.get("Section", "").endswith("oldlibs") and dice.random() < 0.8:
                    one["Section"] = "libs"
                elif dice.random() < 0.05:
                    one["Section"] = "metapackages"

    def _needed_as_they_are(self, chosen: set[str]) -> Iterator[str]:
        """Sources that others would not work with in an older version."""
        mine: dict[str, Stanza] = {}
        for one in self.installed.values():
            if source_of(one) in chosen:
                mine[one["Package"]] = one
                for atom, *_ in read_clauses(one.get("Provides", "")):
                    if atom.version:
                        mine.setdefault(atom.name, one)
        for one in self.installed.values():
            if source_of(one) in chosen:
                continue
            for kind in (*RELATIONS[:3], "Breaks", "Conflicts"):
                for atom in (atom for clause in read_clauses(one.get(kind, "")) for atom in clause):
                    other = mine.get(atom.name)
                    if (
                        other
                        and atom.version
                        and debian_key(atom.version) >= debian_key(other["Version"] + AGED)
                    ):
                        yield source_of(other)

    def _older(self, text: str, renamed: set[tuple[str, str]]) -> str:
        """A relation field as it was before the named packages got their present versions."""
        names = {name for name, _ in renamed}

        def one(match: re.Match[str]) -> str:
            name, qualifier, sign, version = match.groups()
            if name not in names:
                return match[0]
            if sign == "=" and (name, version) in renamed:
                return f"{name}{qualifier or ''} (= {version}{AGED})"
            return f"{name}{qualifier or ''}" if sign in (">=", ">>", "=") else match[0]

        return re.sub(
            r"([a-z0-9][a-z0-9+.-]+)(:[a-z0-9]+)? *\((<<|<=|=|>=|>>) *([^)\s]+)\)", one, text
        )

    def _forget(self) -> None:
        """Take away packages that only the present version of an aged package needs."""
        users: dict[str, set[tuple[str, str]]] = {}
        for key, one in self.installed.items():
            for kind in RELATIONS[:2]:
                for clause in read_clauses(one.get(kind, "")):
                    for atom in clause:
                        users.setdefault(atom.name, set()).add(key)
        virtual = {
            atom.name for one in self.installed.values()
            for (atom, *_) in read_clauses(one.get("Provides", ""))
        }  # fmt: skip
        budget = self.dice.choice((0, 1, 3))
        for (name, arch), one in sorted(self.installed.items()):
            if budget and one["Version"].endswith(AGED) and "Depends" in one:
                clauses = [clause.strip() for clause in one["Depends"].split(",")]
                for clause in clauses:
                    other = re.split(r"[ :(]", clause)[0]
                    mine = self.installed.get((other, "amd64"))
                    if mine is None or "|" in clause or other in virtual or "Provides" in mine:
                        continue
                    if other in one.get("Pre-Depends", ""):
                        continue
                    if users.get(other) == {(name, arch)} and mine.get("Priority") in (
                        "optional",
                        "extra",
                    ):
                        rest = [text for text in clauses if re.split(r"[ :(]", text)[0] != other]
                        one["Depends"] = ", ".join(rest)
                        if not rest:
                            del one["Depends"]
                        del self.installed[other, "amd64"]
                        budget -= 1
                        break

    def _add_vendor(self) -> None:
        """A third party's repository: applications of its own, and its own builds of Debian's."""
        dice = self.dice
        names = sorted(name for name, arch in self.installed if arch == "amd64")
        optional = [
            name for name in names
            if self.installed[name, "amd64"].get("Priority") == "optional"
        ] or names  # fmt: skip
        others = sorted(name for name, arch in self.release.stanzas if arch == "amd64")
        for number in range(dice.randint(1, 4)):
            name = f"vendor-app{number}"
            old = {
                "Package": name,
                "Architecture": "amd64",
                "Version": "1.0-1",
                "Depends": dice.choice(names),
            }
            new = {**old, "Version": "2.0-1", "Priority": "optional", "Depends": dice.choice(names)}
            kind = dice.choice(
                ("plain", "new", "conflict", "breaks", "missing", "recommends", "or")
            )
            if kind == "new":
                new["Depends"] += f", {dice.choice(others)}"
            elif kind == "conflict":
                new["Conflicts"] = dice.choice(
                    [one for one in optional if one != new["Depends"]] or optional
                )
            elif kind == "breaks":
                new["Breaks"] = f"{dice.choice(optional)} (<< 9999)"
            elif kind == "missing":
                new["Depends"] += ", no-such-package"
            elif kind == "recommends":
                new["Recommends"] = dice.choice(others)
            elif kind == "or":
                new["Depends"] += f", {dice.choice(others)} | {dice.choice(others)}"
            self.vendor.append(new)
            if dice.random() < 0.85:
                self.installed[name, "amd64"] = {**old, "Priority": "optional"}
        for name in dice.sample(names, min(2, len(names))):
            if dice.random() < 0.4:
                one = dict(self.installed[name, "amd64"])
                one["Version"] = one["Version"].removesuffix(AGED) + "+vendor1"
                self.vendor.append(one)
        if dice.random() < 0.3:
            self.installed["obsolete-tool", "amd64"] = {
                "Package": "obsolete-tool", "Architecture": "amd64", "Version": "0.1",
                "Priority": "optional", "Depends": dice.choice(names),
            }  # fmt: skip

    def _pins(self) -> Iterator[str]:
        dice = self.dice
        names = sorted({name for name, _ in self.installed})
        code = self.release.code
        kinds = (
            lambda: (
                f"Package: {dice.choice(names)}\nPin: release l=Debian-Security\nPin-Priority: -1\n"
            ),
            lambda: f"Package: {dice.choice(names)}\nPin: release n={code}\nPin-Priority: 990\n",
            lambda: (
                f"Package: *\nPin: release o=Vendor\nPin-Priority: {dice.choice((-1, 50, 100, 600))}\n"
            ),
            lambda: (
                f'Package: *\nPin: origin "{VENDOR}"\nPin-Priority: {dice.choice((1, 100, 990))}\n'
            ),
            lambda: (
                f"Package: lib*\nPin: release n={code}-security\nPin-Priority: {dice.choice((50, 990))}\n"
            ),
            lambda: (
                f"Package: /^python3/\nPin: version *\nPin-Priority: {dice.choice((-1, 100, 700))}\n"
            ),
            lambda: f"Package: {dice.choice(names)}\nPin: version 0*\nPin-Priority: 1001\n",
            lambda: (
                f"Package: src:{source_of(dice.choice(list(self.installed.values())))}\nPin: release *\nPin-Priority: -5\n"
            ),
            lambda: f"Package: *\nPin: release n={code}-updates\nPin-Priority: -10\n",
            lambda: f"Package: *\nPin: release n={code}\nPin-Priority: 1001\n",
        )
        for _ in range(dice.choice((0, 0, 1, 2))):
            yield dice.choice(kinds)()

    def _status(self) -> Iterator[str]:
        for (name, _), one in sorted(self.installed.items()):
            want = "hold" if name in self.holds else "install"
            facts = {
                key: value
                for key, value in one.items()
                if key
                not in (
                    "Filename",
                    "Size",
                    "MD5sum",
                    "SHA256",
                    "Description",
                    "Description-md5",
                    "Tag",
                )
            }
            yield paragraph({"Package": name, "Status": f"{want} ok installed", **facts})


def source_of(one: Stanza) -> str:
    return one.get("Source", one["Package"]).split(" ")[0]


def paragraph(one: Stanza) -> str:
    return "".join(f"{key}: {value}\n" for key, value in one.items())
