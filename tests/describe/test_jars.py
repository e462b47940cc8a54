"""Java archives: plain, merged, with others inside, and hostile."""

import contextlib
import io
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.describe.jars import as_file, read_jar
from regild.describe.reader import describe_guest
from regild.errors import RegildError, TooLarge
from tests.describe.guests import debian

POM = "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties"
LOG4J = "groupId=org.apache.logging.log4j\nartifactId=log4j-core\nversion=2.14.1\n"


def jar(members, **options):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def found(content, name="x.jar"):
    packages = read_jar(io.BytesIO(content), len(content), f"/srv/{name}")
    return [(one.name, one.version) for one in packages]


def test_maven_says_group_artifact_and_version():
    content = jar({POM: "#comment\r\n" + LOG4J, "org/A.class": "x"})
    (package,) = read_jar(io.BytesIO(content), len(content), "/srv/a.jar")
    assert (package.type, package.name) == ("maven", "org.apache.logging.log4j:log4j-core")
    assert package.purl == "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"
    assert package.where == "/srv/a.jar"


def test_without_maven_the_name_and_the_manifest_say_it():
    manifest = {
        "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\nImplementation-Version: 4.\r\n 2\r\n"
    }
    assert found(jar(manifest), "own-tool.jar") == [("own-tool", "4.2")]
    assert found(jar({}), "guava-32.1.3-jre.jar") == [("guava", "32.1.3-jre")]
    assert found(jar({}), "nothing.jar") == []


def test_archives_inside_of_an_archive_count():
    inner = jar({POM: LOG4J})
    content = jar({"BOOT-INF/lib/log4j-core-2.14.1.jar": inner, "BOOT-INF/lib/a-1.0.jar": jar({})})
    assert found(content, "app.jar") == [
        ("org.apache.logging.log4j:log4j-core", "2.14.1"),
        ("a", "1.0"),
    ]


def test_archives_of_a_guest_are_packages():
    content = describe_guest(
        debian({"/srv/app/lib/x.jar": jar({POM: LOG4J}), "/opt/web/a.war": jar({"WEB-INF/b": ""})})
    )
    assert [one.name for one in content.packages if one.type == "maven"] == [
        "org.apache.logging.log4j:log4j-core"
    ]
    assert content.unknowns == ()


@pytest.mark.parametrize(
    "content",
    [
        b"PK",
        b"no archive at all",
        jar({POM: LOG4J})[:-1],
        jar({POM: "x" * 300_000}),
        jar({"lib/a.jar": b"not one"}),
        jar({f"{number}/{'x' * 1000}": "" for number in range(5000)}),
    ],
)
def test_what_cannot_be_read_is_unknown(content):
    described = describe_guest(debian({"/srv/x.jar": content}))
    assert [one.where.split(" ")[0] for one in described.unknowns] == ["/srv/x.jar"]


def test_a_bomb_in_an_archive_takes_no_memory():
    content = jar({"lib/bomb.jar": bytes(300 << 20)}, compresslevel=9)
    tracemalloc.start()
    with contextlib.suppress(RegildError):
        found(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_directory_of_another_size_elsewhere_is_not_followed():
    directory = 6 << 30
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, directory, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, directory, 1)
    tail = end64 + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100, 0, 0)
    asked = []

    def part(offset, count):
        asked.append(count)
        assert count <= 1 << 20
        blank = bytes(min(count, max(0, directory - offset)))
        begin = offset + len(blank) - directory
        return blank + tail[begin : begin + count - len(blank)]

    size = directory + len(tail)
    with pytest.raises(TooLarge):
        list(read_jar(as_file(part, size), size, "/srv/x.jar"))


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(tail, at, byte):
    whole = bytearray(jar({POM: LOG4J, "lib/b-1.jar": jar({})}))
    whole[at % len(whole)] = byte
    for content in (tail, b"PK\x05\x06" + tail, bytes(whole)):
        with contextlib.suppress(RegildError):
            found(content)
