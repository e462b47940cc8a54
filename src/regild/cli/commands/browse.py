"""`regild ls`, `cat` and `cp`: the files of a guest."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.options import Debug, Follow, Force, Image, Json, KeyFile
from regild.cli.outcome import DONE, UNREAD, Outcome

if TYPE_CHECKING:
    from regild.model.answers import CopyAnswer, Entry, ListAnswer

GuestPath = Annotated[str, typer.Argument(metavar="PATH", help="A path in the guest.")]


def ls(
    image: Image,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A path in the guest.")] = "/",
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """List a folder of the guest, as it would stand there when it runs."""
    from regild.agent.reading.browse import list_files
    from regild.image.keys import read_keys

    answer = list_files(image, path, read_keys(key_file or ()))
    return Outcome(
        answer=answer,
        text=lambda _: _listing(answer),
        code=UNREAD if answer.unknowns else DONE,
    )


def cat(
    image: Image,
    path: GuestPath,
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome | int:
    """Print a file of the guest: its bytes, or on a terminal nothing that could steer it."""
    from regild.agent.reading.browse import read_file
    from regild.cli.text import plain_lines
    from regild.image.keys import read_keys

    answer = read_file(image, path, read_keys(key_file or ()))
    if json:
        return Outcome(answer=answer, text=lambda _: "")
    if sys.stdout.isatty():
        sys.stdout.write(plain_lines(answer.content.decode(errors="surrogateescape")))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(answer.content)
        sys.stdout.buffer.flush()
    return DONE


def cp(
    image: Image,
    path: GuestPath,
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="A new name, or a folder.")],
    force: Force = False,
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Copy a file, or a folder with all below it, out of the guest.

    Links and devices are left out of a folder, and said; the files belong to you. DEST appears
    when all of it is there.
    """
    from regild.agent.reading.browse import copy_out
    from regild.image.keys import read_keys

    answer = copy_out(image, path, dest, force, read_keys(key_file or ()))
    return Outcome(
        answer=answer,
        text=lambda _: _copied(answer),
        code=UNREAD if answer.unknowns else DONE,
    )


_TYPES = {
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "character": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}


def _listing(answer: ListAnswer) -> str:
    from regild.cli.text import plain

    lines = [plain(_line(entry)) for entry in answer.entries]
    lines += [plain(f"unknown: {one.where}: {one.why}") for one in answer.unknowns]
    return "\n".join(lines)


def _line(entry: Entry) -> str:
    mode = stat.filemode(_TYPES.get(entry.kind, stat.S_IFREG) | entry.mode)
    arrow = f" -> {entry.target}" if entry.kind == "symlink" else ""
    return f"{mode} {entry.bytes:>12} {entry.name}{arrow}"


def _copied(answer: CopyAnswer) -> str:
    from regild.cli.errand_text import many
    from regild.cli.text import plain

    files = many(answer.files, "file", "files")
    lines = [f"{answer.output}: {files}, {many(answer.bytes, 'byte', 'bytes')}"]
    lines += [f"left out: {one.where}: {one.why}" for one in answer.unknowns]
    return "\n".join(map(plain, lines))
