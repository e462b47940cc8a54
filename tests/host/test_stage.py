"""The wall between regild and what works on a guest's bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regild.errors import (
    CommandFailed,
    GuestCommandHung,
    GuestFull,
    HostError,
    NotPermitted,
    ProveError,
    RegildError,
    TooLarge,
    Unforeseen,
)
from regild.host.namespace import View
from regild.host.stage import signal_of
from tests.host.apart import ROOT, Stage, alive_with, all_gone, run_as, stage_in, user_with_ids

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return stage_in(tmp_path, monkeypatch)


class Heard:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def step(self, name: str, total: int | None = None) -> None:
        self.said.append((name, total))

    def advance(self, amount: int) -> None:
        self.said.append(amount)

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_stages_result_and_progress_come_back(stage: Stage) -> None:
    heard = Heard()
    body = "progress.step('a', 3); progress.advance(2); progress.advance(1); progress.note('n')"
    assert stage(body + "\nreturn [request, '\\udcff']", {"x": 1}, heard) == [{"x": 1}, "\udcff"]
    assert heard.said == [("a", 3), "n", 3]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("errors.GuestFull(where='/', why='no room')", GuestFull),
        ("errors.ProveError(where='x', differences=('a', 'b'))", ProveError),
        ("errors.CommandFailed(where='x', why='\\udcff', code=3)", CommandFailed),
        ("OSError(5, 'Input/output error', '/x')", HostError),
        ("KeyError('x')", Unforeseen),
        ("MemoryError()", TooLarge),
    ],
)
def test_an_error_crosses_the_wall_as_it_is_and_in_one_sentence(
    stage: Stage, raised: str, kind: type[RegildError]
) -> None:
    with pytest.raises(kind) as caught:
        stage(f"from regild import errors\nraise {raised}")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_a_stage_that_a_signal_ends_is_one_sentence(stage: Stage) -> None:
    with pytest.raises(CommandFailed, match=r"signal 11 ended it \(Segmentation fault\)") as caught:
        stage("import ctypes; ctypes.string_at(0)")
    assert signal_of(caught.value) == signal.SIGSEGV


def test_a_stage_that_ends_without_an_answer_is_quoted(stage: Stage) -> None:
    with pytest.raises(HostError, match="ended with 7 and without an answer: the last words"):
        stage("print('first'); print('the last words'); sys.stdout.flush(); os._exit(7)")


@pytest.mark.parametrize(
    "said", ["not json", "[1]", '{"x": ' * 100_000, '{"error": "Path", "facts": {}}']
)
def test_an_answer_that_no_stage_gives_is_refused(stage: Stage, said: str) -> None:
    with pytest.raises(HostError, match="the stage tried"):
        stage("progress._out.write(request + '\\n'); progress._out.flush(); os._exit(0)", said)


def test_a_stage_cannot_take_more_memory_than_it_is_given(stage: Stage) -> None:
    with pytest.raises(TooLarge, match="memory"):
        stage("return len(bytearray(5 << 30))")


def test_a_stage_that_hangs_is_ended(stage: Stage) -> None:
    begun = time.monotonic()
    with pytest.raises(GuestCommandHung, match="the stage tried"):
        stage("os.fork()\nwhile True: time.sleep(1)", timeout_seconds=1)
    assert time.monotonic() - begun < 30


def test_a_stage_sees_nothing_of_the_machine_but_programs(stage: Stage, tmp_path: Path) -> None:
    secret = tmp_path.parent / "host-secret"
    secret.write_text("x")
    asked = [
        "/etc/passwd",
        "/etc/hostname",
        "/root/.bashrc",
        "/var/lib",
        "/sys/kernel",
        str(secret),
    ]
    existing, processes, links, user, environment = stage(
        """
        existing = [path for path in request if os.path.exists(path)]
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
        links = [line.split(":")[0].strip() for line in open("/proc/self/net/dev")]
        return existing, len(processes), links[2:], os.getuid(), dict(os.environ)
        """,
        asked,
    )
    assert existing == []
    assert processes < 6
    assert links == ["lo"]
    assert user == 0
    assert not set(environment) & {"HOME", "USER", "SSH_AUTH_SOCK", "VIRTUAL_ENV"}


def test_a_stage_writes_only_where_it_may(stage: Stage, tmp_path: Path) -> None:
    place = tmp_path / "writable"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    tried = stage(
        """
        done = []
        for folder in request:
            try:
                open(folder + "/new", "w").close()
                done.append(folder)
            except OSError:
                pass
        return done
        """,
        [str(place), str(tmp_path), "/usr", "/proc/sys/kernel", "/dev"],
        view=View(readable=(tmp_path,), writable=(place,)),
    )
    assert str(place) in tried
    assert not set(tried) & {str(tmp_path), "/usr", "/proc/sys/kernel"}
    assert not (tmp_path / "new").exists()


def test_a_stage_cannot_make_name_spaces_or_mounts(stage: Stage) -> None:
    assert stage(
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.unshare(0x10000000), libc.mount(b"x", b"/tmp", b"tmpfs", 0, None)]
        """
    ) == [-1, -1]


def test_what_a_stage_may_start_is_bounded(stage: Stage) -> None:
    soft, hard = stage("import resource; return resource.getrlimit(resource.RLIMIT_NPROC)")
    total = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    assert soft == hard < total + 8192


@pytest.mark.slow
@pytest.mark.root
def test_a_fork_bomb_under_many_ids_is_stopped(stage: Stage) -> None:
    started = stage(
        """
        import signal
        started, children = 0, []
        try:
            while started < 20000:
                child = os.fork()
                if child == 0:
                    try:
                        os.setresuid(started % 500 + 1, started % 500 + 1, started % 500 + 1)
                        signal.pause()
                    finally:
                        os._exit(0)
                started += 1
        except BlockingIOError:
            pass
        return started
        """,
        confined=False,
        timeout_seconds=100,
    )
    assert 1000 < started < 6000


KILLED = """
import os, sys
from pathlib import Path
sys.executable = "{folder}/python"
from regild.host.namespace import View, find_id_map
from regild.host.stage import run_stage
from regild.model.progress import Silent
folder = Path("{folder}")
run_stage("tried", "{word}", ids=find_id_map(), view=View(readable=(folder,)), log=Path("{log}"),
    progress=Silent(), confined={confined})
"""

SLEEPING = """
import os, subprocess
def main(request, progress):
    children = [subprocess.Popen(["sleep", request], start_new_session=True) for _ in range(3)]
    subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; sleep " + request])
    children[0].wait()
"""


def started(word: str, seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(alive_with(word)) >= 4:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("confined", [True, False])
def test_nothing_survives_kill_9_of_regild(stage: Stage, tmp_path: Path, confined: bool) -> None:
    word = f"98{os.getpid()}.{int(confined)}"
    (tmp_path / "tried.py").write_text(SLEEPING)
    code = KILLED.format(folder=tmp_path, word=word, log=tmp_path / "log", confined=confined)
    parent = subprocess.Popen(
        [Path(sys.prefix, "bin/python"), "-c", code], env={"PYTHONPATH": str(ROOT / "src")}
    )
    try:
        assert started(word)
    finally:
        parent.kill()
        parent.wait()
    assert all_gone(word)
    # Other tests mount things of their own meanwhile, so only what is ours is looked for.
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


@pytest.mark.root
def test_without_a_range_of_ids_an_ordinary_user_is_told_in_one_sentence() -> None:
    done = run_as(
        "nobody",
        """
        from regild.errors import NotPermitted
        from regild.host.namespace import find_id_map
        try:
            find_id_map()
        except NotPermitted as error:
            print(error)
        """,
    )
    assert "/etc/subuid has no line for nobody" in done.stdout
    assert done.stdout.count("\n") == 1, done.stderr


@pytest.mark.root
def test_an_ordinary_user_with_a_range_of_ids_runs_stages(tmp_path: Path) -> None:
    user = user_with_ids()
    done = run_as(
        user,
        """
        import tempfile
        from pathlib import Path
        from regild.errors import RegildError
        from regild.host.namespace import View, find_id_map
        from regild.host.stage import run_stage
        from regild.model.progress import Silent
        with tempfile.TemporaryDirectory() as folder:
            try:
                run_stage("regild.change.extract", {"parts": "oops"}, ids=find_id_map(),
                    view=View(), log=Path(folder, "log"), progress=Silent())
            except RegildError as error:
                print(type(error).__name__, error)
        """,
    )
    assert "Malformed" in done.stdout, done.stdout + done.stderr


def test_where_name_spaces_are_forbidden_that_is_said(stage: Stage) -> None:
    # Inside a stage they are.
    with pytest.raises(NotPermitted, match="the kernel refused; see user"):
        stage(
            """
            from pathlib import Path
            from regild.host.namespace import View, find_id_map
            from regild.host.stage import run_stage
            return run_stage("x", {}, ids=find_id_map(), view=View(), log=Path("/dev/null"),
                progress=progress, confined=False)
            """
        )
