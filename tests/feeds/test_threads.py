"""What several threads read at once while nothing of its kind was read before."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from regild.feeds.seen import keep_seen
from regild.model.digest import sha256_of
from regild.model.plan import FeedState

MANY = """
import os, sys, threading
from pathlib import Path
from regild.feeds import seen

note = next(Path(sys.argv[1]).glob("seen/*.json"))
ended = []
for _ in range(60):
    if not (child := os.fork()):
        sys.setswitchinterval(1e-6)
        gate = threading.Barrier(8)
        readers = [
            threading.Thread(target=lambda: (gate.wait(), seen._read(note))) for _ in range(8)
        ]
        for one in readers: one.start()
        for one in readers: one.join()
        os._exit(0)
    ended.append(os.waitpid(child, 0)[1])
print(sum(map(bool, ended)))
"""


def test_the_first_to_read_what_was_seen_may_be_several_threads(tmp_path: Path) -> None:
    """Without a decoder that is made before them, one process in eight died of SIGSEGV."""
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    state = FeedState(
        "http://mirror.example/debian", "stable", sha256_of(b""), "2026-05-01T00:00:00Z"
    )
    keep_seen(tmp_path, "http://mirror.example/debian/dists/stable/InRelease", state, moment)
    done = subprocess.run(
        [sys.executable, "-c", MANY, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"
