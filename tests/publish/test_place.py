"""Nothing gives way to a result but an older one of its kind."""

import os
from pathlib import Path

import pytest

from regild.errors import NotPermitted, PublishError, TargetExists
from regild.publish.place import check_file_place, check_folder_place, check_parent
from tests.ovf.samples import envelope, write_folder

PACKAGE = {"vm.ovf": envelope(), "vm.mf": b"", "disk1.vmdk": b"12345", "vm.receipt.json": b"{}"}


def test_an_empty_or_absent_folder_is_a_place(tmp_path: Path) -> None:
    check_folder_place(tmp_path / "absent", False)
    check_folder_place(tmp_path, False)


def test_an_older_package_gives_way_when_that_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path, PACKAGE)
    with pytest.raises(TargetExists):
        check_folder_place(tmp_path, False)
    check_folder_place(tmp_path, True)


@pytest.mark.parametrize("name", ["letter.txt", "other.ovf", "package.json", "folder/file"])
def test_a_folder_with_more_in_it_never_gives_way(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, PACKAGE)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    with pytest.raises(PublishError):
        check_folder_place(tmp_path, True)


def test_a_home_never_gives_way(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("precious")
    with pytest.raises(PublishError):
        check_folder_place(tmp_path, True)


def test_a_file_is_no_place_for_a_folder_nor_a_folder_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(PublishError):
        check_folder_place(tmp_path / "file", True)
    with pytest.raises(PublishError):
        check_file_place(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PublishError):
        check_file_place(tmp_path / "pipe")


def test_the_folder_around_must_be_there_and_open(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "new.ova", Path(), tmp_path / ".."):
        with pytest.raises(PublishError):
            check_parent(path)
    check_parent(tmp_path / "new.ova")
    if os.geteuid() != 0:  # root may write everywhere
        tmp_path.chmod(0o555)
        with pytest.raises(NotPermitted):
            check_parent(tmp_path / "new.ova")
        tmp_path.chmod(0o755)
