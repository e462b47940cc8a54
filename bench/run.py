"""Measures regild on the demo's appliance beside the same work done by hand, and keeps the figures.

    python -m bench.run [once] [PART]...

Parts: descriptor, inventory, plan, repack, update, customize, boot, workers, generations. Without
one all are measured; with `once` a whole update is not repeated. Each run adds a dated
section to bench/RESULTS.md. By hand means bench/by_hand, which needs root for what it mounts; as an
ordinary user those rows are left out and regild's stay. Downloads are done before anything is
measured, for both sides.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import libguestfs
from bench.descriptor import descriptor
from bench.generations import generations
from bench.inventory import inventory
from bench.measure import ROOT, Cost, Failed, busy, measure, ratio, repeat, say
from bench.planning import planning
from bench.table import Row, table
from bench.workers import workers
from bench.workshop import REGILD, Workshop
from demo.build import APT_HELPER
from regild.host.files import digest_file
from regild.host.run import run

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
TIMES = {"repack": 3, "update": 3}


def repack(shop: Workshop) -> list[str]:
    """From a changed disk to an OVA: copying unchanged grains against deflating all of them."""
    if not shop.updated.exists():
        shop.update()
    raw = shop.fresh("changed") / "disk.raw"
    shop.by_hand("unpack", shop.updated, raw.parent)
    overlay = shop.fresh("overlay") / "overlay"
    helper = [sys.executable, "-m", "bench.repack"]
    measure([*helper, "prepare", shop.ova, raw, overlay], shop.log)
    out = shop.folder / "repacked.ova"
    digests: set[str] = set()

    def repacked() -> Cost:
        cost = measure([*helper, "repack", shop.ova, overlay, out], shop.log)
        digests.add(str(digest_file(out)))
        return cost

    ours = repeat(TIMES["repack"], lambda: out.unlink(missing_ok=True), repacked)
    same = "byte-identical" if len(digests) == 1 else f"{len(digests)} DIFFERENT RESULTS"
    size, bytes_of_ours = _megabytes(out), out.stat().st_size
    view = shop.folder / "view"
    viewed = repeat(
        TIMES["repack"],
        lambda: view.unlink(missing_ok=True),
        lambda: measure([*helper, "view", shop.ova, view], shop.log),
    )
    theirs = repeat(
        TIMES["repack"],
        lambda: out.unlink(missing_ok=True),
        lambda: shop.by_hand("repack", raw, out),
    )
    rows = [
        Row(
            "regild: copy unchanged grains, deflate changed ones",
            ours,
            f"{size} from {_megabytes(shop.ova)}; {same} in {TIMES['repack']} runs",
        ),
        Row(
            "by hand: qemu-img convert, sha256sum, tar",
            theirs,
            f"{_megabytes(out)}; {ratio(theirs.cpu_seconds, ours.cpu_seconds)} the CPU; "
            f"ours is {bytes_of_ours / out.stat().st_size:.3f} of its size",
        ),
        Row("regild: from the OVA to a disk that can be written to", viewed, "start included"),
    ]
    return ["### Repack of the same changed disk", "", *table(rows)]


def update(shop: Workshop) -> list[str]:
    """The whole trip, everything downloaded before."""
    ours, steps = _ours(shop)
    size = f"{len(steps)} packages, {_megabytes(shop.updated)} from {_megabytes(shop.ova)}"
    rows = [Row(f"regild update, {_who()}", ours, size)]
    if ROOT:
        rows += _update_as_user(shop)
        debs = _download(steps, shop.fresh("debs"))
        name = "by hand: unpack, mount, chroot apt-get, repack; root"
        rows.append(_by_hand(shop, "update", name, debs, ours, TIMES["update"]))
    return ["### Whole update, downloads not counted", "", *table(rows)]


EMULATED = {
    "customize": "by hand: unpack, virt-customize, repack; emulated",
    "boot": "by hand: unpack, boot to upgrade and power off, repack; emulated",
}


def emulated(verb: str, shop: Workshop) -> list[str]:
    """The whole trip beside a way that emulates a machine: minutes, so it is run once."""
    ours, steps = _ours(shop)
    debs = _download(steps, shop.fresh("debs"))
    rows = [Row(f"regild update, {_who()}", ours, _megabytes(shop.updated))]
    if ROOT:
        env = libguestfs.made(shop) if verb == "customize" else {}
        rows.append(_by_hand(shop, verb, EMULATED[verb], debs, ours, 1, env))
    return [f"### Whole update beside an emulated machine: {verb}", "", *table(rows)]


@functools.cache
def _ours(shop: Workshop) -> tuple[Cost, list[Any]]:
    """What a whole update costs here, and the steps of its plan."""
    shop.update()
    cost = repeat(TIMES["update"], lambda: None, shop.update)
    told = shop.regild("plan", shop.ova, "--json", codes=(10,))
    return cost, json.loads(told.output)["steps"]


def _by_hand(
    shop: Workshop,
    verb: str,
    name: str,
    debs: Path,
    ours: Cost,
    times: int,
    env: Mapping[str, str] | None = None,
) -> Row:
    """One way of updating by hand, with the very packages of the plan."""
    result = shop.folder / f"{verb}.ova"
    theirs = repeat(
        times,
        lambda: void(shop.fresh("hand")),
        lambda: shop.by_hand(verb, shop.ova, debs, shop.folder / "hand", result, env=env),
    )
    note = f"{_megabytes(result)}; {ratio(theirs.cpu_seconds, ours.cpu_seconds)} the CPU"
    return Row(name, theirs, note)


def _update_as_user(shop: Workshop) -> list[Row]:
    """The same by an ordinary user, if there is one who can."""
    name = _find_user()
    if not name:
        say("no ordinary user with subordinate ids can run this checkout: that row is left out")
        return []
    shutil.chown(shop.fresh("user"), name)
    shop.update(_become(name), "user")
    cost = repeat(TIMES["update"], lambda: None, lambda: shop.update(_become(name), "user"))
    return [Row("regild update, ordinary user", cost, _megabytes(shop.folder / "user/updated.ova"))]


def _find_user() -> str:
    """The first ordinary user with subordinate ids who can run this checkout's regild."""
    for line in Path("/etc/subuid").read_text().splitlines():
        name = line.partition(":")[0]
        asked = subprocess.run([*_become(name), REGILD, "--version"], capture_output=True, cwd="/")
        if asked.returncode == 0:
            return name
    return ""


def _become(name: str) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups")


def void(*_: object) -> None:
    """Takes what is done for its effect."""


def _download(steps: Any, folder: Path) -> Path:
    """The very packages of the plan, for the other side."""
    for step in steps:
        archive = step["archive"]
        run(
            [
                APT_HELPER,
                "-o",
                "APT::Sandbox::User=root",
                "download-file",
                archive["uri"],
                folder / archive["name"],
            ],
            purpose="to give both sides the same packages",
        )
    return folder


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def _who() -> str:
    return "root" if ROOT else "ordinary user"


def _heading(shop: Workshop) -> list[str]:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True
    )
    machine = (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    )
    commit = told.stdout.strip() or "unknown"
    return [
        f"## {time.strftime('%Y-%m-%d %H:%M')}, {_who()}, commit {commit}",
        "",
        f"{machine}; load {busy():.1f} at the start.",
        f"Appliance: {_megabytes(shop.ova)}, 4 GiB virtual.",
        "CPU is user and system time of the whole process tree; median run by CPU.",
        "",
    ]


PARTS: dict[str, Callable[[Workshop], list[str]]] = {
    "descriptor": descriptor,
    "inventory": inventory,
    "plan": planning,
    "repack": repack,
    "update": update,
    **{verb: functools.partial(emulated, verb) for verb in EMULATED},
    "workers": workers,
    "generations": generations,
}


def main(argv: list[str]) -> int:
    """Measure what is asked for and add it to the results."""
    if argv[:1] == ["once"]:
        argv, TIMES["update"] = argv[1:], 1
    wanted = argv or list(PARTS)
    if not set(wanted) <= set(PARTS):
        say(__doc__ or "")
        return 2
    with tempfile.TemporaryDirectory(prefix="regild-bench-") as folder:
        shop = Workshop(Path(folder))
        lines, failed = _heading(shop), list[str]()
        for name in wanted:
            say(f"measuring: {name}")
            try:
                lines += [*PARTS[name](shop), ""]
            except Failed as error:
                failed.append(name)
                say(f"{name} gave no figures: {error}")
    print("\n".join(lines))
    with RESULTS.open("a") as file:
        file.write("\n" + "\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
