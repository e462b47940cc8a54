import errno
import inspect
import io
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regild import errors
from regild.cli.exits import Wishes, conclude, failure_of, read_wishes
from regild.cli.front import run
from regild.cli.outcome import UNREAD, Outcome
from regild.errors import DigestMismatch, RegildError

MAIN = "from regild.cli.main import main; main()"
CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RegildError)
]
VALUES: dict[str, Any] = {"differences": ("a", "b"), "code": 1}


def made(kind: type[RegildError]) -> RegildError:
    named = {name: VALUES.get(name, f"the {name}") for name in inspect.signature(kind).parameters}
    return kind(**named)


def failing(error: BaseException) -> Any:
    def command() -> Outcome:
        raise error

    return command


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_ends_in_its_code_with_a_sentence_and_a_hint(
    kind: type[RegildError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert conclude(failing(made(kind)), Wishes()) == kind.exit_code
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first == f"regild: {made(kind)}"
    assert second.startswith("  hint: ")
    assert "{" not in said.err


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_an_object_in_json(
    kind: type[RegildError], capsys: pytest.CaptureFixture[str]
) -> None:
    conclude(failing(made(kind)), Wishes(json=True))
    said = capsys.readouterr()
    failure = json.loads(said.out)["error"]
    assert failure["kind"] == kind.__name__
    assert failure["exit_code"] == kind.exit_code
    assert failure["sentence"] in said.err
    assert set(failure) == {"kind", "sentence", "hint", "exit_code", "retryable", "facts", "log"}


def test_an_unforeseen_exception_is_70_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(failing(ValueError("odd")), Wishes()) == 70
    said = capsys.readouterr().err
    assert "ValueError: odd" in said
    assert "Traceback" not in said


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert conclude(failing(ValueError("\x1b[2J")), Wishes(debug=True)) == 70
    finally:
        logging.getLogger("regild").handlers.clear()
        logging.getLogger("regild").setLevel(logging.NOTSET)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, "DiskFull"), (errno.EROFS, "NotPermitted"), (errno.EIO, "HostError")],
)
def test_an_error_of_the_machine_is_15(
    number: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, os.strerror(number), "/a/file")
    assert conclude(failing(error), Wishes(json=True)) == 15
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == kind


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(failing(KeyboardInterrupt()), Wishes()) == 130
    assert "interrupted" in capsys.readouterr().err


def test_sigterm_unwinds_and_is_143() -> None:
    script = (
        "import os, signal, sys\n"
        "from regild.cli.exits import Wishes, conclude\n"
        "def command():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "    finally: print('closed', flush=True)\n"
        "sys.exit(conclude(command, Wishes()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout == "closed\n"


def test_a_reader_that_went_away_is_quiet() -> None:
    script = (
        "import sys\n"
        "from regild.cli.exits import Wishes, conclude\n"
        "from regild.cli.outcome import Outcome\n"
        "sys.stdin.read()\n"
        "sys.exit(conclude(lambda: Outcome({}, lambda width: 'x' * 999999), Wishes()))\n"
    )
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    os.close(ours)
    _, said = process.communicate(b"")
    assert process.returncode == 141
    assert said == b""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_no_obstacle(closed: str, tmp_path: Path) -> None:
    missing = tmp_path / "none.ova"
    line = f"exec '{sys.executable}' -c '{MAIN}' describe '{missing}' {closed}"
    assert subprocess.run(["sh", "-c", line], capture_output=True).returncode == 4


def test_a_full_output_is_the_machines_fault() -> None:
    script = (
        "import sys\n"
        "from regild.cli.exits import Wishes, conclude\n"
        "from regild.cli.outcome import Outcome\n"
        "sys.exit(conclude(lambda: Outcome({}, lambda width: 'x'), Wishes(json=True)))\n"
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 15
    assert b"there is no room left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_answer_is_printed_and_a_complaint_beats_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complaint = DigestMismatch(where="a.vmdk", why="it is another")
    outcome = Outcome({"state": "tampered"}, lambda width: "the list", UNREAD, (complaint,))
    assert conclude(lambda: outcome, Wishes()) == 6
    said = capsys.readouterr()
    assert said.out == "the list\n"
    assert "a.vmdk" in said.err
    assert conclude(lambda: outcome, Wishes(json=True)) == 6
    assert json.loads(capsys.readouterr().out) == {"state": "tampered"}


def test_without_a_complaint_the_code_is_the_outcomes() -> None:
    assert conclude(lambda: Outcome({}, lambda width: "", 10), Wishes()) == 10


def test_names_that_are_not_utf8_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"caf\xe9\x9b")
    assert conclude(lambda: Outcome({"path": Path(odd)}, str), Wishes(json=True)) == 0
    assert json.loads(capsys.readouterr().out) == {"path": odd}


def test_a_stream_that_knows_only_ascii_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert conclude(lambda: Outcome({}, lambda width: "Grüße"), Wishes()) == 0
    assert stream.buffer.getvalue() == b"Gr\\xfc\\xdfe\n"


def test_wishes_end_at_the_double_dash() -> None:
    assert read_wishes(["describe", "x", "--json"]) == Wishes(json=True)
    assert read_wishes(["describe", "--", "--json"]) == Wishes()


@pytest.mark.parametrize(
    "argv", [["nothing"], ["describe"], ["describe", "x", "--jsn"], ["jobs"], ["image"], ["feeds"]]
)
def test_a_wrong_command_line_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 2


def test_a_group_without_a_command_lists_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs"]) == 2
    assert "say which command: list, " in capsys.readouterr().err


def test_a_wrong_command_line_is_answered_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["describe", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "UsageError"


def test_facts_of_an_error_are_json() -> None:
    json.dumps(failure_of(DigestMismatch(where="a", why="b")))


@pytest.mark.parametrize("loading", ["typer", "regild.cli.front", "regild.cli.commands.describe"])
def test_ctrl_c_while_regild_is_still_loading_leaves_no_traceback(loading: str) -> None:
    meddled = (
        "import os, signal, sys\n"
        "class Meddler:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {loading!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Meddler())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", meddled + MAIN, "describe", "none.ova"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_ctrl_c_that_the_caller_has_ignored_stays_ignored() -> None:
    ignored = "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    asked = "import atexit\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    done = subprocess.run(
        [sys.executable, "-c", ignored + asked + MAIN, "--version"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"regild ")
