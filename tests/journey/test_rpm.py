"""A guest of rpm: planned, changed by its own dnf, proven, and the same as in a chroot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from regild.change.dnf import ENVIRONMENT, FOLDERS, compile_plan
from regild.model.json import from_json
from regild.model.plan import Plan
from tests.change.rpm_apps import Golden, find_golden
from tests.feeds.rpm_repositories import needs_createrepo
from tests.journey.machine import Traces, digest, regild, settled
from tests.journey.peers import differences, mounted, tree_of, upgrade_in_chroot
from tests.journey.test_kill import Killing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    needs_createrepo,
    pytest.mark.skipif(shutil.which("dnf") is None, reason="dnf is not installed here"),
]

OWN = (
    "/var/log/",
    "/var/cache/",
    "/var/lib/dnf/",
    "/usr/lib/sysimage/rpm/",
    "/tmp/",
    "/run/",
    "/dev/",
    "/etc/.pwd.lock",
)
"""Logs, caches, databases that hold the time of the change, what belongs to a running machine."""


@pytest.fixture(scope="module")
def golden() -> Golden:
    return find_golden()


class Trip:
    """One guest on its way."""

    def __init__(self, golden: Golden, folder: Path) -> None:
        self.golden, self.folder = golden, folder
        self.image, self.out = folder / "golden.raw", folder / "out.raw"
        subprocess.run(["cp", "--sparse=always", golden.image, self.image], check=True)
        self.feeds = ("--offline", golden.mirror, "--cache", folder / "cache")

    def plan(self, image: Path, *options: object, code: int = 10) -> Plan:
        answer = regild("plan", image, *self.feeds, *options, code=code)
        return from_json(Plan, to_text(answer))

    def update(self, *options: object, code: int = 0) -> dict[str, object]:
        jobs = ("--scratch", self.folder / "jobs")
        return regild("update", self.image, "-o", self.out, *self.feeds, *jobs, *options, code=code)


def to_text(answer: dict[str, object]) -> str:
    import json

    return json.dumps(answer)


def names(answer: dict[str, object]) -> set[str]:
    steps = answer["upgraded"]
    assert isinstance(steps, list)
    return {step["name"] for step in steps}


@pytest.mark.root
def test_an_update_is_proven_and_the_same_as_in_a_chroot(golden: Golden, tmp_path: Path) -> None:
    trip = Trip(golden, tmp_path)
    before = digest(trip.image)
    plan = trip.plan(trip.image)
    answer = trip.update("--keep-job")
    assert names(answer) == {"extra", "libdemo", "newdocs", "olddocs", "vuln", "watch", "web"}
    assert digest(trip.image) == before
    receipt = answer["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["carrier"] == "record"
    assert {"no scriptlet failed", "rpmdb --verifydb finds nothing"} <= set(receipt["checks"])
    assert "every file of the plan's packages is as its package file has it" in receipt["checks"]
    assert [one["where"] for one in receipt["unchecked"]] == ["applications", "sums"]

    after = trip.plan(trip.out, code=11)  # what is tied to an old package stays back
    assert after.steps == ()
    assert [one.name for one in after.skipped] == ["tied"]

    raw = tmp_path / "chroot.raw"
    subprocess.run(["cp", "--sparse=always", golden.image, raw], check=True)
    (repository,) = (tmp_path / "jobs").glob("*/repository")
    commands = compile_plan(plan)
    upgrade_in_chroot(raw, repository, commands, ENVIRONMENT, tmp_path / "mount", FOLDERS)
    assert differences(tree_of(raw, OWN), tree_of(trip.out, OWN)) == []
    assert trip.plan(raw, code=11).expected == after.expected


POLICY = """\
/usr(/.*)?\tsystem_u:object_r:usr_t:s0
/usr/bin/vuln\t--\tsystem_u:object_r:vuln_exec_t:s0
/usr/lib/sysimage/rpm(/.*)?\tsystem_u:object_r:rpm_var_lib_t:s0
"""
OLD_LABEL = b"system_u:object_r:old_t:s0\0"


def give_policy(mount: Path) -> None:
    """SELinux in force, and a label that the site gave."""
    place = mount / "etc/selinux/targeted/contexts/files"
    place.mkdir(parents=True)
    (place / "file_contexts").write_text(POLICY)
    (mount / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    os.setxattr(mount / "usr/share/web/a", "security.selinux", OLD_LABEL)


def label_of(found: tuple[object, ...]) -> bytes:
    attributes = dict(found[-1])  # type: ignore[call-overload]  # the last of a path's facts
    label = attributes.get("security.selinux", b"")
    assert isinstance(label, bytes)
    return label.rstrip(b"\0")


@pytest.mark.root
def test_wishes_hold_and_changed_paths_have_labels(golden: Golden, tmp_path: Path) -> None:
    trip = Trip(golden, tmp_path)
    with mounted(trip.image, tmp_path / "mount"):
        give_policy(tmp_path / "mount")
    answer = trip.update("--hold", "web", "--exclude", "watch")
    assert names(answer) == {"libdemo", "newdocs", "olddocs", "vuln"}
    tree = tree_of(trip.out, ())
    labels = {path: label_of(found) for path, found in tree.items()}
    assert labels["/usr/bin/vuln"] == b"system_u:object_r:vuln_exec_t:s0"
    assert labels["/usr/share/newdocs"] == b"system_u:object_r:usr_t:s0"
    assert labels["/usr/lib64/libattr.so.1"] == b"system_u:object_r:usr_t:s0"
    assert labels["/usr/lib/sysimage/rpm/rpmdb.sqlite"].endswith(b":rpm_var_lib_t:s0")
    assert labels["/usr/share/web/a"] == OLD_LABEL.rstrip(b"\0")
    assert labels["/usr/bin/bash"] == b""  # nobody touched it
    assert "/.autorelabel" not in tree
    trip.image, trip.out = trip.out, tmp_path / "again.raw"
    assert trip.plan(trip.image, "--mode", "security", code=0).steps == ()


def test_security_alone_brings_what_an_advisory_names(golden: Golden, tmp_path: Path) -> None:
    trip = Trip(golden, tmp_path)
    answer = trip.update("--mode", "security")
    assert names(answer) == {"vuln"}
    (step,) = answer["upgraded"]  # type: ignore[misc]  # JSON
    assert step["fixes"] == ["CVE-2026-1234"]


@pytest.mark.root
def test_a_scriptlet_that_fails_is_not_passed_over(golden: Golden, tmp_path: Path) -> None:
    """rpm itself goes on, and dnf ends with 0."""
    trip = Trip(golden, tmp_path)
    with mounted(trip.image, tmp_path / "mount"):
        (tmp_path / "mount/var/lib/web/state").unlink()
        (tmp_path / "mount/var/lib/web/state").mkdir()
    error = trip.update(code=8)["error"]
    assert isinstance(error, dict)
    assert error["kind"] == "GuestCommandFailed"
    assert "web" in error["sentence"]
    assert not trip.out.exists()
    assert settled(tmp_path) == Traces((), (), ())


def test_a_killed_update_leaves_everything_as_it_was(golden: Golden, tmp_path: Path) -> None:
    options = ("--offline", golden.mirror, "--cache", tmp_path / "cache")
    killing = Killing(golden.image, tmp_path, *options)
    killing.run(2)
