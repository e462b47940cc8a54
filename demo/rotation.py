"""The running side of a golden image, on real guests of libvirt: groups are filled and rotated in
waves inside of a window, a bad generation is halted and rolled back, a desktop made on request.

Everything that is claimed is checked from what libvirt shows and what the guests themselves say on
their consoles, not from what regild says.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.build import find_appliance
from demo.daemon import URI, readable_folder, remove_domains, running_daemon
from regild.errors import RegildError

PREFIX = "regild-demo-"
SIZE = 2
HEALTHY = re.compile(r"HEALTH ok, openssl (\S+)")
FILL_SECONDS = 600
HEALTH_SECONDS = 240
WINDOW_AHEAD = timedelta(seconds=20)

GROUP = """\
[group]
name = "{name}"
image = "worker"
channel = "{channel}"
driver = "libvirt"
size = {size}

[rollout]
canary = 1
max_surge = 1
max_unavailable = 0
bake = "3s"

[health]
kind = "boot"
target = "HEALTH ok"
within = "{health}s"

[calendar]
step = "2m"
{windows}

[options]
memory = 384
accel = "emulation"
shutdown = 60
"""


class Stopped(Exception):
    """Something is not as the story tells it."""


@dataclass
class Watch:
    """What libvirt and the guests say, all the time: how many of a group answer."""

    folder: Path
    fewest: dict[str, int] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    """Each group's versions, as its guests said them."""
    names: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Which domains ran a version, or said nothing (an empty one)."""
    watched: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Ask once."""
        for group in ("canary", "production", "desktops"):
            answering = self.answering(group)
            for name, version in answering.items():
                self.seen.setdefault(group, set()).add(version)
                self.names.setdefault((group, version), set()).add(name)
            if group in self.watched:
                fewest = self.fewest.get(group, SIZE)
                self.fewest[group] = min(fewest, len(answering))

    def answering(self, group: str) -> dict[str, str]:
        """The domains of a group that run and have answered, each with the version it said."""
        found = {}
        for name in domains():
            said = (
                HEALTHY.search(self.console(group, name)) if name.startswith(_full(group)) else None
            )
            if said:
                found[name] = said[1]
        return found

    def console(self, group: str, name: str) -> str:
        """What a guest has said, also one that is gone."""
        place = self.folder / "state" / _full(group) / "instances"
        for path in (place / "consoles" / f"{name}.log", place / "gone" / f"{name}.log"):
            if path.exists():
                return path.read_text(errors="replace")
        return ""


def main() -> int:
    """Tell the story; exit status 0 when every claim held."""
    begun = time.monotonic()
    try:
        with running_daemon(), readable_folder(PREFIX) as folder, _watching(folder) as watch:
            try:
                rows = _Story(folder, watch).tell()
            finally:
                remove_domains(PREFIX)
    except RegildError as error:
        print(f"demo: {error}\n  hint: {error.advice}", file=sys.stderr)
        return error.exit_code
    except Stopped as stop:
        print(f"\ndemo: stopped: {stop}", file=sys.stderr)
        return 1
    rows.append(("Whole story", f"{time.monotonic() - begun:.0f} s"))
    width = max(len(name) for name, _ in rows)
    print("\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in rows) + "\n")
    return 0


@contextmanager
def _watching(folder: Path) -> Iterator[Watch]:
    watch, over = Watch(folder), threading.Event()

    def go_on() -> None:
        while not over.wait(2):
            watch.look()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def domains() -> list[str]:
    """The domains that libvirt runs."""
    line = ["virsh", "-q", "-c", URI, "list", "--name"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return [name for name in said.split() if name.startswith(PREFIX)]


class _Story:
    """The story's steps, each with what must then be so."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch
        self.place = ["--store", str(folder / "store")]
        self.state = [*self.place, "--state", str(folder / "state")]
        self.rows: list[tuple[str, str]] = []

    def tell(self) -> list[tuple[str, str]]:
        before = self._begin()
        after = self._update()
        self._rotate_canary(before, after)
        self._rotate_production(before, after)
        self._refuse_bad(after)
        self._request_desktop(after)
        self._end()
        return self.rows

    def _begin(self) -> str:
        shutil.copyfile(find_appliance("worker"), self.folder / "worker.ova")
        told = [*self.place, "--channel", "canary", "--channel", "production"]
        self.say("A golden image, and its first generation in both channels.")
        self.regild("image", "add", "worker", *told)
        published = ["--image", "worker", "--channel", "canary"]
        self.regild("publish", "worker.ova", *published, *self.place)
        self.regild("promote", "worker@1", "production", *self.place)
        self.say("Two worker groups of two instances each, and a pool of desktops on request.")
        for name, size in (("canary", SIZE), ("production", SIZE), ("desktops", 0)):
            self._apply(name, size)
        self._both_at_once(["canary", "production"])
        found = {*self.answers("canary").values(), *self.answers("production").values()}
        self.check(len(found) == 1, f"all guests say the same version, not {found}")
        (before,) = found
        self.check(
            len(self.answers("canary")) == len(self.answers("production")) == SIZE, "four run"
        )
        self.told("Running", f"4 Debian guests of libvirt, each says: openssl {before}")
        self.watch.watched |= {"canary", "production"}
        return before

    def _apply(self, name: str, size: int, windows: str = "") -> None:
        channel = "canary" if name == "canary" else "production"
        text = GROUP.format(
            name=_full(name), channel=channel, size=size, health=HEALTH_SECONDS, windows=windows
        )
        (self.folder / f"{name}.toml").write_text(text)
        self.regild("group", "apply", f"{name}.toml", *self.state, quiet=True)

    def _both_at_once(self, names: Sequence[str]) -> None:
        """Take turns with some groups side by side."""
        failures: list[Stopped] = []

        def go(name: str) -> None:
            try:
                self.regild("group", "rotate", _full(name), *self.waiting())
            except Stopped as stop:
                failures.append(stop)

        threads = [threading.Thread(target=go, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in failures:
            raise failure

    def _update(self) -> str:
        self.say("What needs updating? Planned, applied and proven while the image is offline.")
        self.regild("plan", "worker.ova", codes=(10,))
        self.regild("update", "worker.ova", "-o", "worker-2.ova")
        plan = json.loads(self.ask("plan", "worker.ova", "--json", codes=(10,)))
        (after,) = {one["to"] for one in plan["steps"] if one["name"] == "openssl"}
        self.say("The proven result is the next generation; the canary channel points at it.")
        told = ["--image", "worker", "--parent", "worker@1", "--channel", "canary"]
        self.regild("publish", "worker-2.ova", *told, *self.place)
        return str(after)

    def _rotate_canary(self, before: str, after: str) -> None:
        self.say("The canary group takes it: one instance first, then the rest.")
        self.regild("group", "rotate", _full("canary"), *self.waiting())
        self.check(set(self.answers("canary").values()) == {after}, f"the canaries say {after}")
        said = set(self.answers("production").values())
        self.check(said == {before}, f"production still says {before}, not {said}")
        self.told("Canary", f"2 instances rotated, their guests now say openssl {after}")

    def _rotate_production(self, before: str, after: str) -> None:
        begin = datetime.now(UTC) + WINDOW_AHEAD
        (self.folder / "windows.ics").write_text(_calendar(begin, begin + timedelta(hours=1)))
        self._apply("production", SIZE, windows='windows = "windows.ics"')
        self.say(f"Promoted to production, whose window opens at {begin:%H:%M:%S}Z.")
        self.regild("promote", "worker@2", "production", *self.place)
        self.regild("group", "rotate", _full("production"), *self.state)
        running = set(self.answers("production").values())
        self.check(running == {before}, "nothing is rotated before the window")
        self.check(datetime.now(UTC) < begin, "that was before the window")
        time.sleep(max(0.0, (begin - datetime.now(UTC)).total_seconds() + 1))
        self.regild("group", "rotate", _full("production"), *self.waiting())
        self.check(set(self.answers("production").values()) == {after}, f"all say {after}")
        fewest = self.watch.fewest.get("production", 0)
        self.check(fewest == SIZE, f"never fewer than {SIZE} answered, not {fewest}")
        self.told(
            "Production",
            f"rotated in waves inside of its window; never fewer than {fewest} answered",
        )

    def _refuse_bad(self, after: str) -> None:
        self.say("Somebody publishes a generation whose guests never answer.")
        _break(self.folder / "worker-2.ova", self.folder / "broken.raw")
        told = ["--image", "worker", "--parent", "worker@2", "--channel", "canary"]
        self.regild("publish", "broken.raw", *told, *self.place)
        known = set(self.answers("canary"))
        self.regild("group", "rotate", _full("canary"), *self.waiting())
        events = json.loads(self.ask("events", _full("canary"), "--json", *self.place))["events"]
        back = [one for one in events if one["kind"] == "rotate.roll-back"]
        self.check(bool(back), "the group went back")
        print(f"# halted at the first canary: {back[-1]['facts']['why']}")
        consoles = self.folder / "state" / _full("canary") / "instances" / "gone"
        silent = [path for path in consoles.glob("*.log") if not HEALTHY.search(_text(path))]
        self.check(len(silent) == 1, f"one guest was silent, and no other was made: {len(silent)}")
        self.check(
            set(self.answers("canary")) == known, "the good instances are the same as before"
        )
        print(f"# rolled back: {', '.join(sorted(known))} go on with openssl {after}")
        said = {*self.answers("canary").values(), *self.answers("production").values()}
        self.check(said == {after}, f"every guest says {after}, not {said}")
        self.told(
            "Bad image", "halted at the first canary and rolled back; production never saw it"
        )

    def _request_desktop(self, after: str) -> None:
        self.say("A desktop for anna, made on request from the newest proven generation.")
        told = ["instance", "request", _full("desktops"), "--user", "anna"]
        self.regild(*told, "--wait", str(HEALTH_SECONDS), *self.state)
        found = self.answers("desktops")
        self.check(list(found.values()) == [after], f"one desktop says {after}: {found}")
        (name,) = found
        self.told("Desktop", f"{name}, for anna, says openssl {after}")
        self.regild("instance", "release", _full("desktops"), name, *self.state)

    def _end(self) -> None:
        self.watch.watched.clear()
        self.say("Everything is ended politely.")
        for name in ("canary", "production"):
            self.regild("group", "scale", _full(name), "0", *self.place, quiet=True)
        self._both_at_once(["canary", "production", "desktops"])
        self.check(domains() == [], f"no domain is left: {domains()}")

    # --- telling

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def told(self, name: str, text: str) -> None:
        self.rows.append((name, text))

    def check(self, holds: bool, claim: str) -> None:
        """Hold the story to what libvirt and the guests say."""
        if not holds:
            raise Stopped(f"it is not so that {claim}")

    def answers(self, group: str) -> dict[str, str]:
        self.watch.look()
        return self.watch.answering(group)

    def waiting(self) -> list[str]:
        return ["--wait", str(FILL_SECONDS), *self.state]

    def regild(self, *argv: str, codes: Sequence[int] = (0,), quiet: bool = False) -> None:
        """Run regild as a person would and show what it says."""
        shown = [one for one in argv if one not in self.state and one != "--state"]
        said = self.ask(*argv, codes=codes)
        if not quiet:
            text = "\n".join(said.rstrip().splitlines()[:16])
            print(f"$ {shlex.join(['regild', *shown])}\n{text}\n", flush=True)

    def ask(self, *argv: str, codes: Sequence[int] = (0,)) -> str:
        """What regild answers."""
        line = [str(Path(sys.executable).with_name("regild")), *argv]
        ended = subprocess.run(line, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        if ended.returncode not in codes:
            raise Stopped(f"regild {argv[0]} ended with {ended.returncode}: {ended.stdout[-800:]}")
        return ended.stdout


def _full(name: str) -> str:
    return f"{PREFIX}{name}"


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _calendar(begin: datetime, end: datetime) -> str:
    """A window as a calendar program would write it."""
    form = "%Y%m%dT%H%M%SZ"
    rows = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//regild//demo//EN", "BEGIN:VEVENT"]
    rows += ["UID:tonight@mirror.example", f"DTSTAMP:{begin.strftime(form)}"]
    rows += [f"DTSTART:{begin.strftime(form)}", f"DTEND:{end.strftime(form)}"]
    return "\r\n".join([*rows, "END:VEVENT", "END:VCALENDAR", ""])


def _break(ova: Path, raw: Path) -> None:
    """A disk like the one in an appliance, whose guest no longer says that it works."""
    with tempfile.TemporaryDirectory(dir=raw.parent) as folder:
        subprocess.run(["tar", "-xf", ova, "-C", folder], check=True)
        (disk,) = Path(folder).glob("*.vmdk")
        subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
    table = json.loads(
        subprocess.run(["sfdisk", "-J", raw], check=True, capture_output=True, text=True).stdout
    )
    parts: list[dict[str, Any]] = table["partitiontable"]["partitions"]
    root = max(parts, key=lambda one: int(one["size"]))
    place = f"{raw}?offset={int(root['start']) * 512}"
    wanted = "/etc/systemd/system/multi-user.target.wants/say-health.service"
    line = ["debugfs", "-w", "-R", f"rm {wanted}", place]
    subprocess.run(line, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})


if __name__ == "__main__":
    sys.exit(main())
