"""Runs the nightly tests and keeps what they held in bench/RESULTS.md.

    python -m bench.nightly [what pytest takes]...        default: all nightly tests

Each test is a row: whether it held, how long it took, and the figures that it recorded by itself
(pytest's `record_property`). A run that failed is kept too; its exit code is pytest's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from bench.run import HERE, RESULTS

TIMEOUT_SECONDS = 3600


def rows(report: Path) -> Iterator[str]:
    """A row of Markdown for each test of a report of pytest's (JUnit's form)."""
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = next(
            (one for one in ("failure", "error", "skipped") if case.find(one) is not None), "held"
        )
        figures = [f"{one.get('value')} {one.get('name')}" for one in case.iter("property")]
        if (skipped := case.find("skipped")) is not None:
            figures.append(skipped.get("message", ""))
        name = case.get("name", "").removeprefix("test_").replace("_", " ")
        yield f"| {name} | {outcome} | {float(case.get('time', 0)):.0f} | {', '.join(figures)} |"


def heading() -> list[str]:
    """What the section is about."""
    asked = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, cwd=HERE, capture_output=True, text=True).stdout.strip()
    return [
        f"## {time.strftime('%Y-%m-%d %H:%M')}, nightly, commit {commit or 'unknown'}",
        "",
        "| test | | s | |",
        "|---|---|---:|---|",
    ]


def main(argv: list[str]) -> int:
    """Run the nightly tests and add a section to the results."""
    with tempfile.TemporaryDirectory(prefix="regild-nightly-") as folder:
        report = Path(folder) / "report.xml"
        line = [sys.executable, "-m", "pytest", "-m", "nightly", "--timeout", str(TIMEOUT_SECONDS)]
        # The newer form of the report has no place for a test's own figures.
        line += ["-o", "junit_family=xunit1"]
        code = subprocess.run([*line, f"--junitxml={report}", *argv], cwd=HERE.parent).returncode
        lines = [*heading(), *rows(report), ""]
    with RESULTS.open("a") as file:
        file.write("\n" + "\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
