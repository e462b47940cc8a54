"""`regild plan` on an image of apk, from the disk and from its descriptor alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.test_same_plan import without_its_disk
from tests.feeds.apk_repositories import KEY_NAME, block, public, publish

Regild = Callable[..., Said]

URI = "http://mirror.example/alpine/v3.20/main"
GUEST = {
    "/etc/os-release": 'ID=alpine\nVERSION_ID="3.20.3"\n',
    "/etc/apk/repositories": f"{URI}\n",
    "/etc/apk/world": "openssl\n",
    "/etc/apk/arch": "x86_64\n",
    f"/etc/apk/keys/{KEY_NAME}": public(),
    "/lib/apk/db/installed": "\n".join(
        [block("musl", "1.2.4-r0"), block("openssl", "3.3.1-r0", D="musl"), "", ""]
    ).rstrip("\n")
    + "\n\n",
}
OFFERS = [
    block("musl", "1.2.5-r0", I="3000"),
    block("openssl", "3.3.2-r0", D="musl>=1.2.5 zlib"),
    block("zlib", "1.3.1-r0"),
]


@pytest.fixture(autouse=True)
def no_cache_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_plan_is_the_same_with_the_disk_and_without(regild: Regild, tmp_path: Path) -> None:
    offline = ["--mirror", f"{URI}={publish(tmp_path / 'mirror', OFFERS)}", "--json"]
    disk = golden.filesystem(tmp_path, GUEST)
    package = tmp_path / "described.ova"
    assert regild("describe", golden.ova(tmp_path, golden.streamed(disk)), "-o", package).code == 0
    whole = regild("plan", package, "--basis", "disk", *offline)
    assert whole.code == 10, whole.err
    steps = {one["name"]: one for one in whole.json["steps"]}
    assert {name: (one["from"], one["to"]) for name, one in steps.items()} == {
        "musl": ("1.2.4-r0", "1.2.5-r0"),
        "openssl": ("3.3.1-r0", "3.3.2-r0"),
        "zlib": ("", "1.3.1-r0"),
    }
    assert steps["zlib"]["why"] == "needed by openssl"
    assert steps["musl"]["archive"]["uri"] == f"{URI}/x86_64/musl-1.2.5-r0.apk"
    assert whole.json["disk_bytes"] == 3 * 1024 - 2000 + 2048 - 2000 + 2048
    assert [one["version"] for one in whole.json["expected"]] == [
        "1.2.5-r0",
        "3.3.2-r0",
        "1.3.1-r0",
    ]
    assert whole.json["feeds"][0]["signed_by"] == [KEY_NAME]
    ovf = without_its_disk(package, tmp_path / "alone")
    alone = regild("plan", ovf, "--basis", "descriptor", *offline)
    assert alone.code == 10, alone.err
    assert alone.json["id"] == whole.json["id"]
