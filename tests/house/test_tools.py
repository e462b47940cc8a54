"""What the checkers say: import-linter, ruff, mypy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CHECKED = ["src", "tests", "demo", "bench", "scripts"]


def run(*argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(cwd / "src"), "NO_COLOR": "1"}
    return subprocess.run(
        [str(BIN / argv[0]), *argv[1:]], cwd=cwd, env=env, text=True, capture_output=True
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's sources apart, to plant violations in."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_go_down_the_stairs_only() -> None:
    ended = run("lint-imports", "--no-cache")
    assert ended.returncode == 0, ended.stdout


def test_an_import_that_goes_up_the_stairs_is_noticed(copy: Path) -> None:
    (copy / "src/regild/model/planted.py").write_text("import regild.cli.main\n")
    ended = run("lint-imports", "--no-cache", cwd=copy)
    assert ended.returncode != 0
    assert "regild.model.planted" in ended.stdout


def test_a_room_that_knows_its_neighbour_is_noticed(copy: Path) -> None:
    (copy / "src/regild/plan/planted.py").write_text("import regild.change\n")
    ended = run("lint-imports", "--no-cache", cwd=copy)
    assert ended.returncode != 0
    assert "regild.plan.planted" in ended.stdout


def test_ruff_finds_nothing() -> None:
    ended = run("ruff", "check", *CHECKED)
    assert ended.returncode == 0, ended.stdout


def test_every_file_is_in_its_one_form() -> None:
    ended = run("ruff", "format", "--check", *CHECKED)
    assert ended.returncode == 0, ended.stdout


def test_types_are_strict() -> None:
    ended = run("mypy")
    assert ended.returncode == 0, ended.stdout


def test_types_of_demo_and_bench_are_strict() -> None:
    ended = run("mypy", "demo", "bench")
    assert ended.returncode == 0, ended.stdout
