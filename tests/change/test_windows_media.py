"""The medium of a run: what is on it, and the script that a Windows would run."""

import json
import re
from pathlib import Path

import pytest

from regild.change.windows_hook import LINE
from regild.change.windows_media import (
    SCRIPT,
    Kind,
    MediaFile,
    place_of,
    read_media,
    write_media,
    write_script,
)
from regild.errors import MediaRefused, MissingFile
from regild.model.digest import hex_of, sha256_of
from tests.image.disks import tool


def file(name: str, kind: Kind, content: bytes = b"x") -> MediaFile:
    return MediaFile(name, kind, sha256_of(content), len(content))


def test_files_and_folders_are_taken_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "updates"
    folder.mkdir()
    for name in ("b-KB2.msu", "a-KB1.CAB", ".hidden"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "last.ps1").write_bytes(b"exit 0")
    media = read_media([folder, tmp_path / "last.ps1"])
    assert [(one.name, one.kind) for one in media.files] == [
        ("a-KB1.CAB", "cab"),
        ("b-KB2.msu", "msu"),
        ("last.ps1", "ps1"),
    ]
    assert media.files[0].digest == sha256_of(b"a-KB1.CAB")


@pytest.mark.parametrize("name", ["notes.txt", "setup", "empty.msu"])
def test_what_cannot_be_installed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name == "empty.msu" else b"x")
    with pytest.raises(MediaRefused):
        read_media([tmp_path / name])


def test_nothing_too_much_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaRefused, match="0 files"):
        read_media([tmp_path])
    for number in range(100):
        (tmp_path / f"{number}.msu").write_bytes(b"x")
    with pytest.raises(MediaRefused, match="100 files"):
        read_media([tmp_path])
    with pytest.raises(MissingFile):
        read_media([tmp_path / "absent.msu"])
    with (tmp_path / "huge.msu").open("wb") as huge:
        huge.truncate(4 << 30)
    with pytest.raises(MediaRefused, match="no medium takes it"):
        read_media([tmp_path / "huge.msu"])


def test_the_medium_holds_files_script_and_manifest_as_others_read_it(tmp_path: Path) -> None:
    given = tmp_path / "windows10.0-kb5046616-x64_0123456789abcdef0123456789abcdef01234567.msu"
    given.write_bytes(b"an update" * 5000)
    work = tmp_path / "work"
    work.mkdir()
    iso = write_media(read_media([given]), "oobe", work)
    out = tmp_path / "out"
    tool("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", out)
    names = {one.name for one in out.iterdir()}
    assert names == {"01.MSU", "RUN.PS1", "REGILD.CMD", "MANIFEST.JSN"}
    assert (out / "01.MSU").read_bytes() == given.read_bytes()
    manifest = json.loads((out / "MANIFEST.JSN").read_text())
    assert manifest["files"][0][1]["name"] == given.name
    starter = (out / "REGILD.CMD").read_text()
    assert "RUN.PS1" in starter and "shutdown.exe /s" in starter
    assert SCRIPT in names and "%i:\\REGILD.CMD" in LINE
    assert iso.stat().st_size % 2048 == 0


def test_the_script_names_every_file_with_its_digest_and_its_words() -> None:
    files = (file("a.msu", "msu"), file("b.cab", "cab"), file("c.msi", "msi"))
    text = write_script(files, r"oobe\windeploy.exe")
    for number, one in enumerate(files, 1):
        row = f"File = '{place_of(number, one)}'; Sum = '{hex_of(one.digest)}'"
        assert row in text
    assert "Program = 'wusa.exe'; Words = '\"{file}\" /quiet /norestart'" in text
    assert '/Online /Add-Package /PackagePath:"{file}" /Quiet /Norestart' in text
    assert r"Set-Start 0 'oobe\windeploy.exe'" in text
    assert f"Set-Start 2 '{LINE}'" in text
    assert "\r\n" in text and not re.search(r"[^\r]\n", text)


def test_no_text_of_a_registry_leaves_its_quotes() -> None:
    """PowerShell ends a text at four signs; each has to stand twice."""
    for sign in "'\u2018\u2019\u201a\u201b":
        text = write_script((file("a.ps1", "ps1"),), f"a{sign}; Remove-Item C:\\ #")
        assert f"'a{sign}{sign}; Remove-Item C:\\ #'" in text


def test_no_name_of_a_file_stands_in_the_script() -> None:
    text = write_script((file("a'; evil.ps1", "ps1"),), "")
    assert "evil" not in text


def test_braces_and_quotes_of_the_script_are_balanced() -> None:
    text = write_script((file("a.msu", "msu"), file("b.exe", "exe")), "oobe")
    for opening, closing in ("{}", "()"):
        bare = re.sub(r"'[^']*'", "", text)
        assert bare.count(opening) == bare.count(closing), opening
    assert all(one.count("'") % 2 == 0 for one in text.splitlines())
