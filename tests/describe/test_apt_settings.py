"""Pins and solver options: what is kept, what never is, and apt-config as the judge."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from regild.describe import apt_settings
from regild.describe.apt_settings import KEPT, read_options
from regild.describe.reader import describe_guest
from regild.errors import Malformed, TooLarge
from regild.model.content import Content
from regild.model.json import to_json
from tests.describe.guests import debian

CONF = "/etc/apt/apt.conf"
DEBIAN_CONF = """APT
{
  NeverAutoRemove
  {
	"^firmware-linux.*";
	"^linux-image-[a-z0-9]*$"; // a note; with { signs }
  };
  /* nothing "here" { */
  Install-Recommends "false";
};
# a comment
DPkg::Pre-Install-Pkgs {"/usr/sbin/dpkg-preconfigure --apt || true";};
Acquire::http::Proxy "http://user:SECRET@proxy.example:3128/";
apt::default-release "bookworm";
APT::Architectures { "amd64"; "i386"; };
"""


def described(text: str, **files: str) -> Content:
    return describe_guest(debian({CONF: text, **files}))


def settings(text: str, **files: str) -> str:
    content = described(text, **files)
    assert content.unknowns == ()
    return "".join(file.text for file in content.planning.settings)


def test_only_solver_options_are_kept_in_one_canonical_file() -> None:
    assert settings(DEBIAN_CONF) == (
        'APT::Architectures:: "amd64";\n'
        'APT::Architectures:: "i386";\n'
        'APT::Default-Release "bookworm";\n'
        'APT::Install-Recommends "false";\n'
        'APT::NeverAutoRemove:: "^firmware-linux.*";\n'
        'APT::NeverAutoRemove:: "^linux-image-[a-z0-9]*$";\n'
    )


def test_sections_are_lists_and_nothing_else() -> None:
    text = 'APT::Move-Autobit-Sections "a";\nAPT::Move-Autobit-Sections { "oldlibs"; };\n'
    text += 'APT::Move-Autobit-Sections "b";\nAPT::Never-MarkAuto-Sections "c";\n'
    assert settings(text) == 'APT::Move-Autobit-Sections:: "oldlibs";\n'


def test_nothing_that_runs_a_program_or_holds_a_secret_is_kept() -> None:
    assert "SECRET" not in to_json(described(DEBIAN_CONF))
    assert "preconfigure" not in to_json(described(DEBIAN_CONF))
    forbidden = ("invoke", "pre-", "post-", "proxy", "method", "bin", "dpkg", "run", "unauth")
    assert not [name for name in KEPT for word in forbidden if word in name.lower()]


def test_the_main_file_has_the_last_word() -> None:
    parts = {
        "/etc/apt/apt.conf.d/10a": 'APT::Default-Release "a"; APT::Install-Suggests "1";',
        "/etc/apt/apt.conf.d/20b.conf": 'APT::Default-Release "b";',
        "/etc/apt/apt.conf.d/30c.bak": 'APT::Default-Release "c";',
    }
    text = settings('APT::Default-Release "main";', **parts)
    assert text == 'APT::Default-Release "main";\nAPT::Install-Suggests "1";\n'


def test_a_cleared_option_is_gone() -> None:
    parts = {"/etc/apt/apt.conf.d/10a": 'APT::NeverAutoRemove { "x"; }; APT::Default-Release "a";'}
    assert settings("#clear APT::NeverAutoRemove;\n", **parts) == 'APT::Default-Release "a";\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('#include "/etc/other.conf"\n', "includes"),
        ('Dir::Etc::sourcelist "/srv/sources.list";', "moves"),
        ('Dir::State { status "/srv/status"; };', "moves"),
        ("APT { {", "no name"),
        ("APT { Default-Release 'x'", "does not end"),
        ("}", "has not begun"),
        ('APT::Default-Release "x\x1b";', "not plain"),
    ],
)
def test_what_cannot_be_followed_is_unknown(text: str, why: str) -> None:
    (found,) = described(text).unknowns
    assert found.where == CONF
    assert why in found.why


@pytest.mark.parametrize("text", ['Dir::Cache::pkgcache "";', 'Dir::Ignore-Files-Silently:: "x$";'])
def test_moving_a_cache_is_no_concern_of_ours(text: str) -> None:
    assert settings(text) == ""


@pytest.mark.parametrize("text", ["A { " * 100_000, 'APT::x "1";' * 60_000])
def test_endless_files_are_refused(text: str) -> None:
    with pytest.raises((TooLarge, Malformed)):
        list(read_options(text.encode(), CONF))


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_settings, "VALUES_LIMIT", 3)
    text = "".join(f'APT::NeverAutoRemove:: "{number}";' for number in range(9))
    assert "more than 3 values" in described(text).unknowns[0].why


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="apt is not installed here")
def test_apt_config_reads_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "apt.conf").write_text(DEBIAN_CONF)
    (tmp_path / "parts").mkdir()
    options = {"Dir::Etc::main": tmp_path / "apt.conf", "Dir::Etc::parts": tmp_path / "parts"}
    line = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    conf = tmp_path / "boot.conf"
    conf.write_text("".join(f'{name} "{value}";\n' for name, value in options.items()))
    said = subprocess.run(
        ["apt-config", *line, "dump"],
        capture_output=True,
        text=True,
        check=True,
        env={"APT_CONFIG": str(conf), "PATH": "/usr/bin:/bin"},
    ).stdout.splitlines()
    theirs = [line.lower() for line in said]
    for line in settings(DEBIAN_CONF).splitlines():
        assert line.lower() in theirs


# --- preferences


def test_pins_are_kept_without_comments_and_explanations() -> None:
    text = "# ours\nExplanation: a SECRET plan\nPackage: *\nPin: release n=bookworm,\n  o=Debian\n"
    text += "Pin-Priority: 990\n\nPackage: nginx\nPin: version 1.22*\n# x\nPin-Priority: -1\n"
    parts = {"/etc/apt/preferences.d/b.pref": text, "/etc/apt/preferences.d/a.bak": "x"}
    (file,) = described("", **parts).planning.preferences
    assert file.path == "/etc/apt/preferences.d/b.pref"
    assert file.text == (
        "Package: *\nPin: release n=bookworm, o=Debian\nPin-Priority: 990\n\n"
        "Package: nginx\nPin: version 1.22*\nPin-Priority: -1\n"
    )


def test_a_pin_without_a_priority_is_unknown() -> None:
    content = described("", **{"/etc/apt/preferences": "Package: *\nPin: release a=x\n"})
    assert content.unknowns[0].where.startswith("/etc/apt/preferences")
    assert content.planning.preferences == ()
