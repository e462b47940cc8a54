"""How many images of a server are described in a minute by one, two and four workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.measure import Cost, ratio, repeat
from bench.table import Row, table
from tests.host.ranges import serve_ranges

if TYPE_CHECKING:
    from bench.workshop import Workshop

IMAGES = 40
WORKERS = (1, 2, 4)
PAUSE_SECONDS = 0.03
"""Before each answer: a server in another town."""


def workers(shop: Workshop) -> list[str]:
    """`regild fleet describe` of the appliance under as many names, each read anew."""
    folder = shop.fresh("shelf")
    names = [f"image-{number:02}.ova" for number in range(IMAGES)]
    for name in names:
        (folder / name).hardlink_to(shop.ova)
    costs: dict[int, Cost] = {}
    with serve_ranges(folder) as shelf:
        shelf.pause_seconds = PAUSE_SECONDS
        places = [f"{shelf.url}/{name}" for name in names]
        for number in WORKERS:
            line = ("fleet", "describe", *places, "--workers", str(number), "--json")
            costs[number] = repeat(3, lambda: None, lambda line=line: shop.regild(*line))  # type: ignore[misc] # bound at once
            assert len(json.loads(costs[number].output)) == IMAGES
    rows = [
        Row(f"{number} {'worker' if number == 1 else 'workers'}", cost, _told(cost, costs[1]))
        for number, cost in costs.items()
    ]
    title = f"### {IMAGES} images over HTTP, each answer {PAUSE_SECONDS * 1000:.0f} ms late"
    return [title, "", *table(rows)]


def _told(cost: Cost, one: Cost) -> str:
    rate = f"{IMAGES / cost.seconds * 60:.0f} images a minute"
    return f"{rate}, {ratio(one.seconds, cost.seconds)} those of one; starting them included"
