"""A disk in chunks or compressed is changed like any other, and is a plain file afterwards."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from regild.agent.reading.gather import gathered
from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.cli.front import run
from regild.image.formats import open_disk
from regild.model.progress import Silent
from regild.ovf.archive import open_appliance
from tests.cli import golden

CHUNK = 65536


@pytest.fixture(scope="module")
def vmdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.streamed(golden.filesystem(tmp_path_factory.mktemp("disk")))


def package(
    folder: Path, ovf: bytes, content: bytes, name: str, chunks: bool, packed: bool
) -> Path:
    """An .ovf whose disk is stored as DSP0243, 7.1 lets it be."""
    stored = gzip.compress(content, 1) if packed else content
    more = b' ovf:compression="gzip"' * packed + b' ovf:chunkSize="65536"' * chunks
    plain, size = b'ovf:href="%s"' % name.encode(), b'ovf:size="%d"' % len(content)
    assert plain in ovf and size in ovf
    ovf = ovf.replace(plain, plain + more).replace(size, b'ovf:size="%d"' % len(stored))
    (folder / "golden.ovf").write_bytes(ovf)
    if not chunks:
        (folder / name).write_bytes(stored)
    for number, begin in enumerate(range(0, len(stored) if chunks else 0, CHUNK)):
        (folder / f"{name}.{number:09}").write_bytes(stored[begin : begin + CHUNK])
    return folder / "golden.ovf"


@pytest.mark.parametrize(("chunks", "packed"), [(True, False), (False, True), (True, True)])
def test_it_lies_in_one_place_while_it_is_changed(
    vmdk: Path, tmp_path: Path, chunks: bool, packed: bool
) -> None:
    content = vmdk.read_bytes()
    ovf = package(tmp_path, golden.envelope({"d": vmdk}), content, vmdk.name, chunks, packed)
    with open_image(ovf) as image, open_system(image, image.only_system) as inspected:
        scratch = tmp_path / "scratch"
        with gathered(inspected, scratch, Silent()) as whole:
            path, offset, length = whole.boot.stored.whole()
            assert (path.read_bytes(), offset, length) == (content, 0, len(content))
            assert whole.boot in whole.disks and whole.guest is inspected.guest
        assert list(scratch.iterdir()) == []


def test_what_lies_in_one_place_stays_there(vmdk: Path, tmp_path: Path) -> None:
    path = golden.ova(tmp_path, vmdk)
    with open_image(path) as image, open_system(image, image.only_system) as inspected:
        with gathered(inspected, tmp_path / "scratch", Silent()) as same:
            assert same is inspected
        assert not (tmp_path / "scratch").exists()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_package_in_compressed_chunks_is_changed(small_ova: Path, tmp_path: Path) -> None:
    with open_appliance(small_ova) as appliance:
        (member,) = appliance.parts_of(appliance.envelope.files[0])
        content, ovf = b"".join(member.chunks(1 << 20)), appliance.envelope_bytes
    path = package(tmp_path, ovf, content, member.name, chunks=True, packed=True)
    before = sorted((one.name, one.stat().st_mtime_ns) for one in tmp_path.iterdir())
    out = tmp_path / "new.ova"
    line = [
        "run",
        str(path),
        "-o",
        str(out),
        "--format",
        "ova",
        "--scratch",
        str(tmp_path / "jobs"),
    ]
    assert run([*line, "--", "sh", "-c", "echo changed > /etc/motd"]) == 0
    assert before == sorted(
        (one.name, one.stat().st_mtime_ns) for one in tmp_path.iterdir() if one.name in dict(before)
    )
    with open_appliance(out) as appliance:
        (file,) = appliance.envelope.files
        assert (file.compression, file.chunk_bytes) == ("", None)
        (member,) = appliance.parts_of(file)
        assert file.bytes == member.bytes
        with open_disk(member.path, member.offset, member.bytes) as disk:
            assert disk.format == "vmdk-stream"
    assert run(["cat", str(out), "/etc/motd"]) == 0
