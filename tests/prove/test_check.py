"""Expected against observed, as a pure comparison."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from regild.model.content import Content, Package, Platform
from regild.model.plan import Difference
from regild.prove.check import check_content

OPENSSL = Package(type="deb", name="openssl", version="3.0.15", arch="amd64")
NGINX = Package(type="deb", name="nginx", version="1.22", arch="amd64")
PACKAGES = st.lists(
    st.builds(
        Package,
        type=st.sampled_from(("deb", "pypi")),
        name=st.sampled_from("abc"),
        version=st.sampled_from("123"),
        arch=st.sampled_from(("amd64", "i386")),
        state=st.sampled_from(("installed", "unpacked")),
    ),
    max_size=6,
).map(tuple)


def observed(*packages: Package) -> Content:
    return Content(platform=Platform(), packages=packages)


def test_a_kept_promise_has_no_differences() -> None:
    assert check_content((OPENSSL, NGINX), observed(NGINX, OPENSSL)) == ()


def test_a_hold_that_was_not_there_is_a_difference() -> None:
    (difference,) = check_content((OPENSSL,), observed(replace(OPENSSL, hold=True)))
    assert difference.observed.endswith("on hold")


def test_marks_and_provenance_are_no_differences() -> None:
    other = replace(OPENSSL, auto=True, where="/x", purl="pkg:deb/x", source="y")
    assert check_content((OPENSSL,), observed(other)) == ()


def test_each_way_to_differ_is_named() -> None:
    cases = {
        "3.0.14": replace(OPENSSL, version="3.0.14"),
        "3.0.15 half-configured": replace(OPENSSL, state="half-configured"),
    }
    for said, package in cases.items():
        assert check_content((OPENSSL,), observed(package)) == (
            Difference("openssl:amd64", "3.0.15", said),
        )


def test_packages_too_few_and_too_many_are_named() -> None:
    assert check_content((OPENSSL,), observed(NGINX)) == (
        Difference("nginx:amd64", "absent", "1.22"),
        Difference("openssl:amd64", "3.0.15", "absent"),
    )


def test_another_architecture_is_another_package() -> None:
    found = check_content((OPENSSL,), observed(replace(OPENSSL, arch="i386")))
    assert [one.what for one in found] == ["openssl:amd64", "openssl:i386"]


def test_another_family_is_another_package() -> None:
    found = check_content((OPENSSL,), observed(OPENSSL, replace(NGINX, type="pypi", arch="")))
    assert found == (Difference("pypi nginx", "absent", "1.22"),)


@given(PACKAGES, PACKAGES)
def test_no_difference_means_the_same_packages(
    one: tuple[Package, ...], two: tuple[Package, ...]
) -> None:
    same = sorted(map(repr, one)) == sorted(map(repr, two))
    assert (check_content(one, observed(*two)) == ()) == same
