"""The layer of the files that were left in the image, and the process beside us that serves it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from regild.change.left import LEFT
from regild.errors import CommandFailed, NotServed
from regild.host.fuse import options
from regild.host.nested import Companion, open_companion
from regild.host.run import run
from regild.model.progress import Progress

IMAGE: Final = "image"
"""The folder in a job where they are shown."""


@contextlib.contextmanager
def shown_from_image(
    job: Path, request: dict[str, Any] | None, progress: Progress
) -> Iterator[Companion | None]:
    """Show what was left in the image, if anything, at `image` in the job's folder.

    `request` says where the disk is, and what `device` files are served through. On leaving, and
    before any error goes on, it is asked whether all could be read: a command that failed may have
    failed of that.

    Raises: NotServed where this machine does not allow it; what the stage raised.
    """
    if request is None or not (job / LEFT).exists():
        yield None
        return
    with _open(job, request, progress) as companion:
        try:
            yield companion
        except Exception:
            companion.finish()
            raise
        companion.finish()


@contextlib.contextmanager
def _open(job: Path, request: dict[str, Any], progress: Progress) -> Iterator[Companion]:
    place = job / IMAGE
    place.mkdir(exist_ok=True)
    try:
        device = os.open(request["device"], os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NotServed(
            where=request["device"], why=error.strerror or "it cannot be opened"
        ) from error
    with contextlib.ExitStack() as stack:
        # Nobody else may hold the device: the kernel ends what waits when its last holder is gone.
        close = stack.enter_context(contextlib.ExitStack())
        close.callback(os.close, device)
        keep = (request["disk"], device)
        companion = stack.enter_context(open_companion("regild.change.show", progress, keep))
        _mount(device, place)
        close.close()
        companion.begin({**request, "left": str(job / LEFT), "device": device})
        yield companion


def _mount(device: int, place: Path) -> None:
    line: list[str | Path] = [
        "mount",
        "-i",
        "-t",
        "fuse",
        "-o",
        f"ro,nosuid,nodev,{options(device)}",
        "image",
        place,
    ]
    try:
        run(line, purpose="to show what was left in the image", pass_fds=(device,))
    except CommandFailed as error:
        raise NotServed(where="/dev/fuse", why=error.why) from error
