"""`regild plan` on a real image and a real, signed repository in a folder."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.feeds.advisories import samples
from tests.feeds.repositories import KEYRING, Deb, Suite, certificate, publish
from tests.host.ranges import serve_ranges

Regild = Callable[..., Said]

URI = "http://mirror.example/debian"
OLD = Deb("tool", "1.0")
NEW = Deb("tool", "1.1")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
SUITE = Suite((NEW,), date=YESTERDAY)


def image(folder: Path, uri: str = URI, **more: str | bytes) -> Path:
    """A guest with one old package and one source."""
    files: dict[str, str | bytes] = {
        "/etc/os-release": golden.OS_RELEASE,
        "/etc/apt/sources.list": f"deb {uri} stable main\n",
        "/var/lib/dpkg/status": OLD.status(),
        "/var/lib/dpkg/arch": "amd64\n",
        KEYRING: certificate(),
    }
    folder.mkdir(exist_ok=True)
    return golden.filesystem(folder, {**files, **more})


@pytest.fixture
def golden_image(tmp_path: Path) -> Path:
    return image(tmp_path / "image")


@pytest.fixture(autouse=True)
def no_cache_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def offline(folder: Path, suite: Suite = SUITE) -> list[str]:
    publish(folder / "mirror", suite)
    return ["--offline", str(folder / "mirror")]


def test_something_to_do_is_10(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    before = golden_image.read_bytes()
    said = regild("plan", golden_image, *offline(tmp_path), "--json")
    assert said.code == 10, said.err
    answer = valid("plan", said.json)
    (step,) = answer["steps"]
    assert (step["action"], step["name"], step["from"], step["to"]) == (
        "upgrade",
        "tool",
        "1.0",
        "1.1",
    )
    assert answer["basis"] == "disk"
    assert [one["version"] for one in answer["expected"]] == ["1.1"]
    assert golden_image.read_bytes() == before
    again = regild("plan", golden_image, *offline(tmp_path), "--json")
    assert again.json["id"] == answer["id"]


def test_nothing_to_do_is_0(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    suite = replace(SUITE, debs=(OLD,))
    said = regild("plan", golden_image, *offline(tmp_path, suite))
    assert said.code == 0, said.err
    assert "up to date" in said.out


def test_only_what_is_held_left_is_11(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    said = regild("plan", golden_image, *offline(tmp_path), "--hold", "tool", "--json")
    assert said.code == 11, said.err
    answer = valid("plan", said.json)
    assert answer["steps"] == []
    assert answer["skipped"][0]["name"] == "tool"


def test_what_could_not_be_read_beats_10(regild: Regild, tmp_path: Path) -> None:
    whole = image(tmp_path / "image").read_bytes()
    half = golden.partitioned(tmp_path / "image", whole, b"\x5a" * golden.MIB)
    said = regild("plan", half, *offline(tmp_path), "--json")
    assert said.code == 3, said.err
    assert valid("plan", said.json)["steps"]
    assert said.json["unknowns"]


def test_a_wrong_repository_key(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    other = offline(tmp_path, replace(SUITE, signers=("stranger",)))
    refused(regild, 6, "UnknownKey", "plan", golden_image, *other)


def test_an_expired_release(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    expired = offline(tmp_path, replace(SUITE, valid_until=YESTERDAY))
    refused(regild, 6, "Expired", "plan", golden_image, *expired)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/debian",
        "http://10.1.2.3/debian",
        "http://169.254.169.254/latest",
        "http://[::1]/debian",
        "http://localhost/debian",
        "file:/etc",
    ],
)
def test_a_private_address_in_the_sources(regild: Regild, tmp_path: Path, uri: str) -> None:
    path = image(tmp_path / "image", uri)
    refused(regild, 7, "SourceRefused", "plan", path)


def test_an_unreachable_mirror(regild: Regild, golden_image: Path) -> None:
    mirror = f"{URI}=http://127.0.0.1:1/debian"
    said = regild("plan", golden_image, "--mirror", mirror, "--json")
    assert said.code == 7
    failure = valid("error", said.json)["error"]
    assert (failure["kind"], failure["retryable"]) == ("FeedUnreachable", True)


def test_a_folder_without_the_repository(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    said = regild("plan", golden_image, "--offline", tmp_path / "empty")
    assert said.code == 7, said.err
    assert f"the folder {tmp_path}/empty has no InRelease" in said.err


def test_where_a_mirror_was_looked_into_is_said(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    said = regild("plan", golden_image, "--mirror", f"{URI}={tmp_path}/m")
    assert said.code == 7
    assert f"file://{tmp_path}/m/dists/stable/ has no InRelease" in said.err


def test_a_refused_address_is_that_of_the_image(regild: Regild, tmp_path: Path) -> None:
    path = image(tmp_path / "image", "http://10.1.2.3/debian")
    said = refused(regild, 7, "SourceRefused", "plan", path)
    assert said.startswith("the image names http://10.1.2.3/debian, which")


def test_what_is_wrong_in_the_sites_file_is_told_with_what_there_is(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    for text, told in (
        ("[feeds]\nmirror = 1\n", "[feeds]: object contains unknown field `mirror`; there are mir"),
        ('[feeds]\nallow = "x"\n', "[feeds] allow: expected `array`, got `str`"),
        ("[policies]\n", "policies is not a setting; there are cache"),
    ):
        (tmp_path / "regild.toml").write_text(text)
        said = regild("plan", golden_image, "--config", tmp_path / "regild.toml")
        assert said.code == 2
        assert told in said.err and "put that line of the file right" in said.err


def test_a_day_that_is_not_yet_is_refused(regild: Regild, golden_image: Path) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=2)).date()
    said = regild("plan", golden_image, "--as-of", str(ahead))
    assert said.code == 2 and "lies ahead" in said.err


def test_a_guest_without_a_package_database(regild: Regild, tmp_path: Path) -> None:
    path = golden.filesystem(tmp_path, {"/etc/os-release": golden.OS_RELEASE})
    refused(regild, 5, "NoPackageDatabase", "plan", path)


def test_the_site_decides(regild: Regild, golden_image: Path, tmp_path: Path) -> None:
    publish(tmp_path / "mirror", SUITE)
    site = tmp_path / "site.toml"
    site.write_text(
        f'cache = "kept"\n[plan]\nhold = ["tool"]\n[feeds.mirrors]\n"{URI}" = "{tmp_path}/mirror"\n'
    )
    said = regild("plan", golden_image, "--config", site)
    assert said.code == 11, said.err
    assert (tmp_path / "kept").is_dir()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("wrong", [["--mode", "all"], ["--mirror", "x"], ["--allow", "http//"]])
def test_a_wrong_option_is_2(regild: Regild, golden_image: Path, wrong: list[str]) -> None:
    refused(regild, 2, "UsageError", "plan", golden_image, *wrong)


@pytest.fixture
def described(regild: Regild, golden_image: Path, tmp_path: Path) -> Path:
    """The image as an OVA with its content descriptor."""
    plain = golden.ova(golden_image.parent, golden.streamed(golden_image))
    made = tmp_path / "described.ova"
    said = regild("describe", plain, "-o", made)
    assert said.code == 0, said.err
    return made


def test_the_descriptor_alone_gives_the_same_plan_as_the_disk(
    regild: Regild, golden_image: Path, described: Path, tmp_path: Path
) -> None:
    where = offline(tmp_path)
    from_disk = regild("plan", golden_image, *where, "--json").json
    said = regild("plan", described, *where, "--basis", "descriptor", "--json")
    assert said.code == 10, said.err
    answer = valid("plan", said.json)
    assert answer["id"] == from_disk["id"]
    assert answer["basis"] == "descriptor"
    assert answer["descriptor"]["state"] == "claimed"
    assert answer["steps"] == from_disk["steps"]


def test_an_image_on_a_server_is_planned_by_its_claim_and_said_so(
    regild: Regild, golden_image: Path, described: Path, tmp_path: Path
) -> None:
    where = offline(tmp_path)
    from_disk = regild("plan", golden_image, *where, "--json").json
    with serve_ranges(described.parent) as shelf:
        address = f"{shelf.url}/{described.name}"
        answer = valid("plan", regild("plan", address, *where, "--json").json)
        assert (answer["id"], answer["basis"]) == (from_disk["id"], "descriptor")
        assert answer["descriptor"]["state"] == "claimed"
        assert "its descriptor alone" in regild("plan", address, *where).out
        read = valid("plan", regild("plan", address, *where, "--basis", "disk", "--json").json)
        assert (read["id"], read["basis"]) == (from_disk["id"], "disk")


def test_nothing_to_do_by_an_unsigned_claim_is_11(
    regild: Regild, described: Path, tmp_path: Path
) -> None:
    where = offline(tmp_path, replace(SUITE, debs=(OLD,)))
    assert regild("plan", described, *where, "--basis", "descriptor").code == 11


def test_a_claim_that_was_tampered_with_is_not_planned_on(
    regild: Regild, described: Path, tmp_path: Path
) -> None:
    content = described.read_bytes()
    assert content.count(b'"tool" version="1.0"') == 1
    described.write_bytes(content.replace(b'"tool" version="1.0"', b'"tool" version="1.2"'))
    said = regild("plan", described, *offline(tmp_path), "--basis", "descriptor")
    assert said.code == 6
    assert "is not what it says it is" in said.err or "match its digest" in said.err


def test_a_basis_is_one_of_three(regild: Regild, golden_image: Path) -> None:
    assert regild("plan", golden_image, "--basis", "guess").code == 2


def test_advisories_say_what_an_update_fixes(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/tracker.json").write_bytes(samples.text(samples.tracker()))
    (tmp_path / "site/kev.json").write_bytes(samples.text(samples.kev()))
    where = offline(tmp_path)
    plain = regild("plan", golden_image, *where, "--json").json
    assert plain["steps"][0]["fixes"] == [] and plain["advisories"] == []
    argv = ["plan", golden_image, *where, "--advisories", tmp_path / "site"]
    answer = valid("plan", regild(*argv, "--json").json)
    (step,) = answer["steps"]
    assert step["fixes"] == step["exploited"] == [samples.FIXED]
    assert (step["evidence"], step["severity"]) == (samples.FIXED, "high")
    assert answer["id"] == plain["id"]
    (left,) = answer["unfixed"]
    assert (left["advisory"], left["severity"]) == (samples.OPEN, "negligible")
    (feed,) = answer["advisories"]
    assert (feed["kinds"], feed["advisories"]) == (["kev", "tracker"], 3)
    shown = regild(*argv).out
    assert f"{samples.FIXED}, exploited" in shown and "security, high" in shown
    assert "Unfixed: 1 advisory stays (1 negligible)" in shown


def test_a_feed_of_advisories_that_cannot_be_read_is_an_error(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    (tmp_path / "feed.json").write_text('{"id": "X", "modified": 1}')
    argv = ("plan", golden_image, *offline(tmp_path), "--advisories", tmp_path / "feed.json")
    refused(regild, 4, "Malformed", *argv)


def test_a_repository_that_goes_back_in_time_is_refused(
    regild: Regild, golden_image: Path, tmp_path: Path
) -> None:
    where = offline(tmp_path)
    assert regild("plan", golden_image, *where).code == 10
    offline(tmp_path, replace(SUITE, date=YESTERDAY - timedelta(days=1)))
    refused(regild, 6, "RolledBack", "plan", golden_image, *where)
    assert regild("plan", golden_image, *where, "--accept-older").code == 10
    assert regild("plan", golden_image, *where).code == 10
