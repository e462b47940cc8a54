"""GATE: judge the record before one byte of the image is written; pure.

Every path must be accounted for by a package, by the package manager's own state, or by a named
trigger or script; the new content must fit; no hard link may have been split. What is not
accounted for is refused and named.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from functools import cache

from regild.change.family import family_named
from regild.change.owners import Owners
from regild.change.seal import cleared_by, is_cleared
from regild.change.tree import Part, part_of
from regild.errors import GuestFull, LinkSplit, RecordRefused
from regild.model.plan import Errand, Seal
from regild.model.record import Entry, Explained, Record

EXPLANATIONS: tuple[tuple[str, str], ...] = (
    ("log", r"/var/log/.*"),
    ("selinux relabel", r"/\.autorelabel"),
    ("trigger ldconfig", r"/etc/ld\.so\.cache|/var/cache/ldconfig(/.*)?"),
    (
        "trigger ca-certificates",
        r"/etc/ssl/certs/.*|/etc/ca-certificates\.conf|/etc/ca-certificates/.*",
    ),
    ("trigger man-db", r"/var/cache/man/.*"),
    ("trigger systemd", r"/usr/lib/systemd/catalog/.*|/var/lib/systemd/catalog/.*"),
    ("systemd units", r"/etc/systemd/(system|user)/.*|/var/lib/systemd/deb-systemd-.*"),
    ("systemd presets", r"/var/lib/systemd/(timers|linger)/.*"),
    ("trigger udev", r"/(usr/lib|etc)/udev/hwdb\.bin"),
    ("trigger initramfs", r"/boot/initrd\.img-.*|/var/lib/initramfs-tools/.*|/initrd\.img(\.old)?"),
    ("trigger depmod", r"(/usr)?/lib/modules/[^/]+/modules\.[a-z.]+"),
    ("kernel links", r"/(boot/)?(vmlinuz|initrd\.img)(\.old)?"),
    ("boot menu", r"/boot/grub/grub\.cfg(\.new)?|/boot/grub/grubenv"),
    ("trigger mime", r"/usr/share/(mime|applications|icons)/.*|/etc/mailcap"),
    (
        "trigger glib",
        r"/usr/share/glib-2\.0/schemas/gschemas\.compiled|.*/gio/modules/giomodule\.cache",
    ),
    ("trigger fontconfig", r"/var/cache/fontconfig/.*"),
    ("trigger info", r"/usr/share/info/dir(\.old)?"),
    ("trigger locale", r"/usr/lib/locale/.*"),
    ("trigger gdk-pixbuf", r".*/gdk-pixbuf-2\.0/.*/loaders\.cache"),
    ("trigger perl", r"/usr/lib/.*/perl.*/.*\.ix|/var/lib/libxml-sax-perl/.*|/etc/perl/.*"),
    ("python bytecode", r".*/__pycache__(/.*\.pyc)?"),
    ("python", r"/var/lib/(python|python3)/.*|/usr/lib/python3/dist-packages/.*"),
    ("alternatives", r"/etc/alternatives/.*"),
    ("account", r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/\.pwd\.lock"),
    ("start links", r"/etc/rc[0-6S]\.d/.*|/etc/init\.d/\.depend\..*"),
    ("time zone", r"/etc/(timezone|localtime)"),
    ("java certificates", r"/etc/ssl/certs/java/.*"),
    ("xml catalogue", r"/etc/(xml|sgml)/.*|/var/lib/(xml-core|sgml-base)/.*"),
    (
        "emacs or dictionaries",
        r"/var/lib/(emacsen-common|dictionaries-common|aspell|ispell)/.*"
        r"|/usr/share/x?emacs[^/]*/(site-lisp/.*|[^/]+/site-lisp/.*)",
    ),
    ("console setup", r"/etc/default/(console-setup|keyboard)|/etc/console-setup/.*"),
    ("backup", r"/var/backups/.+"),
    ("etckeeper", r"/etc/(\.gitignore|\.etckeeper|\.git(/.*)?)"),
    ("shells", r"/etc/shells|/var/lib/shells\.state"),
    ("trigger gtk", r".*/gtk-[234]\.0/([^/]+/)?immodules\.cache"),
    (
        "x fonts",
        r"/usr/share/fonts/X11/[^/]+/(fonts|encodings)\.(dir|scale|alias)|/var/lib/xfonts/.*",
    ),
    ("tex", r"/etc/texmf/.*|/var/lib/(texmf|tex-common)/.*|/usr/share/texmf[^/]*/ls-R"),
    (
        "modules of servers",
        r"/etc/apache2/(mods|conf|sites)-enabled/.*|/var/lib/apache2/.*"
        r"|/etc/php/[^/]+/[^/]+/conf\.d/.*|/var/lib/php/modules/.*",
    ),
    (
        "documents or menus",
        r"/var/lib/(doc-base|menu[a-z-]*|ghostscript)/.*"
        r"|/etc/X11/[^/]+/([a-z-]*menu[a-z]*(\.hook)?|programs)",
    ),
    ("java archive", r"/usr/lib/jvm/.*/classes[a-z_]*\.jsa"),
    ("cache", r"/var/cache/(?!(apt|debconf)(/|$))[^/]+(/.*)?"),
    ("apparmor", r"/etc/apparmor\.d/(local|cache.*)/.*"),
    ("pam", r"/etc/pam\.d/common-.*|/var/lib/pam/.*"),
    ("usr merge", r"/var/lib/usrmerge/.*|/usr/lib/usrmerge/.*"),
)
"""Who writes outside of package lists, in order of trial, behind what the package manager
writes for itself (`regild.change.family`); patterns match the whole path."""

SHARED = re.compile(
    r"/usr/(bin|sbin|lib|libexec|share|src|include|games|local)|/usr/local/[^/]+(/[^/]+)?"
    r"|/usr/lib/[^/]+-linux-gnu|/usr/share/[a-z0-9]+|/usr/lib/(systemd|udev|python3)(/.*)?"
    r"|/etc/(init|cron|pam|profile|logrotate|sudoers|apt|default|ssh|security)(\..*|/.*)?"
    r"|/etc/(init\.d|systemd|udev|ssl|X11|skel|network|modprobe\.d|sysctl\.d|ld\.so\.conf\.d)(/.*)?"
    r"|/var/(lib|cache|log|spool|mail|www|opt|backups|local)|/root/.*|/home/.*|/srv/[^/]+|/opt"
)
"""Folders that a script may name without owning what lies in them (hier(7), FHS 3.0)."""

SETTINGS = "/etc/default/"
"""Where scripts write what debconf was told, each into the one file that it names."""
MARGIN_BLOCKS = 256
MARGIN_INODES = 16
MERGED_BY_ALTERNATIVES = "/etc/alternatives/"


def explain_entry(
    entry: Entry,
    owners: Owners,
    errands: tuple[Errand, ...] = (),
    seal: Collection[Seal] = (),
) -> Explained:
    """The reason that accounts for a changed path; `by` is empty where there is none.

    Where errands run alone no package's trigger accounts for anything: what an errand does not
    name as its own is unexplained, unless one may go wherever it likes.
    """
    path = entry.path
    if (part := cleared_by(path, seal)) and is_cleared(path, entry.becomes):
        return Explained(path, f"seal {part}")
    if owner := owners.owner_of(path):
        return Explained(path, f"package {owner}")
    for errand in errands:
        if any(_is_below(path, place) for place in errand.changes):
            return Explained(path, _told(errand))
    alone = bool(errands) and not owners.planned
    for by, pattern in () if alone else _compiled(owners.type):
        if pattern.fullmatch(path):
            return Explained(path, by)
    if (reason := _by_its_packages(entry, owners)) is not None:
        return reason
    free = next((errand for errand in errands if not errand.changes), None)
    return Explained(path, _told(free) if free else "")


def _told(errand: Errand) -> str:
    return f"recipe {errand.name}" if errand.recipe else f"command of {errand.name}"


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def _by_its_packages(entry: Entry, owners: Owners) -> Explained | None:
    """What packages account for besides their own files; None where they do not."""
    path = entry.path
    if entry.becomes.target.startswith(MERGED_BY_ALTERNATIVES) or (
        entry.was.target.startswith(MERGED_BY_ALTERNATIVES)
    ):
        return Explained(path, "alternatives")
    if _is_only_times(entry):
        return Explained(path, "folder of changed files")
    if path.startswith(SETTINGS) and path in owners.spoken_of:
        return Explained(path, f"script of {owners.spoken_of[path]}")
    for place in _upward(path):
        if place in owners.spoken_of:
            return Explained(path, f"script of {owners.spoken_of[place]}")
    return None


@cache
def _compiled(type: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The table for a family of packages."""
    rows = (*family_named(type).explanations, *EXPLANATIONS)
    return tuple((by, re.compile(pattern)) for by, pattern in rows)


def check_kept(record: Record) -> None:
    """Refuse commands that change what an image keeps for itself: it would stay as it was, and
    whoever asked for the change would not be told.

    Raises: RecordRefused.
    """
    if record.kept:
        why = "it belongs to the image's identity, which stays as it is"
        raise RecordRefused(where=_few(list(record.kept)), why=why)


def explain_record(
    record: Record,
    owners: Owners,
    errands: tuple[Errand, ...] = (),
    seal: Collection[Seal] = (),
) -> tuple[Explained, ...]:
    """Account for every path of a record.

    Raises: RecordRefused naming the paths that nothing accounts for.
    """
    explained = tuple(explain_entry(entry, owners, errands, seal) for entry in record.entries)
    unexplained = [row.path for row in explained if not row.by]
    if unexplained:
        why = f"nothing accounts for {len(unexplained)} changed paths: {_few(unexplained)}"
        raise RecordRefused(where="the guest", why=why)
    return explained


def check_links(record: Record, owners: Owners) -> None:
    """Refuse a hard link that came apart because only one of its names was written to.

    dpkg replaces names one by one, so a package's own path may leave its group; a script that
    wrote through a name has changed one copy where it meant the file (overlayfs copies up).

    Raises: LinkSplit.
    """
    changed: Counter[int] = Counter()
    rows: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in record.entries:
        if entry.was.group:
            changed[entry.was.group] += 1
            rows[entry.was.group].append(entry)
    for group, entries in rows.items():
        if changed[group] >= entries[0].was.links:
            continue
        for entry in entries:
            if entry.becomes.kind != "absent" and not owners.owner_of(entry.path):
                why = "one name of a file with several was written to and came apart from the rest"
                raise LinkSplit(where=entry.path, why=why)


def check_places(record: Record, parts: tuple[Part, ...]) -> None:
    """Refuse changes on a filesystem that regild cannot write.

    Raises: RecordRefused, also for a hard link from one filesystem to another.
    """
    for entry in record.entries:
        part = part_of(parts, entry.path)
        if entry.link_to and part_of(parts, entry.link_to) != part:
            why = f"it is the same file as {entry.link_to}, which lies on another filesystem"
            raise RecordRefused(where=entry.path, why=why)
        if not part.writable and entry.path != part.mount:
            why = f"it lies on a {part.filesystem or 'foreign'} filesystem, which is only read"
            raise RecordRefused(where=entry.path, why=why)


def check_fixed(record: Record, fixed: Collection[str]) -> None:
    """Refuse what the guest itself would not let happen: a change of an immutable file, or of what
    is in an immutable folder.

    Raises: RecordRefused.
    """
    for entry in record.entries:
        above = entry.path.rpartition("/")[0] or "/"
        for place in (entry.path, above):
            if place in fixed:
                why = f"{place} is immutable in the guest (chattr +i), and no package changes it"
                raise RecordRefused(where=entry.path, why=why)


def check_room(record: Record, parts: tuple[Part, ...]) -> None:
    """Refuse a change that does not fit the guest's filesystems, before anything is written.

    Counted per filesystem: blocks and inodes that the change needs less those that it gives
    back, against the free ones less root's reserve, with a margin for folders and extents.

    Raises: GuestFull.
    """
    for part in parts:
        if not part.writable:
            continue
        entries = [entry for entry in record.entries if part_of(parts, entry.path) == part]
        blocks = sum(_blocks(entry, part.block_bytes) for entry in entries)
        inodes = sum(_inodes(entry) for entry in entries)
        blocks += MARGIN_BLOCKS + len(entries) // 32
        room = part.free_blocks - part.reserved_blocks
        if blocks > max(room, 0):
            why = (
                f"{_mib(blocks, part)} MiB more are needed and {_mib(max(room, 0), part)} are free"
            )
            raise GuestFull(where=part.mount, why=why)
        if inodes + MARGIN_INODES > part.free_inodes:
            why = f"{inodes} more files are needed and {part.free_inodes} inodes are free"
            raise GuestFull(where=part.mount, why=why)


def _blocks(entry: Entry, block_bytes: int) -> int:
    """Blocks that an entry adds (or gives back, below zero)."""
    new = 0 if entry.link_to else _size_in_blocks(entry.becomes.bytes, block_bytes)
    new += entry.becomes.kind == "directory" and entry.was.kind != "directory"
    old = _size_in_blocks(entry.was.bytes, block_bytes) if entry.was.links == 1 else 0
    return new - old


def _inodes(entry: Entry) -> int:
    is_new = entry.was.kind == "absent" and not entry.link_to
    is_gone = entry.becomes.kind == "absent" and entry.was.links == 1
    return int(is_new) - int(is_gone)


def _size_in_blocks(size: int, block_bytes: int) -> int:
    return -(-size // block_bytes)


def _mib(blocks: int, part: Part) -> int:
    return blocks * part.block_bytes >> 20


def _is_only_times(entry: Entry) -> bool:
    """A folder that was there before and only shows that something in it changed."""
    was, becomes = entry.was, entry.becomes
    return was.kind == becomes.kind == "directory" and (was.mode, was.uid, was.gid) == (
        becomes.mode,
        becomes.uid,
        becomes.gid,
    )


def _upward(path: str) -> Iterable[str]:
    """A path and the folders above it, up to those that many packages share."""
    while path.count("/") >= 2 and not SHARED.fullmatch(path):
        yield path
        path = path.rpartition("/")[0]


def _few(paths: list[str], shown: int = 5) -> str:
    rest = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return ", ".join(paths[:shown]) + rest
