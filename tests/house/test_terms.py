"""The words of docs/terms.md: one meaning each, in order, and names in the code keep to them."""

import ast
import re
from pathlib import Path

from tests.house.test_errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = {"0", "10", "11", "12"}
"""Exit codes that are no error."""


def terms(root: Path) -> list[tuple[list[str], list[str]]]:
    """Each row's words, and the words that names must not use instead."""
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ?([^|]*)\|$", text_of(root), re.MULTILINE)
    return [
        (words.split(", "), instead.strip().split(", ") if instead.strip() else [])
        for words, instead in rows
        if words not in ("word", "---")
    ]


def text_of(root: Path) -> str:
    return (root / "docs/terms.md").read_text()


def names_in(root: Path) -> set[str]:
    """Words that modules, classes and functions are named with."""
    found: set[str] = set()
    for path in (root / "src").rglob("*.py"):
        named = [path.stem]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                named.append(node.name)
        for name in named:
            parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
            found |= {part.lower() for part in parts}
    return found


def misnamed(root: Path) -> set[str]:
    return {word for _, instead in terms(root) for word in instead} & names_in(root)


def test_each_word_is_explained_once_and_in_order() -> None:
    words = [row[0] for row, _ in terms(ROOT)]
    assert len(words) > 40
    assert words == sorted(set(words))


def test_names_in_the_code_keep_to_the_words() -> None:
    assert misnamed(ROOT) == set()


def test_a_planted_name_with_another_word_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/terms.md").write_text("| digest | the name of bytes | checksum |\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("def read_checksum(): ...\n")
    assert misnamed(tmp_path) == {"checksum"}


def test_the_words_of_the_model_are_explained() -> None:
    known = {word for row, _ in terms(ROOT) for word in row}
    modules = {path.stem for path in (ROOT / "src/regild/model").glob("*.py")} - {"__init__"}
    plumbing = {"answers", "apk_blocks", "apk_database", "deb822", "json", "progress", "purl"}
    plumbing |= {"rpm_files", "rpm_header", "rpm_tags", "versions"}
    plumbing |= {
        "agent_answers",
        "group_answers",
        "store_answers",
        "cache_answers",
        "npm_lock",
        "toml_lines",
    }
    plumbing |= {"recipe_file", "recipe_rules", "recipe_tables", "uri"}
    assert modules - plumbing <= known


def test_the_guide_lists_every_exit_code() -> None:
    guide = (ROOT / "docs/guide/README.md").read_text()
    listed = re.findall(r"^\| (\d+) \|", guide, re.MULTILINE)
    assert sorted(listed, key=int) == sorted({*map(str, EXIT_CODES.values()), *ANSWERS}, key=int)
