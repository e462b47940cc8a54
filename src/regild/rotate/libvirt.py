"""The libvirt driver: an instance is a domain whose disk is an overlay above a generation's disk.

    FOLDER/NAME.qcow2          the overlay; the generation's disk below it is never written to
    FOLDER/NAME.seed           what the guest is told of itself, where the group has a seed
    FOLDER/consoles/NAME.log   what the guest said on its console; FOLDER/gone keeps the last ones
    FOLDER/users/OWNER.qcow2   an owner's own disk, which outlives instances

An instance is ended politely (ACPI), and when it does not end in time, by force.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regild.errors import CommandFailed, DriverFailed, RegildError
from regild.host.files import make_passable
from regild.host.kvm import is_kvm_usable
from regild.host.libvirt_library import libvirt_library
from regild.host.probe import accepts_connection, answers_http
from regild.host.run import run
from regild.model.rotation import Group, Seen, StartOrder
from regild.rotate.domain import (
    NAMESPACE,
    PREFIX,
    Places,
    Tag,
    domain_xml,
    options_of,
    read_tag,
)
from regild.rotate.seed import write_seed

BOOTED = "login:"
"""What a console shows when a guest is up, unless the group says otherwise."""
DISK_MODE = 0o600
"""Of disks that only their guest is to read; libvirt gives them to its own user."""
CONSOLE_BYTES = 8 << 20
KEPT_CONSOLES = 50
POLL_SECONDS = 0.25
ASK_SECONDS = 10.0
"""A guest that is still starting hears no power button; it is asked again after so long."""
COMMAND_SECONDS = 30
AGENT_SECONDS = 5


class LibvirtDriver:
    """Domains of one group at one libvirt daemon."""

    def __init__(self, group: Group, place: Path) -> None:
        self._group = group
        self._options = options_of(group)
        self._folder = Path(self._options["folder"] or place / "instances")
        self._api = libvirt_library("to run instances as libvirt domains")
        with self._told(self._options["uri"]):
            self._connection = self._api.open(self._options["uri"])
        for name in ("consoles", "users", "gone"):
            self._made(self._folder / name)

    def close(self) -> None:
        """Leave the daemon."""
        with contextlib.suppress(self._api.libvirtError):
            self._connection.close()

    # --- what there is

    def look(self) -> tuple[Seen, ...]:
        """All domains whose metadata name this group.

        Raises: DriverFailed.
        """
        with self._told(self._options["uri"]):
            domains = self._connection.listAllDomains()
            found = [(one, self._tag(one)) for one in domains]
        mine = [(one, tag) for one, tag in found if tag and tag.group == self._group.name]
        return tuple(self._seen(domain, tag) for domain, tag in mine)

    def _seen(self, domain: Any, tag: Tag) -> Seen:
        with self._told(domain.name()):
            running = bool(domain.isActive())
        return Seen(
            domain.name(),
            tag.generation,
            running=running,
            healthy=self._is_healthy(domain) if running else None,
            draining=tag.draining,
            sessions=self._sessions(domain) if running else 0,
            owner=tag.owner,
        )

    def _tag(self, domain: Any) -> Tag | None:
        try:
            text = domain.metadata(self._api.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
        except self._api.libvirtError as error:
            gone = (self._api.VIR_ERR_NO_DOMAIN_METADATA, self._api.VIR_ERR_NO_DOMAIN)
            if error.get_error_code() in gone:
                return None
            raise
        return read_tag(text)

    # --- health

    def _is_healthy(self, domain: Any) -> bool | None:
        kind, target = self._group.health.kind, self._group.health.target
        if kind == "boot":
            return self._has_said(domain.name(), target or BOOTED)
        if kind == "agent":
            return self._ask_agent(domain, '{"execute":"guest-ping"}') is not None
        if kind == "command":
            return self._command(target, domain.name()) is not None
        if kind in ("port", "http"):
            return self._answers(domain, kind, target)
        return True

    def _has_said(self, name: str, text: str) -> bool:
        try:
            with (self._folder / "consoles" / f"{name}.log").open("rb") as file:
                return text.encode() in file.read(CONSOLE_BYTES)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DriverFailed(where=f"the console of {name}", why=str(error)) from error

    def _answers(self, domain: Any, kind: str, target: str) -> bool:
        found = re.fullmatch(r"(\d{1,5})(/.*)?", target)
        address = self._address(domain)
        if found is None or not address:
            return False
        if kind == "port":
            return accepts_connection(address, int(found[1]))
        return answers_http(f"http://{address}:{found[1]}{found[2] or '/'}")

    def _address(self, domain: Any) -> str:
        """Where an instance can be reached: as the group says, else by libvirt's own leases."""
        if told := self._options["address"]:
            return told.replace("{name}", domain.name())
        source = self._api.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
        try:
            cards = domain.interfaceAddresses(source) or {}
        except self._api.libvirtError:
            return ""
        rows = [row for card in cards.values() for row in card.get("addrs") or ()]
        return str(rows[0]["addr"]) if rows else ""

    def _sessions(self, domain: Any) -> int:
        """How many people use an instance; where that is asked and not answered, one does."""
        if line := self._options["sessions"]:
            said = self._command(line, domain.name())
            return int(said) if said and said.strip().isdigit() else 1
        if self._group.health.kind != "agent" or not self._group.drain.logoff:
            return 0
        said = self._ask_agent(domain, '{"execute":"guest-get-users"}')
        return 1 if said is None else said.count('"user"')

    def _ask_agent(self, domain: Any, question: str) -> str | None:
        import libvirt_qemu

        try:
            return str(libvirt_qemu.qemuAgentCommand(domain, question, AGENT_SECONDS, 0))
        except self._api.libvirtError:
            return None

    def _command(self, line: str, name: str) -> str | None:
        """What a command of the site says of an instance; None where it fails."""
        env = {"REGILD_GROUP": self._group.name, "REGILD_INSTANCE": name}
        with contextlib.suppress(CommandFailed, ValueError):
            finished = run(
                shlex.split(line),
                purpose=f"to ask how {name} is",
                env=env,
                timeout_seconds=COMMAND_SECONDS,
            )
            return finished.stdout.decode(errors="replace")
        return None

    # --- what is done

    def start(self, order: StartOrder) -> None:
        """Make an instance's disk and domain, and start it.

        Raises: DriverFailed.
        """
        domain, _tag = self._own(order.name)
        if domain is None:
            places = self._make_files(order)
            kvm = self._options["accel"] == "kvm" or (
                self._options["accel"] == "auto" and is_kvm_usable()
            )
            xml = domain_xml(self._group, order, places, self._options, kvm)
            with self._told(order.name):
                domain = self._connection.defineXML(xml)
        with self._told(order.name):
            if not domain.isActive():
                self._create(domain)

    def _create(self, domain: Any) -> None:
        """Start a domain; where libvirt's own user may not go to its disk, say what keeps him."""
        try:
            domain.create()
        except self._api.libvirtError as error:
            folder = self._folder.absolute()
            way = (*reversed(folder.parents), folder)
            shut = " ".join(str(one) for one in way if not one.stat().st_mode & 0o001)
            if "Permission denied" not in str(error) or not shut:
                raise
            why = f"{error}; libvirt's own user may have to get through: chmod o+x {shut}"
            raise DriverFailed(where=domain.name(), why=why) from error

    def drain(self, name: str) -> None:
        """Note in a domain's metadata that it gets no new work, and tell the site's command.

        Raises: DriverFailed.
        """
        domain, tag = self._own(name)
        if domain is None or tag is None:
            return
        if self._options["drain"] and self._command(self._options["drain"], name) is None:
            raise DriverFailed(where=name, why="the group's drain command failed")
        changed = Tag(tag.group, tag.generation, tag.digest, tag.owner, draining=True)
        flags = self._api.VIR_DOMAIN_AFFECT_CONFIG
        with self._told(name):
            flags |= self._api.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0
            domain.setMetadata(
                self._api.VIR_DOMAIN_METADATA_ELEMENT, changed.to_xml(), PREFIX, NAMESPACE, flags
            )

    def stop(self, name: str) -> None:
        """End a domain, politely first, and remove what is kept of it.

        Raises: DriverFailed.
        """
        domain, _tag = self._own(name)
        if domain is not None:
            with self._told(name):
                self._end(domain)
                domain.undefineFlags(self._api.VIR_DOMAIN_UNDEFINE_NVRAM)
        self._keep_console(name)
        for ending in ("qcow2", "seed"):
            (self._folder / f"{name}.{ending}").unlink(missing_ok=True)

    def _end(self, domain: Any) -> None:
        """Ask a guest to end, wait, and then pull the plug."""
        if not domain.isActive():
            return
        until, asked = time.monotonic() + int(self._options["shutdown"]), 0.0
        while domain.isActive() and time.monotonic() < until:
            if time.monotonic() - asked >= ASK_SECONDS:
                asked = time.monotonic()
                with contextlib.suppress(self._api.libvirtError):
                    domain.shutdown()
            time.sleep(POLL_SECONDS)
        if domain.isActive():
            # It may end between the question and the order.
            with contextlib.suppress(self._api.libvirtError):
                domain.destroy()

    def _keep_console(self, name: str) -> None:
        """Keep the last instances' consoles: they say why one failed."""
        log, gone = self._folder / "consoles" / f"{name}.log", self._folder / "gone"
        with contextlib.suppress(FileNotFoundError):
            log.rename(gone / log.name)
        kept = sorted(gone.glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-KEPT_CONSOLES]:
            path.unlink(missing_ok=True)

    # --- files

    def _make_files(self, order: StartOrder) -> Places:
        overlay = self._folder / f"{order.name}.qcow2"
        self._make_disk(overlay, ["-b", order.disk, "-F", order.format])
        seed = None
        if self._options["seed"] == "nocloud":
            seed = self._folder / f"{order.name}.seed"
            write_seed(seed, order)
        disk = None
        if order.owner and self._options["user_disk"]:
            disk = self._folder / "users" / f"{order.owner}.qcow2"
            if not disk.exists():
                self._make_disk(disk, [], self._options["user_disk"])
        return Places(overlay, self._folder / "consoles" / f"{order.name}.log", seed, disk)

    def _make_disk(self, path: Path, above: list[str], size: str = "") -> None:
        """Make a qcow2 file under its name when it is whole."""
        aside = path.with_name(f".{path.name}.part")
        line = ["qemu-img", "create", "-q", "-f", "qcow2", *above, str(aside)]
        try:
            run([*line, size] if size else line, purpose="to make an instance's disk")
            aside.chmod(DISK_MODE)
            aside.replace(path)
        except (RegildError, OSError) as error:
            raise DriverFailed(where=str(path), why=str(error)) from error

    def _made(self, folder: Path) -> Path:
        try:
            make_passable(folder)
        except OSError as error:
            raise DriverFailed(where=str(folder), why=str(error)) from error
        return folder

    # --- libvirt

    def _own(self, name: str) -> tuple[Any, Tag | None]:
        """A domain of this group and what it says of itself; None where there is no domain.

        Raises: DriverFailed for one that is somebody else's.
        """
        with self._told(name):
            try:
                domain = self._connection.lookupByName(name)
            except self._api.libvirtError as error:
                if error.get_error_code() == self._api.VIR_ERR_NO_DOMAIN:
                    return None, None
                raise
            tag = self._tag(domain)
        if tag is None or tag.group != self._group.name:
            raise DriverFailed(where=name, why="the domain of this name is not this group's")
        return domain, tag

    @contextlib.contextmanager
    def _told(self, where: str) -> Iterator[None]:
        """Say libvirt's errors as regild's."""
        try:
            yield
        except self._api.libvirtError as error:
            raise DriverFailed(where=where, why=str(error)) from error
