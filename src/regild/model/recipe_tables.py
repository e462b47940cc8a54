"""The tables of a recipe's file, as they stand in it."""

from __future__ import annotations

import msgspec

from regild.model.recipe import Order

CommandText = str | list[str]


class NamedTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[recipe]`: what the application is called."""

    name: str = ""


class DetectTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[detect]`: where its version stands in a guest."""

    file: str
    pattern: str = ""
    json: str = ""
    name: str = ""


class FileTable(msgspec.Struct, forbid_unknown_fields=True):
    """A file of a release, by its digest."""

    name: str
    uri: str
    sha256: str
    bytes: int


class ReleaseTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[[available.releases]]`: one that can be had."""

    version: str
    files: list[FileTable] = msgspec.field(default_factory=list)
    security: bool = False
    fixes: list[str] = msgspec.field(default_factory=list)


class AvailableTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[available]`: the releases, here or in a list elsewhere."""

    order: Order = "deb"
    releases: list[ReleaseTable] = msgspec.field(default_factory=list)
    index: str = ""
    sha256: str = ""
    key: str = ""


class UpdateTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[update]`: what brings a guest to another release."""

    commands: list[CommandText]
    changes: list[str] = msgspec.field(default_factory=list)
    files: list[FileTable] = msgspec.field(default_factory=list)
    packages: bool = False


class TestTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[test]`: what tells that it works."""

    commands: list[CommandText]


class PipTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[pip]`: a Python environment and where its packages come from."""

    environment: str
    index: str
    packages: list[str] = msgspec.field(default_factory=list)
    constraints: list[str] = msgspec.field(default_factory=list)


class NpmTable(msgspec.Struct, forbid_unknown_fields=True):
    """`[npm]`: a folder of Node's and the lock that says what belongs into it."""

    folder: str
    lock: str
    tarballs: str = ""


class RecipeTables(msgspec.Struct, forbid_unknown_fields=True):
    """A recipe's file as it stands; its JSON Schema is published."""

    recipe: NamedTable
    detect: DetectTable | None = None
    available: AvailableTable | None = None
    update: UpdateTable | None = None
    test: TestTable | None = None
    pip: PipTable | None = None
    npm: NpmTable | None = None
