"""What differs between two contents."""

from __future__ import annotations

from msgspec.structs import replace

from regild.describe.compare import compare
from regild.model.answers import Change
from regild.model.content import Application, Content, Package, Platform, Source
from regild.model.plan import Difference

PLATFORM = Platform(id="debian", version="12.4", kernels=("6.1.0-1",))
OPENSSL = Package(type="deb", name="openssl", version="3.0.14", arch="amd64")
NGINX = Package(type="deb", name="nginx", version="1:1.22", arch="amd64")
SOURCE = Source(type="apt", uri="http://mirror.example/d", suite="s", components=("main",))
BEFORE = Content(platform=PLATFORM, packages=(NGINX, OPENSSL), sources=(SOURCE,))


def changes(*packages: Package) -> tuple[Change, ...]:
    return compare(BEFORE, replace(BEFORE, packages=packages)).changes


def test_a_content_does_not_differ_from_itself() -> None:
    assert compare(BEFORE, BEFORE) == ((), (), (), ())


def test_versions_go_up_and_down_in_the_order_of_their_family() -> None:
    up = replace(OPENSSL, version="3.0.14+b1")
    down = replace(NGINX, version="2.0")
    assert changes(down, up) == (
        Change("downgrade", "deb", "nginx", "amd64", "1:1.22", "2.0"),
        Change("upgrade", "deb", "openssl", "amd64", "3.0.14", "3.0.14+b1"),
    )


def test_packages_come_and_go() -> None:
    new = Package(type="pypi", name="flask", version="3.0")
    assert changes(NGINX, new) == (
        Change("remove", "deb", "openssl", "amd64", "3.0.14", ""),
        Change("install", "pypi", "flask", "", "", "3.0"),
    )


def test_another_state_of_the_same_version_is_a_change() -> None:
    broken = replace(OPENSSL, state="half-configured")
    held = replace(NGINX, hold=True)
    assert changes(held, broken) == (
        Change("change", "deb", "nginx", "amd64", "installed", "installed, held"),
        Change("change", "deb", "openssl", "amd64", "installed", "half-configured"),
    )


def test_of_versions_side_by_side_only_those_that_moved_are_listed() -> None:
    old = tuple(Package(type="pypi", name="six", version=v) for v in ("1.14", "1.15"))
    new = tuple(Package(type="pypi", name="six", version=v) for v in ("1.15", "1.16"))
    found = compare(Content(PLATFORM, packages=old), Content(PLATFORM, packages=new)).changes
    assert found == (Change("upgrade", "pypi", "six", "", "1.14", "1.16"),)


def test_known_advisories_stand_with_their_version() -> None:
    fixes = {("openssl", "3.0.15"): ("CVE-2026-0001",)}
    after = replace(BEFORE, packages=(NGINX, replace(OPENSSL, version="3.0.15")))
    assert compare(BEFORE, after, fixes).changes[0].fixes == ("CVE-2026-0001",)


def test_the_platform_the_applications_and_the_sources_are_compared() -> None:
    after = Content(
        platform=replace(PLATFORM, version="12.5", kernels=("6.1.0-1", "6.1.0-2")),
        packages=BEFORE.packages,
        applications=(Application("billing", "2", "/opt/billing"),),
        sources=(replace(SOURCE, enabled=False, signed_by=("-----BEGIN",)),),
    )
    found = compare(BEFORE, after)
    assert found.platform == (
        Difference("version", "12.4", "12.5"),
        Difference("kernels", "6.1.0-1", "6.1.0-1 6.1.0-2"),
    )
    assert found.applications == (Difference("/opt/billing", "absent", "billing 2"),)
    assert found.sources == (
        Difference("apt http://mirror.example/d s", "main", "main signed-by=a key disabled"),
    )
