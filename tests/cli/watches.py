"""A place that the agent watches: what is there becomes the next generation of a line, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import Said


def watch(regild: Callable[..., Said], folder: Path, source: str) -> Any:
    """The generation that two turns of the agent take from a source; the second finds nothing."""
    config = folder / "regild.toml"
    config.write_text(f'[agent.images.watched]\nupdate = false\nsource = "{source}"\n')
    regild("image", "add", "watched")
    turn = ["agent", "run", "--once", "--config", config, "--scratch", folder, "--json"]
    first, second = (regild(*turn) for _ in range(2))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert ("imported", "watched") in [(one["what"], one["subject"]) for one in first.json["done"]]
    assert second.json["done"] == []
    return regild("generation", "list", "watched", "--json").json["generations"][-1]
