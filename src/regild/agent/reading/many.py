"""One piece of work for many images: folders and patterns are spread out, a few processes share the
images, and one that cannot be read does not keep the others from it."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from regild.agent.reading.intake import Image, open_image
from regild.errors import MissingFile, NotAnArchive, RegildError, TooLarge
from regild.host.files import translated
from regild.host.remote import address_of
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import DescribeAnswer
from regild.model.progress import Progress
from regild.ovf.archive import find_form

IMAGES_LIMIT = 10_000
POOL_FROM = 4
"""Fewer images are read one after another: starting a process costs as much as reading one."""
WORKERS_LIMIT = 8
SUFFIXES = frozenset({".ova", ".ovf", ".vmdk", ".qcow2", ".vhd", ".vhdx", ".vdi", ".raw", ".img"})
"""Names of images. They are told by their content; one that is damaged may only have its name."""

if TYPE_CHECKING:
    from regild.agent.site import Site

Answers = tuple[DescribeAnswer, ...] | RegildError
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What is done with each of many images; it is sent to other processes, so it is a value."""

    def open(self, progress: Progress) -> AbstractContextManager[Callable[[Path], T_co]]:
        """What answers for one image at a time, with all that serves the next one too."""


def spread(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Every image that the paths name, in their order and each once.

    A folder with one .ovf is that package; any other stands for the images directly in it. A path
    that does not exist and holds `*`, `?` or `[` is a pattern.

    Raises: MissingFile where a folder or a pattern gives none, TooLarge, NotPermitted.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if address_of(path):
            found[path] = None
        elif not path.exists() and glob.has_magic(str(path)):
            pattern = str(path.relative_to(path.anchor))
            matched = sorted(Path(path.anchor).glob(pattern))
            if not matched:
                raise MissingFile(where=str(path), why="no file fits the pattern")
            found.update(dict.fromkeys(matched))
        elif path.is_dir() and len(list(path.glob("*.ovf"))) != 1:
            found.update(dict.fromkeys(_in_folder(path)))
        else:
            found[path] = None
    if len(found) > IMAGES_LIMIT:
        raise TooLarge(where="the list of images", why=f"it is longer than {IMAGES_LIMIT}")
    return tuple(found)


def each(work: Work[T], images: tuple[Path, ...], progress: Progress) -> Iterator[T | RegildError]:
    """What a piece of work answers for each image, or why it cannot, in the order of the images.

    Several processes share the images; each opens the work once.
    """
    if not images:
        return
    workers = min(os.cpu_count() or 1, len(images), WORKERS_LIMIT)
    if len(images) < POOL_FROM or workers < 2:
        with work.open(progress) as desk:
            for image in images:
                yield answered(desk, image)
        return
    # Loaded here: for the plan of one image it would be a tenth of all that is loaded.
    from regild.agent.reading.processes import shared

    yield from shared(work, images, workers, progress)


def describe_many(
    images: tuple[Path, ...],
    progress: Progress,
    keys: Keys = NO_KEYS,
    languages: bool = True,
    site: Site | None = None,
) -> Iterator[Answers]:
    """What each image holds, or why it cannot be said, in the order of the images."""
    return each(DescribeWork(keys, languages, site), images, progress)


class DescribeWork:
    """Describes images."""

    def __init__(self, keys: Keys, languages: bool, site: Site | None = None) -> None:
        self._keys, self._languages, self._site = keys, languages, site

    @contextlib.contextmanager
    def open(self, progress: Progress) -> Iterator[Callable[[Path], tuple[DescribeAnswer, ...]]]:
        """Describing needs nothing that would serve the next image too."""
        # Loaded here, because who asks for descriptors alone spreads the same paths.
        from regild.agent.reading.describe import describe

        yield lambda image: describe(image, progress, self._keys, self._languages, self._site)


def answered(desk: Callable[[Path], T], image: Path) -> T | RegildError:
    """The answer for an image, or the error."""
    try:
        return desk(image)
    except RegildError as error:
        return error


def _in_folder(folder: Path) -> list[Path]:
    """The images directly in a folder; disks that a package there refers to are part of it, and
    extents of a disk. What is named like an image counts as one, and describing it will say why it
    is none."""
    with translated(folder):
        files = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    images: dict[Path, bool] = {}
    parts: set[Path] = set()
    for path in files:
        if path.is_dir():
            if len(list(path.glob("*.ovf"))) == 1:
                images[path] = True
            continue
        if not path.is_file():
            continue
        form = None
        try:
            form = find_form(path)
            if form == "folder" and path.suffix != ".ovf":
                continue
            with open_image(path) as image:
                if form == "folder":
                    parts.update(disk.path for one in image.systems for disk in one.disks)
                else:
                    parts.update(folder / name for name in _extents(path, image))
        except NotAnArchive:
            if path.suffix.lower() not in SUFFIXES:
                continue
        except RegildError:
            if path.stat().st_size == 0 and path.suffix.lower() not in SUFFIXES:
                continue
            # It is one, and describing it will say what is wrong.
        images[path] = form is not None
    found = [path for path, package in images.items() if package or path not in parts]
    if not found:
        raise MissingFile(where=f"an image in {folder}", why="nothing in it is one")
    return found


def _extents(path: Path, image: Image) -> list[str]:
    """The files that are only a part of a bare disk."""
    if not any(disk.further for one in image.systems for disk in one.disks):
        return []
    from regild.image.formats import further_files

    return [name for name, part in further_files(path).items() if part]
