"""Where generations are pushed to, and taken from: the protocol, the table, and what travels.

Third parties add targets through entry points of the group `regild.targets`: a name that is the
address's scheme, and a function from an address to a target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from regild.errors import UsageError
from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.generation import GenerationForm
from regild.model.progress import Progress

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "regild.targets"


class ParcelFile(Value, frozen=True):
    """One file that travels."""

    name: str
    digest: Digest
    bytes: int
    media_type: str = "application/octet-stream"


class Label(Value, frozen=True):
    """What stands on a parcel: which generation it is, and of which files it is made."""

    image: str
    number: int
    digest: Digest
    form: GenerationForm
    files: tuple[ParcelFile, ...]
    parent: str = ""
    created: str = ""
    arch: str = "amd64"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A generation on its way: its label, and its files where they lie on this machine."""

    label: Label
    paths: Mapping[str, Path]
    """By the names of the files."""
    disk: Callable[[str], Path]
    """Its boot disk as `qcow2` or `raw`, made when it is asked for."""
    referrers: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    """What is said about it, by kind: a media type and bytes. Kinds: content, bom, receipt."""


class Pushed(Value, frozen=True):
    """Where a parcel is now."""

    where: str
    digest: Digest | None = None
    """What the target itself names it by, where it does."""
    sent_bytes: int = 0
    """What had to be sent; less than its size where the target had some of it."""
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A place that keeps generations for others to use."""

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Put a generation there, whole or not at all; again after an interruption goes on.

        Raises: PublishError, NotPermitted, Unreachable, DigestMismatch.
        """

    def names(self) -> tuple[str, ...]:
        """What is there and can be taken, such as `web@3` or a tag."""

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Bring what is there under a name into a folder, every byte proven by its digest where
        the target knows one; the first file is the image.

        Raises: MissingFile, DigestMismatch, NotPermitted, Unreachable, PublishError.
        """


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


def marks_of(target: Target) -> Mapping[str, str]:
    """What is at a target, each with what differs once it has changed; where a target of a third
    party has no `marks`, what it names never changes.

    Raises: what the target raises.
    """
    asked: Callable[[], Mapping[str, str]] | None = getattr(target, "marks", None)
    return asked() if asked is not None else {name: name for name in target.names()}


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
        try:
            made: Callable[[str], Target] = entry.load()
        except (ImportError, AttributeError) as error:
            what = f"{entry.name}:// is a target of {entry.value}, which cannot be loaded: {error}"
            raise UsageError(what=what) from error
        return made(address)

    return make
