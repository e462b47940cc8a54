"""What reads databases and archives inside of a guest: rpm's, Java's, Go's."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
from collections.abc import Iterator

from regild.errors import RegildError
from tests.fuzz.targets.target import Target, shared, texts


def run_rpm(reader: str, content: bytes) -> None:
    """Read rpm's headers out of one of its databases, or one header and what planning needs."""
    from regild.describe import rpm_bdb, rpm_ndb
    from regild.describe.rpm_relations import read_facts, write_status
    from regild.model.rpm_header import Tags, read_header

    if reader == "header":
        tags = Tags(content, "the header")
        write_status([read_facts(tags.identity, tags, "the header")])
        return
    read = rpm_bdb.read_headers if reader == "bdb" else rpm_ndb.read_headers
    for _, blob in itertools.islice(read(content, "the database"), 1000):
        with contextlib.suppress(RegildError):
            read_header(blob, "the header")


def run_repositories(content: bytes) -> None:
    """Read a file of repositories, which is also dnf's settings, locks and modules."""
    from regild.describe.evidence import Evidence
    from regild.describe.findings import Findings
    from regild.describe.rpm_settings import read_rpm_settings
    from regild.describe.rpm_sources import read_rpm_sources
    from regild.model.content import Planning
    from regild.model.digest import canonical
    from tests.describe.guests import MemoryTree, guest

    places = ("yum.repos.d/a.repo", "dnf/dnf.conf", "dnf/modules.d/a.module", "zypp/locks")
    evidence = Evidence(guest(MemoryTree({f"/etc/{place}": content for place in places})))
    known = Findings(planning=Planning(type="rpm"))
    known = known.merged(read_rpm_settings(evidence, known))
    assert canonical((known.planning, read_rpm_sources(evidence, known).sources))


def run_jar(content: bytes) -> None:
    """Read what a Java archive says of itself."""
    from regild.describe.jars import read_jar

    for package in itertools.islice(read_jar(io.BytesIO(content), len(content), "/a.jar"), 500):
        assert package.purl.startswith("pkg:maven/")


def run_go(content: bytes) -> None:
    """Read the modules of a Go program."""
    from regild.describe.go_programs import read_go

    for package in read_go(lambda offset, count: content[offset : offset + count], "/a"):
        assert package.name and package.version


def seeds_of_rpm(reader: str) -> Iterator[bytes]:
    """Headers of real databases, and the beginnings of the databases."""
    from regild.describe import rpm_bdb, rpm_ndb

    folder = {"bdb": "libuuid", "ndb": "sle15-bci"}
    if reader != "header":
        for content in shared(f"rpmdb/{folder[reader]}", "Packages*", 1 << 24):
            yield content[:100_000]
        return
    for content in shared("rpmdb/sle15-bci", "Packages.db", 1 << 26):
        blobs = sorted((blob for _, blob in rpm_ndb.read_headers(content, "x")), key=len)
        yield from blobs[:5]
    for content in shared("rpmdb/libuuid", "Packages", 1 << 26):
        yield from sorted((blob for _, blob in rpm_bdb.read_headers(content, "x")), key=len)[:2]
    from tests.describe.test_rpm import header

    texts_of = ((1000, 0), (1001, 2), (1002, 4), (1022, 6))
    yield header(*((tag, 6, at, 1) for tag, at in texts_of), store=b"a\0001\0002\0noarch\0")
    yield bytes.fromhex("00000001 00000008 000003e8 00000006 00000000 00000001") + b"name\0\0\0\0"


def seeds_of_jars() -> Iterator[bytes]:
    """With Maven's words, with a manifest, and with an archive inside."""
    from tests.describe.test_jars import LOG4J, POM, jar

    yield jar({POM: LOG4J})
    yield jar({"META-INF/MANIFEST.MF": "Implementation-Version: 1\n", "lib/a-1.jar": jar({})})


def seeds_of_go() -> Iterator[bytes]:
    """A program with its modules behind the block."""
    from tests.describe.test_go_programs import program

    yield program()


REPOSITORIES = """[main]
exclude=a,b
[updates]
baseurl=https://a:b@mirror.example/$releasever/${basearch}/?x=y
  http://second.example
metalink=http://mirror.example/m?repo=a&arch=$arch
gpgkey=file:///etc/key
state=enabled
"""

TARGETS: dict[str, Target] = {
    "rpm-header": Target(
        functools.partial(run_rpm, "header"), functools.partial(seeds_of_rpm, "header")
    ),
    "repositories": Target(run_repositories, texts(REPOSITORIES)),
    "rpm-ndb": Target(functools.partial(run_rpm, "ndb"), functools.partial(seeds_of_rpm, "ndb")),
    "rpm-bdb": Target(functools.partial(run_rpm, "bdb"), functools.partial(seeds_of_rpm, "bdb")),
    "jar": Target(run_jar, seeds_of_jars),
    "go": Target(run_go, seeds_of_go),
}
