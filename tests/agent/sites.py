"""A whole site in a folder: signed repositories, a store with images of tiny guests, groups on the
folder driver, and an agent over them. The update itself, which takes a real guest, is stood in
for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from regild.agent.keeping.engine import Desk
from regild.agent.keeping.publishing import publish as publish_file
from regild.agent.keeping.storing import Store
from regild.model.generation import Generation, Reference
from regild.model.job import Job
from regild.store import Writing
from regild.store.channels import list_channels, promote
from regild.store.events import list_events, tell
from tests.cli import golden
from tests.feeds.repositories import KEYRING, Deb, Suite, certificate, publish

OLD, NEW = Deb("tool", "1.0"), Deb("tool", "1.1")
URI = "http://mirror.example/debian"
FOLDER_OF_NEXT = "next"
GROUP = """\
[group]
name = "{image}-{channel}"
image = "{image}"
channel = "{channel}"
driver = "folder"
size = 2
[options]
folder = "{folder}"
"""


def disk(folder: Path, image: str, deb: Deb) -> Path:
    """The disk of a guest with one package, from a suite of its own."""
    files: dict[str, str | bytes] = {
        "/etc/os-release": golden.OS_RELEASE,
        "/etc/apt/sources.list": f"deb {URI} {image} main\n",
        "/var/lib/dpkg/status": deb.status(),
        "/var/lib/dpkg/arch": "amd64\n",
        KEYRING: certificate(),
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return golden.filesystem(folder, files)


def renewed(desk: Desk, job: Job) -> Mapping[str, Any]:
    """The job `update` without a guest that runs: the next disk lies ready in a folder."""
    image, number = job.facts["image"], job.facts["number"]
    assert desk.workplace.scratch

    def settle(change: Writing, made: Generation) -> None:
        first = job.facts.get("channel") or list_channels(change, image)[0].name
        promote(change, Reference(image, str(made.number)), first)
        tell(change, "test.effect", made.name)
        desk.end(change, {"generation": made.name})

    publish_file(
        desk.store,
        desk.workplace.scratch / FOLDER_OF_NEXT / image / "root.raw",
        image,
        desk.progress,
        parent=Reference(image, str(number)),
        settling=settle,
    )
    return {}


RENEWED = "tests.agent.sites:renewed"


@dataclass
class Site:
    """Where everything of one lies."""

    folder: Path
    policy: str = '[agent.images."*"]\n'

    @property
    def store(self) -> list[str]:
        return ["--store", str(self.folder / "store")]

    @property
    def state(self) -> list[str]:
        return ["--state", str(self.folder / "state")]

    @property
    def run(self) -> list[str]:
        """The command line of one run of the agent."""
        config = ["--config", str(self.folder / "regild.toml")]
        scratch = ["--scratch", str(self.folder / "jobs")]
        return ["agent", "run", "--once", *self.store, *self.state, *config, *scratch]

    def write(self, policy: str | None = None) -> None:
        """The site's file."""
        text = f'cache = "cache"\n[feeds]\noffline = "{self.folder / "mirror"}"\n[agent]\n'
        (self.folder / "regild.toml").write_text(text + (policy or self.policy))

    def offer(self, image: str, deb: Deb, days: int = 1) -> None:
        """What an image's suite offers, since some days ago."""
        date = datetime.now(UTC) - timedelta(days=days)
        publish(self.folder / "mirror", Suite((deb,), name=image, date=date))

    def file_of_group(self, image: str, channel: str) -> Path:
        path = self.folder / f"{image}-{channel}.toml"
        folder = self.folder / "instances" / f"{image}-{channel}"
        path.write_text(GROUP.format(image=image, channel=channel, folder=folder))
        return path

    def next_disk(self, image: str, deb: Deb = NEW) -> Path:
        return disk(self.folder / "jobs" / FOLDER_OF_NEXT / image, image, deb)


def effects(store: Store) -> list[str]:
    """What the stand-in for the update has made, as events of its own tell."""
    with store.catalogue.reading() as view:
        return [one.subject for one in list_events(view, kind="test.effect")]
