"""Package URLs against the reference library."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from regild.model.content import Platform
from regild.model.purl import debian_url, package_url

BOOKWORM = Platform(family="linux", id="debian", version="12.5", codename="bookworm")
NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{0,20}", fullmatch=True)
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~-]{0,20}", fullmatch=True)


def test_a_debian_package_has_the_url_that_the_field_writes() -> None:
    written = "pkg:deb/debian/openssl@3.0.15-1~deb12u1?arch=amd64&distro=debian-12"
    assert debian_url("openssl", "3.0.15-1~deb12u1", "amd64", BOOKWORM) == written


@given(NAMES, VERSIONS)
def test_it_is_the_url_of_the_reference_library(name: str, version: str) -> None:
    qualifiers = {"arch": "amd64", "distro": "debian-12"}
    theirs = PackageURL("deb", "debian", name, version, qualifiers).to_string()
    assert debian_url(name, version, "amd64", BOOKWORM) == theirs


@given(st.text(alphabet="abc+ ü%~:_-.0", min_size=1, max_size=12))
def test_any_version_survives_the_way_there_and_back(version: str) -> None:
    url = package_url("pypi", "requests", version)
    if version.strip() == version:
        assert PackageURL.from_string(url).version == version


def test_a_release_without_a_number_is_named_by_its_codename() -> None:
    trixie = Platform(id="debian", codename="trixie")
    assert debian_url("apt", "3.0", "amd64", trixie).endswith("&distro=debian-trixie")
    assert debian_url("apt", "3.0", "amd64", Platform()) == "pkg:deb/apt@3.0?arch=amd64"


def test_other_distributions_keep_their_whole_version() -> None:
    jammy = Platform(id="ubuntu", version="22.04")
    assert debian_url("apt", "2.4", "all", jammy).endswith("?arch=all&distro=ubuntu-22.04")
