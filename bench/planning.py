"""Measures planning: one image and a thousand, from indexes at hand and after a repository has
changed, beside apt-get -s over the same repositories.

Each of the thousand is the demo's appliance with other packages at older versions, as a descriptor;
the repositories are the appliance's own at this moment, signed anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.fleet import Fleet, lay_out
from bench.measure import Cost, measure, ratio, repeat
from bench.table import Row, table
from regild.model.content import Content, Source

if TYPE_CHECKING:
    from bench.workshop import Workshop

TIMES = 5
MANY = 1000
TO_DO = (10,)


def planning(shop: Workshop) -> list[str]:
    """One plan beside apt's own, then a thousand."""
    fleet = lay_out(shop.fresh("fleet"), MANY)
    theirs, bare = _apt(shop, fleet)
    rows = [
        *_one(shop, fleet, theirs),
        Row("apt-get -s upgrade, its cache empty", bare, "it parses the same lists"),
        *_many(shop, fleet, theirs),
    ]
    return ["### Planning", "", *table(rows)]


def _one(shop: Workshop, fleet: Fleet, theirs: Cost) -> list[Row]:
    """A process for one plan, with the suite never seen and with its index at hand."""
    image = fleet.images / "image-0000.ovf"
    plan = [shop.program, "plan", image, "--json", *fleet.options]
    absent = [shop.program, "plan", fleet.folder / "absent", *fleet.options]
    start = repeat(TIMES, nothing, lambda: measure(absent, shop.log, codes=(4,)))
    first = measure(plan, shop.log, codes=TO_DO)
    again = repeat(TIMES, fleet.forget_plans, lambda: measure(plan, shop.log, codes=TO_DO))
    alone = (again.cpu_seconds - start.cpu_seconds) * 1000
    part = f"{again.cpu_seconds / theirs.cpu_seconds:.0%} of apt-get's CPU"
    same = "the same upgrades" if _same(theirs, again) else "other upgrades"
    return [
        Row("regild plan, suite never seen", first, f"{fleet.packages} packages parsed"),
        Row("regild plan of a file that is not there", start, "what starting costs"),
        Row("regild plan, index at hand", again, f"{part}; {alone:.0f} ms after starting"),
        Row("apt-get -s upgrade, its cache warm", theirs, same),
    ]


def _many(shop: Workshop, fleet: Fleet, theirs: Cost) -> list[Row]:
    """A thousand descriptors: new, unchanged, and after a repository has changed."""
    argv = [shop.program, "plan", fleet.images, "--format", "csv", *fleet.options]
    titles = ["as new plans", "again, nothing changed", "after a repository changed"]
    rows = []
    for title in titles:
        if title == titles[0]:
            fleet.forget_plans()
        if title == titles[2]:
            fleet.change()
        cost = measure(argv, shop.log, codes=TO_DO)
        lines = cost.output.decode().splitlines()[1:]
        changes = sum(int(line.split(",")[1]) for line in lines)
        note = f"{len(lines)} plans, {changes} changes"
        if title == titles[0]:
            each = ratio(theirs.cpu_seconds * MANY, cost.cpu_seconds)
            note += f"; as many runs of apt-get -s: {each} the CPU"
        rows.append(Row(f"regild plan of {MANY} descriptors, {title}", cost, note))
    return rows


def _apt(shop: Workshop, fleet: Fleet) -> tuple[Cost, Cost]:
    """apt-get -s of the first image with its caches at hand, and without them."""
    folder = shop.fresh("apt")
    config = _configured(folder, fleet.contents[0], fleet.sources, fleet.mirror)
    env = {"APT_CONFIG": str(config)}
    measure(["apt-get", "update"], shop.log, env)
    line = ["apt-get", "-s", "upgrade", "--with-new-pkgs"]

    def empty() -> None:
        for path in (folder / "cache").glob("*.bin"):
            path.unlink()

    bare = repeat(3, empty, lambda: measure(line, shop.log, env))
    return repeat(TIMES, lambda: None, lambda: measure(line, shop.log, env)), bare


def _configured(folder: Path, content: Content, sources: tuple[Source, ...], mirror: Path) -> Path:
    """Folders and a configuration with which apt-get speaks of the image, not of this machine."""
    for name in ("lists/partial", "cache/archives/partial", "etc/none"):
        (folder / name).mkdir(parents=True)
    lines = (
        f"deb [trusted=yes] file:{mirror} {one.suite} {' '.join(one.components)}\n"
        for one in sources
    )
    (folder / "etc" / "sources.list").write_text("".join(lines))
    (folder / "status").write_text(content.planning.status)
    config = folder / "conf"
    config.write_text(
        f'Dir "{folder}"; Dir::State "{folder}"; Dir::State::status "{folder}/status";'
        f'Dir::State::lists "{folder}/lists"; Dir::Cache "{folder}/cache"; Dir::Etc "{folder}/etc";'
        'Dir::Etc::parts "none"; Dir::Etc::sourceparts "none"; APT::Sandbox::User "root";'
        'APT::Architecture "amd64"; APT::Architectures { "amd64"; }; Acquire::Languages "none";'
        'Debug::NoLocking "1";'
    )
    return config


def nothing() -> None:
    """No preparation."""


def _same(theirs: Cost, ours: Cost) -> bool:
    """Whether both would install the same versions."""
    said = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", theirs.output.decode(), re.MULTILINE)
    steps = json.loads(ours.output)["steps"]
    return {tuple(pair) for pair in said} == {(one["name"], one["to"]) for one in steps}
