"""The walk ends, whatever a damaged filesystem shows."""

from __future__ import annotations

import pytest

from regild.describe import walk as room
from regild.describe.evidence import Evidence
from regild.describe.walk import walk
from regild.image.tree import NodeKind
from regild.model.content import Unknown
from tests.describe.guests import debian


def test_folders_that_hold_one_another_are_an_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(_evidence: Evidence, _path: str) -> tuple[tuple[str, NodeKind], ...]:
        return tuple((f"n{number}", "directory") for number in range(1000))

    monkeypatch.setattr(Evidence, "entries", entries)
    monkeypatch.setattr(room, "NAMES_MAX", 5000)
    unknowns: list[Unknown] = []
    folders = list(walk(Evidence(debian({})), (), unknowns))
    assert len(folders) <= 6
    assert "5000 names" in unknowns[0].why
