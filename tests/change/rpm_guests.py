"""A real guest of rpm, made with its own tools: this machine's own programs wrapped into packages
by rpmbuild, a repository of them by createrepo_c, and installed from there by `dnf --installroot`.

The guest runs: it has a shell, rpm and dnf of its own. Nothing of it comes from a distribution of
rpm, so what it shows is how rpm and dnf work, not how somebody packages for them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from demo.build import cache_folder

ROOTS = (
    "dash",
    "bash",
    "coreutils",
    "sed",
    "grep",
    "findutils",
    "libc-bin",
    "passwd",
    "libcap2-bin",
)
MANAGERS = ("rpm", "dnf")
"""Debian's packages of what the guest is to run."""
LEFT_OUT = re.compile(
    r"perl.*|libperl.*|debconf.*|dpkg.*|tar|gnupg-l10n|libmagic-mgc|install-info|base-files"
    r"|init-system-helpers|lsb-base|media-types|mailcap|mime-support|readline-common"
    r"|gnupg|gnupg-utils|gpg-wks.*|dirmngr|pinentry.*|adduser|ucf|sensible-utils|login|base-passwd"
)
"""What Debian's packages depend on and nothing here runs."""
UNWANTED = re.compile(
    r"/usr/(share/(doc|man|locale|info|lintian|bug|icons|bash-completion|zsh|common-licenses"
    r"|i18n|zoneinfo|perl5|gettext)|lib/python3\.\d+/(test|idlelib|lib2to3|ensurepip|distutils))"
    r"(/.*)?|/usr/lib/x86_64-linux-gnu/(perl|gconv/(?!UTF|gconv-mod)).*|.*/__pycache__.*"
    r"|/etc/(init\.d|cron\.[a-z]+)/.*"
)
"""Paths that a package is made without."""
MERGED = re.compile(r"^/(bin|sbin|lib|lib64)(?=/)")
DATABASE = "/usr/lib/sysimage/rpm"

FOLDERS = tuple(
    re.findall(
        r"\S+",
        """
/boot /dev /etc /home /media /mnt /opt /proc /root /run /srv /sys /tmp /usr /usr/bin /usr/lib
/usr/lib64 /usr/libexec /usr/sbin /usr/share /usr/lib/sysimage /etc/rpm /etc/yum.repos.d
/etc/ld.so.conf.d /etc/dnf /etc/pki /etc/pki/rpm-gpg /usr/share/licenses /etc/profile.d
/usr/lib/x86_64-linux-gnu /usr/lib/python3 /usr/lib/python3/dist-packages
/var /var/cache /var/lib /var/log /var/tmp /var/spool /var/lib/misc
""",
    )
)
LINKS = {
    "/bin": "usr/bin",
    "/sbin": "usr/sbin",
    "/lib": "usr/lib",
    "/lib64": "usr/lib64",
    "/var/run": "../run",
    "/var/lib/rpm": "../../usr/lib/sysimage/rpm",
}
SETTINGS = {
    "/etc/os-release": 'ID=fedora\nVERSION_ID=39\nNAME=Wrapped\nPRETTY_NAME="Wrapped 39"\n',
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/shadow": "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
    "/etc/gshadow": "root:*::\nnogroup:!::\n",
    "/etc/fstab": "",
    "/etc/hostname": "wrapped\n",
    "/etc/machine-id": "",
    "/etc/rpm/macros": f"%_dbpath {DATABASE}\n",
    "/etc/dnf/protected.d/wrapped.conf": "bash\nrpm\n",
}
HEAD = """\
Name: {name}
Version: {version}
Release: {release}
Summary: wrapped
License: MIT
AutoReqProv: no
%global __os_install_post %{{nil}}
%global debug_package %{{nil}}
%global _build_id_links none
%global _binary_payload w1.gzdio
%global source_date_epoch_from_changelog 0
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
"""
CLOCK = "1750000000"


@dataclass(frozen=True)
class Wrapped:
    """One of Debian's packages as it is installed here."""

    name: str
    version: str
    needs: tuple[str, ...]
    provides: tuple[str, ...]


@cache
def installed() -> dict[str, Wrapped]:
    """What dpkg says of this machine."""
    form = "${Package}\t${Version}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    told = run_tool("dpkg-query", "-W", "-f", form).stdout
    rows = {}
    for line in told.splitlines():
        name, version, needs, provides = line.split("\t")
        rows[name] = Wrapped(
            name,
            version,
            tuple(needs.split(",")),
            tuple(w.split()[0] for w in provides.split(",") if w.strip()),
        )
    return rows


def kept(kind: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache by the digest of its recipe, built where it is not there yet; other
    processes may ask too."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"{kind}-{sha256(recipe.encode()).hexdigest()[:16]}"
    with (cache / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
            try:
                scratch.chmod(0o755)
                build(scratch)
                scratch.rename(place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return place


def find_wrapped(kind: str = "rpm-wrapped", more: Sequence[str] = ()) -> Path:
    """A folder with a package for each of Debian's packages that the guest needs."""
    packages = closure((*ROOTS, *MANAGERS, *more))
    recipe = "\n".join(
        [Path(__file__).read_text(), *(f"{one.name} {one.version}" for one in packages)]
    )

    def build(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        for path in wrap_all(work, packages):
            path.rename(folder / path.name)
        shutil.rmtree(work)

    return kept(kind, recipe, build)


def closure(roots: Iterable[str]) -> list[Wrapped]:
    """The packages that some need, with them, sorted by name."""
    rows = installed()
    providers = {name: one.name for one in rows.values() for name in one.provides}
    found: dict[str, Wrapped] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        one = rows.get(name) or rows.get(providers.get(name, ""))
        if one is None or one.name in found or LEFT_OUT.fullmatch(one.name):
            continue
        found[one.name] = one
        waiting += _needed(one)
    return [found[name] for name in sorted(found)]


def _needed(one: Wrapped) -> Iterator[str]:
    """The packages that one depends on, the first of each choice that is installed here."""
    rows = installed()
    providers = {name: other.name for other in rows.values() for name in other.provides}
    for choice in one.needs:
        words = [re.split(r"[ :(]", word.strip())[0] for word in choice.split("|")]
        yield from [
            word if word in rows else providers[word]
            for word in words
            if word in rows or word in providers
        ][:1]


def run_tool(*argv: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a tool, or fail with what it said."""
    done = subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{argv}: {done.stderr[-3000:]}{done.stdout[-2000:]}"
    return done


def _word(version: str) -> tuple[str, str]:
    """A version of Debian's as version and release of rpm's."""
    plain = version.partition(":")[2] or version
    upstream, _, revision = plain.rpartition("-") if "-" in plain else (plain, "", "1")
    return re.sub(r"[^A-Za-z0-9._~^+]", ".", upstream), re.sub(r"[^A-Za-z0-9._~^+]", ".", revision)


def wrap_all(folder: Path, packages: Sequence[Wrapped]) -> list[Path]:
    """Every package as an rpm, by one run of rpmbuild."""
    root, names = folder / "root", {one.name for one in packages}
    lines = [HEAD.format(name="wrapped", version="1", release="1"), "%description", "d"]
    tail = ["%install", f"rmdir %{{buildroot}} 2>/dev/null || :; cp -a {root}/. %{{buildroot}}/"]
    for one in packages:
        version, release = _word(one.version)
        listed = folder / f"{one.name}.files"
        listed.write_text("".join(_copied(one, root)))
        lines += [
            f"%package -n {one.name}",
            f"Version: {version}",
            f"Release: {release}",
            "Summary: wrapped",
            "AutoReqProv: no",
            "Requires: filesystem",
            *(f"Requires: {other}" for other in _needed(one) if other in names),
            *(["Provides: /bin/sh", "Provides: /usr/bin/sh"] if one.name == "dash" else []),
            f"%description -n {one.name}",
            "d",
        ]
        if one.name == "libc-bin":
            tail += [f"%post -n {one.name} -p /usr/sbin/ldconfig"]
        list_of = f" -f {listed}" if listed.stat().st_size else ""
        tail += [f"%files -n {one.name}{list_of}"]
    return build_spec(folder, "\n".join([*lines, *tail, ""]))


def _copied(one: Wrapped, root: Path) -> Iterator[str]:
    """Copy a package's paths into a root; the lines of its list of files."""
    conf = set(run_tool("dpkg-query", "-W", "-f", "${Conffiles}", one.name).stdout.split()[::2])
    for path in run_tool("dpkg-query", "-L", one.name).stdout.splitlines():
        place = MERGED.sub(r"/usr/\1", path)
        if (
            not path.startswith("/")
            or place in FOLDERS
            or place in LINKS
            or UNWANTED.fullmatch(place)
        ):
            continue
        source, target = Path(path), Path(f"{root}{place}")
        if not os.path.lexists(source) or (target.is_dir() and not target.is_symlink()):
            continue
        if source.is_dir() and not source.is_symlink():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            shutil.copy2(source, target, follow_symlinks=False)
        status = source.lstat()
        dress = (
            f"%attr({stat.S_IMODE(status.st_mode):o},root,root) " if not source.is_symlink() else ""
        )
        yield f'{"%config(noreplace) " if path in conf else ""}{dress}"{place}"\n'


def filesystem(folder: Path, settings: dict[str, str]) -> list[Path]:
    """The package of the folders that all share, the links of a merged /usr, and settings."""
    made = [f"mkdir -p %{{buildroot}}{path}" for path in (*FOLDERS, DATABASE)]
    made += [f"ln -s {target} %{{buildroot}}{path}" for path, target in LINKS.items()]
    for number, (path, text) in enumerate(settings.items()):
        (folder / f"{number}").write_text(text)
        made += [
            f"mkdir -p $(dirname %{{buildroot}}{path})",
            f"cp {folder}/{number} %{{buildroot}}{path}",
        ]
    secret = ("/etc/shadow", "/etc/gshadow")
    listed = [f"%dir {path}" for path in (*FOLDERS, DATABASE)] + list(LINKS)
    listed += [
        f"%config(noreplace) %attr({'600' if path in secret else '644'},root,root) {path}"
        for path in settings
    ]
    spec = HEAD.format(name="filesystem", version="39", release="1")
    return build_spec(
        folder, "\n".join([spec, "%description", "d", "%install", *made, "%files", *listed, ""])
    )


def build_spec(folder: Path, spec: str) -> list[Path]:
    """The packages of a spec file."""
    (folder / "made.spec").write_text(spec)
    top = folder / "top"
    run_tool(
        "rpmbuild",
        "--quiet",
        "-bb",
        "--define",
        f"_topdir {top}",
        "--define",
        f"_dbpath {folder}/db",
        "--target",
        "x86_64",
        folder / "made.spec",
        env={**os.environ, "SOURCE_DATE_EPOCH": CLOCK},
    )
    return sorted((top / "RPMS").rglob("*.rpm"))
