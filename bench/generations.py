"""What ten real generations of the demo appliance take in regild's store, restic and borg.

The generations are made by regild's own updates, a share of what each one's plan has left at a time
(`--only`), the last with all that is left. Each tool is given the same files in their order;
restic and borg also the raw disks in them, which they cut best. Beside that, what aligned pieces of
the raw disks would take, each that is not all zeros kept once and deflated by itself.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.measure import measure, say
from bench.repack import base_of
from regild.host.files import digest_file
from regild.image.grains import GRAIN_BYTES

if TYPE_CHECKING:
    from bench.workshop import Workshop

COUNT = 10
SHOWN = (1, 2, COUNT // 2, COUNT)
PIECES = (65536, 4096)
DEFLATE = 1
ZEROS = bytes(GRAIN_BYTES)
IMAGE = "demo"
SECRET = {"RESTIC_PASSWORD": "none", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}


class Way(Protocol):
    """One way of keeping generations."""

    name: str

    def add(self, ova: Path, raw: Path) -> float | None:
        """Keep one more; the CPU seconds of that, where it was a command."""

    def size(self) -> int:
        """What all of them take together, in bytes."""

    def note(self) -> str:
        """What else is to be said at the end."""


def generations(shop: Workshop) -> list[str]:
    """Sizes after some of the generations, and the CPU of adding one more."""
    line = _made(shop)
    tools = [one for one in ("restic", "borg") if shutil.which(one)]
    if len(tools) < 2:
        say("restic or borg is not installed (scripts/setup bench): their rows are left out")
    store = Store(shop)
    ways: list[Way] = [store, *(TOOLS[one](shop, False) for one in tools)]
    ways += [*(Pieces(size) for size in PIECES), *(TOOLS[one](shop, True) for one in tools)]
    ways += [Files()]
    sizes: dict[str, list[int]] = {one.name: [] for one in ways}
    costs: dict[str, list[float]] = {one.name: [] for one in ways}
    raw = shop.fresh("raw") / "disk.raw"
    for number, ova in enumerate(line, 1):
        say(f"keeping generation {number}")
        _inflate(ova, raw)
        for way in ways:
            cpu = way.add(ova, raw)
            costs[way.name] += [] if cpu is None else [cpu]
            sizes[way.name].append(way.size())
    store.give_back(1, line[0])
    store.give_back(len(line), line[-1])
    rows = [_row(way, sizes[way.name], costs[way.name], len(line)) for way in ways]
    return [*_heading(tools, shop, len(line)), *_columns(len(line)), *rows]


def _made(shop: Workshop) -> list[Path]:
    """Ten generations: the appliance, and what updates of some packages each make of it."""
    folder, line = shop.fresh("line"), [shop.ova]
    for number in range(2, COUNT + 1):
        # Asked anew each time: an update also brings what its packages need.
        names = _upgrades(shop, line[-1])
        left = COUNT + 1 - number
        if len(names) < left:
            say(f"nothing is left for {left - len(names)} of the updates")
        if not names:
            break
        some = names[: max(1, len(names) // left)]
        only = [word for name in some for word in ("--only", name)] if left > 1 else []
        say(f"generation {number}: {', '.join(some)}")
        line.append(folder / f"generation-{number}.ova")
        shop.regild("update", line[-2], "-o", line[-1], *only)
    return line


def _upgrades(shop: Workshop, ova: Path) -> list[str]:
    """The packages of today's plan that the guest has in an older version.

    What is new to the guest comes with what needs it.
    """
    told = shop.regild("plan", ova, "--json", codes=(0, 10))
    return sorted({one["name"] for one in json.loads(told.output)["steps"] if one["from"]})


# --- ways of keeping


class Store:
    """regild's own store: packs and catalogue."""

    name = "regild store"

    def __init__(self, shop: Workshop) -> None:
        self._shop, self._place = shop, shop.fresh("kept") / "store"
        shop.regild("image", "add", IMAGE, "--store", self._place)

    def add(self, ova: Path, raw: Path) -> float:
        """Publish the package as the line's next generation."""
        line = ("publish", ova, "--image", IMAGE, "--store", self._place)
        return self._shop.regild(*line).cpu_seconds

    def size(self) -> int:
        return _size_of(self._place)

    def note(self) -> str:
        return "first and last came back with every byte"

    def give_back(self, number: int, ova: Path) -> None:
        """A generation comes out as it went in."""
        back = self._shop.folder / f"back-{number}.ova"
        line = ("export", f"{IMAGE}@{number}", "-o", back, "--store", self._place)
        self._shop.regild(*line)
        assert digest_file(back) == digest_file(ova), "it came back otherwise"


class Tool:
    """A program that keeps files, given the package or the raw disk in it."""

    program = ""
    start: tuple[str, ...] = ()

    def __init__(self, shop: Workshop, disks: bool) -> None:
        self.name = f"{self.program}, the {'raw disks' if disks else 'files'}"
        self._disks, self._log, self._count = disks, shop.log, 0
        self._place = shop.fresh(f"{self.program}-{'disks' if disks else 'files'}")
        self._env = {**SECRET, "BORG_BASE_DIR": str(shop.fresh(f"{self._place.name}-home"))}
        measure([*self.line("init")], self._log, self._env)

    def line(self, verb: str) -> list[str]:
        """The words before what is to be kept."""
        raise NotImplementedError

    def add(self, ova: Path, raw: Path) -> float:
        """Keep one more."""
        self._count += 1
        line: list[str | Path] = [*self.line("add"), raw if self._disks else ova]
        return measure(line, self._log, self._env).cpu_seconds

    def size(self) -> int:
        return _size_of(self._place)

    def note(self) -> str:
        return ""


class Restic(Tool):
    """restic with its own settings, which compress."""

    program = "restic"

    def line(self, verb: str) -> list[str]:
        words = ["restic", "--quiet", "--no-cache", "--repo", str(self._place)]
        return [*words, {"init": "init", "add": "backup"}[verb]]


class Borg(Tool):
    """borg with zstd of level 3."""

    program = "borg"

    def line(self, verb: str) -> list[str]:
        if verb == "init":
            return ["borg", "init", "--encryption", "none", str(self._place)]
        made = f"{self._place}::{self._count}"
        return ["borg", "create", "--compression", "zstd,3", made]


TOOLS: dict[str, type[Tool]] = {"restic": Restic, "borg": Borg}


class Pieces:
    """Aligned pieces of the raw disks; counted, not written."""

    def __init__(self, size: int) -> None:
        self.name = f"aligned pieces of {size // 1024} KiB of the raw disks"
        self._size, self._total = size, 0
        self._seen: set[bytes] = set()

    def add(self, ova: Path, raw: Path) -> None:
        """Count what is new in a disk."""
        with raw.open("rb") as file:
            while grain := file.read(GRAIN_BYTES):
                for piece in _cut(grain, self._size):
                    if (digest := hashlib.sha256(piece).digest()) not in self._seen:
                        self._seen.add(digest)
                        self._total += len(zlib.compress(piece, DEFLATE))

    def size(self) -> int:
        return self._total

    def note(self) -> str:
        return f"{len(self._seen):,} pieces"


class Files:
    """The packages, each as it is."""

    name = "the files as they are"

    def __init__(self) -> None:
        self._total = 0

    def add(self, ova: Path, raw: Path) -> None:
        """Add up."""
        self._total += ova.stat().st_size

    def size(self) -> int:
        return self._total

    def note(self) -> str:
        return ""


def _cut(grain: bytes, size: int) -> Iterator[bytes]:
    """The pieces of a grain, those that are all zeros left out."""
    if grain == ZEROS[: len(grain)]:
        return
    for begin in range(0, len(grain), size):
        piece = grain[begin : begin + size]
        if piece != ZEROS[: len(piece)]:
            yield piece


def _inflate(ova: Path, raw: Path) -> None:
    """The disk of an OVA as a raw file with holes."""
    raw.unlink(missing_ok=True)
    with base_of(ova) as disk, raw.open("wb") as file:
        file.truncate(disk.size)
        for at in range(0, disk.size, GRAIN_BYTES):
            grain = disk.read(at, min(GRAIN_BYTES, disk.size - at))
            if grain != ZEROS[: len(grain)]:
                file.seek(at)
                file.write(grain)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- telling


def _heading(tools: Sequence[str], shop: Workshop, count: int) -> list[str]:
    versions = [
        measure([one, {"restic": "version"}.get(one, "--version")], shop.log).output.decode()
        for one in tools
    ]
    told = "; ".join(" ".join(one.split()[:2]) for one in versions)
    return [
        f"### {count} generations kept",
        "",
        *([f"{told}, zstd 3 for borg.", ""] if told else []),
    ]


def _columns(count: int) -> list[str]:
    shown = _shown(count)
    head = f"| way | {' | '.join(f'after {at}' for at in shown)} | CPU s for one more | |"
    return [head, f"|---|{'---:|' * (len(shown) + 1)}---|"]


def _row(way: Way, sizes: Sequence[int], costs: Sequence[float], count: int) -> str:
    told = " | ".join(f"{sizes[at - 1] / 1e6:.1f} MB" for at in _shown(count))
    more = sorted(costs[1:])
    cpu = f"{more[len(more) // 2]:.1f}" if more else "-"
    return f"| {way.name} | {told} | {cpu} | {way.note()} |"


def _shown(count: int) -> list[int]:
    return sorted({at for at in (*SHOWN, count) if at <= count})
