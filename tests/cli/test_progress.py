import io
import os
import pty
import re
import subprocess
import sys

import pytest

from regild.cli.progress import (
    ROWS_MAX,
    Lines,
    LiveLine,
    Step,
    bytes_text,
    open_progress,
    seconds_text,
)
from regild.model.progress import Shared, Silent, begin_count, end_step

WORK = """
import time
from regild.cli.progress import open_progress
with open_progress() as progress:
    progress.step("hash golden.ova", 3_000_000)
    for _ in range(3):
        progress.advance(1_000_000)
        time.sleep(0.05)
    progress.note("a note \\x1b[2J")
    progress.step("run the package scripts")
    time.sleep(1.6)
print("the answer")
"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (2e12, "2.0 TB")],
)
def test_bytes_read_as_a_person_says_them(amount: float, shown: str) -> None:
    assert bytes_text(amount) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.4, "59 s"), (125, "2 min 05 s"), (4200, "1 h 10 min")],
)
def test_times_read_as_a_person_says_them(seconds: float, shown: str) -> None:
    assert seconds_text(seconds) == shown


def test_a_step_tells_share_rate_and_time_left() -> None:
    clock = Clock()
    step = Step("write", 10_000_000, clock)
    for _ in range(4):
        clock.now += 1
        step.advance(1_000_000)
    assert step.now() == "write  4 MB of 10 MB, 40 %  1 MB/s  6.0 s left"
    assert step.end() == "write: done, 4 MB in 4.0 s (1 MB/s)"


def test_the_rate_follows_the_last_seconds() -> None:
    clock = Clock()
    step = Step("write", None, clock)
    for amount in [10_000_000] * 3 + [1_000_000] * 20:
        clock.now += 1
        step.advance(amount)
    assert step.rate == pytest.approx(1_000_000, rel=0.01)


def test_plain_lines_come_at_start_and_end_of_a_step() -> None:
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, clock)
    lines.step("hash", 2_000_000)
    clock.now += 2
    lines.advance(2_000_000)
    lines.step("quick")
    lines.end()
    assert out.getvalue().splitlines() == [
        "hash: 2 MB",
        "hash: done, 2 MB in 2.0 s (1 MB/s)",
        "quick",
    ]


def test_plain_lines_do_not_flood_a_log() -> None:
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, clock)
    lines.step("write", 100_000)
    for _ in range(1000):
        clock.now += 0.1
        lines.advance(100)
    lines.end()
    assert 10 <= len(out.getvalue().splitlines()) <= 13


def test_the_live_line_fits_the_terminal() -> None:
    clock, out = Clock(), io.StringIO()
    line = LiveLine(out, clock)
    line.step("x" * 200, 5)
    line.end()
    painted = re.split(r"\r\x1b\[K", out.getvalue())
    assert max(map(len, painted)) < 80


def test_names_from_an_image_do_not_steer_the_terminal() -> None:
    out = io.StringIO()
    line = LiveLine(out)
    line.step("read \x1b]0;owned\x07")
    line.note("\x1b[2J")
    assert "\x1b]" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_closed_stream_does_not_end_the_work() -> None:
    out = io.StringIO()
    with open_progress(stream=out) as progress:
        out.close()
        progress.step("still at work")


def test_on_a_pipe_plain_lines_and_nothing_on_stdout() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert done.stdout == "the answer\n"
    said = done.stderr.splitlines()
    assert said[:3] == ["hash golden.ova: 3 MB", "a note \\x1b[2J", "run the package scripts"]
    assert said[3].startswith("run the package scripts: done in 1.")
    assert "\x1b" not in done.stderr


def test_on_a_terminal_one_live_line() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORK],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the terminal's other end is gone
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.stdout is not None
    assert process.stdout.read() == b"the answer\n"
    process.stdout.close()
    assert process.wait() == 0
    assert b"hash golden.ova  3 MB of 3 MB, 100 %" in seen
    assert b"a note \\x1b[2J\r\n" in seen
    assert b"run the package scripts  1." in seen  # the clock ticks without any bytes
    assert seen.endswith((b"\r\n", b"\x1b[K"))


def test_things_are_counted_not_weighed() -> None:
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, clock)
    begin_count(lines, "40 images on 2 workers", 40)
    clock.now += 2
    lines.advance(30)
    lines.end()
    assert out.getvalue() == (
        "40 images on 2 workers: 40\n40 images on 2 workers: done, 30 in 2.0 s (15/s)\n"
    )


def test_what_is_under_way_stands_below_the_line_and_goes_with_it() -> None:
    clock, out = Clock(), io.StringIO()
    line = LiveLine(out, clock)
    line.count("images", 9)
    line.rows(["worker 0  a.ova", "worker 1  b\x1b[2J.ova"])
    shown = out.getvalue()
    assert shown.endswith("images\n  worker 0  a.ova\n  worker 1  b\\x1b[2J.ova\x1b[2A")
    line.note("a note")
    assert "\r\x1b[Ja note\n" in out.getvalue()
    line.end()
    assert out.getvalue().endswith("\r\x1b[J")


def test_no_more_is_shown_than_can_be_looked_at() -> None:
    out = io.StringIO()
    line = LiveLine(out, Clock())
    line.step("work")
    line.rows([f"row {number}" for number in range(40)])
    painted = out.getvalue().rpartition("\r")[2]
    assert painted.count("\n") == ROWS_MAX + 1
    assert "and 24 more" in painted


def test_a_step_that_was_whole_takes_no_longer_for_being_told_late() -> None:
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, clock)
    lines.step("Writing the disk", 3_000_000)
    clock.now += 2
    lines.advance(3_000_000)
    clock.now += 180
    lines.step("the next thing")
    assert "Writing the disk: done, 3 MB in 2.0 s (1.5 MB/s)\n" in out.getvalue()


def test_a_step_is_over_before_what_comes_next_is_waited_for() -> None:
    clock, out = Clock(), io.StringIO()
    lines = Lines(out, clock)
    lines.step("Fetching")
    clock.now += 4
    end_step(Shared(lines))
    clock.now += 180
    assert out.getvalue() == "Fetching\nFetching: done in 4.0 s\n"
    lines.end()
    assert out.getvalue().count("done") == 1
    end_step(Silent())
