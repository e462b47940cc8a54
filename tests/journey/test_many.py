"""Ten thousand images in the catalogue: a question to all of them, and what is planned again after
one of a hundred suites has changed."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from msgspec.structs import replace
from sqlalchemy import func, insert, select

from regild.agent.keeping.storing import Store, open_store
from regild.agent.minding.due import find_due
from regild.agent.minding.story import Story
from regild.agent.policy_file import read_agent_policy
from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.agent.site import read_site
from regild.model.content import Content, Package
from regild.model.digest import sha256_of
from regild.model.generation import Reference
from regild.model.json import to_json
from regild.model.progress import Silent
from regild.store import Writing
from regild.store.channels import promote
from regild.store.contents import keep_content, key_of
from regild.store.generations import NewGeneration, add_generation
from regild.store.images import add_image
from regild.store.schema import (
    channels,
    documents,
    feed_uses,
    files,
    generations,
    holdings,
    images,
    platforms,
    releases,
)
from tests.agent.sites import NEW, OLD, Site, disk
from tests.feeds.repositories import Deb
from tests.store.samples import file_of

SUITES, EACH = 100, 100
TIMES = 7
BELOW = ("3.0.9-1", "3.0.11-1~deb12u2", "3.0.14-1~deb12u1", "3.0.16-1~deb12u1")
FROM = ("3.0.17-1~deb12u2", "3.0.20-1~deb12u2")
QUESTION = "package:libssl3 < 3.0.17"


def test_which_versions_are_below_says_dpkg() -> None:
    """The answer that is expected is not regild's own."""
    for versions, code in ((BELOW, 0), (FROM, 1)):
        for version in versions:
            line = ["dpkg", "--compare-versions", version, "lt", "3.0.17"]
            assert subprocess.run(line).returncode == code


def content_of(path: Path) -> Content:
    with open_image(path) as image, open_system(image, image.only_system) as system:
        return system.content


class Crowd:
    """A store with many images, each with a content of its own."""

    def __init__(self, site: Site, store: Store, real: tuple[Package, ...]) -> None:
        self.site, self.store = site, store
        self._real = [one for one in real if one.name != "libssl3"]
        self._start = content_of(disk(site.folder / "first", suite_of(0), OLD))
        self._releases: dict[tuple[str, ...], int] = {}

    def fill(self) -> None:
        """The first image of each suite is added as every other generation is; the rest by rows
        like those that this makes, because the usual way takes a quarter of a CPU hour."""
        with self.store.catalogue.writing("tests") as change:
            every = tuple({one for suite in range(SUITES) for one in self._packages(suite)})
            keep_content(change, replace(self._start, packages=(*self._start.packages, *every)))
            wanted = select(releases)
            for row in change.connection.execute(wanted):
                known = row.type, row.name, row.version, row.arch, row.source, row.source_version
                self._releases[known] = row.id
        for suite in range(SUITES):
            with self.store.catalogue.writing("tests") as change:
                name = f"{suite_of(suite)}-00"
                add_image(change, name, channel_names=("dev",))
                new = NewGeneration(name, "ova", (file_of(name),), None, self._content(suite, 0))
                add_generation(change, new)
                promote(change, Reference(name, "1"), "dev")
                self._others(change, suite)

    def _others(self, change: Writing, suite: int) -> None:
        """The other images of a suite, as rows."""
        tables = images, channels, documents, platforms, holdings, generations, files
        rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables}
        run = change.connection.execute
        begin = max(run(select(func.max(one.c.id))).scalar() or 0 for one in (images, documents))
        begin = max(begin, run(select(func.max(generations.c.id))).scalar() or 0)
        for number in range(1, EACH):
            name, content = f"{suite_of(suite)}-{number:02}", self._content(suite, number)
            file, text, own = file_of(name), to_json(content, indent=0).encode(), begin + number
            found = {"id": own, "name": name, "about": "", "created": change.now}
            rows["images"].append(found | {"keep_newest": 0, "keep_days": 0})
            at = {"image_id": own, "name": "dev", "place": 0, "actor": "tests", "pinned": False}
            rows["channels"].append(at)
            found = {"id": own, "digest": sha256_of(text), "kind": "content"}
            rows["documents"].append(found | {"packed": zstd.compress(text)})
            of = content.platform
            found = {"content_id": own, "id": of.id, "version": of.version, "arch": of.arch}
            count = len(content.packages)
            rows["platforms"].append(found | {"packages": count, "unknowns": 0})
            held = {self._releases[key_of(one)] for one in content.packages}
            rows["holdings"] += [{"release_id": one, "content_id": own} for one in held]
            found = {"id": own, "image_id": own, "number": 1, "digest": file.digest, "form": "ova"}
            found |= {"created": change.now, "actor": "tests", "content_id": own, "pinned": False}
            rows["generations"].append(found)
            found = {"generation_id": own, "name": file.name, "place": 0}
            rows["files"].append(found | {"digest": file.digest, "bytes": file.bytes})
        for table in tables:
            run(insert(table), rows[table.name])

    def _packages(self, suite: int) -> Iterator[Package]:
        return (one for number in range(EACH) for one in self._content(suite, number).packages)

    def _content(self, suite: int, number: int) -> Content:
        """A real appliance's packages, every tenth of them older, one of the image's own, and one
        that its suite has anew."""
        place = suite * EACH + number
        held = [
            replace(one, version=f"{one.version}~{place % 7}") if (at + place) % 10 == 0 else one
            for at, one in enumerate(self._real)
        ]
        versions = BELOW + FROM
        held.append(Package("deb", "libssl3", versions[place % len(versions)], "amd64"))
        held.append(Package("deb", "site-files", f"1.{place}", "all"))
        sources = tuple(replace(one, suite=suite_of(suite)) for one in self._start.sources)
        packages = (*self._start.packages, *held)
        return replace(self._start, sources=sources, packages=packages)

    def plan(self, pattern: str) -> list[str]:
        """Plan what is due of some images; whose plan was made."""
        self.site.write(f'[agent.images."{pattern}"]\n')
        config, progress = self.site.folder / "regild.toml", Silent()
        policy = read_agent_policy(config, now())
        story = Story(progress)
        found = find_due(self.store, read_site(config), policy, story, progress)
        assert story.failures == {}
        return [one.generation for one in found]

    def share_plans(self) -> None:
        """Note for every image what the plan of its suite's first was made from: it would be made
        from the same, ten thousand times."""
        with self.store.catalogue.writing("tests") as change:
            run = change.connection.execute
            ids = {row.name: row.id for row in run(NAMED)}
            for suite in range(SUITES):
                first = ids[f"{suite_of(suite)}-00"]
                used = run(select(feed_uses).where(feed_uses.c.generation_id == first)).all()
                assert used
                rows = [
                    {**row._mapping, "generation_id": ids[f"{suite_of(suite)}-{number:02}"]}
                    for number in range(1, EACH)
                    for row in used
                ]
                run(insert(feed_uses), rows)


NAMED = select(images.c.name, generations.c.id).join(
    generations, generations.c.image_id == images.c.id
)


def suite_of(number: int) -> str:
    return f"s{number:02}"


def now() -> datetime:

    return datetime.now(UTC)


def cost(of: int, act: Callable[[], list[str]]) -> tuple[list[str], float, float]:
    """What something gives, and its CPU and wall seconds."""
    before, begun = resource.getrusage(of), time.monotonic()
    found = act()
    after = resource.getrusage(of)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found, cpu, time.monotonic() - begun


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, demo_ova: Path) -> Iterator[Crowd]:
    folder = tmp_path_factory.mktemp("crowd")
    site = Site(folder)
    for number in range(SUITES):
        site.offer(suite_of(number), NEW, days=2)
    with open_store(folder / "store") as store:
        made = Crowd(site, store, content_of(demo_ova).packages)
        made.fill()
        yield made


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_a_question_to_ten_thousand_images(
    crowd: Crowd, record_property: Callable[[str, object], None]
) -> None:
    command = [Path(sys.executable).with_name("regild"), "query", QUESTION, "--json"]
    line = [*map(str, command), "--store", str(crowd.site.folder / "store")]

    def asked() -> list[str]:
        said = subprocess.run(line, capture_output=True, check=True)
        return [one["generation"] for one in json.loads(said.stdout)["rows"]]

    asked()
    every = [cost(resource.RUSAGE_CHILDREN, asked) for _ in range(TIMES)]
    found = every[0][0]
    cpu, wall = (statistics.median(one[at] for one in every) for at in (1, 2))
    places = range(SUITES * EACH)
    wanted = [place for place in places if place % len(BELOW + FROM) < len(BELOW)]
    assert found == [f"{suite_of(one // EACH)}-{one % EACH:02}@1" for one in wanted]
    record_property("CPU s for a question, the whole command", f"{cpu:.2f}")
    record_property("s of the clock, the slowest", f"{max(one[2] for one in every):.2f}")
    record_property(f"s, the median of {TIMES}", f"{wall:.2f}")
    assert cpu < 1


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_only_the_images_of_a_suite_that_changed_are_planned_again(
    crowd: Crowd, record_property: Callable[[str, object], None]
) -> None:
    assert len(crowd.plan("s??-00")) == SUITES
    crowd.share_plans()
    none, idle, _ = cost(resource.RUSAGE_SELF, lambda: crowd.plan("*"))
    assert none == []
    crowd.site.offer(suite_of(7), Deb("tool", "1.2"), days=0)
    again, cpu, _ = cost(resource.RUSAGE_SELF, lambda: crowd.plan("*"))
    assert sorted(again) == [f"s07-{number:02}@1" for number in range(EACH)]
    assert crowd.plan("*") == []
    record_property("CPU s with nothing changed", f"{idle:.1f}")
    record_property(f"CPU s with {EACH} of {SUITES * EACH} to plan", f"{cpu:.1f}")
