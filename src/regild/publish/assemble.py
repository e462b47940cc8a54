"""Writing a new package: an OVA, a folder, or a bare disk with its envelope beside it.

Every byte of a disk is hashed as it passes, once; the .ovf and the .mf, whose digests come last,
have their places kept free. The result appears under its name whole or not at all, and equal drafts
give equal bytes (DSP0243, clauses 5 and 6; rules W4 to W6).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from regild.errors import PublishError, TargetExists
from regild.host.files import open_new, sync_folder, translated
from regild.model.digest import Digest, sha256_of
from regild.model.progress import Progress
from regild.ovf import tar
from regild.publish.draft import Draft
from regild.publish.place import check_file_place, check_folder_place
from regild.publish.stored import write_hashed


@dataclass(frozen=True, slots=True)
class Published:
    """A file or folder that was written."""

    path: Path
    digest: Digest | None
    """Of the whole file; None for a folder."""
    bytes: int
    sidecars: tuple[Published, ...] = ()
    """What was written beside it and belongs to it."""
    notes: tuple[str, ...] = ()


def write_ova(draft: Draft, path: Path, progress: Progress, *, replace: bool = True) -> Published:
    """Write a draft as an OVA: .ovf, .mf, then the files of References in their order (W5).

    Without `replace`, what came under its name meanwhile stays.

    Raises: TargetExists, IntegrityError, Truncated, UnsafeName, DiskFull, NotPermitted.
    """
    check_file_place(path)
    envelope = draft.envelope({})
    manifest = draft.manifest(envelope, {})
    small = [(draft.envelope_name, len(envelope)), (draft.manifest_name, len(manifest))]
    sizes = [*small, *((name, stored.bytes) for name, stored in draft.files.items())]
    places, total = tar.lay_out(sizes)
    with _together(path, draft.beside_names), contextlib.ExitStack() as stack:
        file = stack.enter_context(open_new(path, replace=replace))
        progress.step(f"Writing {path.name}", total)
        digests = {}
        for place in places[2:]:
            file.seek(place.offset - tar.BLOCK)
            file.write(tar.header(place.name, place.bytes))
            digests[place.name] = write_hashed(draft.files[place.name], file, progress)
        beside = draft.beside(digests).items()
        sidecars = [_write_sidecar(stack, path, item, replace) for item in beside]
        finished = _finish(draft, digests, (len(envelope), len(manifest)))
        for place, content in zip(places[:2], finished, strict=True):
            file.seek(place.offset - tar.BLOCK)
            file.write(tar.header(place.name, place.bytes) + content)
        file.truncate(total)
        digest = _digest_of(file, progress)
        _settle(file)
    return Published(path, digest, total, tuple(sidecars), draft.notes)


def write_disk(draft: Draft, path: Path, progress: Progress, *, replace: bool = True) -> Published:
    """Write a draft of one bare disk, and its envelope and manifest beside it; `replace` as for
    `write_ova`.

    Raises: TargetExists, IntegrityError, Truncated, DiskFull, NotPermitted.
    """
    check_file_place(path)
    ((name, stored),) = draft.files.items()
    if name != path.name:
        raise PublishError(where=str(path), why=f"its envelope calls the disk {name}")
    names = (draft.envelope_name, draft.manifest_name, *draft.beside_names)
    with _together(path, names), contextlib.ExitStack() as stack:
        file = stack.enter_context(open_new(path, replace=replace))
        progress.step(f"Writing {path.name}", stored.bytes)
        digest = write_hashed(stored, file, progress)
        file.truncate(stored.bytes)
        texts = texts_of(draft, {name: digest}).items()
        sidecars = [_write_sidecar(stack, path, item, replace) for item in texts]
        _settle(file)
    return Published(path, digest, stored.bytes, tuple(sidecars), draft.notes)


def texts_of(draft: Draft, digests: Mapping[str, Digest]) -> dict[str, bytes]:
    """What stands beside a bare disk: envelope, manifest and sidecars, by name.

    With the manifest the envelope is a package of its own, and can be believed without the disk.
    """
    envelope = draft.envelope(digests)
    manifest = draft.manifest(envelope, digests)
    beside = draft.beside(digests)
    return {draft.envelope_name: envelope, draft.manifest_name: manifest, **beside}


def write_folder(
    draft: Draft, path: Path, progress: Progress, *, replace: bool = False
) -> Published:
    """Write a draft as a folder: the .ovf, the .mf and the files of References.

    The folder is made under a hidden name and then renamed. What a killed run left under such a
    name is removed first.

    Raises: as `check_folder_place`, and as `write_ova`.
    """
    check_folder_place(path, replace)
    with translated(path), temporary_folder(path) as folder:
        progress.step(f"Writing {path.name}", sum(stored.bytes for stored in draft.files.values()))
        digests = {}
        for name, stored in draft.files.items():
            with new_file(folder, name) as file:
                digests[name] = write_hashed(stored, file, progress)
                file.truncate(stored.bytes)
        envelope = draft.envelope(digests)
        manifest = draft.manifest(envelope, digests)
        small = {draft.envelope_name: envelope, draft.manifest_name: manifest}
        beside = draft.beside(digests)
        for name, content in {**small, **beside}.items():
            with new_file(folder, name) as file:
                file.write(content)
        sync_folder(folder)
        move_into_place(folder, path)
    total = sum(stored.bytes for stored in draft.files.values())
    sidecars = tuple(_beside(path / "x", item) for item in beside.items())
    return Published(path, None, total + len(envelope) + len(manifest), sidecars, draft.notes)


def _finish(
    draft: Draft, digests: Mapping[str, Digest], lengths: tuple[int, int]
) -> tuple[bytes, bytes]:
    """The .ovf and the .mf with the digests that are known now, as long as was laid out."""
    envelope = draft.envelope(digests)
    manifest = draft.manifest(envelope, digests)
    if (len(envelope), len(manifest)) != lengths:
        raise PublishError(where=draft.envelope_name, why="its length changed while it was written")
    return envelope, manifest


def _digest_of(file: IO[bytes], progress: Progress) -> Digest:
    """The SHA-256 of a file just written; its first bytes were written last, so it is read again
    (from the page cache)."""
    progress.step("Hashing the result", file.seek(0, os.SEEK_END))
    file.seek(0)
    state = hashlib.sha256()
    while chunk := file.read(1 << 20):
        state.update(chunk)
        progress.advance(len(chunk))
    return Digest("sha256:" + state.hexdigest())


def _settle(file: IO[bytes]) -> None:
    """Bring a file to the disk now, so that it and what stands beside it appear within a moment."""
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _together(path: Path, names: Iterable[str]) -> Iterator[None]:
    """Take back what appeared beside a result that did not appear itself."""
    before = _inode(path)
    absent = [one for one in map(path.with_name, names) if not one.exists()]
    try:
        yield
    except TargetExists:
        raise  # another run's, which may be in the midst of it
    except BaseException:
        if _inode(path) == before:
            for one in absent:
                one.unlink(missing_ok=True)
        raise


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _write_sidecar(
    stack: contextlib.ExitStack, path: Path, item: tuple[str, bytes], replace: bool
) -> Published:
    """Write a small file beside the result; it appears when the stack is left, before the
    result does."""
    stack.enter_context(open_new(path.with_name(item[0]), replace=replace)).write(item[1])
    return _beside(path, item)


def _beside(path: Path, item: tuple[str, bytes]) -> Published:
    name, content = item
    return Published(path.with_name(name), sha256_of(content), len(content))


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside `path`, locked while it is ours and removed afterwards."""
    _remove_left_over(path)
    folder = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    folder.mkdir(mode=0o755)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with translated(path.parent):
            yield folder
    finally:
        os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_over(path: Path) -> None:
    """Remove the hidden folders of runs that were killed; those of living runs are locked."""
    for folder in path.parent.iterdir():
        ours = folder.name.startswith(f".{path.name}.") and folder.name.endswith(".part")
        if not ours or folder.is_symlink() or not folder.is_dir():
            continue
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)


@contextlib.contextmanager
def new_file(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """A new file in a folder, durable when it is left."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def move_into_place(folder: Path, path: Path) -> None:
    """Give the finished folder its name; an old one steps aside first and is removed after."""
    if path.exists():
        # Not named .part: should this process end between the two steps, nothing is lost.
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.old")
        path.rename(aside)
        folder.rename(path)
        shutil.rmtree(aside)
    else:
        folder.rename(path)
    sync_folder(path.parent)
