"""rpm's databases of all three formats, with rpm itself as the judge wherever it can read them."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct
import time
from pathlib import Path

import pytest

from regild.describe import rpm_bdb, rpm_ndb
from regild.describe.planned import require_planning
from regild.describe.reader import describe_guest
from regild.errors import InputError, Malformed, NoPackageDatabase, NothingRead
from regild.model.content import Content
from regild.model.rpm_header import read_header
from tests.describe.guests import MemoryTree, debian, guest
from tests.describe.rpm_worlds import (
    FILE,
    MAGIC,
    SLE,
    build,
    listed,
    logged,
    needs_rpm,
    rpm,
    sqlite_guest,
)

KEYS = sorted(Path("/etc/apt/trusted.gpg.d").glob("*.asc"))


def ours(content: Content) -> list[str]:
    """A content as rpm's own query prints it."""
    lines = []
    for one in content.packages:
        epoch, colon, rest = one.version.partition(":")
        release = rest if colon else one.version
        source = f"{one.source}-{one.source_version}.src.rpm"
        lines.append(f"{one.name} {epoch if colon else 0} {release} {one.arch} {source}")
    return sorted(lines)


def described(path: str, content: bytes) -> Content:
    return describe_guest(guest(MemoryTree({"/etc/os-release": SLE, path: content})))


@pytest.fixture(scope="session")
def ndb(shared: Path) -> bytes:
    return (shared / "corpus/rpmdb/sle15-bci/Packages.db").read_bytes()


@pytest.fixture(scope="session")
def berkeley(shared: Path) -> bytes:
    return (shared / "corpus/rpmdb/libuuid/Packages").read_bytes()


def test_a_real_ndb_is_read_to_its_last_package(ndb: bytes) -> None:
    content = described("/usr/lib/sysimage/rpm/Packages.db", ndb)
    assert content.unknowns == ()
    assert len(content.packages) == 35
    assert content.platform.arch == "x86_64"
    (bash,) = [one for one in content.packages if one.name == "bash"]
    assert (bash.version, bash.source) == ("4.4-19.6.1", "bash")
    assert bash.purl == "pkg:rpm/sles/bash@4.4-19.6.1?arch=x86_64&distro=sles-15.3"
    assert bash.where == "/usr/lib/sysimage/rpm/Packages.db"


def test_a_guest_of_rpm_is_planned_for_and_not_changed(ndb: bytes) -> None:
    content = described("/usr/lib/sysimage/rpm/Packages.db", ndb)
    require_planning(content)
    with pytest.raises(NoPackageDatabase, match="are of rpm"):
        require_planning(content, ("deb",))


@needs_rpm
def test_rpm_lists_the_headers_of_a_real_ndb_as_we_do(ndb: bytes, tmp_path: Path) -> None:
    """This rpm cannot open ndb, so its own import takes the headers that were found in it."""
    headers = [MAGIC + blob for _, blob in rpm_ndb.read_headers(ndb, "x")]
    rpm(tmp_path, "--initdb")
    rpm(tmp_path, "--importdb", stdin=b"".join(headers), tool="rpmdb")
    assert listed(tmp_path) == ours(described("/var/lib/rpm/Packages.db", ndb))


@needs_rpm
def test_rpm_lists_a_real_berkeley_database_as_we_do(berkeley: bytes, tmp_path: Path) -> None:
    (tmp_path / "Packages").write_bytes(berkeley)
    content = described("/var/lib/rpm/Packages", berkeley)
    assert content.unknowns == ()
    theirs = listed(tmp_path, "--define", "_db_backend bdb_ro")
    assert theirs == ours(content) != []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of this machine's rpm: two packages in the file, one and a removal in the log."""
    folder = tmp_path_factory.mktemp("rpm")
    packages = [
        build(folder, "first", "1.0~rc1"),
        build(folder, "second", "2.0", "Epoch: 4"),
        build(folder, "third", "3.0^git1", "Obsoletes: first"),
    ]
    base = folder / "db"
    install = ("-i", "--justdb", "--nodeps", "--nosignature")
    rpm(base, "--initdb")
    rpm(base, *install, *map(str, packages[:2]))
    copy = folder / "copy"
    copy.mkdir()
    with logged(base):
        # Closing it, rpm waits ten seconds for the reader before it leaves the log alone.
        rpm(base, "-U", *install[1:], str(packages[2]))
        (copy / "theirs").write_text("\n".join(listed(base)))
        for file in base.glob("rpmdb.sqlite*"):
            (copy / file.name).write_bytes(file.read_bytes())
    return copy


@needs_rpm
def test_a_log_that_was_not_written_back_is_read(made: Path) -> None:
    assert (made / "rpmdb.sqlite-wal").stat().st_size > 0
    content = describe_guest(sqlite_guest(made))
    assert content.unknowns == ()
    assert ours(content) == (made / "theirs").read_text().splitlines()
    assert [(one.name, one.version) for one in content.packages] == [
        ("second", "4:2.0-3"),
        ("third", "3.0^git1-3"),
    ]
    assert "epoch=4" in content.packages[0].purl
    assert {FILE, f"{FILE}-wal"} <= {one.path for one in content.witnesses}


@needs_rpm
def test_without_the_log_only_what_was_written_back_is_there(made: Path) -> None:
    content = describe_guest(sqlite_guest(made, wal=b""))
    assert [one.name for one in content.packages] == ["first", "second"]


@needs_rpm
def test_an_interrupted_change_is_unknown(made: Path) -> None:
    content = describe_guest(sqlite_guest(made, journal=b"\xd9\xd5\x05\xf9"))
    assert any("journal" in one.where for one in content.unknowns)


@needs_rpm
@pytest.mark.skipif(not KEYS, reason="this machine has no armoured key to import")
def test_keys_are_no_packages(tmp_path: Path) -> None:
    rpm(tmp_path, "--initdb")
    rpm(tmp_path, "--import", str(KEYS[0]))
    rpm(tmp_path, "-i", "--justdb", "--nodeps", "--nosignature", str(build(tmp_path, "own", "1")))
    assert rpm(tmp_path, "-q", "gpg-pubkey")
    content = describe_guest(sqlite_guest(tmp_path))
    assert [one.name for one in content.packages] == ["own"]


@needs_rpm
def test_an_empty_database_beside_dpkg_is_none_and_alone_is_unknown(tmp_path: Path) -> None:
    rpm(tmp_path, "--initdb")
    empty = (tmp_path / "rpmdb.sqlite").read_bytes()
    assert describe_guest(debian({FILE: empty})).unknowns == ()
    assert any("no package" in one.why for one in described(FILE, empty).unknowns)


def test_two_formats_in_one_folder_are_said(ndb: bytes, berkeley: bytes) -> None:
    files = {"/var/lib/rpm/Packages": berkeley, "/var/lib/rpm/Packages.db": ndb}
    content = describe_guest(guest(MemoryTree({"/etc/os-release": SLE, **files})))
    assert any("two databases" in one.why for one in content.unknowns)
    assert len(content.packages) == 35


def database(*statements: str) -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        return connection.serialize()


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SQLite format 3\0" + bytes(4096),
        database("CREATE TABLE other (x)"),
        database(f"CREATE VIEW Packages AS {ENDLESS} SELECT x AS hnum, zeroblob(9) AS blob FROM n"),
        database("CREATE TABLE Packages (hnum, blob)", "INSERT INTO Packages VALUES (1, 'text')"),
        database("CREATE TABLE Packages (hnum, blob)", "INSERT INTO Packages VALUES (1, x'00')"),
        database("CREATE TABLE Packages (hnum, blob AS (zeroblob(hnum)))"),
    ],
    ids=["empty", "only a magic", "no table", "an endless view", "text", "short", "computed"],
)
def test_what_is_no_database_of_rpm_is_unknown(content: bytes) -> None:
    begun = time.process_time()
    found = described(FILE, content)
    assert found.packages == ()
    assert any(one.where.startswith(FILE) for one in found.unknowns)
    assert time.process_time() - begun < 2


def header(*entries: tuple[int, int, int, int], store: bytes = b"a\0001\0002\0") -> bytes:
    index = b"".join(struct.pack(">IIiI", *entry) for entry in entries)
    return struct.pack(">II", len(entries), len(store)) + index + store


GOOD = ((1000, 6, 0, 1), (1001, 6, 2, 1), (1002, 6, 4, 1))


def test_a_small_header_is_read() -> None:
    assert read_header(header(*GOOD), "x")[:3] == ("a", "1", "2")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\xff" * 8,
        struct.pack(">II", 0, 0),
        struct.pack(">II", 0xFFFF, 0),
        header(*GOOD)[:-1],
        header(*GOOD[:2]),
        header(GOOD[0], GOOD[1], (1002, 6, -1, 1)),
        header(GOOD[0], GOOD[1], (1002, 6, 6, 1)),
        header(GOOD[0], GOOD[1], (1002, 4, 0, 1)),
        header(*GOOD, (1003, 4, 4, 1)),
        header(*GOOD, (1003, 4, 0, 0x7FFFFFFF)),
        header(*GOOD, store=b"a\0001\0002"),
        header(*GOOD, store=b"\x1b\0001\0002\0"),
        header(*GOOD, store=b"\0\0001\0002\0"),
    ],
)
def test_a_header_that_lies_is_malformed(blob: bytes) -> None:
    with pytest.raises(Malformed):
        read_header(blob, "x")


def mutations(content: bytes, count: int, seed: int) -> list[bytes]:
    """A content with bytes changed, mostly where its structure stands, and cut off."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            reach = chance.choice((64, 8192, len(changed)))
            place = chance.randrange(min(reach, len(changed)))
            changed[place] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        found.append(
            bytes(changed[: chance.randrange(len(changed))] if number % 5 == 0 else changed)
        )
    return found


@pytest.mark.parametrize("format", ["ndb", "berkeley"])
def test_damage_gives_values_or_typed_errors(format: str, ndb: bytes, berkeley: bytes) -> None:
    content, read = (
        (ndb, rpm_ndb.read_headers) if format == "ndb" else (berkeley, rpm_bdb.read_headers)
    )
    refused = 0
    for changed in mutations(content, 200, 8):
        try:
            for where, blob in read(changed, "x"):
                read_header(blob, where)
        except InputError:
            refused += 1
    assert refused > 50


@needs_rpm
def test_damage_to_sqlite_or_its_log_is_never_silence(made: Path) -> None:
    log = (made / "rpmdb.sqlite-wal").read_bytes()
    for changed in mutations((made / "rpmdb.sqlite").read_bytes(), 40, 9):
        (copy := made / "bad").mkdir(exist_ok=True)
        (copy / "rpmdb.sqlite").write_bytes(changed)
        content = describe_guest(sqlite_guest(copy))
        assert content.packages or content.unknowns
        content = describe_guest(sqlite_guest(copy, wal=log))
        assert content.packages or content.unknowns


def test_overflow_pages_in_a_ring_are_refused(berkeley: bytes) -> None:
    ring = bytearray(berkeley)
    for page in range(1, len(ring) // 4096):
        if ring[page * 4096 + 25] == 7:
            struct.pack_into("<I", ring, page * 4096 + 16, page)
    with pytest.raises(Malformed):
        list(rpm_bdb.read_headers(bytes(ring), "x"))


def test_a_guest_with_nothing_but_a_broken_database_is_not_empty(ndb: bytes) -> None:
    content = describe_guest(guest(MemoryTree({"/var/lib/rpm/Packages.db": ndb[:5000]})))
    assert content.unknowns
    with pytest.raises(NothingRead):
        describe_guest(guest(MemoryTree({"/var/lib/rpm/.keep": b""})))
