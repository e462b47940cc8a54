"""What a process that begins as a copy does in the tests of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from regild.host.answering import read_question, write_answer
from regild.host.child import open_child

MODULE = "tests.host.forks"


def main() -> int:
    """Answer what the question asks about this process."""
    pipe = os.fdopen(os.dup(1), "wb")
    while (question := read_question(sys.stdin.buffer)) is not None:
        if question == b"raise":
            raise RuntimeError("as it was asked to")
        if question == b"work":
            write_answer(pipe, b"%d" % os.getpid())
            while True:
                time.sleep(60)
        write_answer(pipe, json.dumps(told()).encode())
    return 0


def told() -> dict[str, object]:
    """What this process has of the one that it is a copy of."""
    return {
        "pid": os.getpid(),
        "leads": os.getsid(0) == os.getpid(),
        "environment": dict(os.environ),
        "open": sorted(int(one.name) for one in Path("/proc/self/fd").iterdir()),
        "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_DFL,
    }


if __name__ == "__main__":  # a parent that is to be killed
    with open_child(MODULE, "a copy") as child:
        print(child.ask(b"work", 60).decode(), flush=True)
        time.sleep(600)
