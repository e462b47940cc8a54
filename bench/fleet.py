"""Measures planning of many descriptors: all of them, again with nothing changed, and after a
repository has changed.

    python -m bench.fleet [NUMBER]        default: 1000

The repositories are those of the demo's appliance at this moment, in a folder and signed anew; each
descriptor is that appliance with other packages at older versions.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from bench.measure import Cost, measure
from demo.build import find_appliance
from regild.agent.inscribe import new_descriptor
from regild.agent.inspect import Inspected, open_system
from regild.agent.intake import open_image
from regild.agent.site import Site, policy_of
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
REGILD = Path(sys.executable).with_name("regild")
OLD_SHARE = 0.1
"""Of an image's packages that are older than in the appliance."""


def main(number: int) -> int:
    """Print the three figures."""
    with tempfile.TemporaryDirectory(prefix="regild-fleet-") as name:
        folder = Path(name)
        with (
            open_image(find_appliance("demo")) as image,
            open_system(image, image.only_system) as inspected,
        ):
            sources = _lay_out(inspected.content, folder)
            _write_descriptors(inspected, sources, folder / "images", number)
        argv: list[str | Path] = [
            REGILD,
            "plan",
            folder / "images",
            "--basis",
            "descriptor",
            "--format",
            "csv",
        ]
        argv += ["--offline", folder / "mirror", "--cache", folder / "cache"]
        # With a feed that speaks of the release no changelogs are looked into.
        (folder / "tracker.json").write_bytes(samples.text(samples.tracker()))
        argv += ["--advisories", folder / "tracker.json"]
        for title in ("all", "again, nothing changed"):
            cost = measure(argv, folder / "log", codes=(10,))
            _tell(number, title, cost)
        _change(folder / "mirror", sources)
        cost = measure(argv, folder / "log", codes=(10,))
        _tell(number, "after a repository changed", cost)
    return 0


def _tell(number: int, title: str, cost: Cost) -> None:
    rows = cost.output.decode().splitlines()[1:]
    changes = sum(int(row.split(",")[1]) for row in rows)
    said = f"{cost.cpu_seconds:.1f} s CPU, {cost.seconds:.1f} s, {cost.peak_bytes / 1e6:.0f} MB"
    print(f"{number} descriptors, {title}: {said}; {len(rows)} plans, {changes} changes")


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
) -> None:
    folder.mkdir()
    descriptor = new_descriptor(inspected, "2026-01-01T00:00:00Z", {})
    planning = replace(inspected.content.planning, keyrings=(Keyring(KEYRING, certificate()),))
    start = replace(inspected.content, sources=sources, planning=planning)
    envelope = inspected.image.envelope_bytes
    for place, content in enumerate(_aged(start, number)):
        told = insert_descriptor(envelope, replace(descriptor, content=content))
        path = folder / f"image-{place:04}.ovf"
        path.write_bytes(told)
        promised = {**inspected.image.promised, path.name: sha256_of(told)}
        promised.pop(inspected.image.envelope_name)
        entries = [ManifestEntry(name, digest) for name, digest in promised.items()]
        path.with_suffix(".mf").write_bytes(write_manifest(entries))


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


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
