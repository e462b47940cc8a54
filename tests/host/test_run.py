"""The one process runner."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from regild.errors import CommandFailed, DiskFull, ToolMissing
from regild.host.run import run
from tests.host.apart import all_gone


def sh(text: str, **options: object) -> bytes:
    return run(["sh", "-c", text], purpose="to test", **options).stdout  # type: ignore[arg-type]  # passed through


def test_what_a_command_reads_and_says_arrives() -> None:
    assert sh("cat; echo error >&2", stdin=b"x" * 300_000) == b"x" * 300_000


def test_a_failure_is_one_error_with_the_commands_last_words() -> None:
    with pytest.raises(CommandFailed, match="sh ended with 3: the reason") as caught:
        sh("echo the reason >&2; exit 3")
    assert caught.value.code == 3


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(ToolMissing):
        run(["no-such-program"], purpose="to test")


def test_a_command_that_is_out_of_time_is_ended_with_all_that_it_started() -> None:
    word = f"97531.{os.getpid()}"
    with pytest.raises(CommandFailed) as caught:
        sh(f"trap '' TERM HUP INT; sleep {word} & sleep {word}", timeout_seconds=0.5)
    assert caught.value.code == 124
    assert all_gone(word)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_command_that_says_too_much_is_ended(stream: str, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="it said more than 1000000 bytes"):
        sh(f"exec yes >&{stream}", output_bytes=1_000_000)


def test_a_log_is_bounded_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as log, pytest.raises(CommandFailed):
        sh("exec yes", output=log, output_bytes=1_000_000, check=False)
    assert (tmp_path / "log").stat().st_size == 1_000_000


def test_what_a_command_leaves_behind_with_its_pipes_is_not_waited_for() -> None:
    begun = time.monotonic()
    assert sh("sleep 20 & echo said") == b"said\n"
    assert time.monotonic() - begun < 10


def test_a_command_that_closes_its_pipes_is_waited_for() -> None:
    with pytest.raises(CommandFailed, match="ended with 5"):
        sh("exec >&- 2>&- <&-; sleep 0.3; exit 5")


def test_a_watcher_ends_a_command() -> None:
    def watch() -> None:
        raise DiskFull(where="/", why="a test")

    begun = time.monotonic()
    with pytest.raises(DiskFull):
        sh(f"sleep 86421.{os.getpid()}", watch=watch)
    assert time.monotonic() - begun < 5
    assert all_gone(f"86421.{os.getpid()}")


def test_nothing_of_our_environment_reaches_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    assert b"SECRET" not in run(["env"], purpose="to test").stdout


def test_a_command_is_logged_as_a_line_for_a_shell(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "regild.run"):
        sh("true 'a b'")
    assert """sh -c 'true '"'"'a b'"'"''  # 0,""" in caplog.text
