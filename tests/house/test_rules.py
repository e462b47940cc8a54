"""The rules of the house hold, and each of them would notice if they did not."""

from pathlib import Path

import pytest

from tests.house import rules

ROOT = Path(__file__).resolve().parents[2]

BODY = 'def f():\n    """Do."""\n'
PLANTED = {
    rules.long_files: ("plan/steps.py", '"""Steps."""\n' + "A = 1\n" * 400),
    rules.long_functions: (
        "plan/steps.py",
        '"""Steps."""\n' + BODY + "    a = 1\n" * 59,
    ),
    rules.machine_outside_host: (
        "plan/steps.py",
        '"""Steps."""\nfrom urllib.request import urlopen\n',
    ),
    rules.doors_with_logic: ("plan/__init__.py", '"""Plans."""\nif 1:\n    A = 2\n'),
    rules.empty_names: ("plan/file_utils.py", '"""Files."""\n'),
    rules.unfinished_sentences: ("plan/steps.py", '"""Steps."""\ndef f():\n    """todo"""\n'),
    rules.stubs: (
        "plan/steps.py",
        '"""Steps."""\n' + BODY + "    raise NotImplementedError\n",
    ),
    rules.foreign_errors: (
        "plan/steps.py",
        '"""Steps."""\n' + BODY + '    raise ValueError("no")\n',
    ),
    rules.swallowed_errors: (
        "plan/steps.py",
        '"""Steps."""\ntry:\n    A = 1\nexcept Exception:\n    pass\n',
    ),
    rules.unexplained_ignores: ("plan/steps.py", '"""Steps."""\nA = f()  # type: ignore[misc]\n'),
    rules.unlayered_rooms: ("attic/__init__.py", '"""What nobody placed."""\n'),
}
"""For each rule a file that breaks it and no other rule."""


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: rules.Rule) -> None:
    assert rule(ROOT) == []


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_planted_violation_is_noticed_by(rule: rules.Rule, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in ("regild", "regild/plan"):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "__init__.py").write_text('"""A door."""\n')
    assert rule(tmp_path) == []
    name, text = PLANTED[rule]
    target = tmp_path / "src/regild" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    assert [other.__name__ for other in rules.RULES if other(tmp_path)] == [rule.__name__]


def test_starting_a_process_without_the_runner_is_noticed(tmp_path: Path) -> None:
    target = tmp_path / "src/regild/plan/steps.py"
    target.parent.mkdir(parents=True)
    target.write_text('"""Steps."""\nimport os\nos.system("true")\n')
    assert rules.machine_outside_host(tmp_path)
