"""Updates that must not happen: a clear sentence, the right exit code, and nothing written."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.image.convert import write_raw
from tests.journey.machine import Traces, digest, regild, settled

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def raw(small_ova: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small guest as a raw disk, to be copied and tampered with."""
    target = tmp_path_factory.mktemp("raw") / "golden.raw"
    with (
        open_image(small_ova) as image,
        open_system(image, image.only_system) as system,
        target.open("wb") as file,
    ):
        write_raw(system.boot.disk, file)
    return target


def changed(raw: Path, folder: Path, act: Callable[[Path], None]) -> Path:
    """A copy of the guest in which something was changed through a mount."""
    image, mount = folder / "golden.raw", folder / "mount"
    subprocess.run(["cp", "--sparse=always", raw, image], check=True)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop,offset=1048576", image, mount], check=True)
    try:
        act(mount)
    finally:
        subprocess.run(["umount", mount], check=True)
    assert settled(image, seconds=120).loops == ()
    return image


def refuse(image: Path, folder: Path, code: int, *options: object) -> dict[str, str]:
    """Update and be refused: the error, after a look that nothing came of it."""
    before, out = digest(image), folder / "out"
    out.mkdir()
    answer = regild(
        "update", image, "-o", out / "new.raw", "--scratch", folder / "jobs", *options, code=code
    )
    assert list(out.iterdir()) == []
    assert digest(image) == before
    assert settled(folder) == Traces((), (), ())
    assert not list((folder / "jobs").glob("*/guest"))
    error = answer["error"]
    assert isinstance(error, dict)
    return error


def script(name: str, text: str) -> Callable[[Path], None]:
    """Give an installed package a script of our own."""

    def act(mount: Path) -> None:
        place = mount / "var/lib/dpkg/info" / name
        place.write_text(f"#!/bin/sh\n{text}\n")
        place.chmod(0o755)

    return act


def fill(mount: Path) -> None:
    """Write until nothing more fits; what is left is less than root's reserve."""
    with (mount / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))


def test_a_package_script_that_fails(raw: Path, tmp_path: Path) -> None:
    image = changed(raw, tmp_path, script("zip.prerm", "echo not today >&2; exit 7"))
    error = refuse(image, tmp_path, 8)
    assert error["kind"] == "GuestCommandFailed"
    assert "zip" in error["sentence"]
    assert "not today" in next((tmp_path / "jobs").glob("*/guest.log")).read_text()


def test_a_package_script_that_hangs(raw: Path, tmp_path: Path) -> None:
    image = changed(raw, tmp_path, script("zip.prerm", "trap '' TERM; sleep 987654"))
    error = refuse(image, tmp_path, 8, "--timeout", 20)
    assert error["kind"] == "GuestCommandHung"


def test_a_guest_without_room(raw: Path, tmp_path: Path) -> None:
    image = changed(raw, tmp_path, fill)
    # Seen by the plan already, before anything is fetched or run.
    error = refuse(image, tmp_path, 7)
    assert error["kind"] == "DiskTooSmall"
    assert "0 are free" in error["sentence"]


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_target_disk(small_ova: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "golden.ova", tmp_path / "out"
    shutil.copyfile(small_ova, source)
    before = digest(source)
    with small_disk(out, "20m"):
        answer = regild(
            "update", source, "-o", out / "new.ova", "--scratch", tmp_path / "jobs", code=15
        )
        assert list(out.iterdir()) == []
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["kind"] == "DiskFull"
    assert digest(source) == before


def test_a_full_scratch_folder(small_ova: Path, tmp_path: Path) -> None:
    source, jobs = tmp_path / "golden.ova", tmp_path / "jobs"
    shutil.copyfile(small_ova, source)
    with small_disk(jobs, "40m"):
        answer = regild("update", source, "-o", tmp_path / "new.ova", "--scratch", jobs, code=15)
        assert not list(jobs.glob("*/guest"))
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["kind"] == "DiskFull"
    assert not (tmp_path / "new.ova").exists()
