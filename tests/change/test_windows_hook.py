"""The registry of a Windows, changed in place: read again by others, and refused where it is in
doubt."""

import lzma
import struct
from pathlib import Path

import pytest

from regild.change.hive import BINS_AT, HiveFile, patched
from regild.change.windows_hook import COMMAND, LINE, TYPE, check_unhooked, make_hook
from regild.describe.hives import Wanted, read_hive
from regild.errors import HookLeft, Malformed, RunImpossible
from tests.describe.hives import MACHINE, SERVER_2022, SETUP, empty, hive
from tests.image.disks import tool

OOBE = str(SETUP[COMMAND])


def system(folder: Path, **setup: str | int) -> bytes:
    return hive(folder / "SYSTEM", {**MACHINE, "Setup": {**SETUP, **setup}})


def told(content: bytes) -> tuple[str, int]:
    """What a reader of others sees in the key."""
    key = read_hive(content, [Wanted("Setup")], "SYSTEM").key("Setup")
    return key.text(COMMAND), key.number(TYPE)


def exported(content: bytes, folder: Path, key: str = "\\") -> str:
    (folder / "hive").write_bytes(content)
    argv = ["hivexregedit", "--export", "--prefix", "HKLM", folder / "hive", key]
    return tool(*argv)


def test_the_hook_is_what_others_read_and_all_else_stays(tmp_path: Path) -> None:
    content = system(tmp_path)
    made = make_hook(content)
    hooked = patched(content, made.patches)
    assert made.command == OOBE
    assert told(hooked) == (LINE, 2)
    assert len(hooked) == len(content)
    assert read_hive(hooked, [Wanted("Setup")], "SYSTEM").damage == ()
    before, after = (exported(one, tmp_path).splitlines() for one in (content, hooked))
    differing = [one for one in after if one not in before]
    assert [one.partition("=")[0] for one in differing] == [f'"{COMMAND}"', f'"{TYPE}"']
    with pytest.raises(HookLeft, match="SetupType is not 0"):
        check_unhooked(hooked, OOBE)
    check_unhooked(content, OOBE)


def test_another_program_can_write_the_hooked_hive_further(tmp_path: Path) -> None:
    """hivex takes free cells by their sizes, so it would notice one that is split wrongly."""
    content = system(tmp_path)
    place = tmp_path / "hooked"
    place.write_bytes(patched(content, make_hook(content).patches))
    (tmp_path / "more.reg").write_text(
        "Windows Registry Editor Version 5.00\n\n[HKLM\\Setup]\n"
        f'"{COMMAND}"="{OOBE.replace(chr(92), chr(92) * 2)}"\n"{TYPE}"=dword:00000000\n'
        + "".join(f'"more{number}"="{"x" * 200}"\n' for number in range(40))
    )
    tool("hivexregedit", "--merge", "--prefix", "HKLM", place, tmp_path / "more.reg")
    assert told(place.read_bytes()) == (OOBE, 0)
    check_unhooked(place.read_bytes(), OOBE)


@pytest.mark.parametrize("text", ["", "x", "a" * 300])
def test_a_short_text_and_a_long_one_make_room_for_the_hook(tmp_path: Path, text: str) -> None:
    content = system(tmp_path, **{COMMAND: text})
    made = make_hook(content)
    assert made.command == text
    assert told(patched(content, made.patches)) == (LINE, 2)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ({TYPE: 2}, "its own setup runs"),
        ({"SystemSetupInProgress": 1}, "its own setup runs"),
        ({TYPE: ""}, "to be a number is none"),
        ({COMMAND: 5}, "to be a text is none"),
    ],
)
def test_a_setup_in_doubt_is_refused(
    tmp_path: Path, setup: dict[str, str | int], words: str
) -> None:
    with pytest.raises(RunImpossible, match=words):
        make_hook(system(tmp_path, **setup))


def test_a_registry_without_the_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunImpossible, match="has no key Setup"):
        make_hook(hive(tmp_path / "SYSTEM", MACHINE))
    with pytest.raises(RunImpossible, match="has no Setup"):
        make_hook(hive(tmp_path / "SYSTEM", {"Setup": {TYPE: 0}}))


def test_a_hive_without_a_free_cell_is_refused(tmp_path: Path) -> None:
    content = bytearray(system(tmp_path))
    for at, size in HiveFile(bytes(content), "SYSTEM")._free_cells():
        struct.pack_into("<i", content, at, -size)
    with pytest.raises(RunImpossible, match=r"no cell of \d+ bytes is free"):
        make_hook(bytes(content))


@pytest.mark.parametrize("name", ["RegildNext", "regildrestarts"])
def test_what_a_run_noted_for_itself_is_noticed(tmp_path: Path, name: str) -> None:
    with pytest.raises(HookLeft, match="still stands there"):
        check_unhooked(system(tmp_path, **{name: 3}), OOBE)


def test_another_command_than_before_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(HookLeft, match="CmdLine is not as it was"):
        check_unhooked(system(tmp_path), "cmd /c evil")


def test_the_registry_of_a_real_windows_takes_the_hook(shared: Path, tmp_path: Path) -> None:
    """Of Windows 10, copied while it ran: refused as it is, taken with its header made even."""
    content = lzma.decompress((shared / "corpus/windows/SYSTEM_WIN_10_1709.xz").read_bytes())
    with pytest.raises(Malformed, match="not written out"):
        make_hook(content)
    even = patched(content, [(8, content[4:8])])
    even = patched(even, [(508, checksum(even))])
    made = make_hook(even)
    hooked = patched(even, made.patches)
    assert (made.command, told(even), told(hooked)) == ("", ("", 0), (LINE, 2))
    assert sum(len(piece) for _, piece in made.patches) < 300
    check_unhooked(even, "")
    before, after = (exported(one, tmp_path, "\\Setup").splitlines() for one in (even, hooked))
    assert len([one for one in after if one not in before]) == 2


def checksum(content: bytes) -> bytes:
    """A header's own."""
    check = 0
    for (word,) in struct.iter_unpack("<I", content[:508]):
        check ^= word
    return struct.pack("<I", check)


def damage(content: bytes, at: int, word: int) -> bytes:
    return patched(content, [(at, struct.pack("<I", word))])


def test_a_hive_that_was_not_written_out_or_is_damaged_is_refused(tmp_path: Path) -> None:
    content = system(tmp_path)
    dirty = damage(content, 4, 7)
    dirty = patched(dirty, [(508, checksum(dirty))])
    for one, words in (
        (dirty, "not written out"),
        (damage(content, 4, 7), "checksum does not fit"),
        (content[:5000], "cut off"),
        (b"MZ" * 5000, "no registry hive"),
        (damage(content, BINS_AT + 8, 0x123), "over its end|over its bin"),
        (damage(content, BINS_AT + 0x20 + 4 + 28, 0x7FFFFFF8), "outside of it"),
    ):
        with pytest.raises(Malformed, match=words):
            make_hook(one)


def test_lists_of_keys_of_every_kind_are_followed(tmp_path: Path) -> None:
    """hivex makes lists of lists where there are many keys."""
    keys = {f"Key{number:05}": {"v": number} for number in range(1200)}
    content = hive(tmp_path / "big", {**keys, "Setup": SETUP})
    values = HiveFile(content, "big").values("key01111")
    assert values is not None
    assert values["v"].number == 1111
    assert HiveFile(content, "big").values("key09999") is None
    assert HiveFile(empty(tmp_path / "e").read_bytes(), "e").values("a") is None


def test_a_real_looking_software_is_read_alike_by_both(tmp_path: Path) -> None:
    content = hive(tmp_path / "SOFTWARE", SERVER_2022)
    for path in SERVER_2022:
        ours = HiveFile(content, "SOFTWARE").values(path) or {}
        theirs = read_hive(content, [Wanted(path)], "SOFTWARE").key(path).values
        assert {
            name: value.text if isinstance(theirs[name], str) else value.number
            for name, value in ours.items()
        } == dict(theirs)
