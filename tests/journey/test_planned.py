"""What was planned is what is done: a real appliance is updated by a signed plan and in every mode,
and described again it is what the plan promised."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_plan_file import keys
from tests.journey.machine import regild

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Rows = set[tuple[str, str, str]]


def rows(packages: Any) -> Rows:
    """Packages in short, for comparing lists."""
    return {(one["name"], one["version"], one["arch"]) for one in packages}


def described(image: Path) -> Rows:
    return rows(regild("describe", image)["packages"])


def test_a_signed_plan_is_run_and_nothing_else(small_ova: Path, tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    file, out, after = tmp_path / "plan.json", tmp_path / "out.ova", tmp_path / "after.ova"
    asked = ("--mode", "security", "--only", "unzip")
    regild("plan", small_ova, *asked, "--out", file, "--key", secret, code=10)
    plan = json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))
    assert [step["name"] for step in plan["steps"]] == ["unzip"]
    done = regild("update", small_ova, "-o", out, "--plan", file, "--trust", public)
    assert plan["id"] in json.dumps(done)
    assert described(out) == rows(plan["expected"])
    changed = described(small_ova) ^ described(out)
    assert {name for name, _, _ in changed} == {"unzip"}
    assert len(changed) == 2
    # The result is another image: what was approved for the one before is not for this one.
    said = regild("update", out, "-o", after, "--plan", file, "--trust", public, code=7)
    assert said["error"]["kind"] == "PlanMoved"  # type: ignore[index]  # an answer is JSON
    assert not after.exists()


@pytest.mark.parametrize("mode", ["security", "full"])
def test_what_is_observed_is_what_was_expected(small_ova: Path, tmp_path: Path, mode: str) -> None:
    out = tmp_path / "out.ova"
    plan = regild("plan", small_ova, "--mode", mode, code=10)
    done = regild("update", small_ova, "-o", out, "--mode", mode)
    assert str(plan["id"]) in json.dumps(done)
    assert described(out) == rows(plan["expected"]) != described(small_ova)
    assert regild("plan", out, "--mode", mode)["steps"] == []


@pytest.mark.nightly
@pytest.mark.parametrize("mode", ["security", "full"])
def test_the_demo_appliance_becomes_what_its_plan_expects(
    demo_ova: Path, tmp_path: Path, mode: str, record_property: Callable[[str, object], None]
) -> None:
    """All that the demo's own repositories have for it: a new kernel and dozens of packages."""
    out = tmp_path / "out.ova"
    plan = regild("plan", demo_ova, "--mode", mode, code=10)
    done = regild("update", demo_ova, "-o", out, "--mode", mode)
    observed = described(out)
    record_property("packages changed", len(plan["steps"]))
    record_property("packages observed as expected", len(observed & rows(plan["expected"])))
    assert str(plan["id"]) in json.dumps(done)
    assert observed == rows(plan["expected"]) != described(demo_ova)
    assert regild("plan", out, "--mode", mode)["steps"] == []
