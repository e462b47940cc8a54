"""Environments of Python: exact wheels that go together, as pip itself would choose them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import Unsolvable
from regild.feeds.policy import SitePolicy
from regild.feeds.wheels import Wheels
from regild.model.content import Content, Package, Planning, Platform
from regild.model.digest import sha256_of
from regild.model.progress import Silent
from regild.model.recipe import PipPart, Recipe
from regild.plan.pip import Target, plan_environment
from regild.plan.recipes import Addition, bare_plan, with_additions
from regild.plan.steps import ANYTHING
from regild.plan.wishes import Policy, Wishes
from tests.feeds.wheels import build_wheel

SITE = "/opt/web/lib/python3.11/site-packages"


def content(**installed: str) -> Content:
    """A guest with an environment that holds these versions."""
    packages = [
        Package("deb", "libc6", "2.36-9+deb12u10"),
        Package("deb", "python3.11", "3.11.2-6"),
    ]
    packages += [
        Package("pypi", name, version, where=f"{SITE}/{name}-{version}.dist-info")
        for name, version in installed.items()
    ]
    other = Package("pypi", "acme", "0.1", where="/srv/x/lib/python3.11/site-packages/acme-0.1.x")
    planning = Planning("deb", architectures=("amd64",))
    return Content(Platform(arch="amd64"), (*packages, other), planning=planning)


def planned(
    folder: Path,
    found: Content,
    *packages: str,
    constraints: tuple[str, ...] = (),
    wishes: Wishes | None = None,
    policy: Policy = ANYTHING,
) -> Addition:
    part = PipPart("/opt/web", packages, constraints, "wheels")
    recipe = Recipe("web", sha256_of(b""), "site", str(folder), pip=part)
    (folder / "cache").mkdir(exist_ok=True)
    shelf = Wheels(recipe, part.index, SitePolicy(), folder / "cache", Silent())
    return plan_environment(recipe, part, found, shelf, wishes or Wishes(), policy)


def moves(addition: Addition) -> list[tuple[str, str, str, str]]:
    return [(one.action, one.name, one.was, one.becomes) for one in addition.steps]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    build_wheel(folder, "acme", "1.0", "lib>=1")
    build_wheel(folder, "acme", "2.0", "lib>=2", "extra-lib; python_version >= '3.10'")
    build_wheel(folder, "acme", "2.1b1")
    build_wheel(folder, "lib", "1.0")
    build_wheel(folder, "lib", "2.0")
    build_wheel(folder, "lib", "3.0", python=">=3.12")
    build_wheel(folder, "extra-lib", "0.5")
    build_wheel(folder, "extra-lib", "0.6", "colour; sys_platform == 'win32'")
    build_wheel(folder, "side", "1.0")
    build_wheel(folder, "side", "1.1")
    return tmp_path


def test_the_newest_that_goes_together_with_exact_versions_and_digests(wheels: Path) -> None:
    found = content(acme="1.0", lib="1.0", side="1.0")
    added = planned(wheels, found)
    assert moves(added) == [
        ("upgrade", "acme", "1.0", "2.0"),
        ("install", "extra-lib", "", "0.6"),
        ("upgrade", "lib", "1.0", "2.0"),
        ("upgrade", "side", "1.0", "1.1"),
    ]
    assert [one.why for one in added.steps] == [
        "newer in wheels",
        "needed by acme",
        "newer in wheels",
        "newer in wheels",
    ]
    for step in added.steps:
        assert step.archive is not None
        path = next((wheels / "wheels").glob(step.archive.name))
        assert step.archive.digest == sha256_of(path.read_bytes())
    (errand,) = added.errands
    listed = errand.texts[0].text.splitlines()
    assert listed[0] == f"acme==2.0 --hash={added.steps[0].archive.digest}"  # type: ignore[union-attr]  # checked above
    assert "--require-hashes" in errand.commands[0][2]
    assert errand.tests == (("/opt/web/bin/python", "-m", "pip", "check"),)
    assert errand.changes == ("/opt/web",)


def test_what_must_be_observed_is_part_of_the_plan(wheels: Path) -> None:
    found = content(acme="1.0", lib="1.0")
    plan = with_additions(bare_plan(found), found, [planned(wheels, found)], ANYTHING)
    python = [(one.name, one.version, one.where) for one in plan.expected if one.type == "pypi"]
    assert python == [
        ("acme", "0.1", "/srv/x/lib/python3.11/site-packages/acme-0.1.x"),
        ("acme", "2.0", f"{SITE}/acme-2.0.dist-info"),
        ("extra-lib", "0.6", f"{SITE}/extra_lib-0.6.dist-info"),
        ("lib", "2.0", f"{SITE}/lib-2.0.dist-info"),
    ]
    after = replace(found, packages=plan.expected)
    assert planned(wheels, after) == Addition()


def test_only_what_is_named_and_what_that_needs(wheels: Path) -> None:
    found = content(acme="1.0", lib="1.0", side="1.0")
    assert [one.name for one in planned(wheels, found, "acme").steps] == [
        "acme",
        "extra-lib",
        "lib",
    ]
    assert moves(planned(wheels, found, "lib")) == [("upgrade", "lib", "1.0", "2.0")]
    assert moves(planned(wheels, found, "side", "extra-lib"))[0][:2] == ("install", "extra-lib")


def test_wishes_and_policy_hold_single_packages_and_all(wheels: Path) -> None:
    found = content(acme="1.0", lib="1.0", side="1.0")
    held = planned(wheels, found, wishes=Wishes(hold=("lib",)))
    assert moves(held) == [("upgrade", "side", "1.0", "1.1")]
    whole = planned(wheels, found, policy=Policy(holds=("web",)))
    assert (whole.steps, whole.skipped[0].name) == ((), "web")
    secure = planned(wheels, found, wishes=Wishes(mode="security"))
    assert (secure.steps, len(secure.skipped)) == ((), 1)


def test_constraints_and_conflicts(wheels: Path) -> None:
    found = content(acme="1.0", lib="1.0")
    assert moves(planned(wheels, found, constraints=("acme<2",))) == [
        ("upgrade", "lib", "1.0", "2.0")
    ]
    with pytest.raises(Unsolvable, match="lib"):
        planned(wheels, found, constraints=("acme>=2", "lib<2"))


def test_an_environment_that_is_not_known_is_said(wheels: Path) -> None:
    found = content()
    assert "no packages of Python are known" in planned(wheels, found).skipped[0].why


def test_nothing_goes_back(tmp_path: Path) -> None:
    build_wheel(tmp_path / "wheels", "acme", "1.0")
    assert planned(tmp_path, content(acme="1.5")) == Addition()


def test_extras_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    build_wheel(folder, "acme", "2.0", "lib[fast]>=1")
    build_wheel(folder, "lib", "1.0", "quick; extra == 'fast'", extras=("fast",))
    build_wheel(folder, "quick", "0.1")
    found = planned(tmp_path, content(acme="1.0"))
    assert [one.name for one in found.steps] == ["acme", "lib", "quick"]


def test_tags_are_those_of_the_guest() -> None:
    tags = Target("3.11", "3.11.2", "x86_64", (2, 36)).tags
    assert tags[0] == "cp311-cp311-manylinux_2_36_x86_64"
    assert {"cp311-abi3-manylinux2014_x86_64", "py3-none-any", "cp38-abi3-linux_x86_64"} <= {*tags}
    assert not any("manylinux_2_37" in one or "aarch64" in one for one in tags)


@pytest.mark.parametrize("seed", range(4))
def test_random_worlds_are_solved_as_pip_solves_them(tmp_path: Path, seed: int) -> None:
    """The oracle: this machine's own pip, asked what it would install of everything."""
    dice = random.Random(seed)
    names = ["alpha", "beta", "gamma", "delta", "omega"]
    for place, name in enumerate(names):
        for version in range(1, 4):
            needs = [
                f"{other}>={dice.randint(1, 2)}" + (",<3" if dice.random() < 0.3 else "")
                for other in names[place + 1 :]
                if dice.random() < 0.4
            ]
            build_wheel(tmp_path / "wheels", name, f"{version}.0", *needs)
    asked = names[:2]
    line = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    line += ["--no-index", "--find-links", str(tmp_path / "wheels"), "--report", "-", *asked]
    said = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    if said.returncode and "No module named pip" in said.stderr:
        pytest.skip("this Python has no pip to compare with")
    found = content(zero="1.0")
    build_wheel(tmp_path / "wheels", "zero", "1.0")
    if said.returncode:
        with pytest.raises(Unsolvable):
            planned(tmp_path, found, *asked)
        return
    told = json.loads(said.stdout)["install"]
    theirs = {one["metadata"]["name"]: one["metadata"]["version"] for one in told}
    assert {one.name: one.becomes for one in planned(tmp_path, found, *asked).steps} == theirs
