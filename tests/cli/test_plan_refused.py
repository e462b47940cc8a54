"""Plans that must not be: each has an error of its own, with its exit code, as typed by a user."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_plan import NEW, OLD, SUITE, URI, YESTERDAY, image, offline
from tests.feeds.repositories import Deb, release_text, write_release
from tests.feeds.servers import Answer, serve

Regild = Callable[..., Said]

PACKAGES = "main/binary-amd64/Packages"


@dataclass(frozen=True)
class Case:
    """What is wrong, what is typed, and what has to be said."""

    kind: str
    code: int
    said: str
    """A part of the sentence."""
    arrange: Callable[[Path], Sequence[Any]]
    """Given a folder, makes the repository in it; returns what is typed after the image."""
    policy: str = ""
    """The site's `[policy]`."""
    installed: tuple[Deb, ...] = (OLD,)
    uri: str = URI


def suite(folder: Path, **more: Any) -> Sequence[Any]:
    return offline(folder, replace(SUITE, **more))


def altered(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Sequence[Any]]:
    """The repository, with one of its files changed afterwards."""

    def arrange(folder: Path) -> Sequence[Any]:
        typed = suite(folder, forms=("",))
        place = folder / "mirror/dists/stable" / path
        place.write_bytes(change(place.read_bytes()))
        return typed

    return arrange


def bomb(folder: Path) -> Sequence[Any]:
    typed = suite(folder)
    top = folder / "mirror/dists/stable"
    packed = lzma.compress(bytes(8 << 20))
    (top / f"{PACKAGES}.xz").write_bytes(packed)
    files = {PACKAGES: b"x" * 100, f"{PACKAGES}.xz": packed}
    write_release(top, release_text(SUITE, files), SUITE)
    return typed


def replaces(folder: Path) -> Sequence[Any]:
    """A new release that excludes an installed package."""
    debs = (Deb("tool", "1.1", fields={"Breaks": "local"}),)
    return [*suite(folder, debs=debs), "--mode", "full"]


def brings(folder: Path) -> Sequence[Any]:
    return suite(folder, debs=(Deb("tool", "1.1", fields={"Depends": "new"}), Deb("new")))


CASES = (
    Case(
        "BadSignature", 6, "signature",
        altered("InRelease", lambda text: text.replace(b"Label: Test", b"Label: Tesd")),
    ),
    Case("UnknownKey", 6, "key", lambda folder: suite(folder, signers=("stranger",))),
    Case("Expired", 6, "valid", lambda folder: suite(folder, valid_until=YESTERDAY)),
    Case(
        "NotYetValid", 6, "not valid yet",
        lambda folder: suite(folder, date=YESTERDAY + timedelta(days=3)),
    ),
    Case(
        "DigestMismatch", 6, "was promised",
        altered(PACKAGES, lambda text: text.replace(b"Version: 1.1", b"Version: 1.2")),
    ),
    Case("Truncated", 4, "arrived", altered(PACKAGES, lambda text: text[:-10])),
    Case("TooLarge", 4, "Packages", bomb),
    Case("SourceRefused", 7, "does not allow", lambda folder: (), uri="http://10.1.2.3/debian"),
    Case(
        "Unsolvable", 7, "local : Depends: gone",
        suite, installed=(OLD, Deb("local", fields={"Depends": "gone"})),
    ),
    Case(
        "DiskTooSmall", 7, "bytes are needed",
        lambda folder: suite(folder, debs=(replace(NEW, fields={"Installed-Size": "90000000"}),)),
    ),
    Case(
        "RemovalRefused", 7, "it would remove local",
        replaces, 'keep = ["loc*"]', (OLD, Deb("local")),
    ),
    Case("NewPackageRefused", 7, "it would bring in new", brings, "new = []"),
    Case("PlanTooLarge", 7, "allowed", suite, "download_limit = 10"),
    Case("MethodRefused", 7, "method offline", suite, 'methods = ["boot"]'),
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_cache_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_each_refusal_has_its_own_error(regild: Regild, tmp_path: Path, case: Case) -> None:
    status = "\n".join(one.status() for one in case.installed)
    guest = image(tmp_path / "image", case.uri, **{"/var/lib/dpkg/status": status})
    before = guest.read_bytes()
    typed = [guest, *case.arrange(tmp_path)]
    if case.policy:
        (tmp_path / "regild.toml").write_text(f"[policy]\n{case.policy}\n")
        typed += ["--config", tmp_path / "regild.toml"]
    for command in (("plan",), ("update", "-o", tmp_path / "out.raw")):
        said = regild(*command, *typed, "--json")
        failure = valid("error", said.json)["error"]
        assert (failure["kind"], said.code) == (case.kind, case.code), said.err
        assert case.said in failure["sentence"] and failure["hint"]
    assert guest.read_bytes() == before and not (tmp_path / "out.raw").exists()


def test_a_repository_that_goes_back_is_refused(regild: Regild, tmp_path: Path) -> None:
    guest = image(tmp_path / "image")
    assert regild("plan", guest, *offline(tmp_path)).code == 10
    typed = suite(tmp_path, date=YESTERDAY - timedelta(days=3))
    said = regild("plan", guest, *typed, "--json")
    assert (said.json["error"]["kind"], said.code) == ("RolledBack", 6)


def test_a_redirect_to_a_private_address_is_refused(regild: Regild, tmp_path: Path) -> None:
    guest = image(tmp_path / "image")
    away = {"/debian/dists/stable/InRelease": Answer(status=302, to="http://10.0.0.1/x")}
    with serve(away) as server:
        said = regild("plan", guest, "--mirror", f"{URI}={server.url}/debian", "--json")
    assert (said.json["error"]["kind"], said.code) == ("RedirectRefused", 7)


def test_as_of_a_date_is_what_was_seen_then_or_an_error(regild: Regild, tmp_path: Path) -> None:
    guest = image(tmp_path / "image")
    first = YESTERDAY - timedelta(days=9)
    assert regild("plan", guest, *suite(tmp_path, date=first)).code == 10
    typed = suite(tmp_path, debs=(Deb("tool", "1.2"),))

    def planned(days: int) -> Said:
        return regild("plan", guest, *typed, "--as-of", f"{first + timedelta(days):%F}", "--json")

    assert [one["to"] for one in planned(4).json["steps"]] == ["1.1"]
    assert [one["to"] for one in planned(9).json["steps"]] == ["1.2"]
    said = planned(-2)
    assert (said.json["error"]["kind"], said.code) == ("NotKnownThen", 7)
