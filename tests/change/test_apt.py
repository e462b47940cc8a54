"""What a plan for a guest of dpkg compiles to."""

from __future__ import annotations

import subprocess
from pathlib import Path

from msgspec.structs import replace

from regild.change.apt import FOLDERS, SETTINGS, compile_plan
from regild.change.script import STATE
from regild.model.plan import Mark, Step
from tests.change.guests import plan_of


def test_what_a_kernels_hook_tells_apt_is_kept_where_the_guest_has_it(tmp_path: Path) -> None:
    *_, keep, audit = compile_plan(plan_of())
    made, own = tmp_path / "state/parts", tmp_path / "etc/apt/apt.conf.d"
    made.mkdir(parents=True)
    own.mkdir(parents=True)
    line = [word.replace(STATE, f"{tmp_path}/state") for word in keep.argv]
    line = [word.replace(" /etc/", f" {tmp_path}/etc/") for word in line]
    subprocess.run(line, check=True)
    assert list(own.iterdir()) == []
    (own / "01autoremove-kernels").write_text("old")
    (made / "01autoremove-kernels").write_text("new")
    (made / "folder").mkdir()
    subprocess.run(line, check=True)
    assert [path.read_text() for path in own.iterdir()] == ["new"]
    assert audit.argv == ("dpkg", "--audit")


def test_apt_is_shown_a_folder_for_settings_that_hooks_can_write_to() -> None:
    assert f'Dir::Etc::parts "{STATE}/parts";' in SETTINGS and "parts" in FOLDERS


def test_what_is_new_and_what_goes_is_named() -> None:
    steps = (
        Step("upgrade", "a", "amd64"),
        Step("install", "g++", "amd64"),
        Step("install", "doc", "all"),
        Step("install", "lib", "i386"),
    )
    plan = replace(plan_of(), mode="upgrade", steps=steps)
    _, upgrade, auto, *_ = compile_plan(plan)
    named = ("g++:amd64", "doc", "lib:i386")
    assert upgrade.argv == ("apt-get", "-q", "upgrade", "--with-new-pkgs", *named)
    assert auto.argv == ("apt-mark", "-qq", "auto", *named)
    steps += (Step("remove", "old", "amd64"), Step("remove", "data", "all"))
    marks = (Mark("doc", "amd64", False), Mark("lib", "i386", False), Mark("a", "amd64", True))
    _, upgrade, auto, manual, *_ = compile_plan(replace(plan, steps=steps, marks=marks))
    assert upgrade.argv == ("apt-get", "-q", "dist-upgrade", *named, "old:amd64-", "data-")
    assert auto.argv[2:] == ("auto", "a:amd64", "g++:amd64")
    assert manual.argv[2:] == ("manual", "doc:amd64", "lib:i386")
    assert len(compile_plan(replace(plan, steps=steps[:1]))) == 4
