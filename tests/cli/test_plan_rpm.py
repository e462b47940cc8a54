"""`regild plan` on an image of rpm from end to end: its root is made by real dnf from repositories
that are made here, and its plan is what dnf would do in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.test_same_plan import without_its_disk
from tests.feeds.repositories import certificate, fingerprint
from tests.feeds.rpm_repositories import Rpm, advisory, needs_createrepo, publish, updateinfo
from tests.plan.rpm_worlds import OS_RELEASE, needs_dnf, of_dnf

pytestmark = [
    needs_dnf,
    needs_createrepo,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="dnf fills a root folder as root only"),
    pytest.mark.skipif(shutil.which("dnf") is None, reason="dnf is not installed here"),
]

Regild = Callable[..., Said]

KERNEL = ("Provides: installonlypkg(kernel)",)
RELEASE = Rpm(
    "test-release", "39", lines=("Provides: system-release = 39",), files=("/etc/os-release",)
)
OLD = [
    RELEASE,
    Rpm("openssl", "3.0.1", epoch=1, arch="x86_64", files=("/usr/bin/openssl",)),
    Rpm("app", "1", lines=("Requires: openssl >= 1:3", "Recommends: nice")),
    Rpm("kept", "1"),
    Rpm("kernel", "6.1", lines=KERNEL),
]
NEW = [
    Rpm("openssl", "3.0.9", epoch=1, arch="x86_64", files=("/usr/bin/openssl",)),
    Rpm("app", "2", lines=("Requires: openssl >= 1:3.0.9", "Requires: extra")),
    Rpm("extra", lines=("Requires: /usr/share/deep/data",)),
    Rpm("deep", files=("/usr/share/deep/data",)),
    Rpm("kept", "2"),
    Rpm("kernel", "6.2", lines=KERNEL),
]
REPO = """[updates]
name=Updates
baseurl=file://{0}
gpgcheck=1
repo_gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/TEST
"""


@dataclass(frozen=True)
class Made:
    """An image, the root that it was made from, and its repository."""

    disk: Path
    root: Path
    mirror: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("rpm-image")
    old, root = publish(folder / "old", OLD), folder / "root"
    (folder / ".rpmmacros").write_text("%_dbpath /var/lib/rpm\n")
    install(root, old, [one.name for one in OLD], folder)
    notices = updateinfo(advisory("TEST-2026-1", NEW[:1], cve="CVE-2026-1234", reboot=True))
    mirror = publish(folder / "new", NEW, updateinfo=notices, signer="archive")
    files: dict[str, str | bytes] = {
        "etc/os-release": OS_RELEASE,
        "etc/dnf/dnf.conf": "[main]\nexcludepkgs=kept\ninstallonly_limit=2\n",
        "etc/yum.repos.d/updates.repo": REPO.format(mirror),
        "etc/pki/rpm-gpg/TEST": certificate(),
    }
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    disk = folder / "root.raw"
    mke2fs = ["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(disk), "300m"]
    subprocess.run(mke2fs, check=True, capture_output=True)
    return Made(disk, root, mirror)


def install(root: Path, repository: Path, names: Sequence[str], home: Path) -> None:
    """Fill a root folder as an image builder does."""
    argv = ["dnf", "-y", "-q", f"--installroot={root}", "--releasever=39", "--noplugins"]
    argv += [
        "--setopt=reposdir=/nonexistent",
        "--setopt=varsdir=/nonexistent",
        "--forcearch=x86_64",
    ]
    argv += [f"--setopt=cachedir={home}/cache", "--setopt=gpgcheck=0"]
    argv += [f"--repofrompath=old,file://{repository}", "install", *names]
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(argv, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(autouse=True)
def no_cache_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def steps(said: Said) -> tuple[list[str], list[str]]:
    """What comes in and what goes, as dnf names it."""
    rows = said.json["steps"]
    come = [f"{one['name']}-{one['to']}.{one['arch']}" for one in rows if one["to"]]
    gone = [f"{one['name']}-{one['from']}.{one['arch']}" for one in rows if one["from"]]
    return sorted(come), sorted(gone)


@pytest.mark.parametrize("mode", ["upgrade", "security", "full"])
def test_the_plan_is_what_dnf_would_do(made: Made, regild: Regild, mode: str) -> None:
    said = regild("plan", made.disk, "--mode", mode, "--allow", made.mirror, "--json")
    assert said.code == 10, said.err
    assert steps(said) == of_dnf(made.root, mode)  # type: ignore[arg-type]
    assert steps(said) != ([], [])
    (feed,) = said.json["feeds"]
    assert feed["signed_by"] == [fingerprint()]


def test_the_plan_says_why_what_it_fixes_and_what_it_leaves(made: Made, regild: Regild) -> None:
    said = regild("plan", made.disk, "--allow", made.mirror, "--json").json
    rows = {one["name"]: one for one in said["steps"]}
    assert set(rows) == {"app", "deep", "extra", "kernel", "openssl"}
    openssl = rows["openssl"]
    assert openssl["type"] == "rpm"
    assert (openssl["from"], openssl["to"]) == ("1:3.0.1-1", "1:3.0.9-1")
    assert openssl["fixes"] == ["CVE-2026-1234"]
    assert (openssl["evidence"], openssl["severity"]) == ("TEST-2026-1", "high")
    assert openssl["restart"] == "TEST-2026-1 asks for it"
    assert rows["kernel"]["restart"].startswith("a running machine keeps the kernel")
    assert rows["app"].get("restart", "") == ""
    assert openssl["security"] and openssl["why"] == "security update from updates"
    assert rows["extra"]["why"] == "needed by app"
    assert rows["deep"]["why"] == "needed by extra"
    assert (rows["kernel"]["action"], rows["extra"]["action"]) == ("install", "install")
    (kept,) = said["skipped"]
    assert (kept["name"], kept["available"]) == ("kept", "2-1")
    why = "the package manager keeps it back: it is excluded by the image's settings"
    assert kept["why"] == why
    assert said["download_bytes"] > 0
    expected = [(one["name"], one["version"]) for one in said["expected"] if one["type"] == "rpm"]
    assert expected == [
        ("app", "2-1"),
        ("deep", "1-1"),
        ("extra", "1-1"),
        ("kept", "1-1"),
        ("kernel", "6.1-1"),
        ("kernel", "6.2-1"),
        ("openssl", "1:3.0.9-1"),
        ("test-release", "39-1"),
    ]
    purls = {one["name"]: one["purl"] for one in said["expected"]}
    assert purls["openssl"] == "pkg:rpm/fedora/openssl@3.0.9-1?arch=x86_64&distro=fedora-39&epoch=1"


def test_the_plan_from_the_descriptor_alone_has_the_same_id(
    made: Made, regild: Regild, tmp_path: Path
) -> None:
    package = tmp_path / "described.ova"
    disk = tmp_path / made.disk.name
    shutil.copy(made.disk, disk)
    given = golden.ova(tmp_path, golden.streamed(disk))
    described = regild("describe", given, "-o", package)
    assert described.code == 0, described.err
    wish = ("--allow", made.mirror, "--json")
    whole = regild("plan", package, "--basis", "disk", *wish)
    ovf = without_its_disk(package, tmp_path / "alone")
    package.unlink()
    alone = regild("plan", ovf, "--basis", "descriptor", *wish)
    assert alone.code == whole.code == 10, alone.err
    assert alone.json["id"] == whole.json["id"]
    assert alone.json["steps"] == whole.json["steps"]


def test_a_signature_that_is_missing_is_refused(made: Made, regild: Regild) -> None:
    signature = made.mirror / "repodata/repomd.xml.asc"
    kept = signature.read_bytes()
    signature.unlink()
    try:
        said = regild("plan", made.disk, "--allow", made.mirror)
    finally:
        signature.write_bytes(kept)
    assert said.code == 6
    assert "not signed" in said.err


def test_a_repository_that_an_image_goes_on_without_is_left_out_and_said(
    made: Made, regild: Regild, tmp_path: Path
) -> None:
    text = REPO.format(made.mirror) + "[gone]\nbaseurl=file:///gone\nskip_if_unavailable=1\n"
    (made.root / "etc/yum.repos.d/updates.repo").write_text(text)
    disk = tmp_path / "root.raw"
    try:
        mke2fs = ["mke2fs", "-q", "-t", "ext4", "-d", str(made.root), str(disk), "300m"]
        subprocess.run(mke2fs, check=True, capture_output=True)
    finally:
        (made.root / "etc/yum.repos.d/updates.repo").write_text(REPO.format(made.mirror))
    wish = ["--allow", made.mirror, "--allow", "/gone", "--exclude", "*", "--json"]
    said = regild("plan", disk, *wish)
    assert said.code == 11, said.err
    (left,) = [one for one in said.json["skipped"] if one["name"] == "gone"]
    assert "the image goes on without" in left["why"]


def test_an_address_that_the_site_does_not_allow_is_refused(made: Made, regild: Regild) -> None:
    said = regild("plan", made.disk)
    assert said.code == 7
    assert "file: addresses need the site's consent" in said.err


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (("--method", "offline"), "it takes the booted machine"),
        (("--exclude", "kernel"), "it was asked to be left out"),
        (("--hold", "kernel"), "it was asked to be held"),
    ],
)
def test_a_kernel_that_is_not_wanted_does_not_come_in_beside_the_old_one(
    wish: tuple[str, str], why: str, made: Made, regild: Regild
) -> None:
    said = regild("plan", made.disk, "--allow", made.mirror, *wish, "--json")
    assert said.code == 10, said.err
    assert {step["name"] for step in said.json["steps"]} == {"app", "deep", "extra", "openssl"}
    left = {one["name"]: one["why"] for one in said.json["skipped"]}
    assert set(left) == {"kept", "kernel"}
    assert why in left["kernel"]


def test_what_takes_the_booted_machine_is_refused_where_it_cannot_be_booted(
    made: Made, regild: Regild, tmp_path: Path
) -> None:
    said = regild("update", made.disk, "-o", tmp_path / "out.raw", "--allow", made.mirror)
    assert said.code == 5
    assert "cannot be changed by booting it: it is not started by a systemd" in said.err
    assert "--method offline changes all packages that do not take" in said.err
    assert not (tmp_path / "out.raw").exists()
