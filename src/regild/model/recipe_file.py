"""A recipe's file: TOML, every setting of which is known, with the line where it is wrong.

[recipe]
name = "acme-agent"
[detect]
file = "/opt/acme/VERSION"
pattern = 'agent ([0-9.]+)'
[[available.releases]]
version = "2.1.0"
files = [{ name = "acme.tar.gz", uri = "acme-2.1.0.tar.gz", sha256 = "...", bytes = 48213 }]
[update]
changes = ["/opt/acme"]
commands = ['tar -xzf "$REGILD_FILES/acme.tar.gz" -C /opt/acme']
[test]
commands = ["/opt/acme/bin/agent --version"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from regild.errors import Malformed, RecipeRefused
from regild.model.digest import Digest, sha256_of
from regild.model.plan import Archive
from regild.model.recipe import (
    ApplicationRelease,
    Command,
    Detect,
    Index,
    NpmPart,
    Origin,
    PipPart,
    Recipe,
    RecipeFault,
)
from regild.model.recipe_rules import rule_faults
from regild.model.recipe_tables import (
    AvailableTable,
    CommandText,
    DetectTable,
    FileTable,
    NpmTable,
    PipTable,
    RecipeTables,
    ReleaseTable,
)
from regild.model.toml_lines import line_of, read_toml

SUFFIX = ".recipe.toml"
FILE_BYTES_MAX = 1 << 20
FAULTS_TOLD = 100
"""So many are looked up by line, which takes a look at the whole file for each."""


def read_recipe(
    content: bytes, where: str, origin: Origin, folder: str, texts: dict[str, str] | None = None
) -> Recipe:
    """A recipe as its file says; `texts` are the files that it names beside itself and that count
    as part of it, by name (`named_texts`).

    Raises: RecipeRefused with the first line that is wrong, and why.
    """
    tables, faults = _parsed(content)
    if tables is None or faults:
        first = min(faults, key=_by_line)
        place = f"{where}, line {first.line}" if first.line else where
        raise RecipeRefused(where=place, why=f"{first.setting} {first.why}".strip())
    given = texts or {}
    for name in _named(tables):
        if name not in given:
            raise RecipeRefused(where=where, why=f"{name}, which it names, is not beside it")
    digest = sha256_of(content + b"".join(given[name].encode() for name in _named(tables)))
    return _recipe(tables, digest, origin, folder, given)


def check_recipe(content: bytes) -> tuple[RecipeFault, ...]:
    """Everything that is wrong in a recipe's file, by line; nothing where it can be used."""
    return tuple(sorted(_parsed(content)[1], key=_by_line))


def named_texts(content: bytes) -> tuple[str, ...]:
    """The names of the files beside a recipe that are part of it: keys and locks."""
    tables, _ = _parsed(content)
    return _named(tables) if tables is not None else ()


def _by_line(fault: RecipeFault) -> tuple[int, str, str]:
    return fault.line, fault.setting, fault.why


def _named(tables: RecipeTables) -> tuple[str, ...]:
    names = (
        tables.available.key if tables.available else "",
        tables.npm.lock if tables.npm else "",
    )
    return tuple(name for name in names if name)


def _parsed(content: bytes) -> tuple[RecipeTables | None, list[RecipeFault]]:
    """The tables of a file, as far as they can be read, and what is wrong with them."""
    try:
        text = content.decode()
        told = read_toml(text, "it")
    except (Malformed, UnicodeDecodeError) as error:
        why = error.why if isinstance(error, Malformed) else str(error)
        line = re.search(r"line (\d+)", why)
        return None, [RecipeFault(int(line[1]) if line else 0, "", f"is no TOML: {why}")]
    kinds = {field.name: field.type for field in msgspec.structs.fields(RecipeTables)}
    faults = [
        RecipeFault(
            line_of(text, name, ""), f"[{name}]", f"is no table; there are {', '.join(kinds)}"
        )
        for name in islice((one for one in told if one not in kinds), FAULTS_TOLD)
    ]
    if "recipe" not in told:
        faults.append(RecipeFault(1, "[recipe]", "is missing"))
    read: dict[str, Any] = {}
    for name, kind in kinds.items():
        if name in told:
            value = _table(text, name, told[name], kind, faults)
            if value is not None:
                read[name] = value
    if faults:
        return None, faults
    tables = RecipeTables(**read)
    for table, setting, why, nth in islice(rule_faults(tables), FAULTS_TOLD):
        faults.append(
            RecipeFault(line_of(text, table, setting, nth), f"[{table}] {setting}".strip(), why)
        )
    return tables, faults


def _table(text: str, name: str, told: Any, kind: Any, faults: list[RecipeFault]) -> Any:
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as error:
        # msgspec says "... field `size`" of a name, and "... - at `$.size`" of a value.
        said = str(error)
        found = re.search(r"field `([a-z0-9_]+)`|`\$(?:[^`]*\.)?([a-z0-9_]+)", said)
        inner = re.search(r"`\$\.releases\[(\d+)\]", said)
        table, nth = ("available.releases", int(inner[1])) if inner else (name, 0)
        setting = next(filter(None, found.groups()), "") if found else ""
        line = line_of(text, table, setting, nth) or line_of(text, name, "")
        why = f"{said[:1].lower()}{said[1:]}".partition(" - at")[0]
        faults.append(RecipeFault(line, f"[{table}] {setting}".strip(), why))
        return None


def _recipe(
    tables: RecipeTables, digest: Digest, origin: Origin, folder: str, texts: dict[str, str]
) -> Recipe:
    offered = tables.available or AvailableTable()
    return Recipe(
        name=tables.recipe.name,
        digest=digest,
        origin=origin,
        folder=folder,
        detect=_detect(tables.detect) if tables.detect else None,
        order=offered.order,
        releases=tuple(_release(one) for one in offered.releases),
        index=_index(offered, texts) if offered.index else None,
        commands=tuple(_commands(tables.update.commands)) if tables.update else (),
        changes=tuple(one.rstrip("/") for one in tables.update.changes) if tables.update else (),
        tests=tuple(_commands(tables.test.commands)) if tables.test else (),
        files=_files(tables.update.files) if tables.update else (),
        packages=tables.update.packages if tables.update else False,
        pip=_pip(tables.pip) if tables.pip else None,
        npm=_npm(tables.npm, texts) if tables.npm else None,
    )


def _detect(table: DetectTable) -> Detect:
    way = tuple(table.json.split(".")) if table.json else ()
    return Detect(table.file, table.pattern, way, table.name)


def _release(table: ReleaseTable) -> ApplicationRelease:
    files = _files(table.files)
    return ApplicationRelease(table.version, files, table.security, tuple(table.fixes))


def _files(told: list[FileTable]) -> tuple[Archive, ...]:
    return tuple(
        Archive(one.uri, one.name, Digest(f"sha256:{one.sha256}"), one.bytes) for one in told
    )


def _index(table: AvailableTable, texts: dict[str, str]) -> Index:
    digest = Digest(f"sha256:{table.sha256}") if table.sha256 else None
    return Index(table.index, digest, texts[table.key] if table.key else "")


def _commands(told: list[CommandText]) -> Iterator[Command]:
    """A text is for the shell, which ends at the first command that fails; a list is run as is."""
    for one in told:
        yield ("sh", "-ec", one) if isinstance(one, str) else tuple(one)


def _pip(table: PipTable) -> PipPart:
    lists = tuple(table.packages), tuple(table.constraints)
    return PipPart(table.environment.rstrip("/"), *lists, table.index)


def _npm(table: NpmTable, texts: dict[str, str]) -> NpmPart:
    return NpmPart(table.folder.rstrip("/"), texts[table.lock], table.tarballs)
