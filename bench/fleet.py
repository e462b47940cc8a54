"""Descriptors of many images, for measuring what planning them costs.

The repositories are those of the demo's appliance at this moment, in a folder and signed anew; each
descriptor is that appliance with other packages at older versions.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from demo.build import find_appliance
from regild.agent.reading.inspect import Inspected, open_system
from regild.agent.reading.intake import open_image
from regild.agent.site import Site, policy_of
from regild.agent.writing.inscribe import new_descriptor
from regild.feeds.apt import refresh
from regild.model.appliance import ManifestEntry
from regild.model.content import Content, Keyring, Source
from regild.model.digest import sha256_of
from regild.model.progress import Silent
from regild.ovf.content import insert_descriptor
from regild.ovf.manifest import write_manifest
from tests.feeds.advisories import samples
from tests.feeds.repositories import KEYRING, Suite, certificate, release_text, write_release

URI = "http://mirror.example/debian"
KEPT = 1
"""Contents that are kept beside their envelopes."""
OLD_SHARE = 0.1
"""Of an image's packages that are older than in the appliance."""


@dataclass(frozen=True)
class Fleet:
    """Descriptors of many images in a folder, and the repositories that they name."""

    folder: Path
    sources: tuple[Source, ...]
    contents: tuple[Content, ...]
    """The first images'."""
    packages: int
    """How many the repositories offer."""

    @property
    def images(self) -> Path:
        """The folder with the descriptors."""
        return self.folder / "images"

    @property
    def mirror(self) -> Path:
        """The folder with the repositories."""
        return self.folder / "mirror"

    @property
    def options(self) -> list[str | Path]:
        """What regild is told beside the images."""
        told: list[str | Path] = ["--basis", "descriptor", "--offline", self.mirror]
        # With a feed that speaks of the release no changelogs are looked into.
        told += ["--advisories", self.folder / "tracker.json"]
        return [*told, "--cache", self.folder / "cache"]

    def forget_plans(self) -> None:
        """Remove the plans that are kept, not the indexes."""
        shutil.rmtree(self.folder / "cache" / "plans", ignore_errors=True)

    def change(self) -> None:
        """Give the first repository one package in a new version."""
        _change(self.mirror, self.sources)


def lay_out(folder: Path, number: int) -> Fleet:
    """Repositories and so many descriptors in an empty folder."""
    with (
        open_image(find_appliance("demo")) as image,
        open_system(image, image.only_system) as inspected,
    ):
        sources = _lay_out(inspected.content, folder)
        contents = _write_descriptors(inspected, sources, folder / "images", number)
    (folder / "tracker.json").write_bytes(samples.text(samples.tracker()))
    lists = (folder / "mirror").rglob("Packages")
    packages = sum(path.read_bytes().count(b"\nPackage: ") + 1 for path in lists)
    return Fleet(folder, sources, contents, packages)


def _lay_out(content: Content, folder: Path) -> tuple[Source, ...]:
    """The appliance's repositories as a folder, signed by a key of ours."""
    site = Site(kept=folder / "first")
    available = refresh(content, policy_of(site), site.cache, datetime.now(UTC), Silent())
    sources = []
    for repository in available.repositories:
        source = replace(repository.source, uri=URI, signed_by=(), where="/etc/apt/sources.list:1")
        files = {one.path: one.packages.path.read_bytes() for one in repository.indexes}
        _publish(folder / "mirror", source, files, repository.release.label, timedelta(days=1))
        sources.append(source)
    return tuple(sources)


def _publish(
    mirror: Path, source: Source, files: dict[str, bytes], label: str, age: timedelta
) -> None:
    top = mirror / "dists" / source.suite
    for path, content in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
    suite = Suite(
        (),
        name=source.suite,
        label=label,
        components=source.components,
        architectures=(*source.architectures, "all"),
        date=datetime.now(UTC) - age,
    )
    write_release(top, release_text(suite, files), suite)


def _change(mirror: Path, sources: tuple[Source, ...]) -> None:
    """The first repository with one package in a new version."""
    source = sources[0]
    top = mirror / "dists" / source.suite
    files = {
        str(path.relative_to(top)): re.sub(
            rb"(Package: bash\n(?:.+\n)*?Version: \S+)", rb"\1+new1", path.read_bytes(), count=1
        )
        for path in top.rglob("Packages")
    }
    _publish(mirror, source, files, "Debian", timedelta(hours=1))


def _write_descriptors(
    inspected: Inspected, sources: tuple[Source, ...], folder: Path, number: int
) -> tuple[Content, ...]:
    """Write so many envelopes without disks; the contents of the first ones."""
    folder.mkdir()
    contents = []
    descriptor = new_descriptor(inspected, "2026-01-01T00:00:00Z", {})
    planning = replace(inspected.content.planning, keyrings=(Keyring(KEYRING, certificate()),))
    start = replace(inspected.content, sources=sources, planning=planning)
    envelope = inspected.image.envelope_bytes
    for place, content in enumerate(_aged(start, number)):
        contents += [content] if place < KEPT else []
        told = insert_descriptor(envelope, replace(descriptor, content=content))
        path = folder / f"image-{place:04}.ovf"
        path.write_bytes(told)
        promised = {**inspected.image.promised, path.name: sha256_of(told)}
        promised.pop(inspected.image.envelope_name)
        entries = [ManifestEntry(name, digest) for name, digest in promised.items()]
        path.with_suffix(".mf").write_bytes(write_manifest(entries))
    return tuple(contents)


def _aged(content: Content, number: int) -> Iterator[Content]:
    """The content with some packages at older versions, others each time."""
    dice = random.Random(1)
    status = content.planning.status
    # What others ask for in a version stays, or the image would be broken and not old.
    bound = set(re.findall(r"([a-z0-9.+-]+)(?::any)? \([>=]", status))
    free = [one for one in content.packages if one.name not in bound]
    for _ in range(number):
        old = {one.name for one in dice.sample(free, int(len(free) * OLD_SHARE))}
        packages = tuple(
            replace(one, version=f"{one.version}~old") if one.name in old else one
            for one in content.packages
        )
        paragraphs = [
            re.sub(r"^(Version: .*)$", r"\1~old", text, count=1, flags=re.MULTILINE)
            if text.partition("\n")[0].removeprefix("Package: ") in old
            else text
            for text in status.split("\n\n")
        ]
        planning = replace(content.planning, status="\n\n".join(paragraphs))
        yield replace(content, packages=packages, planning=planning)
