"""Packages of rpm that do what packages do, in an older and a newer release, and a guest with the
older ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.change.rpm_guests import (
    HEAD,
    MANAGERS,
    ROOTS,
    SETTINGS,
    build_spec,
    filesystem,
    find_wrapped,
    kept,
    run_tool,
)

CONF = "%config(noreplace) "


@dataclass(frozen=True)
class App:
    """One package: contents by path, and lines of its spec file."""

    name: str
    version: str
    files: dict[str, str] = field(default_factory=dict)
    head: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    dress: dict[str, str] = field(default_factory=dict)
    """What stands before a path in the list of files."""
    listed: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()

    @property
    def spec(self) -> str:
        made = []
        for path, text in self.files.items():
            made += [f"mkdir -p $(dirname %{{buildroot}}{path})",
                     f"printf '%%s\\n' {text!r} > %{{buildroot}}{path}"]  # fmt: skip
        listed = [f"{self.dress.get(path, '')}{path}" for path in self.files]
        head = HEAD.format(name=self.name, version=self.version, release="1")
        parts = [head, *self.head, "%description", "d", "%install", *made, *self.install]
        return "\n".join([*parts, *self.scripts, "%files", *listed, *self.listed, ""])


def web(version: str) -> App:
    """A service: configuration of each kind, capabilities, setuid, hard links, its own account,
    scripts."""
    new = version != "1.0"
    return App(
        "web",
        version,
        {
            "/usr/bin/web": f"web {version}",
            "/usr/libexec/web-helper": f"helper {version}",
            "/usr/share/web/a": f"twice {version}",
            "/etc/web/site.conf": f"site = {version}",
            "/etc/web/plain.conf": f"plain = {version}",
            "/etc/web/replaced.conf": f"replaced = {version}",
            **({"/usr/share/web/only-new": "new"} if new else {"/usr/share/web/only-old": "old"}),
        },
        head=(
            *(("Requires: extra >= 1",) if new else ()),
            "Requires(pre): passwd",
            "Requires: bash",
        ),
        install=(
            "ln %{buildroot}/usr/share/web/a %{buildroot}/usr/share/web/b",
            f"ln -s {'b' if new else 'a'} %{{buildroot}}/usr/share/web/now",
            "mkdir -p %{buildroot}/var/lib/web",
        ),
        dress={
            "/usr/bin/web": "%caps(cap_net_bind_service=ep) ",
            "/usr/libexec/web-helper": "%attr(4755,root,root) ",
            "/etc/web/site.conf": CONF,
            "/etc/web/plain.conf": CONF,
            "/etc/web/replaced.conf": "%config ",
        },
        listed=(
            "/usr/share/web/b",
            "/usr/share/web/now",
            "%dir /usr/share/web",
            "%dir /etc/web",
            "%attr(750,web,web) %dir /var/lib/web",
            "%ghost /var/lib/web/state",
        ),
        scripts=(
            "%pre",
            'getent() { grep -q "^$1:" /etc/passwd; }',
            "getent web || useradd -r -U -M -s /usr/sbin/nologin web",
            "%post",
            f"echo {version} installed with $1 >/var/lib/web/state",
            "%posttrans",
            f"echo {version} >/var/lib/web/after",
            "%preun",
            "[ $1 -gt 0 ] || rm -f /var/lib/web/after",
        ),
    )


def lib(version: str) -> App:
    """A library, whose link ldconfig makes."""
    place = f"%{{buildroot}}/usr/lib64/libattr.so.1.1.{version}"
    return App(
        "libdemo",
        version,
        install=(
            "mkdir -p %{buildroot}/usr/lib64",
            f"cp -L $(ls /usr/lib/*/libattr.so.1 | head -1) {place}",
            f"printf '%%s' {version} >>{place}",
            f"ln -s libattr.so.1.1.{version} %{{buildroot}}/usr/lib64/libattr.so.1",
        ),
        listed=(f"/usr/lib64/libattr.so.1.1.{version}", "/usr/lib64/libattr.so.1"),
        scripts=("%post -p /usr/sbin/ldconfig", "%postun -p /usr/sbin/ldconfig"),
    )


OLD = (
    web("1.0"),
    lib("1"),
    App("olddocs", "1.0", {"/usr/share/olddocs/page": "old page"}),
    App("vuln", "1.0", {"/usr/bin/vuln": "vuln 1"}),
    App("watch", "1.0", {"/usr/bin/watch": "watch 1"},
        scripts=("%triggerin -- web", "mkdir -p /var/lib/watch; echo web >>/var/lib/watch/seen")),
    App("gone", "1.0", {"/usr/bin/gone": "gone"}, head=("Requires: tied = 1.0",)),
    App("tied", "1.0", {"/usr/bin/tied": "tied 1"}),
)  # fmt: skip
NEW = (
    web("2.0"),
    lib("2"),
    App(
        "newdocs", "2.0", {"/usr/share/newdocs/page": "new page"}, head=("Obsoletes: olddocs < 2",)
    ),
    App("vuln", "1.1", {"/usr/bin/vuln": "vuln 1.1"}),
    App("tied", "2.0", {"/usr/bin/tied": "tied 2"}),
    App("watch", "1.1", {"/usr/bin/watch": "watch 1.1"}),
    App("extra", "1.0", {"/usr/share/extra/note": "extra"}),
)

ADVISORIES = """\
<?xml version="1.0" encoding="UTF-8"?>
<updates><update from="a@mirror.example" status="final" type="security" version="1"><id>WR-1</id>
<title>t</title><severity>Important</severity><issued date="2026-01-01 00:00:00"/>
<updated date="2026-01-01 00:00:00"/>
<references><reference href="x" id="CVE-2026-1234" type="cve" title="CVE-2026-1234"/></references>
<description>d</description><pkglist><collection short="c"><name>c</name>
<package name="vuln" version="1.1" release="1" epoch="0" arch="x86_64" src="vuln-1.1-1.src.rpm">
<filename>vuln-1.1-1.x86_64.rpm</filename></package></collection></pkglist></update></updates>
"""
URI = "http://mirror.example/wrapped"
KEY_PATH = "/etc/pki/rpm-gpg/WRAPPED"
REPO = f"""\
[wrapped]
name=Wrapped
baseurl={URI}
enabled=1
gpgcheck=1
repo_gpgcheck=0
gpgkey=file://{KEY_PATH}
"""
MIB = 1 << 20

INSTALL = """
set -eu
root=$1 repository=$2 work=$3
shift 3
mkdir -p $root/dev
: >$root/dev/null
dnf -q -y --installroot=$root --releasever=39 --noplugins --nogpgcheck --disablerepo='*' \\
    --repofrompath=made,$repository --setopt=reposdir=/nowhere --setopt=cachedir=$work/cache \\
    --setopt=install_weak_deps=0 --setopt=varsdir=/nowhere install "$@"
rm -rf $root/dev/* $root/var/cache/* $root/var/log/dnf* $root/var/log/hawkey* $root/run/*
"""
SITE = """
echo 'site = mine' >$1/etc/web/site.conf
echo 'replaced = mine' >$1/etc/web/replaced.conf
echo kept >$1/var/lib/web/own
"""
"""What the site changed in its image."""
ROOT_UUID = "6a3b2c4e-0000-4000-8000-000000000001"
FILL = f"""
set -eu
mke2fs -q -F -t ext4 -b 4096 -L root -U {ROOT_UUID} \\
    -O ^orphan_file,^metadata_csum_seed -d "$1" -E offset=$3 "$2" $4k
"""
"""The filesystem of a tree, straight in the disk."""


def as_root(*argv: object, env: dict[str, str] | None = None) -> None:
    """Run something as root, or as the root of a user name space."""
    own = () if os.geteuid() == 0 else ("unshare", "--map-root-user", "--map-auto", "--mount")
    run_tool(*own, *argv, env={**os.environ, **(env or {})})


def repository_of(folder: Path, packages: list[Path], *extra: str) -> Path:
    """A repository of package files."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in packages:
        shutil.copy(path, folder / path.name)
    run_tool("createrepo_c", "-q", "--no-database", *extra, folder)
    return folder


def build_apps(folder: Path, apps: tuple[App, ...]) -> list[Path]:
    """The package files of some packages."""
    made = []
    for app in apps:
        place = folder / f"{app.name}-{app.version}"
        place.mkdir(parents=True)
        made += build_spec(place, app.spec)
    return made


def make_tree(
    root: Path, packages: list[Path], names: list[str], work: Path, site: str = ""
) -> None:
    """Install packages into an empty folder by dnf, and change there what a site would."""
    home = work / "home"
    home.mkdir()
    (home / ".rpmmacros").write_text("%_dbpath /usr/lib/sysimage/rpm\n")
    repository = repository_of(work / "repository", packages)
    as_root("sh", "-c", INSTALL, "install", root, repository, work, *names, env={"HOME": str(home)})
    as_root("sh", "-euc", site, "site", root)


def make_image(root: Path, image: Path, mebibytes: int = 384, first: int = 1) -> None:
    """A disk with one partition that holds a tree and begins at the MiB `first`."""
    with image.open("wb") as file:
        file.truncate(mebibytes * MIB)
    subprocess.run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image],
        input=b"label: gpt\nstart=%d, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n" % (first * 2048),
        check=True,
    )
    size = (mebibytes - first - 1) * 1024
    as_root("sh", "-c", FILL, "fill", root, image, first * MIB, size)


@dataclass(frozen=True)
class Golden:
    """An outdated guest of rpm, and what its repository offers now."""

    folder: Path

    @property
    def image(self) -> Path:
        """A raw disk; copy it before you write."""
        return self.folder / "golden.raw"

    @property
    def mirror(self) -> Path:
        """An offline folder that holds the repository, its packages signed by a key that the guest
        has."""
        return self.folder / "mirror"

    @property
    def home(self) -> Path:
        """The home of gpg with that key."""
        return self.folder / "gpg"


def find_golden() -> Golden:
    """The guest, built where the cache does not have it yet; other processes may ask too."""
    wrapped = find_wrapped()
    recipe = f"{wrapped.name} {sha256(Path(__file__).read_bytes()).hexdigest()}"
    return Golden(kept("rpm-golden", recipe, lambda folder: _build_golden(folder, wrapped)))


def _build_golden(folder: Path, wrapped: Path) -> None:
    golden, work = Golden(folder), folder / "work"
    for name in ("settings", "tree"):
        (work / name).mkdir(parents=True)
    golden.home.mkdir()
    golden.home.chmod(0o700)
    key = make_key(golden.home)
    made = sorted(wrapped.glob("*.rpm"))
    made += filesystem(work / "settings", {**SETTINGS, **_own(key)})
    made += build_apps(work / "old", OLD)
    names = ["filesystem", *ROOTS, *MANAGERS, *(app.name for app in OLD)]
    make_tree(work / "tree", made, names, work, SITE)
    make_image(work / "tree", golden.image)
    new = build_apps(work / "new", NEW)
    sign(golden.home, new)
    offered = golden.mirror / URI.removeprefix("http://")
    repository_of(offered, new)
    advisories = work / "updateinfo.xml"
    advisories.write_text(ADVISORIES)
    run_tool("modifyrepo_c", "--mdtype", "updateinfo", advisories, offered / "repodata")
    shutil.rmtree(work)


def make_key(home: Path) -> str:
    """A new key in a home of gpg, as its armoured certificate."""
    gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "")
    run_tool(*gpg, "--quick-gen-key", "packager@mirror.example", "rsa2048", "sign", "never")
    return run_tool(*gpg, "--armor", "--export").stdout


def _own(key: str) -> dict[str, str]:
    return {"/etc/yum.repos.d/wrapped.repo": REPO, KEY_PATH: key}


def sign(home: Path, packages: list[Path]) -> None:
    """Sign package files with the key in a home of gpg."""
    names = ["--define", "_gpg_name packager@mirror.example", "--define", f"_gpg_path {home}"]
    names += ["--define", f"__gpg {shutil.which('gpg')}"]
    run_tool("rpmsign", *names, "--addsign", *packages)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
