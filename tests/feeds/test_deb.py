"""Inside package files, and what their changelogs tell."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.errors import Malformed, RegildError, TooLarge, Truncated
from regild.feeds.changelog import find_changelog, read_cves
from regild.feeds.deb import read_control, read_files
from regild.host.run import run
from tests.feeds.repositories import Deb

LOG = """\
tool (2.0-1+deb12u2) bookworm-security; urgency=high

  * Fix CVE-2026-1111 and CVE-2026-22222 (CVE-2026-1111 again).

 -- A <a@mirror.example>  Mon, 01 Jun 2026 12:00:00 +0000

tool (2.0-1+deb12u1) bookworm; urgency=medium

  * Fix CVE-2025-0003.

 -- A <a@mirror.example>  Sun, 01 Jun 2025 12:00:00 +0000

tool (2.0-1) unstable; urgency=medium

  * Fix CVE-2024-0004.

 -- A <a@mirror.example>  Sat, 01 Jun 2024 12:00:00 +0000
"""
PLACE = "/usr/share/doc/tool/changelog.Debian.gz"


def written(folder: Path, deb: Deb) -> Path:
    path = folder / "tool.deb"
    path.write_bytes(deb.written())
    return path


@pytest.mark.parametrize("form", ["", ".xz", ".gz", ".zst"])
def test_reads_what_dpkg_deb_reads(tmp_path: Path, form: str) -> None:
    path = written(
        tmp_path, Deb("tool", "2", files={PLACE: gzip.compress(LOG.encode())}, data=form)
    )
    said = run(["dpkg-deb", "--field", path], purpose="to compare").stdout.decode()
    assert read_control(path) == said
    assert find_changelog(path) == LOG
    tar = run(["dpkg-deb", "--fsys-tarfile", path], purpose="to compare").stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        names = ["/" + name.removeprefix("./") for name in archive.getnames()]
    assert names == [PLACE]


def test_a_native_packages_changelog_counts(tmp_path: Path) -> None:
    place = "/usr/share/doc/tool/changelog.gz"
    path = written(tmp_path, Deb("tool", files={place: gzip.compress(LOG.encode())}))
    assert find_changelog(path) == LOG


def test_a_documentation_folder_that_is_a_link_has_none(tmp_path: Path) -> None:
    path = written(tmp_path, Deb("tool", links={"/usr/share/doc/tool": "tool-common"}))
    assert find_changelog(path) is None


def test_the_entries_after_the_installed_version_tell() -> None:
    assert read_cves(LOG, "2.0-1+deb12u1") == ("CVE-2026-1111", "CVE-2026-22222")
    assert read_cves(LOG, "2.0-1+b3") == ("CVE-2025-0003", "CVE-2026-1111", "CVE-2026-22222")
    assert read_cves(LOG, "2.0-1+deb12u2") == ()
    assert read_cves("", "1") == ()


def test_a_damaged_changelog_tells_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, Deb("tool", files={PLACE: b"not gzip"}))
    assert read_cves(find_changelog(path) or "", "1") == ()


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regild.feeds.deb.UNPACKED_BYTES_MAX", 1 << 20)
    path = written(tmp_path, Deb("tool", files={"/a": bytes(8 << 20), PLACE: b"x"}))
    with pytest.raises(TooLarge):
        list(read_files(path, lambda name: name == PLACE))


def test_a_large_file_inside_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regild.feeds.deb.FILE_BYTES_MAX", 100)
    path = written(tmp_path, Deb("tool", files={PLACE: bytes(101)}))
    with pytest.raises(TooLarge):
        find_changelog(path)


def test_what_is_not_a_package_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    for content in (b"", b"PK\3\4", b"!<arch>\n", b"!<arch>\n" + b"x" * 60):
        path.write_bytes(content)
        with pytest.raises(Malformed):
            read_control(path)


FILES = {PLACE: gzip.compress(LOG.encode(), mtime=0)}
WHOLE = {form: Deb("tool", files=FILES, data=form).written() for form in (".xz", ".gz", ".zst")}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 0.999), st.integers(0, 255), st.booleans())
def test_damage_is_told_by_an_error_of_ours(form: str, at: float, byte: int, cut: bool) -> None:
    whole = WHOLE[form]
    place = int(at * len(whole))
    content = whole[:place] if cut else whole[:place] + bytes([byte]) + whole[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tool.deb")
        path.write_bytes(content)
        try:
            read_control(path)
            find_changelog(path)
        except RegildError as error:
            assert isinstance(error, Malformed | Truncated | TooLarge)
