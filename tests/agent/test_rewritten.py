"""What a descriptor is worth after somebody else's tool rewrote the package: COT, virt-v2v."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from regild.agent.reading.claim import read_claims
from regild.agent.reading.describe import describe
from regild.agent.reading.verify import complaint_of, verify
from regild.agent.writing.inscribe import inscribe
from regild.model.progress import Silent
from regild.ovf.lint.check import check_package
from regild.ovf.lint.survey import survey_package
from tests.cli import golden

pytestmark = pytest.mark.slow

DOUBTED = {"stale", "detached", "tampered"}
REWRITES = {
    "edit-product": ["-v", "1", "-V", "one"],
    "edit-properties": ["-p", "key=value"],
    "edit-hardware": ["-c", "2"],
    "add-file": [],
}


@pytest.fixture(scope="session")
def cot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COT, installed by pip into a place of its own."""
    found = shutil.which("cot")
    if found:
        return Path(found)
    folder = tmp_path_factory.mktemp("cot")
    for argv in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin/pip"), "install", "--quiet", "cot"],
    ):
        if subprocess.run(argv, capture_output=True).returncode:
            pytest.skip("COT cannot be installed here")
    return folder / "bin/cot"


@pytest.fixture(scope="module", params=["sidecar", "embed"])
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("described")
    raw = golden.filesystem(folder)
    plain = golden.ova(folder, golden.streamed(raw), "plain")
    inscribe(plain, folder / "d.ova", request.param, False, Silent())
    assert verify(folder / "d.ova", False, Silent()).descriptors[0].state == "verified"
    return folder / "d.ova"


@pytest.mark.parametrize("command", REWRITES)
def test_after_cot_it_is_never_believed(
    cot: Path, described: Path, tmp_path: Path, command: str
) -> None:
    out, extra = tmp_path / "cot.ova", tmp_path / "extra.txt"
    extra.write_text("more")
    if command == "add-file":
        argv = [cot, "-f", command, extra, described, "-o", out]
    else:
        argv = [cot, "-f", command, described, "-o", out, *REWRITES[command]]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
    if not out.exists():
        pytest.skip(f"COT did not rewrite it: {done.stderr[-200:]}")
    (claim,) = read_claims(out)
    assert claim.descriptor is not None, "COT keeps the section"
    (seen,) = describe(out, Silent())
    answer = verify(out, True, Silent())
    for state in (claim.state.state, seen.descriptor.state, answer.descriptors[0].state):
        assert state in DOUBTED
    assert complaint_of(answer) is not None


def test_cot_reads_what_we_write(cot: Path, described: Path, tmp_path: Path) -> None:
    done = subprocess.run([cot, "info", described], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 MiB" in done.stdout


@pytest.mark.skipif(not shutil.which("virt-v2v"), reason="virt-v2v is not installed")
def test_virt_v2v_reads_what_we_write(described: Path) -> None:
    argv = ["virt-v2v", "-i", "ova", described, "-o", "null", "--print-source"]
    env = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "disks:" in done.stdout
    assert "regild" not in done.stderr.lower(), "nobody stumbles over the section"


@pytest.mark.skipif(not shutil.which("virt-v2v"), reason="virt-v2v is not installed")
@pytest.mark.parametrize("fault", ["one-ovf", "manifest-digest", "file-missing"])
def test_virt_v2v_refuses_what_lint_says_it_would(fault: str, tmp_path: Path) -> None:
    raw = golden.filesystem(tmp_path)
    disk = golden.streamed(raw)
    ovf, content = golden.envelope({"disk1": disk}), disk.read_bytes()
    members = {"golden.ovf": ovf, "golden.mf": b"", disk.name: content}
    members["golden.mf"] = golden.manifest({"golden.ovf": ovf, disk.name: content})
    if fault == "one-ovf":
        members["other.ovf"] = ovf
    elif fault == "manifest-digest":
        members["golden.mf"] = golden.manifest({"golden.ovf": b"", disk.name: content})
    else:
        del members[disk.name]
    path = golden.archive(tmp_path / "x.ova", list(members.items()))
    assert fault in {one.rule for one in check_package(survey_package(path), ["virt-v2v"])}
    argv = ["virt-v2v", "-i", "ova", path, "-o", "null", "--print-source"]
    env = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    assert subprocess.run(argv, capture_output=True, env=env).returncode != 0
