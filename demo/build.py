"""Builds an outdated appliance from Debian's archive, once per recipe.

    python -m demo.build demo|small|worker [OUTPUT.ova]

The mirror is the one that this machine's own apt is configured with. As root or as an ordinary user
with subordinate ids: the result is the same. What was built is kept under the user's cache folder
by the digest of everything that it depends on, so a second call answers at once.
"""

from __future__ import annotations

import email
import email.utils
import fcntl
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.disk import make_disk, volume_id
from demo.ova import write_ova
from demo.recipe import HERE, RECIPES, SUITES, Recipe, digest_of
from regild.errors import HostError
from regild.host.run import run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
APT_HELPER = "/usr/lib/apt/apt-helper"

PIN = """
mkdir -p "$1/etc/apt/preferences.d"
printf 'Package: %s\\nPin: release n=bookworm\\nPin-Priority: 1001\\n' "$OUTDATED" \
    >"$1/etc/apt/preferences.d/outdated"
"""


def find_appliance(name: str) -> Path:
    """The OVA of a recipe, built if it is not in the cache yet; other processes may ask too."""
    recipe = RECIPES[name]
    _check_machine()
    sources = read_sources()
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
        releases = [_read_release(sources[suite], suite, Path(scratch)) for suite in recipe.suites]
        digest = digest_of(recipe, [sources[suite] for suite in SUITES], releases)
        ova = folder / f"{name}-{digest[:16]}.ova"
        with _alone(folder / f"{name}.lock"):
            if not ova.exists():
                _build(recipe, sources, _newest(releases), Path(scratch)).rename(ova)
    return ova


def cache_folder() -> Path:
    """Where finished appliances are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "regild" / "appliances"


def read_sources() -> dict[str, str]:
    """The archive's address for each suite, from this machine's apt configuration.

    A machine of another Debian release names the same archives, only other suites.
    """
    wanted = ["--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    told = run(
        ["apt-get", "indextargets", "--no-release-info", *wanted],
        purpose="to learn this machine's mirror",
    )
    pairs = [line.split() for line in told.stdout.decode().splitlines()]
    security = [_resolve(uri) for uri, suite in pairs if suite.endswith("-security")]
    main = [_resolve(uri) for uri, suite in pairs if f"{suite}-updates" in {s for _, s in pairs}]
    main = main or [_resolve(uri) for uri, suite in pairs if not suite.endswith("-security")]
    if not main:
        raise HostError(where="the demo", why="its apt names no Debian archive to build from")
    archive = main[0]
    safe = security[0] if security else archive.removesuffix("/") + "-security"
    return {suite: safe if suite.endswith("-security") else archive for suite in SUITES}


def _resolve(uri: str) -> str:
    """The first mirror of a `mirror+file:` list (apt-transport-mirror(1)); others as they are."""
    if not uri.startswith("mirror+file:"):
        return uri
    lines = Path("/" + uri.removeprefix("mirror+file:").lstrip("/").rstrip("/")).read_text()
    return next(line.split()[0] for line in lines.splitlines() if line and line[0] != "#")


def _check_machine() -> None:
    if platform.machine() != "x86_64":
        raise HostError(where="the demo", why=f"it builds for x86-64, not {platform.machine()}")


def _read_release(uri: str, suite: str, scratch: Path) -> bytes:
    """The suite's release file through apt, which knows this machine's proxies and keys.

    mmdebstrap verifies it again with the archive's keyring before anything is taken from it.
    """
    target = scratch / f"{suite}.InRelease"
    address = f"{uri.rstrip('/')}/dists/{suite}/InRelease"
    # Without its sandbox user, who may not write to our folder.
    unboxed = ["-o", "APT::Sandbox::User=root"]
    run(
        [APT_HELPER, *unboxed, "download-file", address, target],
        purpose="to read the mirror's release file",
        env=_proxies(),
    )
    return target.read_bytes()


def _newest(releases: list[bytes]) -> int:
    """The time of the newest release file: every build from the same archive uses the same."""
    texts = [release.decode().partition("\n\n")[2] for release in releases]
    dates = [email.message_from_string(text)["Date"] for text in texts]
    return max(int(email.utils.parsedate_to_datetime(date).timestamp()) for date in dates)


def _build(recipe: Recipe, sources: dict[str, str], epoch: int, scratch: Path) -> Path:
    begun = time.monotonic()
    _say(f"building the appliance '{recipe.name}': {recipe.title}")
    tree, disk, ova = (scratch / name for name in ("tree.tar", "disk.raw", "appliance.ova"))
    _bootstrap(recipe, sources, tree, epoch)
    _say(f"  {time.monotonic() - begun:4.0f} s  packages installed")
    make_disk(recipe, tree, disk, epoch)
    _say(f"  {time.monotonic() - begun:4.0f} s  disk made")
    write_ova(recipe, disk, ova, epoch)
    _say(f"  {time.monotonic() - begun:4.0f} s  OVA written, {ova.stat().st_size / 1e6:.0f} MB")
    return ova


def _bootstrap(recipe: Recipe, sources: dict[str, str], tree: Path, epoch: int) -> None:
    """Install the packages into a tree, apart from this machine, and settle what stays in it."""
    lines = [f"deb [signed-by={KEYRING}] {sources[suite]} {suite} main" for suite in SUITES]
    env = {
        "SOURCE_DATE_EPOCH": str(epoch),
        "NAME": recipe.name,
        "SERVICES": " ".join(recipe.services),
        "SOURCES": "\n".join(lines),
        "OUTDATED": " ".join(recipe.outdated),
        "ROOT_UUID": str(recipe.uuid("root")),
        "ESP_UUID": _dashed(volume_id(recipe)) if recipe.bootable else "",
    }
    options = [
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        f"--variant={recipe.variant}",
        f"--include={','.join(recipe.packages)}",
        *([f"--setup-hook={PIN}"] if recipe.outdated else []),
        f'--customize-hook={HERE / "customize"} "$1"',
        "--format=tar",
    ]
    taken = [line for line in lines if line.split()[3] in recipe.suites]
    run(
        ["mmdebstrap", *options, "bookworm", tree, *taken],
        purpose="to build the appliance",
        env=env | _proxies(),
    )


def _dashed(serial: str) -> str:
    return f"{serial[:4]}-{serial[4:]}"


def _proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One builder at a time; the others wait and then find the result."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Build what is asked for; print where it is."""
    if not 1 <= len(argv) <= 2 or argv[0] not in RECIPES:
        _say(__doc__ or "")
        return 2
    ova = find_appliance(argv[0])
    if len(argv) == 2:
        shutil.copyfile(ova, argv[1])
    print(argv[1] if len(argv) == 2 else ova)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
