"""The scratch folder in which everything is measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.measure import BY_HAND, Cost, measure
from demo.build import find_appliance

REGILD = Path(sys.executable).with_name("regild")


class Workshop:
    """A scratch folder with the appliance, and what several measurements share."""

    program = REGILD

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.ova = folder / "demo.ova"
        shutil.copyfile(find_appliance("demo"), self.ova)
        self.log = folder / "log"
        self.updated = folder / "root" / "updated.ova"

    def regild(self, *argv: str | Path, codes: tuple[int, ...] = (0,)) -> Cost:
        return measure([REGILD, *argv], self.log, codes=codes)

    def by_hand(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> Cost:
        return measure([BY_HAND, *argv], self.log, env)

    def fresh(self, name: str) -> Path:
        """An empty folder of this name; what was in it is gone."""
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return target

    def update(self, prefix: tuple[str, ...] = (), home: str = "root") -> Cost:
        """One whole update; with `prefix`, as somebody else who owns the folder `home`."""
        output = self.folder / home / "updated.ova"
        output.parent.mkdir(exist_ok=True)
        for old in output.parent.glob("updated*"):
            old.unlink()
        env = {"HOME": str(output.parent), "XDG_CACHE_HOME": str(output.parent / "cache")}
        return measure([*prefix, REGILD, "update", self.ova, "-o", output], self.log, env)
