"""The solver of this release: the machine's own apt-get, asked what it would do.

It sees the guest's package states, pins, marks and release choice, and the verified indexes;
never the guest's apt.conf, hooks or network: it runs in a sandbox without one, over a folder of
ours. Its answer is the guest's own, because it is the same program (ADR 0040).
Source: apt-get(8) --simulate, apt.conf(5), apt_preferences(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regild.errors import Unsolvable
from regild.host.run import find_tool, run
from regild.model.content import Planning, Source
from regild.model.plan import FeedState
from regild.plan.solver import Move, Request, Transaction

INSTALLS = re.compile(r"^Inst ([^ :]+)(?::\S+)? (?:\[([^\]]*)\] )?\((\S+) .*\[([a-z0-9-]+)\]\)")
REMOVES = re.compile(r"^(?:Remv|Purg) ([^ :]+)(?::(\S+))? \[([^\]]*)\]")
KEPT_BACK = "The following packages have been kept back:"

SETTINGS = """\
Dir "{job}";
Dir::State "{job}/state";
Dir::State::status "{job}/status";
Dir::State::extended_states "{job}/extended_states";
Dir::State::lists "{lists}";
Dir::Cache "{job}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc "{job}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::sourcelist "{job}/sources.list";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{job}/preferences";
Dir::Log "{job}/log";
APT::Architecture "{native}";
APT::Architectures {{ {architectures} }};
APT::Sandbox::User "root";
APT::Get::Always-Include-Phased-Updates "true";
Acquire::Languages "none";
"""
"""The guest's own settings stand before these; phased updates are always in, because the images
of one line must not depend on the machine that plans them."""

SECURITY_ONLY = """\
Package: *
Pin: release n={codename}
Pin-Priority: 50
"""
"""Below 100: never chosen over an installed version, but there where something new is needed."""

TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class AptGet:
    """Solves by `apt-get --simulate`; `job` is an empty folder that it may fill."""

    job: Path

    def __call__(self, request: Request, lists: Path) -> Transaction:
        """The packages that apt would change in the guest.

        Raises: Unsolvable with apt's own words, ToolMissing, CommandFailed.
        """
        for name in ("state", "cache/archives/partial", "etc/none", "preferences", "log"):
            (self.job / name).mkdir(parents=True)
        _write_question(self.job, request, lists)
        verb = ["dist-upgrade"] if request.mode == "full" else ["upgrade", "--with-new-pkgs"]
        line = [*_sandbox(self.job, lists), "apt-get", "--simulate", "--no-remove", *verb]
        if request.mode == "full":
            line.remove("--no-remove")
        finished = run(
            line,
            purpose="to work out the transaction",
            env={"APT_CONFIG": str(self.job / "apt.conf")},
            timeout_seconds=TIMEOUT_SECONDS,
            check=False,
        )
        if finished.code != 0:
            raise Unsolvable(where="the guest", why=_complaint(finished.tail))
        return read_answer(finished.stdout.decode(errors="replace"))


def read_answer(text: str) -> Transaction:
    """Read what `apt-get --simulate` prints."""
    moves = []
    for line in text.splitlines():
        if found := INSTALLS.match(line):
            name, was, becomes, arch = found.groups(default="")
            moves.append(Move("upgrade" if was else "install", name, arch, was, becomes))
        elif found := REMOVES.match(line):
            name, arch, was = found.groups(default="")
            moves.append(Move("remove", name, arch, was))
    return Transaction(tuple(moves), tuple(_kept_back(text)))


def _kept_back(text: str) -> Iterator[str]:
    """The names below "have been kept back", which are set in by two blanks."""
    _, heading, rest = text.partition(KEPT_BACK)
    for line in rest.splitlines()[1:] if heading else ():
        if not line.startswith("  "):
            return
        yield from (name.partition(":")[0] for name in line.split())


def _write_question(job: Path, request: Request, lists: Path) -> None:
    """Lay out the guest's state as apt wants to find it."""
    planning = request.planning
    native, *_ = planning.architectures or ("amd64",)
    architectures = " ".join(f'"{one}";' for one in planning.architectures or (native,))
    own = SETTINGS.format(job=job, lists=lists, native=native, architectures=architectures)
    guest = "\n".join(file.text for file in planning.settings)
    (job / "apt.conf").write_text(f"{guest}\n{own}")
    (job / "status").write_text(with_holds(planning.status, set(request.holds)))
    (job / "extended_states").write_text("\n".join(_marks(planning)))
    (job / "sources.list").write_text("".join(_source_line(one) for one in request.sources))
    for number, file in enumerate(planning.preferences):
        (job / "preferences" / f"guest-{number:03}").write_text(file.text + "\n")
    if request.mode == "security":
        (job / "preferences" / "zz-security").write_text("\n".join(_pins(request.feeds)))


def with_holds(status: str, names: set[str]) -> str:
    """dpkg's status with some packages put on hold."""
    paragraphs = status.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if _field(paragraph, "Package") in names:
            paragraphs[number] = re.sub(
                r"^Status: install ", "Status: hold ", paragraph, count=1, flags=re.MULTILINE
            )
    return "\n\n".join(paragraphs)


def _field(paragraph: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", paragraph, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _marks(planning: Planning) -> Iterator[str]:
    """The automatic marks as /var/lib/apt/extended_states has them."""
    for mark in planning.auto:
        name, _, arch = mark.partition(":")
        yield f"Package: {name}\nArchitecture: {arch}\nAuto-Installed: 1\n"


def _source_line(source: Source) -> str:
    """A source for apt; trusted, because its indexes were verified before they were laid out."""
    options = "trusted=yes"
    if source.architectures:
        options += " arch=" + ",".join(source.architectures)
    return f"deb [{options}] {source.uri} {source.suite} {' '.join(source.components)}\n"


def _pins(feeds: tuple[FeedState, ...]) -> Iterator[str]:
    for feed in feeds:
        if not feed.security:
            yield SECURITY_ONLY.format(codename=feed.codename or feed.suite)


def _sandbox(job: Path, lists: Path) -> list[str]:
    """apt reads what strangers wrote: no network, nothing writable but the job's folder."""
    find_tool("apt-get", "to work out the transaction")
    line = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    line += ["--tmpfs", "/tmp", "--ro-bind", str(lists), str(lists), "--bind", str(job), str(job)]  # noqa: S108 - emptied
    line += ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--"]
    return line


def _complaint(text: str) -> str:
    """apt's errors as one sentence."""
    told = [line[2:].strip() for line in text.splitlines() if line.startswith("E:")]
    unmet = [line.strip() for line in text.splitlines() if re.match(r"^ \S+ : ", line)]
    return "; ".join([*unmet[:3], *told[:2]]) or text.strip().splitlines()[-1]
