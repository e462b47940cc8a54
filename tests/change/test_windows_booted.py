"""A whole trip in a real machine: the registry has the run started, the medium is read, NTFS is
written, COM1 is heard; by a Linux that plays Windows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regild.agent.changing import windows as trip
from regild.change import windows as stage
from regild.cli.front import run
from regild.host.machine import Machine, run_machine
from regild.host.run import Finished
from tests.change.windows_boot import make_bootable, make_guest
from tests.change.windows_guests import NEW_UBR, make_disk
from tests.cli.conftest import Said
from tests.cli.schemas import valid

pytestmark = [pytest.mark.root, pytest.mark.slow]
UPDATE = "1-windows10.0-kb5050000-x64.msu"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory, worker_ova: Path) -> Path:
    folder = tmp_path_factory.mktemp("guest")
    make_guest(worker_ova, folder)
    return folder


def update(
    folder: Path, capsys: pytest.CaptureFixture[str], *words: str, update: bytes, script: bytes
) -> Said:
    media = folder / "media"
    media.mkdir()
    (media / UPDATE).write_bytes(update)
    (media / "2-site.ps1").write_bytes(script)
    argv = ["update", folder / "golden.raw", "--media", media, "-o", folder / "new.raw"]
    code = run([str(one) for one in [*argv, "--scratch", folder / "jobs", "--json", *words]])
    said = capsys.readouterr()
    return Said(code, said.out, said.err)


@pytest.mark.timeout(900)
def test_a_machine_does_what_its_registry_tells_it(
    guest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    machines_gone: Callable[[], bool],
) -> None:
    """Its kernel is started directly here, which saves the boot loader's minute."""

    def run_here(name: str, request: dict[str, Any], **more: Any) -> dict[str, Any]:
        return stage.main(request, more["progress"])

    def run_directly(machine: Machine, **more: Any) -> Finished:
        files = {"kernel": "linux", "initrd": "initrd"}
        given = {name: (guest / file).read_bytes() for name, file in files.items()}
        return run_machine(replace(machine, options="quiet", memory_mib=512, **given), **more)

    monkeypatch.setattr(trip, "run_stage", run_here)
    monkeypatch.setattr(stage, "run_machine", run_directly)
    make_disk(tmp_path / "golden.raw")
    said = update(tmp_path, capsys, update=b"new" * 99_999, script=b"exit 0")
    assert said.code == 0, said.err
    told(said, tmp_path, [0, 0], starts=1)
    assert machines_gone()


@pytest.mark.nightly
@pytest.mark.timeout(2400)
def test_it_is_started_by_its_own_boot_loader_and_goes_on_after_a_restart(
    guest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    machines_gone: Callable[[], bool],
) -> None:
    disk = make_disk(tmp_path / "golden.raw")
    make_bootable(disk, guest)
    before = disk.read_bytes()
    said = update(tmp_path, capsys, update=b"new, restart", script=b"exit 0")
    assert said.code == 0, said.err
    told(said, tmp_path, [3010, 0], starts=2)
    assert disk.read_bytes() == before
    assert machines_gone()


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_one_that_hangs_is_ended_and_its_screen_is_kept(
    guest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    machines_gone: Callable[[], bool],
) -> None:
    make_bootable(make_disk(tmp_path / "golden.raw"), guest)
    words = "--timeout", "40"
    said = update(tmp_path, capsys, *words, update=b"new", script=b"hang")
    assert said.code == 8
    assert "40 seconds had passed" in said.err + said.out
    assert not (tmp_path / "new.raw").exists()
    assert list((tmp_path / "jobs").glob("*/screen.png"))
    assert machines_gone()


def told(said: Said, folder: Path, codes: list[int], starts: int) -> None:
    """The answer is what the run did, and the result holds it."""
    ran = valid("update", said.json)["receipt"]["media_run"]
    assert (ran["codes"], ran["starts"], ran["ubr"]) == (codes, starts, NEW_UBR)
    assert ran["screenshot"]
    log = (folder / "new.run.log").read_bytes()
    assert log.count(b'"say":"hello"') == starts
    assert log.count(b'"say":"done"') == 1
