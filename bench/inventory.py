"""What is inside an appliance: regild in a cold process, near and far, beside the field's tools."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import libguestfs
from bench.measure import BY_HAND, ROOT, Cost, Failed, forget_files, measure, ratio, repeat, say
from bench.table import Row, table
from tests.host.ranges import serve_ranges

if TYPE_CHECKING:
    from bench.workshop import Workshop

SYFT = Path(sys.executable).with_name("syft")
INSPECTOR_SECONDS = 900


def inventory(shop: Workshop) -> list[str]:
    """Describing an OVA from a cold cache of files, a new process each time; then the others."""
    cold = forget_files()
    ours = repeat(5, _cold, lambda: shop.regild("describe", shop.ova, "--json"))
    answer = json.loads(ours.output)
    rows = [Row("regild describe", ours, f"{answer['read_bytes'] / 1e6:.2f} MB of the OVA read")]
    rows.append(_far(shop, ours))
    if ROOT:
        hand = shop.folder / "hand"
        theirs = repeat(
            3,
            lambda: _cold(shop.fresh("hand")),
            lambda: shop.by_hand("inventory", shop.ova, hand),
        )
        raw = hand / "disk.raw"
        mounted = repeat(5, _cold, lambda: shop.by_hand("query", raw, hand))
        same = _same_list(answer, theirs.output)
        note = f"{same}; the lower bound"
        rows += [
            _beside(ours, "by hand: unpack, mount, dpkg-query", theirs, same),
            _beside(ours, "by hand, disk already raw: mount, dpkg-query", mounted, note),
        ]
        rows += _others(shop, raw, answer, ours)
    state = "cold" if cold else "warm (may not be emptied by this user)"
    return [f"### Inventory, file cache {state}", "", *table(rows)]


def _far(shop: Workshop, near: Cost) -> Row:
    """The same of a server on this machine, with its requests and bytes."""
    with serve_ranges(shop.folder) as shelf:

        def fresh() -> None:
            shelf.requests.clear()
            shelf.bytes_sent = 0

        place = f"{shelf.url}/{shop.ova.name}"
        cost = repeat(5, fresh, lambda: shop.regild("describe", place, "--json"))
        told = f"{len(shelf.requests)} requests, {shelf.bytes_sent / 1e6:.2f} MB"
    return _beside(near, "regild describe, over HTTP", cost, told)


def _others(shop: Workshop, raw: Path, answer: Any, ours: Cost) -> Iterator[Row]:
    """The field's own tools on the disk that was made raw for them, as far as they are here."""
    names = {one["name"] for one in answer["packages"]}
    if SYFT.exists():
        line: list[str | Path] = [BY_HAND, "scan", raw, shop.folder / "hand"]
        cost = repeat(3, _cold, lambda: measure(line, shop.log, {"SYFT": str(SYFT)}))
        found = [one for one in json.loads(cost.output)["artifacts"] if one["type"] == "deb"]
        same = len(names & {one["name"] for one in found})
        told = f"{same} of the same packages"
        yield _beside(ours, "by hand, disk already raw: mount, syft", cost, told)
    if shutil.which("virt-inspector"):
        try:
            cost = _inspector(shop, raw)
        except Failed as error:
            say(f"virt-inspector gave no answer: {error}")
            return
        same = len(names & set(re.findall("<name>([^<]+)</name>", cost.output.decode())))
        told = f"{same} of the same packages"
        yield _beside(ours, "virt-inspector, emulated, disk already raw", cost, told)


def _inspector(shop: Workshop, raw: Path) -> Cost:
    """One run with a kernel out of the appliance, its own appliance made before.

    Raises: Failed, also when it takes too long.
    """
    bounded = ["timeout", str(INSPECTOR_SECONDS)]
    env = libguestfs.made(shop, bounded)
    return measure([*bounded, "virt-inspector", "--format=raw", "-a", raw], shop.log, env)


def _beside(ours: Cost, name: str, cost: Cost, told: str) -> Row:
    more = ratio(cost.cpu_seconds, ours.cpu_seconds)
    return Row(name, cost, f"{told}; {more} the CPU of regild")


def _cold(*_: object) -> None:
    forget_files()


def _same_list(answer: Any, listed: bytes) -> str:
    """Whether both lists name the same packages in the same versions."""
    ours = {(one["name"], one["version"], one["arch"]) for one in answer["packages"]}
    lines = (line.split() for line in listed.decode().splitlines())
    theirs = {tuple(words[1:]) for words in lines if words[0] == "installed"}
    return (
        f"the same {len(ours)} packages"
        if ours == theirs
        else f"{len(ours ^ theirs)} packages differ"
    )
