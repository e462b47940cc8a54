"""The running side of a golden image, on real guests of libvirt, kept by the agent: groups are
filled and rotated in waves inside of a window, a bad generation is halted and rolled back, a
desktop is made on request.

A person says what is wanted; all else is done by `regild agent run` by itself. Everything that is
claimed is checked from what libvirt shows and what the guests themselves say on their consoles, not
from what regild says.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.build import find_appliance
from demo.daemon import readable_folder, remove_domains, running_daemon
from demo.resident import Resident, resident
from demo.whole import ending_tidily, tied
from demo.witness import GROUPS, PREFIX, Stopped, Witness, domains, full, watching
from regild.errors import RegildError

SIZE = 2
FILL_SECONDS = 900
UPDATE_SECONDS = 900
FIRST_PATIENCE, LEAST_PATIENCE, MOST_PATIENCE = 600, 120, 300
"""So long a group waits for an answer: at first, then twice what the slowest guest took."""
WINDOW_AHEAD = timedelta(seconds=20)
QUIET_SECONDS = 10
SHOWN_LINES = 16
STATE = "state"
"""Where instances live; beside the store, which nobody but its owner may enter."""

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
within = "{within}s"

[calendar]
step = "2m"
{windows}

[options]
memory = 384
accel = "emulation"
shutdown = 60
"""

POLICY = """\
[agent]
tick = "2s"

[agent.images.worker]
update = {update}
channels = ["canary", "production"]
bake = "5s"
"""


def main() -> int:
    """Tell the story; exit status 0 when every claim held."""
    begun = time.monotonic()
    try:
        with ending_tidily(), running_daemon(), readable_folder(PREFIX) as folder:
            rows = _told_in(folder)
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


def _told_in(folder: Path) -> list[tuple[str, str]]:
    os.environ["REGILD_STORE"] = str(folder / "store")
    with watching(folder / STATE) as witness, ExitStack() as opened:
        opened.callback(remove_domains, PREFIX)
        return _Story(folder, witness).tell()


class _Story:
    """The story's steps, each with what must then be so."""

    def __init__(self, folder: Path, witness: Witness) -> None:
        self.folder, self.witness = folder, witness
        self.within = FIRST_PATIENCE
        self.rows: list[tuple[str, str]] = []

    def tell(self) -> list[tuple[str, str]]:
        before, after = self._begin(), self._look_for_updates()
        with self._agent() as agent:
            self._canary(before, after, agent)
            self._production(before, after, agent)
            self._refuse_bad(after, agent)
            self._request_desktop(after)
            self._end()
        self.check(agent.code == 0, "the agent ends politely when it is asked to")
        return self.rows

    def _begin(self) -> str:
        shutil.copyfile(find_appliance("worker"), self.folder / "worker.ova")
        self.say("A golden image, and its first generation in both channels.")
        channels = ["--channel", "canary", "--channel", "production"]
        self.regild("image", "add", "worker", *channels)
        self.regild("publish", "worker.ova", "--image", "worker", "--channel", "canary")
        self.regild("promote", "worker@1", "production")
        self.say("Two worker groups of two instances each, and a pool of desktops on request.")
        self._apply_all()
        self.say("The agent fills the groups; as yet it may not make new generations by itself.")
        self._policy(update=False)
        self.regild("agent", "run", "--once", "--wait", str(FILL_SECONDS), "--state", STATE)
        counted = [len(self.witness.answers(group)) for group in GROUPS]
        self.check(counted == [SIZE, SIZE, 0], f"two and two guests answer, not {counted}")
        before = self._only_version("canary", "production")
        slowest = max(self.witness.took(name) for name in domains())
        self.within = int(min(MOST_PATIENCE, max(LEAST_PATIENCE, 2 * slowest)))
        self._apply_all(window=1)
        self.told("Running", f"4 Debian guests of libvirt, each says: openssl {before}")
        return before

    def _look_for_updates(self) -> str:
        self.say("What needs updating?")
        self.regild("plan", "worker.ova", codes=(10,))
        plan = json.loads(self.ask("plan", "worker.ova", "--json", codes=(10,)))
        (after,) = {one["to"] for one in plan["steps"] if one["name"] == "openssl"}
        return str(after)

    @contextmanager
    def _agent(self) -> Iterator[Resident]:
        """The agent, all the time; from here on it does everything by itself."""
        self.say("From here on the agent runs all the time, as a service would, and may update.")
        self._policy(update=True)
        self.witness.watched |= {"canary", "production"}
        line = ["regild", "agent", "run", "--scratch", "jobs", "--state", STATE]
        print(f"$ {shlex.join(line)} &", flush=True)
        with resident([self.program, *line[1:]], self.folder) as agent:
            yield agent

    def _canary(self, before: str, after: str, agent: Resident) -> None:
        self.until(
            lambda: self._all_say("canary", after),
            f"both canaries say {after}",
            UPDATE_SECONDS + 4 * self.within,
            agent,
        )
        said = self._only_version("production")
        self.check(said == before, f"production still says {before}, not {said}")
        self.check(_is_newer(after, before), f"dpkg finds {after} newer than {before}")
        self.say("Planned, applied, proven, published; the canaries took it, one first.")
        self.told("Canary", f"2 instances rotated, their guests now say openssl {after}")

    def _production(self, before: str, after: str, agent: Resident) -> None:
        self.until(lambda: self._channel("production") == 2, "it is promoted", 120, agent)
        self.say("Promoted to production by policy. Its window opens tomorrow; so long it waits.")
        time.sleep(QUIET_SECONDS)
        said = self._only_version("production")
        self.check(said == before, f"production still says {before}, not {said}")
        begin = self._apply("production", days=0)
        self.say(f"Somebody moves the window: it opens at {begin:%H:%M:%S}Z.")
        while datetime.now(UTC) < begin - timedelta(seconds=2):
            time.sleep(1)
        count, said = len(domains()), self._only_version("production")
        if datetime.now(UTC) < begin:
            self.check(said == before, "nothing is rotated before the window")
            self.check(count == 2 * SIZE, f"and nothing begun: {count} domains")
        self.until(
            lambda: self._all_say("production", after),
            f"both of production say {after}",
            6 * self.within,
            agent,
        )
        fewest = self.witness.fewest
        for group in ("canary", "production"):
            self.check(fewest[group] == SIZE, f"never fewer than {SIZE} answered in {group}")
        self.told("Production", f"rotated in waves in its window; never fewer than {SIZE} answered")

    def _refuse_bad(self, after: str, agent: Resident) -> None:
        self.say("Somebody publishes a generation whose guests never answer.")
        self.regild("export", "worker@2", "-o", "worker-2.ova")
        _break(self.folder / "worker-2.ova", self.folder / "broken.raw")
        others = set(self.witness.silent())
        known = {group: set(self.witness.answers(group)) for group in ("canary", "production")}
        told = ["--image", "worker", "--parent", "worker@2", "--channel", "canary"]
        self.regild("publish", "broken.raw", *told)
        self.until(
            lambda: bool(set(self.witness.silent()) - others),
            "a guest that never answered is ended",
            3 * self.within + 120,
            agent,
        )
        time.sleep(2 * QUIET_SECONDS)
        silent = sorted(set(self.witness.silent()) - others)
        self.check(len(silent) == 1, f"one guest was silent, and no other was made: {silent}")
        print(f"\n# halted at the first canary: {silent[0]} never answered, and was ended")
        for group, names in known.items():
            still = set(self.witness.answers(group))
            self.check(still == names, f"{group} runs {names} as before, not {still}")
        said = self._only_version("canary", "production")
        self.check(said == after, f"every guest says {after}, not {said}")
        print(f"# rolled back: {', '.join(sorted(known['canary']))} go on with openssl {after}")
        self.regild("group", "show", full("canary"))
        self.told(
            "Bad image", "halted at the first canary and rolled back; production never saw it"
        )

    def _request_desktop(self, after: str) -> None:
        self.say("A desktop for anna, made on request from the newest proven generation.")
        told, asked = ["instance", "request", full("desktops"), "--user", "anna"], time.monotonic()
        self.regild(*told, "--wait", str(2 * self.within), "--state", STATE)
        found = self.witness.answers("desktops")
        self.check(list(found.values()) == [after], f"one desktop says {after}: {found}")
        (name,) = found
        made, took = self.witness.since[name] - asked, self.witness.took(name)
        self.told(
            "Desktop",
            f"{name}, for anna: runs {made:.1f} s after the command, says openssl {after}"
            f" {took:.0f} s later",
        )
        self.regild("instance", "release", full("desktops"), name, "--state", STATE)

    def _end(self) -> None:
        self.witness.watched.clear()
        self.say("Everything is ended politely, by the agent.")
        for name in ("canary", "production"):
            self.regild("group", "scale", full(name), "0")
        self.witness.until(lambda: not domains(), "no domain is left", FILL_SECONDS)

    # --- what people say

    def _policy(self, *, update: bool) -> None:
        text = POLICY.format(update=str(update).lower())
        (self.folder / "regild.toml").write_text(text)

    def _apply_all(self, window: int | None = None) -> None:
        for name, size in (("canary", SIZE), ("production", SIZE), ("desktops", 0)):
            self._apply(name, size, window if name == "production" else None)

    def _apply(self, name: str, size: int = SIZE, days: int | None = None) -> datetime:
        """Say how a group is to be; with `days`, that its window opens then. When that is."""
        begin = datetime.now(UTC) + WINDOW_AHEAD + timedelta(days=days or 0)
        (self.folder / "windows.ics").write_text(_calendar(begin, begin + timedelta(hours=2)))
        text = GROUP.format(
            name=full(name),
            channel="canary" if name == "canary" else "production",
            size=size,
            within=self.within,
            windows="" if days is None else 'windows = "windows.ics"',
        )
        (self.folder / f"{name}.toml").write_text(text)
        self.regild("group", "apply", f"{name}.toml", "--state", STATE, quiet=days != 0)
        return begin

    # --- what must be so

    def check(self, holds: bool, claim: str) -> None:
        """Hold the story to what libvirt and the guests say."""
        if not holds:
            raise Stopped(f"it is not so that {claim}")

    def until(self, holds: Callable[[], bool], claim: str, seconds: float, agent: Resident) -> None:
        """Wait for something that the agent is to bring about."""
        self.witness.until(lambda: agent.check() or holds(), claim, seconds)

    def _all_say(self, group: str, version: str) -> bool:
        said = self.witness.answers(group)
        running = [name for name in domains() if name.startswith(f"{full(group)}-")]
        return len(running) == SIZE == len(said) and set(said.values()) == {version}

    def _only_version(self, *groups: str) -> str:
        found = {said for group in groups for said in self.witness.answers(group).values()}
        self.check(len(found) == 1, f"all of {', '.join(groups)} say the same, not {found}")
        return found.pop()

    def _channel(self, name: str) -> int:
        """Where a channel points; the story goes on by it, no claim rests on it."""
        told = json.loads(self.ask("image", "show", "worker", "--json"))["channels"]
        return next(int(one["number"]) for one in told if one["name"] == name)

    # --- telling

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def told(self, name: str, text: str) -> None:
        self.rows.append((name, text))

    program = str(Path(sys.executable).with_name("regild"))

    def regild(self, *argv: str, codes: Sequence[int] = (0,), quiet: bool = False) -> None:
        """Run regild as a person would and show what it says."""
        if not quiet:
            print(f"$ {shlex.join(['regild', *argv])}", flush=True)
        said = self.ask(*argv, codes=codes)
        if not quiet:
            print("\n".join(said.rstrip().splitlines()[:SHOWN_LINES]) + "\n", flush=True)

    def ask(self, *argv: str, codes: Sequence[int] = (0,)) -> str:
        """What regild answers."""
        line = tied([self.program, *argv])
        ended = subprocess.run(line, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        if ended.returncode not in codes:
            raise Stopped(f"regild {argv[0]} ended with {ended.returncode}: {ended.stdout[-800:]}")
        return ended.stdout


def _is_newer(one: str, other: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", one, "gt", other]).returncode == 0


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
