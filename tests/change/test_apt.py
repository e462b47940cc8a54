"""What a plan for a guest of dpkg compiles to."""

from __future__ import annotations

import subprocess
from pathlib import Path

from regild.change.apt import FOLDERS, SETTINGS, compile_plan
from regild.change.script import STATE
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
