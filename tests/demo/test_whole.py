"""A demo that is killed leaves nothing of it running."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.whole import ending_tidily, tied

ROOT = Path(__file__).resolve().parents[2]
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
STARTS = f"""
import subprocess, sys
from demo.whole import tied
subprocess.run(tied([sys.executable, "-c", {SLEEPS!r}]))
"""


@pytest.mark.timeout(60)
def test_what_a_killed_demo_has_started_ends_with_it() -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", STARTS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    assert demo.stdout.readline() == "up\n"
    demo.kill()
    demo.wait()
    # What was started holds our pipe too: it ends when that is gone, and not in ten minutes.
    assert demo.stdout.read() == ""
    demo.stdout.close()


def test_being_asked_to_end_unwinds() -> None:
    done = []
    with pytest.raises(SystemExit) as ended, ending_tidily():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            done.append("tidied")
    assert (ended.value.code, done) == (128 + signal.SIGTERM, ["tidied"])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_command_is_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    subprocess.run(tied(["echo", "-n", "a b"]), check=True)
    assert capfd.readouterr().out == "a b"
