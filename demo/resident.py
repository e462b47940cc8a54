"""The agent as a service runs it: all the time, beside the story, and what it says is shown."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from demo.whole import tied
from demo.witness import Stopped

END_SECONDS = 120


@dataclass
class Resident:
    """A command that runs until it is asked to end."""

    process: subprocess.Popen[str]
    code: int | None = None
    """What it ended with."""
    said: list[str] = field(default_factory=list)

    def check(self) -> bool:
        """It still runs; always False, so that a wait goes on.

        Raises: Stopped.
        """
        if self.process.poll() is not None:
            told = "\n".join(self.said[-12:])
            raise Stopped(f"the agent ended with {self.process.returncode}:\n{told}")
        return False


@contextmanager
def resident(line: Sequence[str], folder: Path) -> Iterator[Resident]:
    """Run a command for as long as the block takes, and show what it says while it says it."""
    process = subprocess.Popen(
        tied(line),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    found = Resident(process)
    assert process.stdout is not None
    thread = threading.Thread(target=_show, args=(process.stdout, found.said), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        process.terminate()
        try:
            found.code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            found.code = process.wait()
        thread.join(END_SECONDS)


def _show(stream: IO[str], said: list[str]) -> None:
    for line in stream:
        said.append(line.rstrip())
        print(f"  agent: {line.rstrip()}", flush=True)
