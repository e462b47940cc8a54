"""A kernel as an ordinary process (user-mode Linux), that mounts what this machine's should not.

It gets volumes as files and one folder to answer in; its first process is regild itself
(`regild.host.uml_init`), read from where it lies here. No network, no device of the machine. What
it may see and do is what the caller may: it belongs in a stage.
Source: Documentation/virt/uml/user_mode_linux_howto_v2.rst of Linux 6.1; measured, docs/adr/0063.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from regild.errors import HostError
from regild.host.answering import rebuild_error
from regild.host.run import TIMED_OUT, find_tool, run

KERNEL: Final = "linux.uml"
MEMORY_MIB: Final = 512
DRIVES_MAX: Final = 8
CONSOLE_BYTES_MAX: Final = 8 << 20
ANSWER_BYTES_MAX: Final = 1 << 30
TAIL_BYTES: Final = 600
REQUEST, ANSWER = "request.json", "answer.json"
MOUNTS: Final = "mounts"
"""The folder below the answer's in which the volumes are mounted, by their number."""


def require_kernel(purpose: str) -> Path:
    """Where the kernel is.

    Raises: ToolMissing, naming the package to install.
    """
    return find_tool(KERNEL, purpose)


def run_in_kernel(
    module: str,
    request: dict[str, Any],
    drives: Sequence[str],
    folder: Path,
    *,
    purpose: str,
    timeout_seconds: float,
    memory_mib: int = MEMORY_MIB,
    read_only: int = 0,
    watch: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Run `main` of a module as the first program of a kernel, and return what it returns.

    `drives` are files, which it may change, but for the first `read_only` ones. `folder` is empty;
    the program finds its request there and answers there. `watch` is called every second or more
    often; what it raises ends the kernel.

    Raises: ToolMissing; the RegildError that the program raised; HostError when the kernel ends
    without an answer or its time is up.
    """
    places = [str(folder), *drives, sys.executable]
    if len(drives) > DRIVES_MAX or any(set(place) & set(" \t\n\"'\\,:") for place in places):
        why = (
            f"it takes {DRIVES_MAX} volumes and no blanks, quotes or commas in the names of folders"
        )
        raise HostError(where="the user-mode kernel", why=why)
    for number in range(len(drives)):
        (folder / MOUNTS / str(number)).mkdir(parents=True)
    (folder / REQUEST).write_text(json.dumps(request))
    console = folder / "console.log"
    with console.open("wb") as output:
        finished = run(
            [KERNEL, *_options(module, drives, folder, memory_mib, read_only)],
            purpose=purpose,
            env={"TMPDIR": str(folder), "HOME": str(folder)},
            timeout_seconds=timeout_seconds,
            output=output,
            output_bytes=CONSOLE_BYTES_MAX,
            watch=watch,
            check=False,
        )
    if finished.code == TIMED_OUT:
        why = f"it was ended after {timeout_seconds:.0f} seconds"
        raise HostError(where="the user-mode kernel", why=why)
    return _answer(folder, console)


def _options(
    module: str, drives: Sequence[str], folder: Path, memory_mib: int, read_only: int
) -> list[str]:
    """The kernel's command line; what stands behind `--` is for its first program."""
    options = [f"mem={memory_mib}M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"]
    options += ["con=null", "con0=null,fd:1", f"uml_dir={folder}", "umid=kernel"]
    # As it stands, and without discarding: nothing in a volume may make it a COW file's head.
    for number, drive in enumerate(drives):
        options.append(f"ubd{number}{'r' if number < read_only else ''}dt={drive}")
    options.append(f"init={sys.executable}")
    return [*options, "--", "-I", "-m", "regild.host.uml_init", module, str(folder)]


def _answer(folder: Path, console: Path) -> dict[str, Any]:
    """What the program left.

    Raises: the RegildError that it tells of, HostError where there is nothing.
    """
    said = console.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
    try:
        with (folder / ANSWER).open("rb") as file:
            told = json.loads(file.read(ANSWER_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        why = f"it ended without an answer; it last said: {said or 'nothing'}"
        raise HostError(where="the user-mode kernel", why=why)
    if "error" in told:
        raise rebuild_error(told, "the user-mode kernel")
    result = told.get("result")
    return result if isinstance(result, dict) else {}
