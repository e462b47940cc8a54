"""The whole trip on one real appliance, told to a person: describe, plan, update, verify, diff.

Every line after a `$` can be typed again in the folder that is named first.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.build import find_appliance
from demo.whole import tied
from regild.errors import RegildError
from regild.host.files import digest_file
from regild.model.digest import Digest, hex_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "demo"
BEFORE, DESCRIBED, AFTER = "regild-demo.ova", "described.ova", "regild-demo-2.ova"
NOTHING_TO_DO, ONLY_SKIPPED, CHANGES = 0, 11, 10
SHOWN_LINES = 18
SHOWN_FIXES = 3


class Stopped(Exception):
    """A step of the trip did not end as it should; what it said stands above."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command of the trip: what it printed, how it ended, what it cost."""

    output: str
    code: int
    seconds: float
    peak_bytes: int

    @property
    def cost(self) -> str:
        return f"{self.seconds:.1f} s, {self.peak_bytes / 1e6:.0f} MB of memory"


def main() -> int:
    """Make the trip; exit status 0 when every step ended as it should."""
    begun = time.monotonic()
    try:
        appliance = find_appliance("demo")
        _lay_out(appliance)
        summary = _travel()
    except RegildError as error:
        print(f"demo: {error}\n  hint: {error.advice}", file=sys.stderr)
        return error.exit_code
    except Stopped as stop:
        print(f"\ndemo: stopped: {stop}", file=sys.stderr)
        return 1
    print("\nAn outdated appliance went in, an up-to-date one came out.")
    rows = [*summary, ("Whole trip", f"{time.monotonic() - begun:.0f} s")]
    width = max(len(name) for name, _ in rows)
    print("\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in rows) + "\n")
    return 0


def _lay_out(appliance: Path) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shutil.copyfile(appliance, FOLDER / BEFORE)
    print(f"\ncd {FOLDER.relative_to(ROOT)}")


def _travel() -> list[tuple[str, str]]:
    """Every step in turn; what the summary says of them."""
    untouched = digest_file(FOLDER / BEFORE)
    inventory = _show(
        "What is inside? No boot, no mount, no root.", ["describe", BEFORE], short=True
    )
    _show(
        "Write it into the OVF, with an SBOM beside it.",
        ["describe", BEFORE, "-o", DESCRIBED],
        short=True,
    )
    _show("What needs updating?", ["plan", BEFORE], codes=[CHANGES])
    update = _show("Bring it up to date.", ["update", BEFORE, "-o", AFTER])
    _show("Is the result what it says it is?", ["verify", AFTER])
    left = _show("What is left to do?", ["plan", AFTER], codes=[NOTHING_TO_DO, ONLY_SKIPPED])
    _show("What changed?", ["diff", BEFORE, AFTER])
    answer, planned = _ask(["describe", BEFORE]), _ask(["plan", BEFORE], codes=[CHANGES])
    changes = _ask(["diff", BEFORE, AFTER])["changes"]
    return [
        ("Before", _found(answer, inventory)),
        ("Outdated", _outdated(planned)),
        ("After", f"{len(changes)} packages updated in {update.cost}; nothing was booted"),
        ("Fixed", _fixes(planned["steps"])),
        ("Left", "nothing" if left.code == NOTHING_TO_DO else _skipped(planned)),
        ("Size", f"{_size(BEFORE)} before, {_size(AFTER)} after"),
        ("Input", _compare(untouched)),
        ("Accepted by", _other_tools()),
        ("Result", str((FOLDER / AFTER).relative_to(ROOT))),
    ]


def _show(
    title: str, argv: Sequence[str], codes: Sequence[int] = (0,), short: bool = False
) -> Ended:
    """Run regild as a person would, show what it says, and hold it to its exit codes."""
    print(f"\n# {title}\n$ {shlex.join(['regild', *argv])}", flush=True)
    ended = _run([_regild(), *argv])
    lines = ended.output.rstrip().splitlines()
    hidden = len(lines) - SHOWN_LINES if short and len(lines) > SHOWN_LINES + 3 else 0
    shown = lines[: len(lines) - hidden]
    print("\n".join(shown + ([f"... and {hidden} more lines"] if hidden else [])))
    print(f"(exit {ended.code}; {ended.cost})", flush=True)
    if ended.code not in codes:
        wanted = " or ".join(map(str, codes))
        raise Stopped(f"regild {argv[0]} ended with {ended.code}, and {wanted} was expected")
    return ended


def _ask(argv: Sequence[str], codes: Sequence[int] = (0,)) -> Any:
    ended = _run([_regild(), *argv, "--json"], quiet=True)
    if ended.code not in codes:
        raise Stopped(f"regild {argv[0]} --json ended with {ended.code}")
    return json.loads(ended.output)


def _run(argv: Sequence[str], env: dict[str, str] | None = None, quiet: bool = False) -> Ended:
    """Run in the demo's folder; unless `quiet`, progress goes straight to the terminal."""
    begun = time.monotonic()
    process = subprocess.Popen(
        tied(argv),
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        stderr=subprocess.DEVNULL if quiet else None,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    return Ended(
        output.decode(errors="replace"),
        process.returncode,
        time.monotonic() - begun,
        usage.ru_maxrss * 1024,
    )


def _regild() -> str:
    return str(Path(sys.executable).with_name("regild"))


def _found(answer: Any, inventory: Ended) -> str:
    platform, packages = answer["platform"], answer["packages"]
    read = f"{answer['read_bytes'] / 1e6:.1f} MB of {_size(BEFORE)} read"
    return f"{platform['name']}, {len(packages)} packages; {read}, {inventory.cost}"


def _outdated(plan: Any) -> str:
    security = sum(1 for step in plan["steps"] if step["security"])
    download = f"{plan['download_bytes'] / 1e6:.1f} MB to download"
    return f"{len(plan['steps'])} packages, {security} of them for security; {download}"


def _fixes(steps: Any) -> str:
    """The ids that the packages' changelogs mention, which is not a proof of each."""
    ids = sorted({one for step in steps for one in step["fixes"]}, key=_order)
    shown = ", ".join(ids[-SHOWN_FIXES:])
    return f"{len(ids)} CVEs named in the packages' changelogs, {shown} among them"


def _order(name: str) -> list[int]:
    return [int(part) for part in name.split("-") if part.isdigit()]


def _skipped(plan: Any) -> str:
    names = [one["name"] for one in plan["skipped"]]
    return f"{len(names)} left out on purpose: {', '.join(names[:4])}"


def _size(name: str) -> str:
    return f"{(FOLDER / name).stat().st_size / 1e6:.1f} MB"


def _compare(untouched: Digest) -> str:
    if digest_file(FOLDER / BEFORE) != untouched:
        raise Stopped("the input is not what it was; it must never be written")
    return f"untouched, sha256 {hex_of(untouched)} before and after"


def _other_tools() -> str:
    """Other people's programs that were asked about the result; all of them accept it.

    Raises: Stopped when one does not.
    """
    asked = {
        "qemu-img check": ["qemu-img", "check", disk_inside(FOLDER / AFTER)],
        "virt-v2v": ["virt-v2v", "-i", "ova", AFTER, "-o", "null", "--print-source"],
    }
    installed = {name: argv for name, argv in asked.items() if shutil.which(argv[0])}
    for name, argv in installed.items():
        ended = _run(argv, {"LIBGUESTFS_BACKEND": "direct"})
        if ended.code != 0:
            raise Stopped(f"{name} does not accept the result: {ended.output.strip()[-400:]}")
    absent = [f"{name} is not installed" for name in asked if name not in installed]
    return ", ".join([*installed, *absent])


def disk_inside(ova: Path) -> str:
    """QEMU's name for the disk inside an OVA, in place."""
    with tarfile.open(ova) as archive:
        disk = next(member for member in archive if member.name.endswith(".vmdk"))
    file = {"driver": "file", "filename": ova.name}
    region = {"driver": "raw", "offset": disk.offset_data, "size": disk.size, "file": file}
    return "json:" + json.dumps({"driver": "vmdk", "file": region})


if __name__ == "__main__":
    sys.exit(main())
