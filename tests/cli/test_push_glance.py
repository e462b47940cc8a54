"""The target `glance://` against Debian's own glance-api."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regild.errors import Malformed, UsageError
from regild.host import web_api
from regild.publish.glance_answers import Listed, read_page
from regild.publish.glance_target import GlanceTarget
from tests.cli.conftest import Said
from tests.cli.glances import open_glance
from tests.cli.schemas import valid
from tests.cli.sums import raw_digest, sha256
from tests.cli.watches import watch

Regild = Callable[..., Said]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_glance(tmp_path_factory.mktemp("glance")) as host:
        yield host


@pytest.fixture
def push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regild: Regild, ova: Path, raw: Path
) -> Callable[..., Said]:
    """Pushes a generation of a new store; the second is the bare disk of the first."""
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("regild.host.bookmark.cache_folder", lambda: tmp_path / "cache")
    for name in ("OS_TOKEN", "OS_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    regild("image", "add", "web")
    for path in (ova, raw):
        assert regild("publish", path, "--image", "web").code == 0
    return lambda name, *more: regild("push", name, *more, "--scratch", tmp_path, "--json")


def images(service: str) -> list[dict[str, Any]]:
    """All that the service has of web, as it says itself."""
    found: list[dict[str, Any]] = []
    for hidden in ("false", "true"):
        address = f"http://{service}/v2/images?name=web&os_hidden={hidden}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            found += json.load(answer)["images"]
    return found


def states(service: str) -> dict[str, tuple[str, bool]]:
    return {one["regild_generation"]: (one["status"], one["os_hidden"]) for one in images(service)}


@pytest.fixture(autouse=True)
def swept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests share a service, and begin with an empty one."""
    yield
    if "service" in request.fixturenames:
        host = request.getfixturevalue("service")
        for one in images(host):
            address = f"http://{host}/v2/images/{one['id']}"
            asked = urllib.request.Request(address, method="DELETE")
            urllib.request.urlopen(asked, timeout=60).close()


@pytest.mark.slow
def test_a_service_takes_a_disk_and_gives_it_back(
    regild: Regild, push: Callable[..., Said], raw: Path, tmp_path: Path, service: str
) -> None:
    target = f"glance+http://{service}"
    first = push("web@1", target)
    assert first.code == 0, first.err
    (image,) = images(service)
    assert valid("push", first.json)["sent_bytes"] == image["size"]
    assert (image["status"], image["os_hidden"], image["disk_format"]) == ("active", False, "qcow2")
    again = push("web@1", target)
    assert (again.json["sent_bytes"], again.json["digest"]) == (0, first.json["digest"])
    regild("image", "add", "copy")
    brought = regild("import", target, "web@1", "--image", "copy", "--scratch", tmp_path)
    assert brought.code == 0, brought.err
    back = tmp_path / "back.qcow2"
    assert regild("export", "copy", "-o", back).code == 0
    asked = f"http://{service}/v2/images/{image['id']}/file"
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.read() == back.read_bytes()
    assert raw_digest(back, tmp_path) == sha256(raw)
    assert watch(regild, tmp_path, target)["digest"] == f"sha256:{sha256(back)}"


@pytest.mark.slow
def test_the_new_one_is_shown_and_the_old_one_put_away(
    push: Callable[..., Said], service: str
) -> None:
    target = f"glance+http://{service}"
    for name in ("web@1", "web@2"):
        assert push(name, target).code == 0
    shown, away = ("active", False), ("deactivated", True)
    assert states(service) == {"1": away, "2": shown}
    back = push("web@1", target)
    assert (back.code, back.json["sent_bytes"]) == (0, 0), "going back sends nothing"
    assert states(service) == {"1": shown, "2": away}


@pytest.mark.slow
def test_an_upload_that_broke_off_begins_anew(
    push: Callable[..., Said], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, parts = f"glance+http://{service}?format=raw", web_api._parts

    def breaking(*argv: Any) -> Iterator[bytes]:
        for number, piece in enumerate(parts(*argv)):
            if number == 2:
                raise KeyboardInterrupt
            yield piece

    with monkeypatch.context() as broken:
        broken.setattr(web_api, "_parts", breaking)
        assert push("web@1", target).code != 0
    (left,) = images(service)
    assert (left["status"] != "active", left["os_hidden"]) == (True, True)
    again = push("web@1", target)
    assert again.code == 0, again.err
    assert states(service) == {"1": ("active", False)}


@pytest.mark.slow
def test_of_two_who_push_the_same_at_once_one_image_stays(
    push: Callable[..., Said], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looked before the first had made anything."""
    target = f"glance+http://{service}"
    line, blind = GlanceTarget._line, [True]

    def looking(self: GlanceTarget, image: str) -> list[Listed]:
        return [] if blind.pop(0) else line(self, image)

    assert push("web@1", target).code == 0
    blind = [True, False]
    monkeypatch.setattr(GlanceTarget, "_line", looking)
    assert push("web@1", target).code == 0
    found = sorted((one["status"], one["os_hidden"]) for one in images(service))
    assert found == [("active", False), ("deactivated", True)]


@pytest.mark.slow
def test_what_is_not_there(push: Callable[..., Said], regild: Regild, service: str) -> None:
    missing = regild("import", f"glance+http://{service}", "web@9", "--image", "web", "--json")
    assert missing.json["error"]["kind"] == "MissingFile"


def test_an_address_without_a_host() -> None:
    with pytest.raises(UsageError, match="HOST"):
        GlanceTarget("glance://")


ID = "c2bd0e0b-5b29-4a25-87bc-49c28a2c5794"


@pytest.mark.parametrize(
    "told",
    [
        '{"images": [{"id": "../admin", "status": "active"}]}',
        f'{{"images": [{{"id": "{ID}", "status": "active", "size": -1}}]}}',
        '{"images": [], "next": "http://elsewhere.example/"}',
        '{"images": [{}]}',
    ],
)
def test_answers_that_are_refused(told: str) -> None:
    with pytest.raises(Malformed):
        read_page(told.encode(), "the service")


def test_what_is_read_of_an_image() -> None:
    plain = Listed(ID, "active", name="debian 12", checksum="0" * 32)
    assert (plain.called, plain.number, plain.digest) == ("debian 12", 0, f"md5:{'0' * 32}")
    ours = Listed(ID, "active", regild_image="web", regild_generation="3", os_hash_algo="sha512")
    assert (ours.called, ours.digest) == ("web@3", "")
