"""What brings a virtual environment of Python up to date: exact wheels, found by pip's own resolver
(resolvelib) over what an index offers; pure but for the shelf of wheels, which is handed in.

No code of the guest is asked: which Python it is, what it can run and what is installed is known
from the content. Source: PEP 425 and PEP 600 (tags), PEP 440 (versions), PEP 508 (requirements).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import replace
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from resolvelib import BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from regild.errors import Malformed, Unsolvable
from regild.model.content import Content, Package, TextFile
from regild.model.plan import Skipped, Step
from regild.model.purl import package_url
from regild.model.recipe import PipPart, Recipe, Wheel
from regild.plan.recipes import OFFLINE_WHY, Addition, errand_of, why_left
from regild.plan.wishes import Policy, Wishes

ROUNDS_MAX = 20_000
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "armhf": "armv7l"}
LISTED = "requirements.txt"
SECURITY_WHY = "an index of Python does not say which versions are security updates"

_SITE = re.compile(r"(/.+)/lib(?:64)?/python(3\.\d+)/site-packages/[^/]+")


class Shelf(Protocol):
    """What an index offers."""

    place: str

    def wheels(self, name: str) -> Sequence[Wheel]:
        """The wheels of one distribution, by its normal name."""

    def needs(self, wheel: Wheel) -> Sequence[str]:
        """The requirements that a wheel states."""


@dataclass(frozen=True, slots=True)
class Target:
    """The Python that an environment runs."""

    python: str
    """As `3.11`."""
    full: str
    """As `3.11.2`, as far as it is known."""
    machine: str
    libc: tuple[int, int] | None

    @property
    def tags(self) -> tuple[str, ...]:
        """Everything that it can install, the best first."""
        version = tuple(int(part) for part in self.python.split("."))
        platforms = list(self._platforms())
        digits = self.python.replace(".", "")
        best = cpython_tags(version, [f"cp{digits}"], platforms)
        rest = compatible_tags(version, f"cp{digits}", platforms)
        return tuple(dict.fromkeys(map(str, (*best, *rest))))

    def _platforms(self) -> Iterator[str]:
        """PEP 600, and the older names that it keeps."""
        old = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        if self.libc is not None and self.libc[0] == 2:
            for minor in range(self.libc[1], 4, -1):
                yield f"manylinux_2_{minor}_{self.machine}"
                if minor in old:
                    yield f"{old[minor]}_{self.machine}"
        yield f"linux_{self.machine}"

    @property
    def markers(self) -> dict[str, str]:
        """What conditions of requirements are judged by (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.full,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.full,
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }


def plan_environment(
    recipe: Recipe, part: PipPart, content: Content, shelf: Shelf, wishes: Wishes, policy: Policy
) -> Addition:
    """The steps from what an environment holds to the newest that goes together, and their errand.

    Nothing goes back to an older version. Where its packages are not known, or only security
    updates are wanted, that is said and the environment is left as it is.

    Raises: Unsolvable, Malformed, and what the shelf raises.
    """
    installed = _installed(part, content)
    if not installed:
        why = f"no packages of Python are known in {part.environment}"
        return Addition(skipped=(Skipped(recipe.name, why),))
    if (why_not := why_left(recipe.name, wishes, policy)) is not None:
        left = (Skipped(recipe.name, why_not),) if why_not else ()
        return Addition(skipped=left)
    if wishes.mode == "security":
        return Addition(skipped=(Skipped(recipe.name, SECURITY_WHY),))
    target = _target(next(iter(installed.values())), content)
    chosen = _resolved(part, installed, target, shelf, wishes, policy)
    moved = {name: wheel for name, wheel in chosen.items() if _moves(installed.get(name), wheel)}
    return _addition(recipe, part, installed, moved, shelf) if moved else Addition()


def _installed(part: PipPart, content: Content) -> dict[str, Package]:
    """The packages of an environment, by normal name."""
    found = {}
    for one in content.packages:
        match = _SITE.fullmatch(one.where) if one.type == "pypi" else None
        if match and match[1] == part.environment:
            found[str(canonicalize_name(one.name))] = one
    return found


def _target(package: Package, content: Content) -> Target:
    match = _SITE.fullmatch(package.where)
    python = match[2] if match else ""
    versions = {one.name: one.version for one in content.packages if one.type == "deb"}
    full = re.match(r"\d+\.\d+\.\d+", versions.get(f"python{python}", ""))
    libc = re.match(r"(\d+)\.(\d+)", versions.get("libc6", ""))
    machine = MACHINES.get(content.platform.arch, content.platform.arch)
    known = (int(libc[1]), int(libc[2])) if libc else None
    return Target(python, full[0] if full else f"{python}.0", machine, known)


def _moves(before: Package | None, wheel: Wheel | None) -> bool:
    return wheel is not None and (before is None or before.version != wheel.version)


def _addition(
    recipe: Recipe,
    part: PipPart,
    installed: Mapping[str, Package],
    moved: Mapping[str, Wheel],
    shelf: Shelf,
) -> Addition:
    site = next(iter(installed.values())).where.rpartition("/")[0]
    steps, packages, lines = [], [], []
    for name, wheel in sorted(moved.items()):
        before = installed.get(name)
        steps.append(_step(recipe, before, wheel, moved, shelf))
        packages.append((before, _package(before, wheel, f"{site}/{wheel.folder}")))
        lines.append(f"{name}=={wheel.version} --hash={wheel.file.digest}\n")
    files = tuple(wheel.file for _, wheel in sorted(moved.items()))
    settings = (
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_ROOT_USER_ACTION", "ignore"),
    )
    python = f"{part.environment}/bin/python"
    install = (
        f"{python} -m pip install --no-index --no-deps --no-cache-dir --require-hashes "
        f'--find-links "$REGILD_FILES" -r "$REGILD_FILES/{LISTED}"'
    )
    errand = replace(
        errand_of(recipe, files, settings),
        commands=(("sh", "-ec", install),),
        tests=((python, "-m", "pip", "check"), *recipe.tests),
        changes=(part.environment,),
        texts=(TextFile(LISTED, "".join(lines)),),
    )
    return Addition(tuple(steps), (errand,), packages=tuple(packages))


def _step(
    recipe: Recipe,
    before: Package | None,
    wheel: Wheel,
    moved: Mapping[str, Wheel],
    shelf: Shelf,
) -> Step:
    wanting = sorted(
        one.name
        for one in moved.values()
        if any(_name_of(need) == wheel.name for need in shelf.needs(one))
    )
    why = f"newer in {shelf.place}" if before else f"needed by {', '.join(wanting[:3])}"
    return Step(
        "upgrade" if before else "install",
        wheel.name,
        "",
        before.version if before else "",
        wheel.version,
        type="pypi",
        source=wheel.name,
        source_version=wheel.version,
        method_why=OFFLINE_WHY,
        why=why,
        archive=wheel.file,
        recipe=recipe.name,
    )


def _package(before: Package | None, wheel: Wheel, where: str) -> Package:
    start = before or Package("pypi", wheel.name, "", source=wheel.name)
    url = package_url("pypi", wheel.name, wheel.version)
    facts = {"version": wheel.version, "source_version": wheel.version, "purl": url}
    return replace(start, **facts, where=where)


def _name_of(need: str) -> str:
    try:
        return str(canonicalize_name(Requirement(need).name))
    except InvalidRequirement:
        return ""


# --- what goes together


@dataclass(frozen=True)
class _Candidate:
    """A version of a distribution; without a wheel it is the one that is installed."""

    name: str
    version: Version
    wheel: Wheel | None
    extras: frozenset[str] = frozenset()


def _resolved(
    part: PipPart,
    installed: Mapping[str, Package],
    target: Target,
    shelf: Shelf,
    wishes: Wishes,
    policy: Policy,
) -> dict[str, Wheel]:
    """The wheel of each distribution that is not left at its installed version, by name.

    Raises: Unsolvable, with the conflict in words.
    """
    wanted = {str(canonicalize_name(one)) for one in part.packages} or set(installed)
    roots = [Requirement(one) for one in part.constraints]
    for name, package in sorted(installed.items()):
        fixed = why_left(name, replace(wishes, only=()), policy) is not None
        roots.append(Requirement(f"{name}{'==' if fixed else '>='}{package.version}"))
    roots += [Requirement(name) for name in sorted(wanted - set(installed))]
    provider = _Provider(installed, wanted, target, shelf)
    resolver: Any = Resolver(provider, BaseReporter())  # type: ignore[arg-type]  # asked by shape
    where = f"the environment {part.environment}"
    try:
        found = resolver.resolve(roots, max_rounds=ROUNDS_MAX)
    except ResolutionImpossible as error:
        told = "; ".join(_conflict(one) for one in list(error.causes)[:5])
        raise Unsolvable(where=where, why=told or "nothing offered goes together") from error
    except ResolutionTooDeep as error:
        raise Unsolvable(where=where, why="no answer was found in reasonable time") from error
    return {one.name: one.wheel for one in found.mapping.values() if one.wheel is not None}


def _conflict(cause: Any) -> str:
    wanting = f"{cause.parent.name} {cause.parent.version}" if cause.parent else "the image"
    return f"{wanting} wants {cause.requirement}"


class _Provider:
    """What resolvelib asks: which versions there are, in which order, and what they need."""

    def __init__(
        self,
        installed: Mapping[str, Package],
        wanted: set[str],
        target: Target,
        shelf: Shelf,
    ) -> None:
        self._installed, self._wanted = installed, wanted
        self._target, self._shelf = target, shelf
        self._tags = frozenset(target.tags)
        self._rank = {tag: place for place, tag in enumerate(target.tags)}
        self._known: dict[str, tuple[_Candidate, ...]] = {}

    def identify(self, requirement_or_candidate: Any) -> tuple[str, frozenset[str]]:
        """What a requirement or a candidate is about."""
        one = requirement_or_candidate
        return str(canonicalize_name(one.name)), frozenset(one.extras)

    def get_preference(self, identifier: Any, *rest: Any, **more: Any) -> Any:
        """What is settled first: always in the same order."""
        return identifier[0], sorted(identifier[1])

    def narrow_requirement_selection(self, identifiers: Any, *rest: Any, **more: Any) -> Any:
        """Nothing is preferred beyond that."""
        return identifiers

    def find_matches(
        self, identifier: Any, requirements: Mapping[Any, Iterator[Requirement]], **more: Any
    ) -> list[_Candidate]:
        """The versions that fit, the wished one first."""
        name, extras = identifier
        told = list(requirements[identifier])
        refused = {one.version for one in more["incompatibilities"][identifier]}
        return [
            _Candidate(one.name, one.version, one.wheel, extras)
            for one in self._offered(name)
            if one.version not in refused and all(self._fits(one, need) for need in told)
        ]

    def is_satisfied_by(self, requirement: Requirement, candidate: _Candidate) -> bool:
        """Whether a version is one that is asked for."""
        return self._fits(candidate, requirement)

    def get_dependencies(self, candidate: _Candidate) -> list[Requirement]:
        """What a version needs on this Python; of one that is only installed what is offered of the
        same version says so."""
        wheel = candidate.wheel or self._wheel_of(candidate)
        needs = self._shelf.needs(wheel) if wheel is not None else ()
        found = [one for need in needs if (one := self._asked(need, candidate, wheel)) is not None]
        if candidate.extras:
            found.append(Requirement(f"{candidate.name}=={candidate.version}"))
        return found

    def _asked(self, need: str, candidate: _Candidate, wheel: Wheel | None) -> Requirement | None:
        """A requirement, where it counts on this Python and with the extras that are asked for."""
        where = wheel.file.name if wheel else candidate.name
        try:
            stated = Requirement(need)
            if stated.url:
                raise Malformed(where=where, why=f"it needs an address: {need[:80]!r}")
            extras = candidate.extras or frozenset([""])
            environments = [{**self._target.markers, "extra": one} for one in extras]
            marker = stated.marker
            counts = marker is None or any(map(marker.evaluate, environments))
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
            raise Malformed(where=where, why=f"it needs {need[:80]!r}: {error}") from error
        return stated if counts else None

    def _fits(self, candidate: _Candidate, requirement: Requirement) -> bool:
        return requirement.specifier.contains(candidate.version, prereleases=True)

    def _wheel_of(self, candidate: _Candidate) -> Wheel | None:
        fitting = (one for one in self._shelf.wheels(candidate.name) if not one.yanked)
        return next((one for one in fitting if one.version == str(candidate.version)), None)

    def _offered(self, name: str) -> tuple[_Candidate, ...]:
        """All versions that this Python can have: the newest first, or, where nobody asked for a
        newer one, the installed one first."""
        if name in self._known:
            return self._known[name]
        before = self._installed.get(name)
        here = _version(before.version) if before else None
        early = here is not None and here.is_prerelease
        best: dict[Version, Wheel] = {}
        for wheel in self._shelf.wheels(name):
            version = Version(wheel.version)
            if not self._runs(wheel) or (version.is_prerelease and not early):
                continue
            if version not in best or self._place(wheel) < self._place(best[version]):
                best[version] = wheel
        rows = [_Candidate(name, version, wheel) for version, wheel in best.items()]
        rows = [one for one in rows if one.version != here]
        if here is not None:
            rows.append(_Candidate(name, here, None))
        keeps = name not in self._wanted
        rows.sort(key=lambda one: (keeps and one.version == here, one.version), reverse=True)
        self._known[name] = tuple(rows)
        return self._known[name]

    def _runs(self, wheel: Wheel) -> bool:
        if wheel.yanked or not self._tags.intersection(wheel.tags):
            return False
        try:
            asked = SpecifierSet(wheel.requires_python)
        except InvalidSpecifier:
            return False
        return asked.contains(self._target.full, prereleases=True)

    def _place(self, wheel: Wheel) -> tuple[int, str]:
        return min(self._rank[tag] for tag in wheel.tags if tag in self._rank), wheel.file.name


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
