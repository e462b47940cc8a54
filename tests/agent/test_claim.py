"""The descriptor alone: no disk is read, none need be there, and it is quick."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from regild.agent.reading.claim import describe_claims, read_claims
from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.agent.writing.inscribe import inscribe
from regild.errors import NotAnArchive, NothingRead
from regild.model.progress import Silent
from tests.cli import golden


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("claims")
    plain = golden.ova(made, golden.streamed(golden.filesystem(made)))
    inscribe(plain, made / "d.ova", "none", False, Silent())
    return made


def read_so_far() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def test_the_claim_is_the_content_of_the_disk(folder: Path) -> None:
    (claim,) = read_claims(folder / "d.ova")
    assert claim.state.state == "claimed"
    with open_image(folder / "d.ova") as image, open_system(image, image.only_system) as seen:
        assert claim.content == seen.content
        assert claim.content.state == seen.content.state


def test_the_disk_need_not_be_there(folder: Path, tmp_path: Path) -> None:
    with open_image(folder / "d.ova") as image:
        assert image.appliance is not None
        for name in ("golden.ovf", "golden.mf"):
            (tmp_path / name).write_bytes(image.appliance.members[name].read(1 << 20))
    (gone,) = read_claims(tmp_path / "golden.ovf")
    (there,) = read_claims(folder / "d.ova")
    assert gone.state.state == "claimed"
    assert gone.content == there.content


def test_what_cannot_speak_for_itself_is_refused(folder: Path) -> None:
    with pytest.raises(NotAnArchive):
        read_claims(folder / "root.raw")
    (claim,) = read_claims(folder / "golden.ova")
    assert claim.state.state == "absent"
    with pytest.raises(NothingRead):
        _ = claim.content
    with pytest.raises(NothingRead):
        describe_claims(folder / "golden.ova")


def test_reading_one_is_under_a_megabyte_and_50_ms(small_ova: Path, tmp_path: Path) -> None:
    inscribe(small_ova, tmp_path / "d.ova", "none", False, Silent())
    read_claims(tmp_path / "d.ova")
    before, begin = read_so_far(), time.process_time()
    (claim,) = read_claims(tmp_path / "d.ova")
    spent, read = time.process_time() - begin, read_so_far() - before
    assert len(claim.content.packages) > 50
    assert read < 1 << 20
    assert spent < 0.05


def test_a_thousand_are_listed_in_30_s_of_cpu(small_ova: Path, tmp_path: Path) -> None:
    """A tenth of them here, in a tenth of the time."""
    inscribe(small_ova, tmp_path / "d.ova", "none", False, Silent())
    begin = time.process_time()
    for _ in range(100):
        (answer,) = describe_claims(tmp_path / "d.ova")
        assert answer.platform.id == "debian"
        assert answer.packages
        assert answer.descriptor.state == "claimed"
    assert time.process_time() - begin < 3
