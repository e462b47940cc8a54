"""Distributions of others, as if pip had installed them."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(
    folder: Path, module: str, source: str, entries: str, patch: pytest.MonkeyPatch
) -> None:
    """One of one module, with entry points, on the path for the length of a test."""
    told = folder / f"{module}-1.dist-info"
    told.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (told / "entry_points.txt").write_text(entries)
    patch.syspath_prepend(folder)
