"""An emulated machine for libguestfs, made before anything is measured.

Its kernel is the appliance's own, because not every machine has one in /boot.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.measure import measure
from bench.workshop import Workshop


def made(shop: Workshop, bounded: Sequence[str] = ()) -> dict[str, str]:
    """Make the machine that libguestfs boots; the settings with which its tools find it.

    Raises: Failed, also when `bounded`, the begin of a command line, ends it.
    """
    env = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    making = {"LIBGUESTFS_CACHEDIR": str(shop.fresh("appliance")), **_kernel(shop)}
    with _modules_folder():
        line: list[str | Path] = [*bounded, "libguestfs-make-fixed-appliance", shop.fresh("fixed")]
        measure(line, shop.log, {**env, **making})
    return {**env, **making, "LIBGUESTFS_PATH": str(shop.folder / "fixed")}


@contextlib.contextmanager
def _modules_folder() -> Iterator[None]:
    """This machine's own folder of modules, whose owner and mode supermin copies; gone after."""
    folder = Path("/lib/modules")
    try:
        folder.mkdir()
    except FileExistsError:
        yield
        return
    try:
        yield
    finally:
        folder.rmdir()


def _kernel(shop: Workshop) -> dict[str, str]:
    """A kernel and its modules, as regild copies them out of the appliance."""
    folder = shop.fresh("kernel")
    boot = json.loads(shop.regild("ls", shop.ova, "/boot", "--json").output)
    names = (entry["name"] for entry in boot["entries"])
    kernel = max(name for name in names if name.startswith("vmlinuz-"))
    modules = folder / kernel.removeprefix("vmlinuz-")
    shop.regild("cp", shop.ova, f"/boot/{kernel}", folder / "vmlinuz")
    shop.regild("cp", shop.ova, f"/lib/modules/{modules.name}", modules, codes=(0, 3))
    return {"SUPERMIN_KERNEL": str(folder / "vmlinuz"), "SUPERMIN_MODULES": str(modules)}
