"""A real Alpine: planned, all of it changed by its own apk, proven, and the same as in a chroot."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from regild.change.apk import ENVIRONMENT, FOLDERS, compile_plan
from regild.model.json import from_json
from regild.model.plan import Plan
from tests.change.apk_guests import URI, Golden, find_golden
from tests.journey.machine import Traces, digest, regild, settled
from tests.journey.peers import differences, mounted, tree_of, upgrade_in_chroot

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]

OWN = (
    "/var/log/",
    "/lib/apk/db/scripts.tar.gz",
    "/boot/initramfs-virt",
    "/tmp/",
    "/run/",
    "/dev/",
    "/usr/sbin/policy-rc.d",
)
"""Logs, archives that hold the time of the change, what belongs to a running machine."""


@pytest.fixture(scope="module")
def golden() -> Golden:
    return find_golden()


class Trip:
    """One guest on its way."""

    def __init__(self, golden: Golden, folder: Path, mirror: Path | None = None) -> None:
        self.golden, self.folder = golden, folder
        self.image, self.out = folder / "golden.raw", folder / "out.raw"
        subprocess.run(["cp", "--sparse=always", golden.image, self.image], check=True)
        self.feeds = ("--mirror", f"{URI}={mirror or golden.mirror}", "--cache", folder / "cache")

    def plan(self, image: Path, code: int) -> Plan:
        answer = regild("plan", image, *self.feeds, code=code)
        return from_json(Plan, json.dumps(answer))

    def update(self, *options: object, code: int = 0) -> dict[str, object]:
        jobs = ("--scratch", self.folder / "jobs")
        return regild("update", self.image, "-o", self.out, *self.feeds, *jobs, *options, code=code)


def test_all_of_alpine_is_changed_proven_and_the_same_as_in_a_chroot(
    golden: Golden, tmp_path: Path
) -> None:
    trip = Trip(golden, tmp_path)
    before = digest(trip.image)
    plan = trip.plan(trip.image, 10)
    actions = {step.name: step.action for step in plan.package_steps}
    assert len(actions) == 64
    assert (actions["linux-virt"], actions["needed"], actions["extra"]) == (
        "upgrade", "remove", "install",
    )  # fmt: skip
    answer = trip.update("--keep-job")
    assert digest(trip.image) == before
    receipt = answer["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["carrier"] == "record"
    assert "no script or trigger failed" in receipt["checks"]
    assert "every file of the plan's packages is as its package file has it" in receipt["checks"]
    assert "boot menu, kernels, modules, initial RAM disks and root agree" in receipt["checks"]
    assert [one["where"] for one in receipt["unchecked"]] == ["applications", "sums"]
    again = trip.plan(trip.out, 0)
    assert again.steps == ()
    regild("prove", trip.out)

    raw = tmp_path / "chroot.raw"
    subprocess.run(["cp", "--sparse=always", golden.image, raw], check=True)
    (repository,) = (tmp_path / "jobs").glob("*/repository")
    commands = compile_plan(plan)
    upgrade_in_chroot(raw, repository, commands, ENVIRONMENT, tmp_path / "mount", FOLDERS)
    expected, found = tree_of(raw, OWN), tree_of(trip.out, OWN)
    assert differences(expected, found) == []
    assert found["/var/lib/web/own"][:3] != found["/usr/share/web/a"][:3]
    assert trip.plan(raw, 0).expected == again.expected


def test_a_trigger_that_fails_is_not_passed_over(golden: Golden, tmp_path: Path) -> None:
    """apk itself goes on, and counts it at the end."""
    trip = Trip(golden, tmp_path, golden.few)
    with mounted(trip.image, tmp_path / "mount"):
        seen = tmp_path / "mount/var/lib/watch.seen"
        seen.unlink()
        seen.mkdir()
    error = trip.update(code=8)["error"]
    assert isinstance(error, dict)
    assert error["kind"] == "GuestCommandFailed"
    assert "watch" in error["sentence"]
    assert not trip.out.exists()
    assert settled(tmp_path) == Traces((), (), ())
