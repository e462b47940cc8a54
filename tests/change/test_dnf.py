"""What a plan compiles to for a guest of rpm, and the index that its dnf is shown."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from regild.change.dnf import compile_plan, write_index
from regild.change.family import check_carrier
from regild.errors import UnsupportedError
from regild.feeds.rpm_entry import primary_entry
from regild.feeds.rpm_file import open_package
from regild.host.files import digest_file
from regild.model.content import Planning, TextFile
from regild.model.digest import Digest
from regild.model.plan import Archive, Plan, Step
from tests.feeds.rpm_repositories import Rpm, build, needs_createrepo

NOTHING = Digest("sha256:" + "0" * 64)
COMMON = "{http://linux.duke.edu/metadata/common}"
RPM = "{http://linux.duke.edu/metadata/rpm}"
KEPT = "/etc/dnf/dnf.conf"

RPMS = (
    Rpm("plain", "1.0", files=("/usr/share/plain/doc", "/etc/plain.conf", "/usr/bin/plain")),
    Rpm(
        "wordy",
        "2.0~rc1",
        "3.fc39",
        epoch=4,
        arch="x86_64",
        lines=(
            "Requires: plain >= 1.0, other < 3:2-1, /usr/bin/plain",
            "Requires(pre): early = 5",
            "Requires: (this if that)",
            "Provides: spoken = 7, bundled(x) = 1:2-3",
            "Conflicts: enemy <= 2",
            "Obsoletes: older < 9-9",
            "Recommends: nice",
            "Suggests: maybe > 1",
            "Supplements: thing",
            "Enhances: stuff",
        ),
    ),
)


def steps_of(paths: list[Path]) -> tuple[Step, ...]:
    steps = []
    for rpm, path in zip(RPMS, paths, strict=True):
        archive = Archive("x", path.name, digest_file(path), path.stat().st_size)
        steps.append(
            Step("upgrade", rpm.name, rpm.arch, "0-1", rpm.evr, type="rpm", archive=archive)
        )
    return tuple(steps)


def plan_of(*steps: Step, mode: str = "upgrade", carrier: str = "record") -> Plan:
    return Plan(NOTHING, NOTHING, "disk", mode, steps, carrier=carrier)  # type: ignore[arg-type]  # both are words of a plan


@needs_createrepo
def test_the_index_says_what_createrepo_says(tmp_path: Path) -> None:
    paths = build(RPMS)
    plan = plan_of(*steps_of(paths))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    entries = {digest_file(path): primary_entry(open_package(path)) for path in paths}
    write_index(ours, plan, entries, Planning())
    for path in paths:
        (theirs / path.name).write_bytes(path.read_bytes())
    packing = ["--no-database", "--simple-md-filenames", "--general-compress-type=gz"]
    subprocess.run(["createrepo_c", "-q", *packing, str(theirs)], check=True)
    subprocess.run(["gunzip", str(theirs / "repodata/primary.xml.gz")], check=True)
    told, known = read(ours / "repodata/primary.xml"), read(theirs / "repodata/primary.xml")
    assert told.keys() == known.keys()
    for name, one in known.items():
        mine = told[name]
        assert mine["files"] >= one["files"]
        assert {**mine, "files": 0} == {**one, "files": 0}


def read(path: Path) -> dict[str, dict[str, object]]:
    """By package, what a solver goes by."""
    found = {}
    for package in ElementTree.parse(path).getroot():
        checksum, version = package.find(f"{COMMON}checksum"), package.find(f"{COMMON}version")
        form = package.find(f"{COMMON}format")
        assert checksum is not None
        assert version is not None
        assert form is not None
        relations = {
            field.tag: {tuple(sorted(one.items())) for one in field}
            for field in form
            if field.tag.startswith(RPM) and len(field)
        }
        found[package.findtext(f"{COMMON}name", "")] = {
            "arch": package.findtext(f"{COMMON}arch"),
            "version": version.attrib,
            "checksum": (checksum.get("type"), checksum.text),
            "files": {one.text for one in form.iter(f"{COMMON}file")},
            **relations,
        }
    return found


def test_settings_that_decided_the_plan_hold_and_others_do_not(tmp_path: Path) -> None:
    text = "installonly_limit=5\nexcludepkgs=bash\nprotected_packages=dnf\ngpgcheck=1\n"
    write_index(tmp_path, plan_of(), {}, Planning("rpm", settings=(TextFile(KEPT, text),)))
    lines = (tmp_path / "dnf.conf").read_text().splitlines()
    assert {"installonly_limit=5", "protected_packages=dnf", "plugins=0"} <= set(lines)
    assert not any(line.startswith("excludepkgs") or line == "gpgcheck=1" for line in lines)


def test_a_removal_is_by_full_name_and_only_what_is_planned_goes() -> None:
    gone = Step("remove", "old", "noarch", "1:2-3", type="rpm")
    upgrade, remove, verify = compile_plan(plan_of(Step("upgrade", "a", "", type="rpm"), gone))
    assert upgrade.argv[-2:] == ("upgrade", "--allowerasing")
    assert remove.argv[-3:] == ("remove", "--noautoremove", "old-1:2-3.noarch")
    assert (verify.argv[0], verify.quiet) == ("rpmdb", True)
    assert compile_plan(plan_of(Step("upgrade", "a", "", type="rpm")))[0].argv[-1] == "upgrade"


def test_a_carrier_that_is_not_for_rpm_is_refused_in_words() -> None:
    step = Step("upgrade", "kernel", "x86_64", type="rpm")
    with pytest.raises(UnsupportedError, match="not changed by the carrier uml"):
        check_carrier(plan_of(step, carrier="uml"))
    check_carrier(plan_of(step, carrier="boot"))
    check_carrier(plan_of(step))
