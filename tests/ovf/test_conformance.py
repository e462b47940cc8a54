"""The conformance kit: regild and the second reader say of every package what the kit expects."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from regild.agent.reading.conformance import try_kit
from regild.cli.front import run
from regild.errors import Malformed
from regild.model.progress import Silent
from tests.cli.schemas import valid

SPEC = Path(__file__).parents[2] / "docs/spec"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    assert loaded(SPEC / "conformance/make_kit.py").make_kit(folder) >= 38
    return folder


def test_regild_judges_each_package_as_expected(kit: Path) -> None:
    answer = try_kit(kit, Silent())
    assert [one for one in answer.cases if one.expected != one.observed] == []
    assert answer.failed == 0
    said = {state for one in answer.cases for state in one.observed.values()}
    everything = "absent claimed equivalent verified stale detached tampered refused"
    assert said == set(everything.split())


def test_the_second_reader_agrees(kit: Path) -> None:
    reader = loaded(SPEC / "reader/read_descriptor.py")
    for case in valid("kit", json.loads((kit / "kit.json").read_text()))["cases"]:
        path = kit / case["file"]
        try:
            found = reader.read_file(
                str(path.with_suffix(".ovf") if path.suffix == ".img" else path)
            )
            said = "read" if found else "absent"
        except reader.Refused:
            said = "refused"
        assert said == case["descriptor"], case["file"]


def test_the_command_says_what_is_otherwise(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["conformance", str(kit)]) == 0
    labels = json.loads((kit / "kit.json").read_text())
    labels["cases"] = [one for one in labels["cases"] if one["file"] == "plain.ova"]
    labels["cases"][0]["states"] = {"vm": "verified"}
    (tmp_path / "kit.json").write_text(json.dumps(labels))
    shutil.copy(kit / "plain.ova", tmp_path)
    assert run(["conformance", str(tmp_path)]) == 12
    assert "0 of 1 as expected" in capsys.readouterr().out
    assert run(["conformance", str(tmp_path), "--json"]) == 12
    assert valid("conformance", json.loads(capsys.readouterr().out))["failed"] == 1
    labels["cases"][0]["file"] = "../plain.ova"
    (tmp_path / "kit.json").write_text(json.dumps(labels))
    with pytest.raises(Malformed):
        try_kit(tmp_path, Silent())
    assert run(["conformance", str(tmp_path / "none")]) == 4
