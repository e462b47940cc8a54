"""Where the guest's dnf, yum or zypper takes updates from (dnf.conf(5), "Repo Options"; zypper(8)),
and the keys that these repositories name.

Credentials never leave this module: what stands before the `@` of an address and what its query
says beyond the words that mirror lists are asked with is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from msgspec.structs import replace

from regild.describe.apt_parts import PARTS_LIMIT
from regild.describe.apt_sources import READABLE_SCHEMES, SOURCES_LIMIT, strip_credentials
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.ini import read_sections, words
from regild.describe.keyrings import KEYRING_LIMIT, PATHS_LIMIT, TOTAL_LIMIT, find_certificates
from regild.describe.rpm_settings import DNF, PART_LIMIT, ZYPP, is_true
from regild.errors import Malformed, TooLarge
from regild.model.content import Keyring, Platform, Source, TextFile, Unknown

FOLDERS = ("/etc/yum.repos.d", "/etc/distro.repos.d", "/etc/zypp/repos.d")
VARIABLES = ("/etc/dnf/vars", "/etc/yum/vars", "/etc/zypp/vars.d")
RELEASE_PROVIDES = (
    "system-release(releasever)",
    "system-release",
    "distribution-release(releasever)",
    "distribution-release",
    "redhat-release",
    "suse-release",
)
"""What dnf asks the database for, to know the release (its DISTROVERPKG)."""
ARCHITECTURES = {
    **dict.fromkeys(("i386", "i486", "i586", "i686", "athlon", "geode"), "i386"),
    **dict.fromkeys(("x86_64", "amd64", "ia32e"), "x86_64"),
    **dict.fromkeys(("armv7hl", "armv7hnl", "armv6hl", "armv8hl"), "armhfp"),
    **dict.fromkeys(("armv5tel", "armv6l", "armv7l"), "arm"),
}
"""$basearch where it is another word than $arch."""
ASKED = ("arch", "basearch", "country", "infra", "path", "product", "protocol", "release", "repo")
"""The words of a mirror list's query that are kept; none of them is a secret."""
KEPT_OPTIONS = (
    "cost",
    "module_hotfixes",
    "priority",
    "sslclientcert",
    "sslverify",
    "type",
)
"""Options that change what a source offers, besides those that are made plain here."""

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_.:+-]{1,200}")

Stated = Mapping[str, str]


def read_rpm_sources(evidence: Evidence, known: Findings) -> Findings:
    """The repositories of a guest of rpm, and the planning state with the keys that they name."""
    planning = known.planning
    if planning is None or planning.type != "rpm":
        return Findings()
    unknowns: list[Unknown] = []
    variables = _variables(evidence, known, unknowns)
    sources: list[Source] = []
    for path, sections in _files(evidence, unknowns):
        defaults = _defaults(planning.settings, zypp="/zypp/" in path)
        for id, stated in sections.items():
            try:
                sources.append(_source(id, {**defaults, **stated}, variables, f"{path} [{id}]"))
            except Unreadable as error:
                unknowns.append(unknown(error, path))
    if len(sources) > SOURCES_LIMIT:
        why = f"there are more than {SOURCES_LIMIT} sources"
        unknowns.append(Unknown(where=sources[-1].where, why=why))
        del sources[SOURCES_LIMIT:]
    unknowns += [one for source in sources for one in _doubts(source)]
    keyrings = {ring.path: ring for ring in planning.keyrings}
    for ring in _keyrings(evidence, sources, unknowns):
        keyrings.setdefault(ring.path, ring)
    planning = replace(planning, keyrings=tuple(keyrings[path] for path in sorted(keyrings)))
    return Findings(sources=tuple(sources), unknowns=tuple(unknowns), planning=planning)


def _files(
    evidence: Evidence, unknowns: list[Unknown]
) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Each file's repositories; dnf.conf may hold some besides its own section."""
    paths = [next((path for path in DNF if evidence.find(path) is not None), DNF[0])]
    for folder in FOLDERS:
        try:
            names = [name for name in evidence.names(folder) if name.endswith(".repo")]
            if len(names) > PARTS_LIMIT:
                raise TooLarge(where=folder, why=f"it holds more than {PARTS_LIMIT} files")
            paths += [f"{folder}/{name}" for name in names]
        except Unreadable as error:
            unknowns.append(unknown(error, folder))
    for path in paths:
        try:
            content = evidence.find_bytes(path, PART_LIMIT)
            sections = read_sections(content, path) if content else {}
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        sections.pop("main", None)
        yield path, sections


def _defaults(settings: tuple[TextFile, ...], *, zypp: bool) -> dict[str, str]:
    """What holds for every repository that does not say otherwise."""
    found = {"gpgcheck": "1", "repo_gpgcheck": "signed"} if zypp else {}
    for file in settings:
        if (file.path == ZYPP) == zypp and file.path in (ZYPP, *DNF):
            lines = dict(line.partition("=")[::2] for line in file.text.splitlines())
            for name in ("gpgcheck", "repo_gpgcheck"):
                if name in lines:
                    found[name] = lines[name]
    return found


def _variables(evidence: Evidence, known: Findings, unknowns: list[Unknown]) -> dict[str, str]:
    """The variables that addresses may hold."""
    platform, status = known.known_platform, known.known_planning.status
    found = {"arch": platform.arch, "basearch": ARCHITECTURES.get(platform.arch, platform.arch)}
    found["releasever"] = _release(status, platform)
    for folder in VARIABLES:
        try:
            for name in filter(_NAME.fullmatch, evidence.names(folder)[:PARTS_LIMIT]):
                content = evidence.find_bytes(f"{folder}/{name}", 4096) or b""
                lines = content.decode(errors="replace").splitlines()
                found[name] = lines[0].strip() if lines else ""
        except Unreadable as error:
            unknowns.append(unknown(error, folder))
    major, _, minor = found["releasever"].partition(".")
    found.setdefault("releasever_major", major)
    found.setdefault("releasever_minor", minor)
    return {name: value for name, value in found.items() if value}


def _release(status: str, platform: Platform) -> str:
    """$releasever: what the package that stands for the release says, else os-release."""
    version = ""
    found: dict[str, str] = {}
    for line in status.splitlines():
        field, _, value = line.partition(": ")
        if field == "Version":
            version = value.rpartition("-")[0].rpartition(":")[2]
        elif field == "Provides":
            name, _, stated = value.partition(" = ")
            if name in RELEASE_PROVIDES:
                found.setdefault(name, stated if stated and "(" in name else version)
    return next((found[name] for name in RELEASE_PROVIDES if name in found), platform.version)


def _source(id: str, stated: Stated, variables: Stated, where: str) -> Source:
    """One repository; its address is that of a mirror list where it states no other.

    Raises: Malformed.
    """
    if not _ID.fullmatch(id):
        raise Malformed(where=where, why=f"{id[:60]!r} is not the name of a repository")
    options = {name: " ".join(stated[name].split()) for name in KEPT_OPTIONS if name in stated}
    for name, spelt in (("excludepkgs", "exclude"), ("includepkgs", "includepkgs")):
        both = f"{stated.get(name, '')} {stated.get(spelt, '')}"
        if found := words(both):
            options[name] = " ".join(found)
    for name in ("gpgcheck", "repo_gpgcheck", "skip_if_unavailable"):
        value = stated.get(name, "0")
        options[name] = value if value == "signed" else ("1" if is_true(value) else "0")
    if "pkg_gpgcheck" in stated:
        options["gpgcheck"] = "1" if is_true(stated["pkg_gpgcheck"]) else options["gpgcheck"]
    addresses = [one for one in words(stated.get("baseurl", "")) if one]
    kind = next((name for name in ("metalink", "mirrorlist") if stated.get(name)), "")
    if not addresses and kind:
        addresses, options["address"] = [stated[kind].split()[0]], kind
    plain = []
    for address in addresses[:20]:
        spelt = _expanded(address, variables)
        safe, removed = _safe(spelt, where)
        plain.append(_below(safe, stated.get("path", "")))
        if removed or stated.get("username") or stated.get("password"):
            options["credentials"] = "removed"
    if len(plain) > 1:
        options["alternatives"] = " ".join(plain[1:])
    return Source(
        type="rpm-md",
        uri=plain[0] if plain else "",
        suite=id,
        signed_by=tuple(
            _key_path(_expanded(one, variables)) for one in words(stated.get("gpgkey", ""))
        ),
        enabled=is_true(stated.get("enabled", "1")),
        options=tuple(sorted(f"{name}={value}" for name, value in options.items())),
        where=where,
    )


def _safe(address: str, where: str) -> tuple[str, bool]:
    """An address without what may be a secret, and whether there was any.

    Raises: Malformed, without the address in its text.
    """
    try:
        plain, removed = strip_credentials(address)
    except Malformed as error:
        raise Malformed(where=where, why=error.why) from error
    query = address.partition("?")[2].partition("#")[0]
    pairs = [pair for pair in query.split("&") if pair]
    kept = [pair for pair in pairs if pair.partition("=")[0] in ASKED]
    user = "@" in address.partition("//")[2].partition("/")[0]
    gone = (removed and user) or len(kept) < len(pairs)
    return (f"{plain}?{'&'.join(kept)}" if kept else plain), gone


def _below(address: str, path: str) -> str:
    """zypp states the folder of a repository apart from its address."""
    inner = path.strip("/")
    return f"{address.rstrip('/')}/{inner}" if inner else address


def _expanded(text: str, variables: Stated) -> str:
    """A text with its variables in place; those that are not known stay as they are."""
    return _VARIABLE.sub(lambda one: variables.get(one[1] or one[2], one[0]), text)


def _key_path(address: str) -> str:
    """The path of a key that lies in the guest; another address as it is, without secrets."""
    if address.startswith("file:"):
        return "/" + unquote(address.removeprefix("file:")).lstrip("/")
    try:
        return strip_credentials(address)[0]
    except Malformed:
        return "an address that is not valid"


def _doubts(source: Source) -> Iterator[Unknown]:
    """Why an enabled source cannot be followed from outside the guest."""
    if not source.enabled:
        return
    scheme = source.uri.partition(":")[0]
    if not source.uri:
        yield Unknown(where=source.where, why="it names no address")
    elif scheme not in READABLE_SCHEMES:
        why = f"sources of the kind {scheme}: cannot be followed from outside the guest"
        yield Unknown(where=source.where, why=why)
    elif found := _VARIABLE.search(source.uri):
        yield Unknown(where=source.where, why=f"what {found[0]} stands for is not known")


def _keyrings(
    evidence: Evidence, sources: list[Source], unknowns: list[Unknown]
) -> Iterator[Keyring]:
    """The keys in the guest that its enabled sources name."""
    enabled = [source for source in sources if source.enabled]
    paths = {path for one in enabled for path in one.signed_by if path.startswith("/")}
    room = TOTAL_LIMIT
    for path in sorted(paths)[:PATHS_LIMIT]:
        try:
            content = evidence.find_bytes(path, min(KEYRING_LIMIT, max(room, 0)))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        keys = find_certificates(content) if content else None
        if keys is None:
            why = "it holds no OpenPGP certificates" if content else "it is missing"
            unknowns.append(Unknown(where=path, why=f"a source is signed by it; {why}"))
            continue
        room -= len(keys)
        yield Keyring(path=path, keys=keys)
