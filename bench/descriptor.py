"""What it costs to read a descriptor instead of a disk, near and far, once and a thousand times."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Cost, measure, repeat
from bench.table import Row, table
from tests.host.ranges import Shelf, serve_ranges

if TYPE_CHECKING:
    from bench.workshop import Workshop

MANY = 1000
TIMES = 7
CLAIM = ("describe", "--basis", "descriptor", "--json")


def descriptor(shop: Workshop) -> list[str]:
    """Reading a descriptor of an OVA, here and over HTTP; an inventory over HTTP; a thousand of
    them; and what starting costs, which is in all of these."""
    folder = shop.fresh("described")
    ova = folder / "golden.ova"
    shop.regild("describe", shop.ova, "-o", ova, "--sbom", "none")
    none = folder / "none.ova"
    start = repeat(TIMES, nothing, lambda: shop.regild(*CLAIM, none, codes=(4,)))
    asked = repeat(TIMES, nothing, lambda: shop.regild("--help"))
    near = repeat(TIMES, nothing, lambda: shop.regild(*CLAIM, ova))
    traced = _read_of(shop, ova)
    with serve_ranges(folder) as shelf:
        far, told = _far(shop, shelf, *CLAIM)
        whole, all_told = _far(shop, shelf, "describe", "--json")
    rows = [
        Row("the same command on a file that is not there", start, "what starting costs"),
        Row("regild --help", asked, ""),
        Row("a descriptor in an OVA", near, f"{traced}; {_after(near, start)}"),
        Row("the same over HTTP", far, f"{told}; {_after(far, start)}"),
        Row("the inventory over HTTP, descriptor and disk", whole, all_told),
        _many(shop, ova),
    ]
    return ["### Descriptors", "", *table(rows)]


def _far(shop: Workshop, shelf: Shelf, *argv: str) -> tuple[Cost, str]:
    """The same of an OVA on a server on this machine; its requests and bytes."""

    def fresh() -> None:
        shelf.requests.clear()
        shelf.bytes_sent = 0

    cost = repeat(TIMES, fresh, lambda: shop.regild(*argv, f"{shelf.url}/golden.ova"))
    return cost, f"{len(shelf.requests)} requests, {shelf.bytes_sent / 1e6:.2f} MB"


def _many(shop: Workshop, ova: Path) -> Row:
    """A thousand packages in one folder; they share their bytes, which nobody knows."""
    folder = shop.fresh("thousand")
    for number in range(MANY):
        os.link(ova, folder / f"golden-{number}.ova")
    cost = shop.regild(*CLAIM, folder)
    answers = json.loads(cost.output)
    states = {one["descriptor"]["state"] for one in answers}
    counts = {len(one["packages"]) for one in answers}
    note = f"{len(answers)} listed, each {', '.join(sorted(states))}, {max(counts)} packages"
    return Row(f"{MANY} of them in a folder", cost, note)


def _read_of(shop: Workshop, ova: Path) -> str:
    """What a process reads of the OVA, as the kernel counts it."""
    trace = shop.folder / "trace"
    traced = ("strace", "-f", "-qq", "-y", "-e", "trace=read,pread64,readv", "-o", trace)
    try:
        measure([*traced, shop.program, *CLAIM, ova], shop.log)
    except FileNotFoundError:
        return "strace is not here to count"
    lines = [line for line in trace.read_text().splitlines() if ova.name in line]
    return f"{sum(int(line.rpartition('= ')[2]) for line in lines) / 1e3:.0f} kB of it read"


def _after(cost: Cost, start: Cost) -> str:
    return f"{(cost.cpu_seconds - start.cpu_seconds) * 1000:.0f} ms of CPU after starting"


def nothing() -> None:
    """No preparation."""
