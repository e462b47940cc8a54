"""A folder is used by many, or put in order by one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regild.errors import Busy, MissingFile
from regild.host.shared import having, using

HOLDS = "import sys, pathlib, regild.host.shared as s\n"
HOLDS += "with s.using(pathlib.Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"


def test_many_use_it_and_nobody_has_it_meanwhile(tmp_path: Path) -> None:
    with using(tmp_path), using(tmp_path), pytest.raises(Busy), having(tmp_path):
        pass
    with having(tmp_path), pytest.raises(Busy), having(tmp_path):
        pass
    with having(tmp_path):
        pass


def test_a_user_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    line = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(Busy), having(tmp_path):
            pass
        other.kill()
    with having(tmp_path):
        pass


def test_it_is_made_where_it_is_used_first(tmp_path: Path) -> None:
    with pytest.raises(MissingFile), having(tmp_path / "cache"):
        pass
    with using(tmp_path / "cache"):
        assert (tmp_path / "cache").is_dir()


def test_what_cannot_be_written_is_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with using(tmp_path / "file" / "cache"):
        assert not os.path.lexists(tmp_path / "file" / "cache")
