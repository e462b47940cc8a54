"""The agent over a real image, killed with -9 at moments all over its work: nothing is lost,
nothing is there twice, and the runs after it bring everything to its end."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.journey.machine import Traces, killed_after, regild, settled

SEED = 20261128
CHANNELS = ("dev", "production")
POLICY = """\
cache = "{folder}/cache"
[agent]
[agent.images.web]
channels = ["dev", "production"]
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


class Site:
    """A store with one real image, a group behind each channel, and a policy."""

    def __init__(self, folder: Path, ova: Path) -> None:
        self.folder = folder
        (folder / "regild.toml").write_text(POLICY.format(folder=folder))
        self.store = ("--store", folder / "store")
        self.state = (*self.store, "--state", folder / "state")
        channels = [word for name in CHANNELS for word in ("--channel", name)]
        regild("image", "add", "web", *channels, *self.store)
        regild("publish", ova, "--image", "web", "--channel", "production", *self.store)
        regild("promote", "web@1", "dev", *self.store)
        for channel in CHANNELS:
            file = folder / f"{channel}.toml"
            file.write_text(GROUP.format(channel=channel))
            regild("group", "apply", file, *self.state)
        config = ("--config", folder / "regild.toml")
        self.run = ("agent", "run", "--once", *self.state, *config, "--scratch", folder / "jobs")

    def told(self, *line: object) -> Any:
        return regild(*line, *self.store)

    def events(self, kind: str) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = self.told("events", "--limit", 100000)["events"]
        return [one for one in told if one["kind"] == kind]

    def check_whole(self) -> None:
        """Everything is there exactly once."""
        line = self.told("generation", "list", "web")["generations"]
        assert [(one["number"], one["parent"]) for one in line] == [(1, ""), (2, "web@1")]
        assert all(line[1][one] for one in ("plan", "receipt", "content"))
        channels = self.told("image", "show", "web")["channels"]
        assert [one["number"] for one in channels] == [2, 2]
        for channel in CHANNELS:
            group = self.told("group", "show", f"web-{channel}")
            ready = [(one["generation"], one["state"]) for one in group["instances"]]
            assert ready == [(2, "ready"), (2, "ready")]
        assert len(self.events("generation.add")) == 2
        assert len(self.events("job.submit")) == len(self.events("job.done"))
        moved = [one["subject"] for one in self.events("channel.promote")]
        assert sorted(moved) == ["web@dev", "web@dev", "web@production", "web@production"]
        assert (self.folder / "target/web/2/label.json").is_file()
        assert self.told("store", "check")["damages"] == []
        assert not list((self.folder / "jobs/renewals").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_agent_that_is_killed_again_and_again_brings_everything_to_its_end(
    small_ova: Path, tmp_path: Path
) -> None:
    site, chance = Site(tmp_path, small_ova), random.Random(SEED)
    begun = time.monotonic()
    killed_after(300, *site.run, when=lambda: bool(list(tmp_path.glob("jobs/renewals/*/job/*"))))
    whole = 3 * (time.monotonic() - begun)
    for number in range(3):
        code = killed_after(chance.uniform(0.05, 1) * whole, *site.run)
        assert code in (0, -9), number
        assert settled(tmp_path) == Traces((), (), ())
    for _ in range(4):
        answer = regild(*site.run)
        if not answer["done"]:
            break
    assert answer["failures"] == []
    site.check_whole()
    assert settled(tmp_path) == Traces((), (), ())
