# ruff: noqa: E501
"""apt itself, asked about an aged image with the image's own status, marks and pins."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from demo.build import cache_folder
from regild.host.run import run
from regild.plan.solver import Move
from tests.plan.corpus import SITE, VENDOR, Image

FORM = 1
"""Raised whenever apt is asked otherwise."""


def apt_transaction(image: Image, folder: Path, autoremove: bool = False) -> set[str]:
    """What apt-get itself would do in the image; a word for an error where it has no answer.

    Its answers are kept by all that they depend on: asking takes seconds of processor time.
    """
    kept = cache_folder() / "apt-asked" / key_of(image, autoremove)
    if kept.exists():
        return set(json.loads(kept.read_text()))
    answer = ask(image, folder, autoremove)
    kept.parent.mkdir(parents=True, exist_ok=True)
    written = kept.with_suffix(".part")
    written.write_text(json.dumps(sorted(answer)))
    written.replace(kept)
    return answer


def key_of(image: Image, autoremove: bool) -> str:
    """A name for everything that apt is told, and for the apt that is told it."""
    known = (
        FORM,
        version(),
        image.mode,
        autoremove,
        image.planning,
        image.vendor.read_text() if image.vendor else "",
        [replace(part, path=Path()) for part in image.parts],
    )
    return sha256(repr(known).encode()).hexdigest()


@cache
def version() -> str:
    """Which apt this is."""
    return run(["apt-get", "--version"], purpose="to know the judge").stdout.decode()


def ask(image: Image, folder: Path, autoremove: bool) -> set[str]:
    """Ask apt-get in a folder of its own."""
    for name in ("state", "lists/partial", "cache/archives/partial", "etc/none", "pref", "sources"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = []
    for area, suite in dict.fromkeys((part.area, part.suite) for part in image.parts):
        sources.append(
            f"Types: deb\nURIs: http://{SITE}/{area}\nSuites: {suite}\nComponents: main\nTrusted: yes\n"
        )
    for part in image.parts:
        stem = f"{SITE}_{part.area}_dists_{part.suite}"
        (folder / "lists" / f"{stem}_Release").write_text(part.release)
        place = folder / "lists" / f"{stem}_main_binary-{part.arch}_Packages"
        place.unlink(missing_ok=True)
        place.symlink_to(part.path)
    if image.vendor:
        stem = f"{VENDOR}_v_dists_vendor"
        (folder / "lists" / f"{stem}_Release").write_text(
            "Origin: Vendor\nLabel: Vendor\nSuite: stable\nCodename: vendor\nArchitectures: amd64\nComponents: main\n"
        )
        shutil.copyfile(image.vendor, folder / "lists" / f"{stem}_main_binary-amd64_Packages")
        sources.append(
            f"Types: deb\nURIs: http://{VENDOR}/v\nSuites: vendor\nComponents: main\nArchitectures: amd64\nTrusted: yes\n"
        )
    (folder / "sources/s.sources").write_text("\n".join(sources))
    for place in (folder / "pref").iterdir():
        place.unlink()
    for number, file in enumerate(image.planning.preferences):
        (folder / "pref" / f"{number}").write_text(file.text)
    (folder / "status").write_text(image.planning.status)
    (folder / "state/extended_states").write_text("\n".join(map(_marked, image.planning.auto)))
    listed = " ".join(f'"{arch}";' for arch in image.planning.architectures)
    (folder / "conf").write_text(
        "".join(file.text for file in image.planning.settings)
        + f'Dir "{folder}"; Dir::State "{folder}/state"; Dir::State::status "{folder}/status";'
        f'Dir::State::lists "{folder}/lists"; Dir::Cache "{folder}/cache";'
        'Dir::Cache::pkgcache "known"; Dir::Cache::srcpkgcache "";'
        f'Dir::Etc "{folder}/etc"; Dir::Etc::main "/dev/null"; Dir::Etc::parts "none";'
        f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{folder}/sources";'
        f'Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "{folder}/pref";'
        f'#clear APT::Architectures;\nAPT::Architecture "amd64"; APT::Architectures {{ {listed} }};'
        'APT::Sandbox::User "root"; Acquire::Languages "none"; APT::Solver "internal";'
        'APT::Get::Always-Include-Phased-Updates "true";'
    )
    verb = ["dist-upgrade"] if image.mode == "full" else ["upgrade", "--with-new-pkgs"]
    if autoremove:
        verb.append("--auto-remove")
    finished = run(
        ["apt-get", "-s", "-o", "Debug::NoLocking=1", *verb], purpose="as the oracle", check=False,
        env={"APT_CONFIG": str(folder / "conf")},
    )  # fmt: skip
    said = finished.stdout.decode()
    if finished.code:
        # What this machine has to say (no space, no /dev/null) is no answer, and is not to be kept.
        assert re.search(
            "nmet dependencies|generated breaks|correct problems", said + finished.stderr.decode()
        ), finished.stderr.decode()
        return {
            "unsolvable",
            *re.findall(r"^E: .*|^ \S+ : .*", said + finished.stderr.decode(), re.M),
        }
    return set(_told(said))


def _marked(title: str) -> str:
    name, _, arch = title.partition(":")
    return f"Package: {name}\nArchitecture: {arch}\nAuto-Installed: 1\n"


def _told(said: str) -> Iterator[str]:
    pattern = r"^(Inst|Remv|Purg) (\S+?)(?::(\w+))? (?:\[(\S+)\] ?)?(?:\((\S+) .*\[(\w+)\]\))?"
    for kind, name, foreign, was, becomes, arch in re.findall(pattern, said, re.M):
        mine = foreign or "" if kind != "Inst" else ("" if arch in ("amd64", "all") else arch)
        yield f"{name}{':' + mine if mine and mine != 'amd64' else ''} {was} {becomes}".rstrip()


def told(moves: Iterable[Move]) -> set[str]:
    """A transaction in the same words."""
    return {
        f"{one.name}{'' if one.arch in ('amd64', 'all') else ':' + one.arch} {one.was} {one.becomes}".rstrip()
        for one in moves
    }
