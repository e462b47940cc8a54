"""Targets by the scheme of their address.

Third parties add targets through entry points of the group `regild.targets`: a name that is the
address's scheme, and a function from an address to a target.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from regild.errors import UsageError
from regild.publish.target import Target

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "regild.targets"


def open_target(address: str) -> Target:
    """The target of an address.

    Raises: UsageError, naming the schemes that there are; LibraryMissing, ToolMissing; for a
    storage pool, which is asked at once, also Unreachable, MissingFile and NotPermitted.
    """
    scheme, sign, _ = address.partition("://")
    makers = _foreign() | TARGETS
    if not sign:
        scheme, address = "file", str(Path(address).absolute())
    if scheme not in makers:
        known = ", ".join(f"{one}://" for one in sorted(makers))
        raise UsageError(what=f"{scheme}:// is no target: there are a folder, {known}")
    return makers[scheme](address)


def _shelf(address: str) -> Target:
    from regild.host.shelf import open_shelf
    from regild.publish.shelf_target import ShelfTarget

    return ShelfTarget(open_shelf(address, links=False))


def _glance(address: str) -> Target:
    from regild.publish.glance_target import GlanceTarget

    return GlanceTarget(address)


def _pool(address: str) -> Target:
    from regild.publish.pool_target import PoolTarget

    return PoolTarget(address)


def _registry(address: str) -> Target:
    from regild.publish.oci_target import RegistryTarget

    return RegistryTarget(address)


def _container_disk(address: str) -> Target:
    from regild.publish.container_disk import ContainerDiskTarget

    return ContainerDiskTarget(address)


def _exec(address: str) -> Target:
    from regild.publish.exec_target import ExecTarget

    return ExecTarget(address)


TARGETS: dict[str, Callable[[str], Target]] = {
    "exec": _exec,
    "file": _shelf,
    "s3": _shelf,
    "oci": _registry,
    "oci+http": _registry,
    "containerdisk": _container_disk,
    "containerdisk+http": _container_disk,
    "glance": _glance,
    "glance+http": _glance,
    "libvirt": _pool,
    "libvirt+ssh": _pool,
    "libvirt+tls": _pool,
}
"""Targets by the scheme of their address."""


def _foreign() -> dict[str, Callable[[str], Target]]:
    """Targets that other distributions bring; regild's own schemes stay its own."""
    from importlib.metadata import entry_points

    return {one.name: _loader(one) for one in entry_points(group=ENTRY_POINTS)}


def _loader(entry: EntryPoint) -> Callable[[str], Target]:
    """What makes a target of a third party.

    Raises: UsageError where it cannot be loaded.
    """

    def make(address: str) -> Target:
        """Load the target at its first use."""
        try:
            made: Callable[[str], Target] = entry.load()
        except (ImportError, AttributeError) as error:
            what = f"{entry.name}:// is a target of {entry.value}, which cannot be loaded: {error}"
            raise UsageError(what=what) from error
        return made(address)

    return make
