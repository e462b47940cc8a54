"""An image is recognised by its bytes, and its disks are found where they lie."""

import shutil
from pathlib import Path

import pytest

from regild.agent.reading.intake import open_image
from regild.errors import MissingFile, NotAnArchive, UnsupportedError
from tests.cli import golden


@pytest.fixture(scope="module")
def vmdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.streamed(golden.filesystem(tmp_path_factory.mktemp("disk")))


def test_a_disk_in_an_ova_is_found_in_place(vmdk: Path, tmp_path: Path) -> None:
    path = golden.ova(tmp_path, vmdk)
    with open_image(path) as image:
        (disk,) = image.only_system.disks
        assert image.form == "ova"
        assert disk.path == path
        _, offset, length = disk.whole()
        assert path.read_bytes()[offset : offset + length] == vmdk.read_bytes()
        assert set(image.promised) == {"golden.ovf", vmdk.name}


def test_a_bare_disk_has_one_nameless_system(vmdk: Path) -> None:
    with open_image(vmdk) as image:
        assert image.form == "disk"
        assert image.only_system.id == ""
        assert image.only_system.disks[0].path == vmdk
        assert image.envelope_bytes == b""


def test_the_envelope_beside_a_bare_disk_names_it(vmdk: Path, tmp_path: Path) -> None:
    disk = Path(shutil.copy(vmdk, tmp_path / "root.vmdk"))
    (tmp_path / "root.ovf").write_bytes(golden.envelope({"disk7": disk}))
    with open_image(disk) as image:
        assert image.form == "disk"
        assert image.only_system.id == "golden"
        assert image.only_system.disks[0].id == "disk7"


def test_an_envelope_of_another_disk_is_left_aside(vmdk: Path, tmp_path: Path) -> None:
    disk = Path(shutil.copy(vmdk, tmp_path / "root.vmdk"))
    other = Path(shutil.copy(vmdk, tmp_path / "other.vmdk"))
    (tmp_path / "root.ovf").write_bytes(golden.envelope({"disk7": other}))
    with open_image(disk) as image:
        assert image.envelope_bytes == b""


def test_one_system_is_asked_for_where_there_are_two(vmdk: Path, tmp_path: Path) -> None:
    disk = Path(shutil.copy(vmdk, tmp_path / "a.vmdk"))
    ovf = tmp_path / "two.ovf"
    ovf.write_bytes(golden.envelope({"a": disk}, {"one": ["a"], "two": []}))
    with open_image(ovf) as image:
        assert len(image.systems) == 2
        with pytest.raises(UnsupportedError, match="2 virtual systems"):
            _ = image.only_system


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    with pytest.raises(NotAnArchive), open_image(path):
        pass


def test_a_folder_without_an_envelope_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile), open_image(tmp_path):
        pass


def test_a_device_is_not_an_image() -> None:
    with pytest.raises(NotAnArchive), open_image(Path("/dev/zero")):
        pass
