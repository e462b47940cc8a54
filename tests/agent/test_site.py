from pathlib import Path

import pytest

from regild.agent.keeping.storing import read_wishes
from regild.agent.site import Site, policy_of, read_site, with_options
from regild.errors import MissingFile, UsageError
from regild.feeds.policy import Mirror

TOML = """
cache = "/var/cache/regild"
[plan]
mode = "security"
hold = ["nginx"]
[feeds]
allow = ["10.0.0.1"]
offline = "mirror"
[feeds.mirrors]
"http://deb.example/debian" = "http://mirror.example/debian"
"""


def told(tmp_path: Path, text: str = TOML) -> Path:
    path = tmp_path / "regild.toml"
    path.write_text(text)
    return path


def test_a_site_says_what_it_wants(tmp_path: Path) -> None:
    site = read_site(told(tmp_path))
    assert site.plan.mode == "security"
    assert site.plan.hold == ("nginx",)
    assert site.feeds.mirrors == (
        Mirror("http://deb.example/debian", "http://mirror.example/debian"),
    )
    assert site.feeds.offline == str(tmp_path / "mirror")
    assert site.cache == Path("/var/cache/regild")


def test_without_a_file_everything_is_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert read_site() == Site()
    assert read_site().plan.mode == "upgrade"
    assert read_site().cache == Path("/cache/regild")


def test_the_file_in_the_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read_site().plan.mode == "security"


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        read_site(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "text",
    [
        "[plan]\nmod = 'full'",
        "[plan]\nmode = 'everything'",
        "x = ",
        "\xff",
        "[feeds]\nallow = 3",
        "[feed]",
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "regild.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"regild\.toml"):
        read_site(path)


def test_the_command_line_beats_the_file_and_adds_to_its_lists(tmp_path: Path) -> None:
    site = with_options(
        read_site(told(tmp_path)),
        mode="full",
        mirror=["http://a.example=http://b.example/?x=1"],
        allow=["10.0.0.2"],
        hold=["vim"],
        offline=Path("/srv"),
        cache=Path("/tmp/cache"),
    )
    assert site.plan.mode == "full"
    assert site.plan.hold == ("nginx", "vim")
    assert site.feeds.allow == ("10.0.0.1", "10.0.0.2")
    assert site.feeds.mirrors[0] == Mirror("http://a.example", "http://b.example/?x=1")
    assert len(site.feeds.mirrors) == 2
    assert site.feeds.offline == "/srv"
    assert site.cache == Path("/tmp/cache")


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "all"},
        {"method": "all"},
        {"carrier": "lkl"},
        {"method": "boot", "carrier": "uml"},
        {"method": "offline", "carrier": "boot"},
        {"method": "boot", "carrier": "record"},
        {"mirror": ["http://a"]},
        {"mirror": ["=b"]},
    ],
)
def test_a_wrong_option_is_a_usage_error(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        with_options(Site(), **wrong)  # type: ignore[arg-type]


def test_the_machines_own_sources_count_as_allowed_but_not_offline() -> None:
    site = with_options(Site(), allow=["10.0.0.1"])
    assert policy_of(site).allow[0] == "10.0.0.1"
    offline = with_options(site, offline=Path("/srv"))
    assert policy_of(offline) == offline.feeds


def test_repositories_come_from_a_folder_that_is_there(tmp_path: Path) -> None:
    assert policy_of(with_options(Site(), offline=tmp_path)).offline == str(tmp_path)
    with pytest.raises(UsageError, match="none is no folder"):
        policy_of(with_options(Site(), offline=tmp_path / "none"))


def test_a_site_says_what_is_cleared(tmp_path: Path) -> None:
    site = read_site(told(tmp_path, '[plan]\nseal = ["logs", "machine-id"]\n'))
    assert with_options(site, mode="full").plan.seal == ("logs", "machine-id")
    with pytest.raises(UsageError, match=r"regild\.toml"):
        read_site(told(tmp_path, '[plan]\nseal = ["everything"]\n'))


@pytest.mark.parametrize("kind", ["folder", "leads nowhere", "leads to itself"])
def test_a_file_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "regild.toml"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("elsewhere.toml" if kind == "leads nowhere" else path)
    for read in (read_site, read_wishes):
        with pytest.raises(UsageError):
            read()
