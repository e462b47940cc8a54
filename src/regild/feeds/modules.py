"""The modules of an rpm repository: which packages belong to which stream (modulemd 1 and 2,
modulemd-defaults 1, as fedora-modularity/libmodulemd documents them)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from regild.errors import Malformed, TooLarge
from regild.feeds.kept import keep_made
from regild.host.files import read_limited
from regild.model.release import ModuleBuild, ModuleDefault, Modules

MODULES_SUFFIX = ".modules.yaml"
KEPT_SUFFIX = ".modules"
DOCUMENTS_LIMIT = 20_000
ARTIFACTS_LIMIT = 100_000
MODULES_LIMIT = 64 << 20

_REPEATED = tuple(re.compile(rb"(?:\A|[\s\[{,:])" + mark + rb"[\w-]") for mark in (rb"&", rb"\*"))
"""What an anchor and an alias of YAML look like; a description may hold either too."""


def read_modules(content: bytes, where: str) -> Modules:
    """Every build of a module, and which streams are meant where none is enabled.

    Raises: Malformed, TooLarge.
    """
    builds: list[ModuleBuild] = []
    defaults: list[ModuleDefault] = []
    for document in _documents(content, where):
        told = document.get("data")
        if not isinstance(told, dict):
            continue
        if document.get("document") in ("modulemd", "modulemd-stream"):
            if told.get("name") is not None:
                builds.append(_build(told, where))
        elif document.get("document") == "modulemd-defaults":
            name, stream = _text(told.get("module")), _text(told.get("stream"))
            if name and stream:
                defaults.append(ModuleDefault(name, stream))
    return Modules(tuple(builds), tuple(defaults))


_MODULES = msgspec.msgpack.Decoder(Modules)
"""Made here and not by the threads that use it: see `feeds.seen`."""


def keep_modules(path: Path, kept: Path, where: str) -> Modules:
    """The modules of a verified file of the cache, read once and kept beside it.

    Raises: Malformed, TooLarge.
    """
    return keep_made(
        kept,
        _MODULES.decode,
        lambda: read_modules(read_limited(path, MODULES_LIMIT), where),
    )


def _documents(content: bytes, where: str) -> Iterator[dict[Any, Any]]:
    import yaml

    _check_plain(content, where)
    # The fast loader where PyYAML has it; both make plain values only.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for count, document in enumerate(yaml.load_all(content, Loader=loader)):
            if count >= DOCUMENTS_LIMIT:
                raise TooLarge(where=where, why=f"it holds more than {DOCUMENTS_LIMIT} documents")
            if isinstance(document, dict):
                yield document
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Malformed(where=where, why=f"it is no YAML: {str(error)[:200]}") from error


def _check_plain(content: bytes, where: str) -> None:
    """Refuse YAML that names a part of itself again: a few lines could then stand for gigabytes.

    Raises: Malformed.
    """
    import yaml

    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Malformed(where=where, why="it is not UTF-8")
    if not all(mark.search(content) for mark in _REPEATED):
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(content, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise Malformed(where=where, why="its YAML repeats parts of itself by name")
    except yaml.YAMLError as error:
        raise Malformed(where=where, why=f"it is no YAML: {str(error)[:200]}") from error


def _build(told: dict[Any, Any], where: str) -> ModuleBuild:
    artifacts = told.get("artifacts")
    rpms = artifacts.get("rpms", []) if isinstance(artifacts, dict) else []
    if not isinstance(rpms, list) or len(rpms) > ARTIFACTS_LIMIT:
        raise Malformed(where=where, why="the artifacts of a module are no list")
    version = _text(told.get("version"))
    return ModuleBuild(
        name=_text(told.get("name")),
        stream=_text(told.get("stream")),
        version=int(version) if version.isdecimal() and len(version) < 19 else 0,
        context=_text(told.get("context")),
        packages=tuple(text for one in rpms if (text := _text(one))),
        requires=tuple(_requires(told.get("dependencies"))),
    )


def _requires(told: Any) -> Iterator[tuple[tuple[str, tuple[str, ...]], ...]]:
    """Each alternative set of modules that a build needs, with the streams that will do."""
    alternatives = told if isinstance(told, list) else [told]
    for one in alternatives[:100]:
        needs = one.get("requires") if isinstance(one, dict) else None
        if isinstance(needs, dict):
            yield tuple(
                (_text(name), tuple(map(_text, _listed(streams))))
                for name, streams in needs.items()
            )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: Any) -> str:
    """A scalar as text: YAML takes the stream 1.10 for a number where it is not quoted."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)
    return text if len(text) <= 500 and text.isprintable() else ""
