"""What reads for a plan: indexes, pins and settings as deciding sees them, keys, plans, units."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator

from regild.errors import RegildError
from tests.fuzz.targets.guests import STATUS
from tests.fuzz.targets.target import Target, file_of, texts


def run_stanzas(content: bytes) -> None:
    """Read an index for deciding: stanzas, facts, relations."""
    from regild.plan.debian.loading import facts_of, read_facts, read_stanzas
    from regild.plan.debian.relations import read_clauses

    for fields in itertools.islice(read_stanzas(io.BytesIO(content), "the index"), 50):
        for name in ("depends", "conflicts", "provides"):
            assert all(atoms for atoms in read_clauses(fields.get(name, "")))
        with contextlib.suppress(RegildError):
            _, facts = facts_of(fields, "the index")
            assert read_facts(facts.words) == facts


def run_pins(content: bytes) -> None:
    """Read preferences, and choose by them."""
    from regild.model.content import TextFile
    from regild.plan.debian.pins import pins_by_name, read_pins

    pins = read_pins([TextFile("/etc/apt/preferences.d/a", content.decode(errors="replace"))])
    for name, _ in itertools.islice(pins_by_name(pins, ["a", "libssl3"]), 100):
        assert name


def run_settings(content: bytes) -> None:
    """Read the settings of a guest as deciding heeds them."""
    from regild.model.content import Planning, TextFile
    from regild.plan.debian import settings as debian
    from regild.plan.rpm import settings as rpm

    text = content.decode(errors="replace")
    places = ("/etc/dnf/dnf.conf", "/etc/zypp/zypp.conf", "/etc/dnf/modules.d/a.module")
    files = tuple(TextFile(place, text) for place in places)
    assert rpm.read_settings(Planning(type="rpm", settings=files, preferences=files)).limit >= 0
    debian.read_settings(files)


def run_keys(content: bytes) -> None:
    """Read the certificates of a keyring."""
    from regild.feeds.keys import read_keys, split_certificates

    assert sum(map(len, split_certificates(content))) <= len(content)
    for key in read_keys(content):
        assert key.fingerprint


def run_plan(content: bytes) -> None:
    """Read a plan, signed or not, that somebody wrote."""
    from regild.agent.planning.plan_file import read_plan
    from regild.errors import UsageError

    with contextlib.suppress(UsageError):
        assert read_plan(file_of(content, ".plan"), None).id


def run_units(content: bytes) -> None:
    """Read a guest's mount units."""
    from regild.image.units import FOLDERS, read_units
    from tests.describe.guests import MemoryTree

    names = ("var.mount", "var.mount.d/a.conf", "local-fs.target.wants/var.mount")
    tree = MemoryTree({f"{folder}/{name}": content for folder in FOLDERS for name in names})
    lines, _ = read_units(tree)  # type: ignore[arg-type] # it asks for names, bytes and links only
    assert all(line.path.startswith("/") for line in lines)


def run_sqlite(content: bytes) -> None:
    """Read rpm's headers out of SQLite: the length of the database, it, and its log."""
    from regild.describe.rpm_sqlite import read_headers

    length = int.from_bytes(content[:4], "little")
    database, log = content[4 : 4 + length], content[4 + length :]
    for _, blob in itertools.islice(read_headers(database, log, "the database"), 1000):
        assert isinstance(blob, bytes)


def seeds_of_sqlite() -> Iterator[bytes]:
    """A table of two headers, and the same with one of them in the log."""
    import sqlite3
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "rpmdb.sqlite"
        opened = sqlite3.connect(path, isolation_level=None)
        opened.execute("PRAGMA page_size = 512")
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        opened.execute("INSERT INTO Packages (blob) VALUES (?)", (b"x" * 40,))
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        opened.execute("INSERT INTO Packages (blob) VALUES (?)", (b"y" * 40,))
        database, log = path.read_bytes(), path.with_name("rpmdb.sqlite-wal").read_bytes()
        opened.close()
        for rest in (log, b""):
            yield len(database).to_bytes(4, "little") + database + rest


def seeds_of_keys() -> Iterator[bytes]:
    """A certificate of somebody, binary and armoured."""
    from pysequoia import Tsk

    made = Tsk.generate("A <a@mirror.example>").extract_certificate()
    yield bytes(made)
    yield str(made).encode()


def seeds_of_plans() -> Iterator[bytes]:
    """A plan that does nothing, bare and signed by somebody."""
    from msgspec.structs import replace

    from regild.agent.planning.plan_file import KIND
    from regild.model.digest import canonical, sha256_of
    from regild.model.dsse import sign_bytes
    from regild.model.plan import Plan
    from regild.plan.steps import identity_of
    from tests.fuzz.targets.statements import signer

    nothing = sha256_of(b"")
    plan = Plan(id=nothing, base=nothing, basis="disk", mode="full")
    plan = replace(plan, id=identity_of(plan))
    yield canonical(plan)
    yield sign_bytes(canonical(plan), KIND, signer().key)


PREFERENCES = "Package: libssl*\nPin: version 3.0*\nPin-Priority: 1001\n\nPackage: *\nPin: release"
UNIT = (
    "[Unit]\nDescription=x\n[Mount]\nWhat=/dev/vg/var\nWhere=/var\nType=ext4\nOptions=rw,nofail\n"
)

TARGETS: dict[str, Target] = {
    "stanzas": Target(run_stanzas, texts(STATUS, f"{STATUS}\nPackage: x\nConflicts: y (<< 2)\n")),
    "pins": Target(run_pins, texts(f"{PREFERENCES} a=stable, o=Debian\nPin-Priority: -1\n")),
    "settings": Target(
        run_settings, texts("best=1\ninstallonly_limit=2\nname=a\n", 'APT::X:: "a";\n')
    ),
    "keys": Target(run_keys, seeds_of_keys),
    "plan": Target(run_plan, seeds_of_plans),
    "units": Target(run_units, texts(UNIT)),
    "rpm-sqlite": Target(run_sqlite, seeds_of_sqlite),
}
