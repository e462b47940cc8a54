"""Transactions of rpm guests are those of dnf itself."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from regild.model.plan import Mode
from regild.plan.rpm.gone import LIMIT_WHY
from tests.feeds.rpm_repositories import Rpm, advisory, needs_createrepo, updateinfo
from tests.plan.rpm_worlds import Repo, World, make, needs_dnf, of_dnf, of_ours, solved

pytestmark = [needs_dnf, needs_createrepo]


def one(*rpms: Rpm, **more: str) -> dict[str, Repo]:
    return {"updates": Repo(rpms, **more)}


def kernel(version: str) -> Rpm:
    return Rpm("kernel", version, lines=("Provides: installonlypkg(kernel)",))


A1, A2, A3 = (Rpm("a", version) for version in "123")
B1, B2 = (Rpm("b", version) for version in "12")
X = Rpm("x", files=("/usr/share/x/data",))
MODULES = """---
document: modulemd
version: 2
data:
  name: m
  stream: "{0}"
  version: {1}
  context: c0ffee
  arch: x86_64
  summary: s
  description: d
  license: {{module: [MIT]}}
  dependencies:
  - {{requires: {{platform: []}}}}
  artifacts:
    rpms: [{2}]
...
"""
DEFAULTS = """---
document: modulemd-defaults
version: 1
data:
  module: m
  stream: "{0}"
...
"""

WORLDS = {
    "upgrade": World([A1, B1], one(A2, B1)),
    "nothing to do": World([A2], one(A1, A2)),
    "the newest of several": World([A1], one(A2, A3)),
    "a new dependency": World([A1], one(Rpm("a", "2", lines=("Requires: new >= 1",)), Rpm("new"))),
    "a dependency that cannot be had": World(
        [A1, B1], one(Rpm("a", "2", lines=("Requires: nowhere",)), B2)
    ),
    "the best that can be had": World([A1], one(A2, Rpm("a", "3", lines=("Requires: nowhere",)))),
    "best or nothing": World(
        [A1], one(A2, Rpm("a", "3", lines=("Requires: nowhere",))), conf="best=True\n"
    ),
    "security alone": World(
        [A1, B1],
        one(A2, B2, updateinfo=updateinfo(advisory("S", [A2]), advisory("B", [B2], "bugfix"))),
        mode="security",
    ),
    "security and what is newer": World(
        [A1], one(A2, A3, updateinfo=updateinfo(advisory("S", [A2]))), mode="security"
    ),
    "security and what it needs": World(
        [A1, B1],
        one(
            Rpm("a", "2", lines=("Requires: b >= 2",)),
            B2,
            updateinfo=updateinfo(advisory("S", [A2])),
        ),
        mode="security",
    ),
    "no security": World([A1], one(A2, updateinfo=updateinfo()), mode="security"),
    "security that is installed already": World(
        [A2, B1], one(A2, A3, B2, updateinfo=updateinfo(advisory("S", [A2]))), mode="security"
    ),
    "obsoletes": World(
        [A1, B1], one(Rpm("next", "1", lines=("Obsoletes: a < 2", "Provides: a = 2")), B2)
    ),
    "a split by obsoletes": World(
        [A1], one(A2, Rpm("part", "2", lines=("Obsoletes: a < 2",)))
    ),
    "obsoletes of what is not that old": World(
        [A2], one(Rpm("next", "1", lines=("Obsoletes: a < 2",)))
    ),
    "a conflict": World([A1, B1], one(Rpm("a", "2", lines=("Conflicts: b < 2",)))),
    "a conflict that an update removes": World(
        [A1, B1], one(Rpm("a", "2", lines=("Conflicts: b < 2",)), B2)
    ),
    "a conflict in full": World(
        [A1, B1], one(Rpm("a", "2", lines=("Conflicts: b",))), mode="full"
    ),
    "a conflict in full, best": World(
        [A1, B1], one(Rpm("a", "2", lines=("Conflicts: b",))), mode="full", conf="best=1\n"
    ),
    "a conflict with what is protected": World(
        [A1, B1],
        one(Rpm("a", "2", lines=("Conflicts: b",))),
        mode="full",
        files={"etc/dnf/protected.d/b.conf": "b\n"},
    ),
    "obsoletes of what is protected": World(
        [A1],
        one(Rpm("next", "1", lines=("Obsoletes: a < 2",))),
        files={"etc/dnf/protected.d/a.conf": "a\n"},
    ),
    "excludes": World([A1, B1], one(A2, B2), conf="exclude=b*\n"),
    "excludes of a version": World([A1], one(A2, A3), conf="excludepkgs=a-3-1,other\n"),
    "excludes of a repository": World(
        [A1, B1], {"x": Repo([A2, B2], options={"excludepkgs": "a"}), "y": Repo([B1])}
    ),
    "includes": World([A1, B1], one(A2, B2), conf="includepkgs=a\n"),
    "installonly": World([kernel("1"), A1], one(kernel("2"), kernel("3"), A2)),
    "installonly over the limit": World(
        [kernel("1"), kernel("2"), kernel("3")], one(kernel("4")), conf="installonly_limit=3\n"
    ),
    "installonly over a limit of two": World(
        [kernel("1"), kernel("2"), kernel("3")], one(kernel("4")), conf="installonly_limit=2\n"
    ),
    "installonly below what is installed": World(
        [kernel("1"), kernel("3")], one(kernel("2"))
    ),
    "a weak dependency": World(
        [A1], one(Rpm("a", "2", lines=("Recommends: w",)), Rpm("w"))
    ),
    "no weak dependencies": World(
        [A1],
        one(Rpm("a", "2", lines=("Recommends: w",)), Rpm("w")),
        conf="install_weak_deps=False\n",
    ),
    "a weak dependency that is missed already": World(
        [Rpm("a", "1", lines=("Recommends: w",))],
        one(Rpm("a", "2", lines=("Recommends: w",)), Rpm("w")),
    ),
    "a supplement": World(
        [A1], one(A2, Rpm("s", lines=("Supplements: a",)))
    ),
    "security by obsoletes": World(
        [A1],
        one(
            next_a := Rpm("next", "1", lines=("Obsoletes: a < 2",)),
            updateinfo=updateinfo(advisory("S", [next_a])),
        ),
        mode="security",
    ),
    "obsoletes of what is excluded": World(
        [A1, B1], one(Rpm("next", "1", lines=("Obsoletes: a < 2",)), B2), conf="exclude=a\n"
    ),
    "a rich dependency": World(
        [A1, B1], one(Rpm("a", "2", lines=("Requires: (x if b)",)), Rpm("x"), Rpm("y"))
    ),
    "a rich dependency that does not apply": World(
        [A1], one(Rpm("a", "2", lines=("Requires: (x if b)",)), Rpm("x"))
    ),
    "an epoch": World([Rpm("a", "9")], one(Rpm("a", "1", epoch=1), Rpm("a", "10"))),
    "a tilde and a caret": World(
        [Rpm("a", "1.0~rc1"), Rpm("b", "1.0")], one(Rpm("a", "1.0"), Rpm("b", "1.0^git1"))
    ),
    "multilib": World(
        [Rpm("a", "1", arch="x86_64"), Rpm("a", "1", arch="i686")],
        one(Rpm("a", "2", arch="x86_64"), Rpm("a", "2", arch="i686")),
    ),
    "one of two architectures": World(
        [Rpm("a", "1", arch="x86_64")],
        one(Rpm("a", "2", arch="x86_64"), Rpm("a", "3", arch="i686")),
    ),
    "a change of architecture": World(
        [Rpm("a", "1", arch="x86_64")], one(Rpm("a", "2", arch="noarch"))
    ),
    "from any architecture to one": World(
        [Rpm("a", "1", arch="noarch")], one(Rpm("a", "2", arch="x86_64"))
    ),
    "a change of vendor": World(
        [Rpm("a", "1", lines=("Vendor: one",))], one(Rpm("a", "2", lines=("Vendor: two",)))
    ),
    "no change of vendor": World(
        [Rpm("a", "1", lines=("Vendor: one",))],
        one(Rpm("a", "2", lines=("Vendor: two",))),
        conf="allow_vendor_change=False\n",
    ),
    "priorities": World(
        [A1],
        {"far": Repo([A3], options={"priority": "99"}),
         "near": Repo([A2], options={"priority": "10"})},
    ),
    "a file that is needed": World(
        [A1], one(Rpm("a", "2", lines=("Requires: /usr/bin/tool",)),
                  Rpm("tool", files=("/usr/bin/tool",))),
    ),
    "a file that is there": World(
        [A1, Rpm("tool", files=("/usr/bin/tool",))],
        one(Rpm("a", "2", lines=("Requires: /usr/bin/tool",)),
            Rpm("other", files=("/usr/bin/tool",))),
    ),
    "a file outside of the index": World(
        [A1], one(Rpm("a", "2", lines=("Requires: /usr/share/x/data",)),
                  Rpm("x", files=("/usr/share/x/data",)), Rpm("y", files=("/usr/share/y",))),
    ),
    "a file outside of the index that nobody has": World(
        [A1, B1], one(Rpm("a", "2", lines=("Requires: /usr/share/x/data",)), B2),
    ),
    "a file outside of the index that an installed package has": World(
        [A1, X],
        one(Rpm("a", "2", lines=("Requires: /usr/share/x/data",)), X,
            Rpm("z", files=("/usr/share/x/data",))),
    ),
    "a file outside of the index that what is needed needs": World(
        [A1], one(Rpm("a", "2", lines=("Requires: n",)),
                  Rpm("n", lines=("Requires: /usr/share/x/data",)), X),
    ),
    "a file outside of the index for what obsoletes": World(
        [A1], one(Rpm("next", lines=("Obsoletes: a < 2", "Requires: /usr/share/x/data")), X),
    ),
    "a file outside of the index that is recommended": World(
        [A1], one(Rpm("a", "2", lines=("Recommends: /usr/share/x/data",)), X),
    ),
    "a conflict with a file outside of the index": World(
        [A1, X], one(Rpm("a", "2", lines=("Conflicts: /usr/share/x/data",)), X),
    ),
    "a file outside of the index, best": World(
        [A1], one(A2, Rpm("a", "3", lines=("Requires: /usr/share/x/data",)), X), conf="best=1\n"
    ),
    "a file outside of the index in another repository": World(
        [A1], {"near": Repo([Rpm("a", "2", lines=("Requires: /usr/share/x/data",))]),
               "far": Repo([X])},
    ),
    "an orphan in the way": World(
        [A1, Rpm("orphan", lines=("Requires: a = 1",))], one(A2)
    ),
    "a module that is not enabled": World(
        [A1, B1],
        one(A2, B2, modules=MODULES.format(1, 1, "a-0:2-1.noarch")),
        conf="module_platform_id=platform:f39\n",
    ),
    "a module that is enabled": World(
        [A1, B1],
        one(A2, A3, B2, modules=MODULES.format(1, 1, "a-0:2-1.noarch")),
        conf="module_platform_id=platform:f39\n",
        files={"etc/dnf/modules.d/m.module": "[m]\nname=m\nstream=1\nprofiles=\nstate=enabled\n"},
    ),
    "a default stream": World(
        [A1],
        one(A2, A3, modules=MODULES.format(1, 1, "a-0:2-1.noarch") + DEFAULTS.format(1)),
        conf="module_platform_id=platform:f39\n",
    ),
    "another stream than the default": World(
        [A1],
        one(
            A2,
            A3,
            modules=MODULES.format(1, 1, "a-0:2-1.noarch")
            + MODULES.format(2, 1, "a-0:3-1.noarch")
            + DEFAULTS.format(1),
        ),
        conf="module_platform_id=platform:f39\n",
        files={"etc/dnf/modules.d/m.module": "[m]\nname=m\nstream=2\nprofiles=\nstate=enabled\n"},
    ),
    "a newer build of a stream": World(
        [A1],
        one(
            A2,
            A3,
            modules=MODULES.format(1, 2, "a-0:2-1.noarch")
            + MODULES.format(1, 1, "a-0:3-1.noarch"),
        ),
        conf="module_platform_id=platform:f39\n",
        files={"etc/dnf/modules.d/m.module": "[m]\nname=m\nstream=1\nprofiles=\nstate=enabled\n"},
    ),
    "hotfixes beside a module": World(
        [A1],
        {
            "modular": Repo([A2], modules=MODULES.format(1, 1, "a-0:2-1.noarch")),
            "hot": Repo([A3], options={"module_hotfixes": "1"}),
        },
        conf="module_platform_id=platform:f39\n",
        files={"etc/dnf/modules.d/m.module": "[m]\nname=m\nstream=1\nprofiles=\nstate=enabled\n"},
    ),
}  # fmt: skip


QUICK = 26
"""As many worlds, of every kind, are tried by the fast tests."""


def _picked() -> list[object]:
    """Every world; those that the fast tests leave out are marked."""
    names = sorted(WORLDS, key=lambda name: hashlib.sha256(name.encode()).digest())
    slow = pytest.mark.slow
    return [
        pytest.param(name, marks=[slow] if place >= QUICK else [])
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize("name", _picked())
def test_the_transaction_is_that_of_dnf(name: str, tmp_path: Path) -> None:
    world = WORLDS[name]
    root = make(tmp_path, world)
    theirs = of_dnf(root, world.mode)
    assert of_ours(root, world.mode) == theirs


NAMES = "abcdefgh"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("obsoletes", {"a": "next takes its place"}),
        ("a conflict in full, best", {"b": "a excludes it"}),
        ("installonly over the limit", {"kernel": LIMIT_WHY}),
    ],
)
def test_what_goes_says_why(name: str, expected: dict[str, str], tmp_path: Path) -> None:
    world = WORLDS[name]
    transaction = solved(make(tmp_path, world), world.mode)
    gone = {move.name for move in transaction.moves if move.action == "remove"}
    assert {name: transaction.reasons[name] for name in gone} == expected


def random_world(chance: random.Random) -> World:
    """A guest of some of eight packages, and newer ones with relations at random."""

    def relations() -> tuple[str, ...]:
        lines = []
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            kind = chance.choice(("Requires", "Requires", "Recommends", "Conflicts", "Supplements"))
            bound = chance.choice(("", " >= 2", " < 3", " <= 1", " = 2"))
            lines.append(f"{kind}: {chance.choice(NAMES)}{bound}")
        if chance.random() < 0.15:
            lines.append(f"Obsoletes: {chance.choice(NAMES)} < 2")
        if chance.random() < 0.2:
            lines.append(f"Provides: {chance.choice(NAMES)} = {chance.randint(1, 3)}")
        return tuple(lines)

    installed = [Rpm(name) for name in chance.sample(NAMES, chance.randint(3, 7))]
    offers = [
        Rpm(name, str(version), lines=relations())
        for name in NAMES
        for version in (2, 3)
        if chance.random() < 0.7
    ]
    named = chance.sample(offers, min(3, len(offers)))
    notices = updateinfo(
        *(advisory(f"A{place}", [one], chance.choice(("security", "security", "bugfix")))
          for place, one in enumerate(named))
    )  # fmt: skip
    conf = chance.choice(("", "", "best=1\n", "install_weak_deps=0\n", "exclude=a\n"))
    mode: Mode = chance.choice(("upgrade", "upgrade", "security", "full"))
    return World(installed, one(*offers, updateinfo=notices), conf=conf, mode=mode)


WORLDS_AT_RANDOM, ALIKE = 100, 95
"""These worlds are full of packages that exclude each other. Where several outcomes are as good,
the order in which libsolv tries them decides, and its versions differ in that."""


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_transactions_of_random_worlds_are_nearly_all_those_of_dnf(tmp_path: Path) -> None:
    alike = 0
    for seed in range(WORLDS_AT_RANDOM):
        world = random_world(random.Random(seed))
        root = make(tmp_path / str(seed), world)
        alike += of_ours(root, world.mode) == of_dnf(root, world.mode)
    assert alike >= ALIKE
