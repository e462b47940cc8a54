"""Java archives: plain, merged, with others inside, and hostile."""

import contextlib
import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.describe.jars import read_jar
from regild.describe.reader import describe_guest
from regild.errors import RegildError
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


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(tail, at, byte):
    whole = bytearray(jar({POM: LOG4J, "lib/b-1.jar": jar({})}))
    whole[at % len(whole)] = byte
    for content in (tail, b"PK\x05\x06" + tail, bytes(whole)):
        with contextlib.suppress(RegildError):
            found(content)
