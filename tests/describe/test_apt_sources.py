"""apt's sources in both formats, with apt itself as the judge."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.describe import apt_sources
from regild.describe.apt_sources import strip_credentials
from regild.describe.reader import describe_guest
from regild.errors import Malformed
from regild.model.content import Content, Source
from regild.model.json import to_json
from tests.describe.guests import debian

LIST = "/etc/apt/sources.list"
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEXm0DNhYJKwYBBAHaRw8BAQdA
=abcd
-----END PGP PUBLIC KEY BLOCK-----
"""


def described(line: str, **files: str) -> Content:
    arch = {"/var/lib/dpkg/arch": "amd64\ni386\n"}
    return describe_guest(debian({LIST: line + "\n", **arch, **files}))


def one(line: str, **files: str) -> Source:
    content = described(line, **files)
    assert [known for known in content.unknowns if "signed" not in known.why] == []
    (source,) = content.sources
    return source


def deb822(text: str) -> Content:
    return described("", **{"/etc/apt/sources.list.d/a.sources": text})


def test_a_plain_line() -> None:
    assert one("deb http://mirror.example/debian bookworm main contrib") == Source(
        type="apt",
        uri="http://mirror.example/debian",
        suite="bookworm",
        components=("main", "contrib"),
        where=f"{LIST}:1",
    )


@pytest.mark.parametrize(
    "line",
    [
        "deb [ arch=amd64,i386 signed-by=/k/a.gpg trusted=yes ] http://m.example/d s main # note",
        "deb\t[arch=amd64,i386  signed-by=/k/a.gpg  trusted=yes]\thttp://m.example/d   s\tmain",
        "  deb [arch+=i386 signed-by=/k/a.gpg trusted=true] http://m.example/d s main",
    ],
)
def test_options_are_read(line: str) -> None:
    source = one(line, **{"/k/a.gpg": KEY})
    assert source.architectures == ("amd64", "i386")
    assert source.signed_by == ("/k/a.gpg",)
    assert source.trusted
    assert (source.uri, source.suite, source.components) == ("http://m.example/d", "s", ("main",))


def test_options_that_change_belief_are_kept_and_others_are_not() -> None:
    source = one("deb [check-valid-until=no lang=de pdiffs=no by-hash=force] http://m/d s main")
    assert source.options == ("by-hash=force", "check-valid-until=no")


def test_an_architecture_can_be_taken_away() -> None:
    assert one("deb [arch-=i386] http://m/d s main").architectures == ("amd64",)


def test_a_flat_repository_has_a_path_for_a_suite() -> None:
    source = one("deb http://m.example/$(ARCH)/ stable/binary-$(ARCH)/")
    assert (source.uri, source.suite) == ("http://m.example/amd64/", "stable/binary-amd64/")
    assert source.components == ()


def test_comments_empty_lines_and_source_packages_are_no_sources() -> None:
    content = described("\n# deb http://m/d s main\ndeb-src http://m/d s main")
    assert (content.sources, content.unknowns) == ((), ())


@pytest.mark.parametrize(
    "line", ["deb", "deb http://m/d", "rpm http://m/d s main", "deb [arch=amd64 http://m/d s main"]
)
def test_a_line_that_is_none_is_unknown_and_the_others_count(line: str) -> None:
    content = described(f"{line}\ndeb http://mirror.example/d s main")
    assert [known.where for known in content.unknowns] == [f"{LIST}:1"]
    assert len(content.sources) == 1


@pytest.mark.parametrize(
    ("line", "scheme"),
    [
        ("deb cdrom:[Debian 12.0 _Bookworm_ - amd64 NETINST]/ bookworm main", "cdrom"),
        ("deb ssh://host.example/debian bookworm main", "ssh"),
        ("deb copy:/srv/debian bookworm main", "copy"),
    ],
)
def test_a_source_that_cannot_be_followed_is_kept_and_reported(line: str, scheme: str) -> None:
    content = described(line)
    assert content.sources[0].uri.startswith(f"{scheme}:")
    assert content.sources[0].suite == "bookworm"
    assert scheme in content.unknowns[0].why


def test_a_disabled_source_is_kept_and_not_reported() -> None:
    content = deb822("Enabled: no\nTypes: deb\nURIs: cdrom:[x]/\nSuites: s\nComponents: main\n")
    assert [source.enabled for source in content.sources] == [False]
    assert content.unknowns == ()


def test_a_stanza_spreads_over_addresses_and_suites() -> None:
    content = deb822(
        "# ours\nTypes: deb deb-src\nURIs: http://a.example/d\n http://b.example/d\n"
        "Suites: s s-updates\nComponents: main\n# note\nSigned-By: /k/a.gpg\n\n"
        "Types: deb-src\nURIs: http://c.example/d\nSuites: s\nComponents: main\n"
    )
    assert [(source.uri, source.suite) for source in content.sources] == [
        ("http://a.example/d", "s"),
        ("http://a.example/d", "s-updates"),
        ("http://b.example/d", "s"),
        ("http://b.example/d", "s-updates"),
    ]
    assert {source.where for source in content.sources} == {"/etc/apt/sources.list.d/a.sources:2"}


def test_an_embedded_key_is_as_it_was_signed() -> None:
    folded = "".join(f" {line or '.'}\n" for line in KEY.splitlines())
    content = deb822(
        f"Types: deb\nURIs: http://m/d\nSuites: s\nComponents: main\nSigned-By:\n{folded}"
    )
    assert content.sources[0].signed_by == (KEY,)


def test_a_damaged_file_is_unknown() -> None:
    content = deb822("Types: deb\nURIs: http://m/d\n")
    assert content.unknowns[0].where == "/etc/apt/sources.list.d/a.sources:1"
    content = deb822("Types: deb\nTypes: deb\n")
    assert "second time" in content.unknowns[0].why


def test_a_stanza_that_multiplies_without_end_is_refused() -> None:
    many = " ".join(f"http://m/{number}" for number in range(5000))
    content = deb822(f"Types: deb\nURIs: {many}\nSuites: {many}\nComponents: main\n")
    assert content.sources == ()
    assert str(apt_sources.SOURCES_LIMIT) in content.unknowns[0].why


@pytest.mark.parametrize(
    "address",
    [
        "https://user:SECRET@m.example:8080/d",
        "https://SECRET@m.example:8080/d",
        "https://user:a@SECRET@m.example:8080/d",
        "https://m.example:8080/d?token=SECRET",
        "https:user:SECRET@m.example:8080/d",
    ],
)
def test_credentials_are_nowhere_in_the_content(address: str) -> None:
    lines = f"deb {address} s main"
    more = {"/etc/apt/sources.list.d/a.sources": f"Types: deb\nURIs: {address}\nSuites: t/\n"}
    content = described(lines, **more)
    assert len(content.sources) == 2
    assert {source.uri for source in content.sources} == {"https://m.example:8080/d"}
    assert {source.options for source in content.sources} == {("credentials=removed",)}
    assert "SECRET" not in to_json(content)


@pytest.mark.parametrize("address", ["https://user:SEC/RET@m.example/d", "https://u ser@[::1/d"])
def test_an_address_that_cannot_be_made_safe_is_not_kept(address: str) -> None:
    content = deb822(f"Types: deb\nURIs: {address}\nSuites: s\nComponents: main\n")
    assert "RET" not in to_json(content)
    assert content.unknowns


@given(st.text(max_size=40), st.text(alphabet="ab:/?#@[]%.", max_size=20))
def test_no_address_keeps_what_stands_before_its_host(secret: str, rest: str) -> None:
    try:
        address, _ = strip_credentials(f"http://u:{secret}@{rest}")
    except Malformed:
        return
    assert "@" not in address.removeprefix("http://").split("/")[0]


APT = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed here")


DEB = "Types: deb\nURIs: http://h/d\n"


@APT
@pytest.mark.parametrize(
    "text",
    [
        "deb [signed-by=/a#b.gpg] http://h/d s main",
        "deb http://h/d s main#x",
        "deb http://h/a#b s main",
        'deb "http://h/d" "s" "main"  # "x"',
        "deb [trusted] http://h/d s main",
        "deb [a=] http://h/d s main",
        "deb [=b] http://h/d s main",
        "deb [foo=bar] http://h/d s main",
        "deb [ARCH=i386] http://h/d s main",
        "deb [arch=i386]http://h/d s main",
        "deb [enabled=no] http://h/d s main",
        "deb http://h/d s",
        "deb http://h/d ./ main",
        "deb http://h/d ./",
        "deb http:h/d s main",
        "deb http://h/$(ARCH) s-$(ARCH) main",
        "deb http://h/d s-$(ARCH)/",
        "deb http://h/d s main\r",
        "DEB http://h/d s main",
        "deb-src http://h/d s main",
        f"{DEB}Suites: s\n",
        f"{DEB}Suites: s\nEnabled: no\n",
        f"{DEB}Suites: ./\nComponents: main\n",
        f"{DEB}Suites: ./\n",
        f"{DEB}Suites: s-$(ARCH)\nComponents: main\n",
        f"{DEB}Suites: s\nComponents: main\nEnabled: junk\n",
        f"{DEB}Suites: s\nComponents: main\nEnabled: off\n",
        "Types: rpm\nURIs: http://h/d\nSuites: s\nComponents: main\n",
        "Types: deb rpm\nURIs: http://h/d\nSuites: s\nComponents: main\n",
        "types: deb\nURIS: http://h/d\nSuites: s\nCOMPONENTS: main\n",
    ],
)
def test_what_apt_does_not_read_is_unknown_and_the_rest_the_same(tmp_path: Path, text: str) -> None:
    name = "sources.list.d/a.sources" if ":" in text.split()[0] else "sources.list.d/a:b.list"
    theirs = as_apt({name: f"{text}\n"}, tmp_path)
    content = described("", **{f"/etc/apt/{name}": f"{text}\n"})
    unknowns = [known for known in content.unknowns if "signed" not in known.why]
    assert bool(unknowns) == (theirs is None)
    assert {one for source in content.sources for one in indexes(source)} == (theirs or set())


@APT
def test_apt_itself_reads_the_same_sources(tmp_path: Path) -> None:
    texts = {
        "sources.list": "deb http://a.example/debian s main contrib # x\n"
        "deb [arch=i386 signed-by=/k/a.gpg] https://b.example/d s/$(ARCH)/\n"
        "#deb http://no.example/d s main\n",
        "sources.list.d/b.list": "deb [ arch+=riscv64 ] http://c.example:81/d t main\n",
        "sources.list.d/c.sources": "Types: deb\nURIs: http://d.example/d http://e.example/d\n"
        "Suites: u v\nComponents: main\nArchitectures: amd64\n\n"
        "Enabled: false\nTypes: deb\nURIs: http://no.example/d\nSuites: u\nComponents: main\n",
        "sources.list.d/d.list.save": "deb http://no.example/d s main\n",
        "sources.list.d/e~.list": "deb http://no.example/d s main\n",
        "sources.list.d/.f.list": "deb http://no.example/d s main\n",
    }
    theirs = as_apt(texts, tmp_path)
    content = described("", **{f"/etc/apt/{name}": text for name, text in texts.items()})
    assert {one for source in content.sources for one in indexes(source)} == theirs


def indexes(source: Source) -> list[str]:
    """The addresses of the indexes that a source stands for."""
    if not source.enabled:
        return []
    place = source.uri.rstrip("/")
    if source.suite.endswith("/"):
        return [f"{place}/{source.suite}Packages"]
    return [
        f"{place}/dists/{source.suite}/{component}/binary-{arch}/Packages"
        for component in source.components
        for arch in source.architectures or ("amd64", "i386")
    ]


def as_apt(texts: dict[str, str], folder: Path) -> set[str] | None:
    """The addresses of the indexes that apt would read; None where it gives up."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "lists" / "partial").mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "sources.list.d",
        "Dir::State": folder,
        "Dir::Cache": folder,
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64,i386",
    }
    line = ["apt-get", "update", "--print-uris"]
    for name, value in options.items():
        line += ["-o", f"{name}={value}"]
    asked = subprocess.run(line, capture_output=True, text=True)
    if asked.returncode:
        assert "could not be read" in asked.stderr
        return None
    addresses = [row.split("'")[1] for row in asked.stdout.splitlines()]
    return {
        address.removesuffix(".xz")
        for address in addresses
        if address.endswith("/Packages.xz") and "binary-all" not in address
    }
