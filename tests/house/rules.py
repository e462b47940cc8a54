"""The rules of the house as functions: each takes the root of a tree and returns what breaks it.

Nothing is imported from the tree that is judged, so a rule can be tried on a planted one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
TOUCHES_MACHINE = {"subprocess", "socket", "urllib", "httpx", "ctypes"}
PURE_PARTS = {"urllib.parse"}
"""Takes text apart and opens nothing, in spite of the package that it lives in."""
STARTS_PROCESSES = re.compile(r"^(system|popen|fork|forkpty|posix_spawnp?|exec[lv]p?e?|spawn\w+)$")
EMPTY_WORDS = {
    *("abstract", "base", "common", "core", "data", "handler", "helper", "helpers"),
    *("impl", "info", "manager", "misc", "util", "utils"),
}
FOREIGN_ERRORS = {"BaseException", "Exception", "RuntimeError", "ValueError"}

Rule = Callable[[Path], list[str]]


def long_files(root: Path) -> list[str]:
    """When a file wants more than 400 lines, a second noun has moved in."""
    counted = [(path, text.count("\n")) for path, text, _ in _modules(root)]
    return [f"{path}: {lines} lines" for path, lines in counted if lines > FILE_LINES]


def long_functions(root: Path) -> list[str]:
    """No function over 60 lines."""
    return [
        f"{path}:{node.lineno} {node.name}: {_lines(node)} lines"
        for path, _, tree in _modules(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines(node) > FUNCTION_LINES
    ]


def machine_outside_host(root: Path) -> list[str]:
    """Only host/ imports what touches this machine or starts a process."""
    found = []
    for path, _, tree in _modules(root):
        if path.startswith("src/regild/host/"):
            continue
        for node in ast.walk(tree):
            names = _imported(node) - PURE_PARTS
            found += [
                f"{path}:{_line(node)} {name}"
                for name in sorted(names)
                if name.split(".")[0] in TOUCHES_MACHINE
            ]
            if _starts_process(node):
                found.append(f"{path}:{_line(node)} os.{ast.unparse(node)}")
    return found


def doors_with_logic(root: Path) -> list[str]:
    """A package's __init__ is a door: docstring, names, `__all__`."""
    found = []
    for path, _, tree in _modules(root):
        if not path.endswith("/__init__.py"):
            continue
        if not ast.get_docstring(tree):
            found.append(f"{path}: no docstring")
        found += [f"{path}:{node.lineno}" for node in tree.body[1:] if not _belongs_to_door(node)]
    return found


def empty_names(root: Path) -> list[str]:
    """Names that say nothing: util, helper, manager and their like."""
    found = []
    for path, _, tree in _modules(root):
        stem = Path(path).parent.name if path.endswith("__init__.py") else Path(path).stem
        found += [f"{path}: {stem}"] if _words(stem) & EMPTY_WORDS else []
        found += [
            f"{path}:{node.lineno} {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
            and not node.name.startswith("_")
            and _words(node.name) & EMPTY_WORDS
        ]
    return found


def unfinished_sentences(root: Path) -> list[str]:
    """Every module, public class and public function begins with a sentence for its reader."""
    found = []
    for path, _, tree in _modules(root):
        for node in [tree, *_public(tree)]:
            text = ast.get_docstring(node) or ""
            opening = " ".join(text.split("\n\n")[0].split())
            if not opening.endswith((".", "?", ":", "!")):
                found.append(f"{path}:{_line(node)} {getattr(node, 'name', 'module')}: {opening!r}")
    return found


def stubs(root: Path) -> list[str]:
    """Nothing is a stub."""
    return [
        f"{path}:{node.lineno}"
        for path, _, tree in _modules(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and "NotImplemented" in ast.unparse(node)
    ]


def foreign_errors(root: Path) -> list[str]:
    """What leaves a module as an error is drawn in errors/; what it catches itself may be any."""
    found = []
    for path, _, tree in _modules(root):
        nodes = list(ast.walk(tree))
        caught = {
            _name_of(one.type) for one in nodes if isinstance(one, ast.ExceptHandler) and one.type
        }
        found += [
            f"{path}:{node.lineno} {ast.unparse(node)}"
            for node in nodes
            if isinstance(node, ast.Raise) and node.exc is not None
            if _name_of(node.exc) in FOREIGN_ERRORS - caught
        ]
    return found


def swallowed_errors(root: Path) -> list[str]:
    """No `except:` and no `except Exception` that goes on as if nothing had been."""
    return [
        f"{path}:{node.lineno}"
        for path, _, tree in _modules(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or _name_of(node.type) in ("Exception", "BaseException"))
        and not any(_answers_for(inner, node.name) for inner in ast.walk(node))
    ]


def unexplained_ignores(root: Path) -> list[str]:
    """No check is switched off without a reason beside it."""
    bare = re.compile(r"#\s*(type:\s*ignore(\[[^\]]*\])?|noqa(:\s*[A-Z]+\d+(\s*,\s*[A-Z]+\d+)*)?)")
    found = []
    for path, text, _ in _modules(root):
        for number, line in enumerate(text.splitlines(), 1):
            match = bare.search(line)
            reason = re.sub(r"^[\s#:-]+", "", line[match.end() :]) if match else ""
            if match and not reason:
                found.append(f"{path}:{number} {line.strip()}")
    return found


def unlayered_rooms(root: Path) -> list[str]:
    """Every room has its floor in the import contract."""
    contract = (root / "pyproject.toml").read_text()
    rooms = [path for path in (root / "src/regild").iterdir() if (path / "__init__.py").is_file()]
    return [room.name for room in rooms if not re.search(rf"regild\.{room.name}\b", contract)]


RULES: tuple[Rule, ...] = (
    long_files,
    long_functions,
    machine_outside_host,
    doors_with_logic,
    empty_names,
    unfinished_sentences,
    stubs,
    foreign_errors,
    swallowed_errors,
    unexplained_ignores,
    unlayered_rooms,
)


def _modules(root: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Every module of the project proper: path from the root, text, syntax tree."""
    for path in sorted((root / "src").rglob("*.py")):
        text = path.read_text()
        yield path.relative_to(root).as_posix(), text, ast.parse(text)


def _public(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 1)


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module}
    return set()


def _starts_process(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and bool(STARTS_PROCESSES.match(node.attr))
    )


def _belongs_to_door(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    return isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id in ("__all__", "__version__")
        for target in node.targets
    )


def _answers_for(node: ast.AST, name: str | None) -> bool:
    """Whether a part of a handler raises, returns, or makes something of the error."""
    made_of_it = isinstance(node, ast.Name) and node.id == name
    return made_of_it or isinstance(node, ast.Raise | ast.Return)


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)}


def _name_of(node: ast.expr) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    return target.id if isinstance(target, ast.Name) else ""
