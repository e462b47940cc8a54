"""What a descriptor is worth after all that can happen to a package."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.agent.reading.verify import complaint_of, verify
from regild.image.merkle import virtual_digest
from regild.model.appliance import Binding, Descriptor
from regild.model.content import Package
from regild.model.digest import Digest, sha256_of
from regild.model.progress import Silent
from regild.ovf.content import insert_descriptor
from tests.cli import golden


class Described:
    """The parts of a described package, which a test may change before it is packed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = golden.streamed(golden.filesystem(folder))
        self.content = self.disk.read_bytes()
        plain = golden.envelope({"disk1": self.disk})
        self.descriptor = self.described(plain)
        self.ovf = insert_descriptor(plain, self.descriptor, "golden")

    def described(self, plain: bytes) -> Descriptor:
        (self.folder / "plain.ovf").write_bytes(plain)
        with (
            open_image(self.folder / "plain.ovf") as image,
            open_system(image, image.only_system) as system,
        ):
            boot = system.boot.disk
            binding = Binding(
                "disk1", sha256_of(self.content), virtual_digest(boot), virtual_bytes=boot.size
            )
            return Descriptor(content=system.content, bindings=(binding,))

    def pack(self, listed: dict[str, bytes] | None = None) -> Path:
        """An OVA of the parts; `listed` is what the manifest speaks of, by default the truth."""
        members = {"golden.ovf": self.ovf, self.disk.name: self.content}
        manifest = golden.manifest(members if listed is None else listed)
        first = [("golden.ovf", self.ovf)]
        second = [("golden.mf", manifest)] if manifest else []
        last = [(self.disk.name, self.content)]
        return golden.archive(self.folder / "golden.ova", first + second + last)


@pytest.fixture
def package(tmp_path: Path) -> Described:
    return Described(tmp_path)


def state_of(path: Path, deep: bool = False) -> str:
    answer = verify(path, deep, Silent())
    assert (complaint_of(answer) is None) == (answer.descriptors[0].state == "verified")
    return answer.descriptors[0].state


def described_state(path: Path) -> str:
    with open_image(path) as image, open_system(image, image.only_system) as system:
        return system.state.state


def other_disk(folder: Path, **files: str) -> bytes:
    folder.mkdir()
    disk = golden.filesystem(folder, {**golden.GUEST, **files})
    return golden.streamed(disk).read_bytes()


def test_untouched_it_is_equivalent_and_verified_once_hashed(package: Described) -> None:
    path = package.pack()
    assert described_state(path) == "equivalent"
    assert state_of(path) == "verified"
    answer = verify(path, True, Silent())
    assert answer.descriptors[0].virtual == package.descriptor.bindings[0].virtual
    assert answer.manifest.state == "whole"


def test_a_changed_byte_of_the_disk_is_tampered(package: Described) -> None:
    truth = {"golden.ovf": package.ovf, package.disk.name: package.content}
    package.content = package.content[:-600] + b"\1" + package.content[-599:]
    assert state_of(package.pack(truth)) == "tampered"


def test_a_changed_list_is_tampered(package: Described) -> None:
    truth = {"golden.ovf": package.ovf, package.disk.name: package.content}
    package.ovf = package.ovf.replace(b"deb12u2", b"deb12u9")
    path = package.pack(truth)
    assert described_state(path) == "tampered"
    assert state_of(path) == "tampered"


def test_another_disk_with_its_own_manifest_is_detached(package: Described, tmp_path: Path) -> None:
    package.content = other_disk(tmp_path / "other")
    package.ovf = package.ovf.replace(
        f'ovf:size="{package.disk.stat().st_size}"'.encode(),
        f'ovf:size="{len(package.content)}"'.encode(),
    )
    assert described_state(package.pack()) == "detached"


def test_without_a_manifest_it_is_detached(package: Described) -> None:
    assert state_of(package.pack({})) == "detached"


def test_a_forged_list_of_an_honest_disk_is_stale(package: Described) -> None:
    forged = replace(package.descriptor.content, packages=(Package("deb", "a", "9"),))
    plain = golden.envelope({"disk1": package.disk})
    package.ovf = insert_descriptor(plain, replace(package.descriptor, content=forged), "golden")
    assert described_state(package.pack()) == "stale"


def test_a_disk_that_the_descriptor_knows_otherwise_is_detached(package: Described) -> None:
    wrong = replace(package.descriptor.bindings[0], stored=Digest("sha256:" + "0" * 64))
    plain = golden.envelope({"disk1": package.disk})
    package.ovf = insert_descriptor(plain, replace(package.descriptor, bindings=(wrong,)), "golden")
    assert state_of(package.pack()) == "detached"


def test_beside_a_bare_disk_it_speaks_for_it(package: Described, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    disk = folder / package.disk.name
    disk.write_bytes(package.content)
    disk.with_suffix(".ovf").write_bytes(package.ovf)
    assert described_state(disk) == "equivalent"
    assert state_of(disk) == "verified"


def test_a_bare_disk_that_was_updated_makes_it_stale(package: Described, tmp_path: Path) -> None:
    status = golden.STATUS.replace("deb12u2", "deb12u3")
    content = other_disk(tmp_path / "other", **{"/var/lib/dpkg/status": status})
    folder = tmp_path / "bare"
    folder.mkdir()
    disk = folder / package.disk.name
    disk.write_bytes(content)
    disk.with_suffix(".ovf").write_bytes(package.ovf)
    assert described_state(disk) == "stale"


def test_a_bare_disk_in_another_format_is_verified_by_its_bytes(
    package: Described, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    disk = golden.converted(tmp_path / "root.raw", "qcow2").rename(folder / package.disk.name)
    disk.with_suffix(".ovf").write_bytes(package.ovf)
    assert state_of(disk, deep=True) == "verified"
