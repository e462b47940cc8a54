"""Any place, by a command of the site's own: `exec:///usr/local/bin/COMMAND`.

    COMMAND names                       prints a JSON list of {"name": ..., "mark": ...}
    COMMAND pull NAME FOLDER            writes files into the folder; prints a JSON list of their
                                        names, the image first
    COMMAND push FOLDER                 takes over the files in the folder, whose label.json says
                                        what they are; prints {"where": ..., "digest": ...}, where
                                        `digest` (sha256:HEX) may be left out

Each may be called again. What goes to standard error is shown when a command fails.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from regild.errors import (
    CommandFailed,
    Malformed,
    MissingFile,
    PublishError,
    TargetFailed,
    ToolMissing,
    UsageError,
)
from regild.host.run import run
from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.json import to_json
from regild.model.progress import Progress
from regild.publish.target import Parcel, Pushed

SECONDS = 6 * 3600.0
ANSWER_BYTES = 16 << 20
LABEL = "label.json"


class _Named(Value, frozen=True):
    """One thing that is there."""

    name: str
    mark: str = ""
    """Differs once it has changed; without one, it never changes."""


class _Taken(Value, frozen=True):
    """What `push` answers."""

    where: str
    digest: Digest | None = None


class ExecTarget:
    """A command that speaks for a place."""

    def __init__(self, address: str) -> None:
        self._command = address.partition("://")[2]
        if not self._command.startswith("/"):
            raise UsageError(what=f"{address}: a command is exec:///PATH/OF/COMMAND")

    def names(self) -> tuple[str, ...]:
        """What the command names."""
        return tuple(self.marks())

    def marks(self) -> dict[str, str]:
        """What the command names, with marks that differ once it has changed."""
        found = self._asked("names", list[_Named])
        return {one.name: one.mark or one.name for one in found}

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Have the command write files into a folder; none of them lies elsewhere."""
        progress.step(f"Pulling {name}")
        names = self._asked("pull", list[str], name, str(folder))
        paths = tuple(folder / one for one in names)
        for path in paths:
            inside = path.resolve().parent == folder.resolve() and not path.is_symlink()
            if not inside or not path.is_file():
                raise Malformed(where=f"{self._command} pull", why=f"it has not written {path}")
        if not paths:
            raise MissingFile(where=f"{self._command}: {name}", why="the command gave no file")
        return paths

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Hand the command a folder with a generation's files.

        They are files and no symbolic links: what copies a tree as it is would keep only those.
        """
        progress.step(f"Pushing by {self._command}")
        beside = next(iter(parcel.paths.values())).parent
        with tempfile.TemporaryDirectory(prefix="regild-push-", dir=beside) as place:
            folder = Path(place)
            if LABEL in parcel.paths:
                why = f"it holds a file of its own named {LABEL}"
                raise PublishError(where=parcel.label.image, why=why)
            for name, path in parcel.paths.items():
                link = folder / name
                link.parent.mkdir(parents=True, exist_ok=True)
                try:
                    link.hardlink_to(path)
                except OSError:  # not every filesystem has them
                    shutil.copyfile(path, link)
            (folder / LABEL).write_text(to_json(parcel.label))
            taken = self._asked("push", _Taken, str(folder))
        sent = sum(one.bytes for one in parcel.label.files)
        return Pushed(taken.where, taken.digest, sent)

    def _asked(self, *words: Any) -> Any:
        """What the command answers to a verb, as a type."""
        verb, kind, *rest = words
        where = f"{self._command} {verb}"
        try:
            done = run(
                [self._command, verb, *rest],
                purpose=f"to {verb} images by {self._command}",
                timeout_seconds=SECONDS,
                output_bytes=ANSWER_BYTES,
            )
        except (CommandFailed, ToolMissing) as error:
            raise TargetFailed(where=where, why=str(error)) from error
        try:
            return msgspec.json.decode(done.stdout, type=kind)
        except msgspec.DecodeError as error:
            raise Malformed(where=where, why=f"its answer is not understood: {error}") from error
