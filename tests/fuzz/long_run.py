"""The long run: each target for its time, guided by coverage, with what it finds kept.

    python -m tests.fuzz.long_run [--seconds N] [--folder DIR] [TARGET]...     default: 600 s, all
    python -m tests.fuzz.long_run --harvest [--folder DIR]                     keep what was found
    python -m tests.fuzz.long_run --one TARGET ...                             libFuzzer's options

Inputs collect in DIR (default: .cache/fuzz), so a run that was ended goes on from there. A finding
is left in DIR/TARGET.findings. One target after the other; start it twice for two processors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.kept import read_kept, write_kept
from tests.fuzz.targets import TARGETS, Target, run_target

SEED_LIMIT = 400_000
PATIENCE_SECONDS = 90
"""Of the clock, for one input: the machine may be busy with other things."""


def main(argv: list[str]) -> int:
    """Do what is asked for."""
    if argv[:1] == ["--one"]:
        fuzz_one(argv[1], argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=Path(".cache/fuzz"))
    parser.add_argument("--harvest", action="store_true")
    parser.add_argument("targets", nargs="*", default=[])
    asked = parser.parse_args(argv)
    if asked.harvest:
        return harvest(asked.folder)
    return sum(fuzz(name, asked.folder, asked.seconds) for name in asked.targets or TARGETS)


def fuzz(name: str, folder: Path, seconds: int) -> int:
    """Run one target in a process of its own until its time is over; how many findings it has."""
    report = folder / f"{name}.json"
    if report.exists() or not _claimed(folder, name):
        return 0
    inputs, findings = folder / name, folder / f"{name}.findings"
    findings.mkdir(parents=True, exist_ok=True)
    inputs.mkdir(exist_ok=True)
    for number, content in enumerate([*TARGETS[name].seeds(), *read_kept(name)]):
        if len(content) <= SEED_LIMIT:
            (inputs / f"seed-{number}").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    line = [sys.executable, "-m", "tests.fuzz.long_run", "--one", name, str(inputs)]
    options = [
        f"-timeout={PATIENCE_SECONDS}",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-close_fd_mask=1",
    ]
    spent, runs, coverage = 0.0, 0, 0
    while spent < seconds and len(list(findings.iterdir())) < 5:
        left = max(1, int(seconds - spent))
        wishes = [f"-max_total_time={left}", f"-artifact_prefix={findings}/", *options]
        done = subprocess.run([*line, *wishes], capture_output=True, text=True, check=False)
        (folder / f"{name}.log").write_text(done.stderr[-20_000:])
        runs += int((re.findall(r"number_of_executed_units:\s*(\d+)", done.stderr) or [0])[-1])
        coverage = int((re.findall(r" cov: (\d+)", done.stderr) or [coverage])[-1])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode and not any(findings.iterdir()):
            break
    told = {
        "target": name,
        "cpu_seconds": round(spent),
        "seconds": round(time.monotonic() - begun),
        "executions": runs,
        "coverage": coverage,
        "inputs": len(list(inputs.iterdir())),
        "findings": len(list(findings.iterdir())),
    }
    report.write_text(json.dumps(told))
    print(json.dumps(told), flush=True)
    return len(list(findings.iterdir()))


def _claimed(folder: Path, name: str) -> bool:
    """Whether this process is the one that runs a target; another may be at it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f"{name}.running"
    with contextlib.suppress(FileExistsError, ValueError, ProcessLookupError):
        if lock.exists():
            os.kill(int(lock.read_text()), 0)
            return False
    lock.write_text(str(os.getpid()))
    return True


def fuzz_one(name: str, options: list[str]) -> None:
    """Hand this process to libFuzzer; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["regild"], enable_loader_override=False):
        target = _warmed(TARGETS[name])

    def work(content: bytes) -> None:
        run_target(target, content)

    # Merging runs the program again, through a shell, by what stands first here.
    again = f"{sys.executable} -m tests.fuzz.long_run --one {name}"
    atheris.Setup([again, *options], work)
    atheris.Fuzz()


def _warmed(target: Target) -> Target:
    """Run a target once while imports are watched, because ours are made where they are used."""
    for content in (b"", *target.seeds()):
        with contextlib.suppress(Exception):
            run_target(target, content)
    return target


def harvest(folder: Path) -> int:
    """Keep the smallest inputs of each target; one is there only because it reached something new.

    libFuzzer's own way to choose among them starts its program anew, which under Python is not us.
    """
    for name in TARGETS:
        inputs = folder / name
        if inputs.is_dir():
            found = [path.read_bytes() for path in inputs.iterdir()]
            print(f"{name}: {write_kept(name, [*read_kept(name), *found])} inputs kept", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
