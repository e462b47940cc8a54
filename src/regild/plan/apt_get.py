"""The solver of this release: the machine's own apt-get, asked what it would do.

It sees the guest's package states, pins, marks and release choice, and the verified indexes;
never the guest's apt.conf, hooks or network: it runs in a sandbox without one, over a folder of
ours. Its answer is the guest's own, because it is the same program (ADR 0040).
Source: apt-get(8) --simulate, apt.conf(5), apt_preferences(5).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from regild.errors import CommandFailed, Malformed, NotPermitted, PlanError, Unsolvable
from regild.host.run import Finished, find_tool, run
from regild.model.content import Planning, Source, TextFile
from regild.model.plan import Action, FeedState
from regild.plan.solver import Move, Request, Transaction

INSTALLS = re.compile(r"^Inst ([^ :]+)(?::\S+)? (?:\[([^\]]*)\] )?\((\S+) (.*)\[([a-z0-9-]+)\]\)")
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
Dir::Etc::parts "none";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{job}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{job}/preferences";
Dir::Log "{job}/log";
#clear APT::Architectures;
APT::Architecture "{native}";
APT::Architectures {{ {architectures} }};
APT::Sandbox::User "root";
APT::Solver "internal";
APT::Ignore-Hold "false";
APT::Get::AutomaticRemove "false";
APT::Get::Always-Include-Phased-Updates "true";
Acquire::Languages "none";
"""
"""The guest's own settings stand before these. Holds always count, because the boot chain is left
out by them; phased updates are always in, because the images of one line must not depend on the
machine that plans them; nothing is removed for being unneeded, because nobody asked for it."""

HEEDED = frozenset(
    (
        "APT::AutoRemove::RecommendsImportant",
        "APT::AutoRemove::SuggestsImportant",
        "APT::Default-Release",
        "APT::Install-Recommends",
        "APT::Install-Suggests",
        "APT::Move-Autobit-Sections",
        "APT::Never-MarkAuto-Sections",
        "APT::NeverAutoRemove",
        "APT::Protect-Kernels",
        "APT::VersionedKernelPackages",
    )
)
"""The guest's settings that are passed on; the file that they come in may be a stranger's."""

SETTING = re.compile(r'([A-Za-z:-]+?)(::)? "([^"\\\n]*)";')

BELOW_INSTALLED = 50
"""Below 100: never chosen over an installed version, but there where something new is needed."""

PIN_WORD = re.compile(r"[A-Za-z0-9.+~_ -]+")
TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class AptGet:
    """Solves by `apt-get --simulate`; `job` is a folder that it may fill."""

    job: Path

    def __call__(self, request: Request, lists: Path) -> Transaction:
        """The packages that apt would change in the guest.

        Raises: Unsolvable with apt's own words, ToolMissing, NotPermitted, CommandFailed,
        Malformed when the guest's settings are not what describing writes.
        """
        if request.mode == "full":
            return self._ask(["dist-upgrade"], request, lists, ())
        verb = ["upgrade", "--with-new-pkgs", "--no-remove"]
        if request.mode == "upgrade":
            return self._ask(verb, request, lists, ())
        return self._secure(verb, request, lists)

    def _secure(self, verb: Sequence[str], request: Request, lists: Path) -> Transaction:
        """Security updates, and of all others only what these need.

        First everything else is pinned below what is installed. A security update that this keeps
        back may need a newer version of something else: what installing just these would bring is
        then let in. What the guest's own pins let in besides is put on hold.
        """
        pins = [*_security_pins(request)]
        answer = self._ask(verb, request, lists, pins)
        kept = [name for name in answer.kept if name not in request.holds]
        needed: tuple[Move, ...] = ()
        if kept:
            wish = ["install", "--no-remove", *(f"{name}+" for name in kept)]
            try:
                needed = self._ask(wish, request, lists, ()).moves
            except Unsolvable:  # then they stay kept back
                needed = ()
        if needed:
            pins = [*map(_version_pin, needed), *pins]
            answer = self._ask(verb, request, lists, pins)
        asked = {move.name for move in needed}
        others = [one.name for one in answer.moves if one.was and not _is_security(one, request)]
        if strangers := [name for name in others if name not in asked]:
            held = replace(request, holds=(*request.holds, *strangers))
            answer = self._ask(verb, held, lists, pins)
        return answer

    def _ask(
        self, verb: Sequence[str], request: Request, lists: Path, pins: Iterable[str]
    ) -> Transaction:
        """One question to apt-get."""
        job = Path(tempfile.mkdtemp(prefix="apt-", dir=self.job))
        write_question(job, request, lists, pins)
        finished = run(
            [*_sandbox(job, lists), "apt-get", "--simulate", *verb],
            purpose="to work out the transaction",
            env={"APT_CONFIG": str(job / "apt.conf")},
            timeout_seconds=TIMEOUT_SECONDS,
            check=False,
        )
        if finished.code != 0:
            raise _failure(finished)
        return read_answer(finished.stdout.decode(errors="replace"))


def read_answer(text: str) -> Transaction:
    """Read what `apt-get --simulate` prints."""
    moves = []
    for line in text.splitlines():
        if found := INSTALLS.match(line):
            name, was, becomes, origin, arch = found.groups(default="")
            action: Action = "upgrade" if was else "install"
            moves.append(Move(action, name, arch, was, becomes, origin.strip()))
        elif found := REMOVES.match(line):
            name, arch, was = found.groups(default="")
            moves.append(Move("remove", name, arch, was))
        elif line.startswith(("Inst ", "Remv ", "Purg ")):
            raise PlanError(where="the image", why=f"apt-get's answer is not clear: {line[:100]!r}")
    return Transaction(tuple(moves), tuple(dict.fromkeys(_kept_back(text))))


def _kept_back(text: str) -> Iterator[str]:
    """The names below "have been kept back", which are set in by two blanks."""
    _, heading, rest = text.partition(KEPT_BACK)
    for line in rest.splitlines()[1:] if heading else ():
        if not line.startswith("  "):
            return
        yield from (name.partition(":")[0] for name in line.split())


def write_question(job: Path, request: Request, lists: Path, pins: Iterable[str]) -> None:
    """Lay out the guest's state in an empty folder as apt wants to find it.

    Raises: Malformed.
    """
    for name in ("state", "cache/archives/partial", "etc/none", "preferences", "sources", "log"):
        (job / name).mkdir(parents=True)
    planning = request.planning
    native, *_ = planning.architectures or ("amd64",)
    architectures = " ".join(f'"{one}";' for one in planning.architectures or (native,))
    own = SETTINGS.format(job=job, lists=lists, native=native, architectures=architectures)
    guest = "".join(heeded_settings(planning.settings))
    (job / "apt.conf").write_text(guest + own)
    (job / "status").write_text(with_holds(planning.status, set(request.holds)))
    (job / "extended_states").write_text("\n".join(_marks(planning)))
    (job / "sources" / "image.sources").write_text("\n".join(map(source_text, request.sources)))
    forbidden = [_pin(name, "release *", -1) for name in request.forbidden]
    # Of general pins the first counts, so ours stand before the guest's.
    (job / "preferences" / "000-regild").write_text("\n".join([*forbidden, *pins]))
    for number, file in enumerate(planning.preferences, 1):
        (job / "preferences" / f"{number:03}-guest").write_text(file.text + "\n")


def heeded_settings(settings: Iterable[TextFile]) -> Iterator[str]:
    """The guest's settings that a solver may heed, as lines of an apt.conf.

    Raises: Malformed when a line is not one assignment.
    """
    for file in settings:
        for line in filter(None, file.text.splitlines()):
            found = SETTING.fullmatch(line)
            if found is None or not line.isprintable():
                raise Malformed(where=file.path, why=f"{line[:80]!r} is not a setting")
            if found[1] in HEEDED:
                yield f"{line}\n"


def with_holds(status: str, names: set[str]) -> str:
    """dpkg's status with some packages put on hold."""
    paragraphs = status.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        found = re.search(r"^Package: (.*)$", paragraph, re.MULTILINE)
        if found and found[1].strip() in names:
            paragraphs[number] = re.sub(
                r"^Status: install ", "Status: hold ", paragraph, count=1, flags=re.MULTILINE
            )
    return "\n\n".join(paragraphs)


def source_text(source: Source) -> str:
    """A source in sources.list(5)'s deb822 form; trusted, because its indexes were verified before
    they were laid out."""
    lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {source.suite}", "Trusted: yes"]
    if source.components:
        lines.append(f"Components: {' '.join(source.components)}")
    if source.architectures:
        lines.append(f"Architectures: {' '.join(source.architectures)}")
    return "\n".join(lines) + "\n"


def _marks(planning: Planning) -> Iterator[str]:
    """The automatic marks as /var/lib/apt/extended_states has them."""
    for mark in planning.auto:
        name, _, arch = mark.partition(":")
        yield f"Package: {name}\nArchitecture: {arch}\nAuto-Installed: 1\n"


def _security_pins(request: Request) -> Iterator[str]:
    """Pins that keep all but the security repositories below what is installed."""
    for feed in request.feeds:
        if not feed.security:
            yield _pin("*", _release_pin(feed), BELOW_INSTALLED)


def _release_pin(feed: FeedState) -> str:
    """The words that name a repository's release for a pin; its host where it has no name."""
    named = (("l", feed.label), ("n", feed.codename))
    words = [f"{letter}={name}" for letter, name in named if PIN_WORD.fullmatch(name)]
    return f"release {','.join(words)}" if words else f'origin "{urlsplit(feed.uri).hostname}"'


def _version_pin(move: Move) -> str:
    return _pin(move.name, f"version {move.becomes}", 500)


def _pin(package: str, what: str, priority: int) -> str:
    return f"Package: {package}\nPin: {what}\nPin-Priority: {priority}\n"


def _is_security(move: Move, request: Request) -> bool:
    """Whether a security repository offers what a move brings; `origin` is apt's list of
    `Label:Version/Suite`."""
    labels = {feed.label for feed in request.feeds if feed.security and feed.label}
    others = {feed.label for feed in request.feeds if not feed.security}
    for origin in move.origin.split(", "):
        label, _, rest = origin.partition(":")
        if label in labels - others or rest.rpartition("/")[2].endswith("-security"):
            return True
    return False


def _sandbox(job: Path, lists: Path) -> list[str]:
    """apt reads what strangers wrote: no network, nothing writable but the job's folder."""
    find_tool("apt-get", "to work out the transaction")
    line = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    line += ["--tmpfs", "/tmp", "--ro-bind", str(lists), str(lists), "--bind", str(job), str(job)]  # noqa: S108 - emptied
    line += ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--"]
    return line


def _failure(finished: Finished) -> Exception:
    """What it means that apt-get, or the sandbox around it, failed."""
    said = finished.tail
    if said.startswith("bwrap:"):
        return NotPermitted(where="a sandbox for apt-get", why=said.splitlines()[0][7:])
    if finished.code != 100:  # apt's own code for a question that it cannot answer
        return CommandFailed(where="apt-get", why=said, code=finished.code)
    text = f"{finished.stdout.decode(errors='replace')}\n{said}"
    told = [line[2:].strip() for line in text.splitlines() if line.startswith("E:")]
    unmet = [" ".join(line.split()) for line in text.splitlines() if re.match(r"^ \S+ : ", line)]
    why = "; ".join(dict.fromkeys([*unmet[:3], *told[:2]])) or said.strip().splitlines()[-1]
    return Unsolvable(where="the image", why=why)
