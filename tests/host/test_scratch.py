"""A job's folder: one process at a time, and nothing of a guest stays."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from regild.errors import Busy, CommandFailed, MissingFile
from regild.host.namespace import View, find_id_map, open_namespace
from regild.host.scratch import Scratch, is_locked, open_scratch
from tests.host.apart import ROOT, run_as, user_with_ids

pytestmark = pytest.mark.timeout(120)


def leave(job: Scratch, text: str) -> None:
    """What a guest's root leaves in its folder."""
    view = View(writable=(job.guest,))
    with (
        (job.path / "test.log").open("wb") as errors,
        open_namespace(["/bin/sh", "-c", text], job.ids, view, errors=errors) as process,
    ):
        assert process.wait() == 0


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_after_a_good_end_nothing_stays(tmp_path: Path) -> None:
    with open_scratch(tmp_path, "job", find_id_map()) as job:
        leave(job, f"mkdir -p {job.make_guest()}/deep/er; touch {job.guest}/file")
        job.folder("repository")
    assert list(tmp_path.iterdir()) == []


def test_after_an_error_only_logs_stay(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_scratch(tmp_path, "job", find_id_map()) as job:
        leave(job, f"echo said > {job.make_guest()}/guest.log; mkdir {job.guest}/tree")
        _ = 1 // 0
    assert (tmp_path / "job/guest.log").read_text() == "said\n"
    assert set(names_in(tmp_path)) == {"job", "job.lock", "guest.log", "test.log"}


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"guest.log": "said", "console.log": "booting"}, "guest.log"),
        ({"guest.log": "", "console.log": "booting"}, "console.log"),
        ({"console.log": "booting"}, "console.log"),
    ],
)
def test_an_error_names_the_log_that_tells_most(
    tmp_path: Path, written: dict[str, str], named: str
) -> None:
    with (
        pytest.raises(CommandFailed) as caught,
        open_scratch(tmp_path, "job", find_id_map()) as job,
    ):
        guest = job.make_guest()
        leave(job, "; ".join(f"printf '{text}' > {guest}/{name}" for name, text in written.items()))
        raise CommandFailed(where="a guest", why="it failed")
    assert caught.value.log == str(tmp_path / "job" / named)


def test_after_an_interruption_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_scratch(tmp_path, "job", find_id_map()) as job:
        leave(job, f"echo said > {job.make_guest()}/guest.log; mkdir {job.guest}/tree")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_scratch(tmp_path, "job", find_id_map()) as job:
        leave(job, f"ln -s /etc/passwd {job.make_guest()}/guest.log")
        _ = 1 // 0
    assert "guest.log" not in names_in(tmp_path)


def test_the_logs_of_an_earlier_run_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/guest.log").write_text("old")
    with open_scratch(tmp_path, "job", find_id_map()) as job:
        assert names_in(job.path) == ["job.lock"]


def test_folders_of_any_depth_and_any_mode_are_removed(tmp_path: Path) -> None:
    with open_scratch(tmp_path, "job", find_id_map()) as job:
        text = f"""
            cd {job.make_guest()}
            mkdir -p $(printf 'd/%.0s' $(seq 1500))
            cd {job.guest}; mkdir closed; touch closed/x; chmod 0 closed
            ln -s / root; mkfifo pipe; printf x > "$(printf 'new\\nline\\377')"
        """
        leave(job, text)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_named_from_here_is_known_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_scratch(Path("jobs"), "job", find_id_map()) as scratch:
        assert scratch.path == tmp_path / "jobs" / "job"


def test_nobody_else_may_look_into_a_job(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir(mode=0o755)
    with open_scratch(tmp_path, "job", find_id_map()) as job:
        assert stat.S_IMODE(job.path.stat().st_mode) == 0o700


def test_a_second_process_is_told_that_the_job_is_in_use(tmp_path: Path) -> None:
    ids = find_id_map()
    with (
        open_scratch(tmp_path, "job", ids),
        pytest.raises(Busy, match="another regild"),
        open_scratch(tmp_path, "job", ids),
    ):
        pass
    with open_scratch(tmp_path, "job", ids):
        pass


def test_many_processes_never_have_a_job_together(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from regild.errors import Busy, CommandFailed, MissingFile
from regild.host.namespace import find_id_map
from regild.host.scratch import open_scratch
ids, done = find_id_map(), 0
while done < 40:
    try:
        with open_scratch(Path({str(tmp_path)!r}), "job", ids) as job:
            (job.path / "mine").mkdir()
            done += 1
    except Busy:
        pass
"""
    line = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    others = [subprocess.Popen(line, env=environment) for _ in range(3)]
    assert [other.wait() for other in others] == [0, 0, 0]


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from regild.host.namespace import find_id_map
from regild.host.scratch import open_scratch
with open_scratch(Path({str(tmp_path)!r}), "job", find_id_map()) as job:
    (job.make_guest() / "tree").mkdir()
    os.kill(os.getpid(), 9)
"""
    line = [sys.executable, "-c", code]
    subprocess.run(line, env={"PYTHONPATH": str(ROOT / "src")}, check=False)
    assert "tree" in names_in(tmp_path)
    with open_scratch(tmp_path, "job", find_id_map()) as job:
        assert names_in(job.path) == ["job.lock"]


@pytest.mark.root
def test_an_ordinary_users_guest_leaves_nothing_either() -> None:
    done = run_as(
        user_with_ids(),
        """
        import os, tempfile
        from pathlib import Path
        from regild.host.namespace import View, find_id_map, open_namespace
        from regild.host.scratch import open_scratch
        with tempfile.TemporaryDirectory() as folder:
            with open_scratch(Path(folder), "job", find_id_map()) as job:
                place = job.make_guest()
                text = f"cd {place}; mkdir x; touch x/y; chown 33:33 x x/y; chmod 0 x"
                with open(job.path / "test.log", "wb") as errors, open_namespace(
                    ["/bin/sh", "-c", text], job.ids, View(writable=(place,)), errors=errors
                ) as process:
                    assert process.wait() == 0
                print((place / "x").stat().st_uid != os.getuid())
            print(os.listdir(folder))
        """,
    )
    assert done.stdout == "True\n[]\n", done.stderr


def test_a_job_that_can_go_on_keeps_its_work_and_loses_what_was_half_written(
    tmp_path: Path,
) -> None:
    def went_on(job: Scratch) -> bool:
        return (job.path / "job.json").exists()

    with (
        pytest.raises(ZeroDivisionError),
        open_scratch(tmp_path, "job", find_id_map(), goes_on=went_on) as job,
    ):
        leave(job, f"echo changed > {job.make_guest()}/overlay; echo said > {job.guest}/guest.log")
        job.folder("repository")
        (job.path / "job.json").write_text("{}")
        (job.path / "disk.qcow2").write_text("half")
        _ = 1 // 0
    with open_scratch(tmp_path, "job", find_id_map(), goes_on=went_on) as job:
        assert (job.guest / "overlay").read_text() == "changed\n"
        assert (job.path / "repository").is_dir()
        assert not (job.path / "disk.qcow2").exists()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ours_knows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(MissingFile) as caught,
        open_scratch(tmp_path, "job", find_id_map()) as job,
    ):
        leave(job, f"echo said > {job.make_guest()}/guest.log")
        raise MissingFile(where="x", why="y")
    assert Path(caught.value.log).read_text() == "said\n"
    assert caught.value.facts() == {"where": "x", "why": "y"}


def test_whether_somebody_works_on_a_job_is_seen_from_its_lock(tmp_path: Path) -> None:
    with open_scratch(tmp_path, "job", find_id_map(), keep=True) as job:
        assert is_locked(job.path)
    assert not is_locked(tmp_path / "job")
    assert not is_locked(tmp_path / "other")
