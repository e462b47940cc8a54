"""The agent over a catalogue in PostgreSQL and a real image, from a watched folder to every
instance: imported, planned, updated, proven, promoted, pushed and rotated; and a machine that is
asked for in between has that day's plan."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journey.machine import Traces, regild, settled
from tests.store.databases import open_server

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

CHANNELS = ("dev", "production")
SITE = """\
cache = "{folder}/cache"
[store]
catalogue = "{catalogue}"
blobs = "{folder}/blobs"
[agent]
[agent.images.web]
update = {update}
channels = ["dev", "production"]
source = "{folder}/incoming"
targets = ["{folder}/target"]
"""
GROUP = """\
[group]
name = "web-{channel}"
image = "web"
channel = "{channel}"
driver = "folder"
size = 2
"""
LATE = '[request]\npolicy = "late-patch"\n'
OUTDATED = {"unzip", "xz-utils", "zip"}


@pytest.fixture
def catalogue() -> Iterator[str]:
    with open_server() as address:
        yield address


class Place:
    """A site over PostgreSQL, run by commands as people and timers run them."""

    def __init__(self, folder: Path, catalogue: str) -> None:
        self.folder, self.catalogue = folder, catalogue
        self.config = ("--config", folder / "regild.toml")
        self.state = (*self.config, "--state", folder / "state")
        self.jobs = ("--scratch", folder / "jobs")
        self.say(update=False)
        channels = [word for name in CHANNELS for word in ("--channel", name)]
        self.told("image", "add", "web", *channels)
        for channel in CHANNELS:
            file = folder / f"{channel}.toml"
            file.write_text(GROUP.format(channel=channel) + (LATE * (channel == "production")))
            regild("group", "apply", file, *self.state)

    def say(self, *, update: bool) -> None:
        """What the agent may do."""
        made = SITE.format(folder=self.folder, catalogue=self.catalogue, update=str(update).lower())
        (self.folder / "regild.toml").write_text(made)

    def told(self, *line: object) -> Any:
        return regild(*line, *self.config)

    def run(self) -> list[str]:
        """The agent's runs, until nothing is left; what was done."""
        done: list[str] = []
        for _ in range(6):
            answer: Any = regild("agent", "run", "--once", *self.state, *self.jobs)
            assert answer["failures"] == []
            if not answer["done"]:
                return done
            done += [one["what"] for one in answer["done"]]
        raise AssertionError(f"it does not come to rest: {done}")

    def running(self) -> list[list[int]]:
        """The generations of each group's own instances."""
        groups = [self.told("group", "show", f"web-{one}") for one in CHANNELS]
        return [
            [one["generation"] for one in group["instances"] if not one["owner"]]
            for group in groups
        ]


def test_a_real_image_goes_all_the_way(small_ova: Path, catalogue: str, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    shutil.copyfile(small_ova, incoming / "small.ova")
    then = time.time() - 60
    os.utime(incoming / "small.ova", (then, then))
    place = Place(tmp_path, catalogue)
    done = place.run()
    assert {"imported", "promoted", "start"} <= set(done)
    assert place.running() == [[1, 1], [1, 1]]

    line = ("instance", "request", "web-production", "--user", "anna")
    handed = regild(*line, "--wait", "60", *place.state, *place.jobs)
    instance: Any = handed["instance"]
    assert (instance["generation"], instance["state"]) == (2, "ready")
    assert place.running() == [[1, 1], [1, 1]]
    assert patched(place, "web@1", "web@2") == OUTDATED

    place.say(update=True)
    done = place.run()
    assert {"planned", "updated", "promoted", "start", "stop", "pushed"} <= set(done)
    assert place.running() == [[3, 3], [3, 3]]
    made = place.told("generation", "list", "web")["generations"]
    assert [(one["number"], one["parent"]) for one in made] == [
        (1, ""), (2, "web@1"), (3, "web@1"),
    ]  # fmt: skip
    assert all(made[2][one] for one in ("plan", "receipt", "content"))
    assert patched(place, "web@1", "web@3") == OUTDATED
    assert [one["number"] for one in place.told("image", "show", "web")["channels"]] == [3, 3]
    assert (tmp_path / "target/web/3/label.json").is_file()
    assert place.told("store", "check")["damages"] == []
    assert settled(tmp_path) == Traces((), (), ())


def patched(place: Place, old: str, new: str) -> set[str]:
    """Which packages differ between two generations, as their own disks say."""
    paths = []
    for name in (old, new):
        paths.append(place.folder / f"{name.replace('@', '-')}.ova")
        place.told("export", name, "-o", paths[-1], "--force")
    changes: Any = regild("diff", *paths)["changes"]
    return {one["name"] for one in changes}
