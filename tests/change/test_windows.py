"""A Windows that installs what it is given, by a stand-in for it: what is kept, what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regild.agent.changing import windows as trip
from regild.change import windows as stage
from regild.cli.front import run
from regild.host.monitor import Monitor
from regild.host.run import TIMED_OUT, Finished, find_tool
from tests.change.windows_guests import NEW_UBR, StandIn, make_disk
from tests.cli.conftest import Said
from tests.cli.schemas import valid

pytestmark = pytest.mark.root


PICTURE = b"\x89PNG of a stand-in"


def find_but_the_machine(name: str, purpose: str) -> Path:
    """Find a tool; of the machine there is only a stand-in here, so it need not be installed."""
    return Path("/nowhere") if name == "qemu-system-x86_64" else find_tool(name, purpose)


class NoScreen(Monitor):
    """A control door with nobody behind it."""

    def screenshot(self) -> bytes:
        return PICTURE

    def quit(self) -> None:
        pass


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("windows") / "golden.raw")


@pytest.fixture
def update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], disk: Path
) -> Callable[..., Said]:
    """Update the disk with one update and one script, by a machine of the test's choice."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media/1-windows10.0-kb5050000-x64.msu").write_bytes(b"update" * 1000)
    (tmp_path / "media/2-site.ps1").write_bytes(b"exit 0\r\n")
    (tmp_path / "work").mkdir()

    def run_here(name: str, request: dict[str, Any], **more: Any) -> dict[str, Any]:
        assert name == "regild.change.windows"
        return stage.main(request, more["progress"])

    def say(machine: Any, *words: str, image: Path = disk) -> Said:
        monkeypatch.setattr(trip, "run_stage", run_here)
        monkeypatch.setattr(trip, "find_tool", find_but_the_machine)
        monkeypatch.setattr(stage, "run_machine", machine)
        monkeypatch.setattr(stage, "Monitor", NoScreen)
        argv = ["update", image, "--media", tmp_path / "media", "-o", tmp_path / "new.raw"]
        argv += ["--scratch", tmp_path / "jobs", "--force", *words]
        code = run([str(one) for one in argv])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return say


def test_a_windows_is_updated_over_a_restart_and_described_anew(
    update: Callable[..., Said], tmp_path: Path, disk: Path
) -> None:
    before = disk.read_bytes()
    machine = StandIn(tmp_path / "work", codes={"01.MSU": 3010}, extra=b"\x1b[2JBdsDxe: \xff\r\n")
    said = update(machine, "--json")
    assert said.code == 0, said.err
    assert disk.read_bytes() == before
    assert machine.starts == 2
    answer = valid("update", said.json)
    receipt = answer["receipt"]
    assert receipt["carrier"] == "boot"
    assert receipt["media_run"]["codes"] == [3010, 0]
    assert (receipt["media_run"]["starts"], receipt["media_run"]["restarts"]) == (2, 1)
    assert (receipt["media_run"]["build"], receipt["media_run"]["ubr"]) == ("20348", NEW_UBR)
    assert any("never tried on a real Windows" in one["why"] for one in receipt["unchecked"])
    assert [one["name"] for one in receipt["errands"]] == [
        "1-windows10.0-kb5050000-x64.msu",
        "2-site.ps1",
    ]
    assert {"install", "KB5050000"} <= {
        word for one in receipt["packages"] for word in (one["action"], one["name"])
    }
    described = shutil.copy(tmp_path / "new.raw", tmp_path / "copy.raw")
    assert run(["describe", str(described)]) == 0
    assert (tmp_path / "new.run.png").read_bytes() == PICTURE
    log = (tmp_path / "new.run.log").read_bytes()
    assert log.count(b'"say": "hello"') == 2
    assert json.loads((tmp_path / "new.receipt.json").read_text())["predicate"] == receipt


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"codes": {"01.MSU": -2145124329}}, 8, "did not install 1-windows10.0-kb5050000-x64.msu"),
        ({"codes": {"02.PS1": 7}}, 8, "2-site.ps1: it ended with 7"),
        ({"spoilt": "02.PS1"}, 8, "its bytes are not those"),
        ({"silent": True}, 8, "without a word of the run"),
        ({"keep_hook": True}, 8, "would start the run again"),
        ({"lies": True}, 9, "the build"),
        ({"does_nothing": True}, 9, "a trace of the updates"),
        ({"extra": b"regild {}\n"}, 8, "is not believed"),
        ({"extra": b"x" * (5 << 20)}, 8, "says more than"),
    ],
)
def test_what_did_not_go_as_it_should_is_told_and_nothing_is_written(
    update: Callable[..., Said], tmp_path: Path, change: dict[str, Any], code: int, words: str
) -> None:
    said = update(StandIn(tmp_path / "work", **change))
    assert said.code == code, said.err
    assert words in said.err
    assert not list(tmp_path.glob("new.*"))
    logs = list((tmp_path / "jobs").rglob("guest.log"))
    assert all(str(one) in said.err for one in logs)
    assert bool(logs) != bool(change.get("silent"))
    assert change.keys() & {"keep_hook", "lies", "does_nothing"} or list(
        (tmp_path / "jobs").glob("*/screen.png")
    )


def test_a_windows_that_never_goes_off_is_ended_in_time(
    update: Callable[..., Said], tmp_path: Path
) -> None:
    def hangs(machine: Any, *, console: Any, **_: Any) -> Finished:
        console.write(b'regild {"say":"hello","step":1}\r\n')
        return Finished(("stand-in",), TIMED_OUT, b"", b"", 1.0)

    said = update(hangs, "--timeout", "5")
    assert said.code == 8
    assert "5 seconds had passed" in said.err
    assert "hello" in said.err


def test_a_windows_that_goes_round_in_restarts_is_given_up(
    update: Callable[..., Said], tmp_path: Path
) -> None:
    machine = StandIn(tmp_path / "work", codes={"01.MSU": 3010})
    starts = []

    def loses_its_way(*given: Any, **more: Any) -> Finished:
        starts.append(1)
        if len(starts) == 1:
            return machine(*given, **more)
        return Finished(("stand-in",), 0, b"", b"", 0.0)

    said = update(loses_its_way)
    assert said.code == 8
    assert f"after {stage.STARTS_MAX} starts" in said.err
    assert len(starts) == stage.STARTS_MAX


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--method", "offline"], 5, "a Windows has to be booted"),
        (["--carrier", "uml"], 5, "a Windows has to be booted"),
        (["--plan", "x"], 2, "--media says already what is installed"),
        (["--only", "x"], 2, "--media says what is installed"),
    ],
)
def test_another_way_than_booting_is_refused(
    update: Callable[..., Said], tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    said = update(StandIn(tmp_path / "work"), *words)
    assert said.code == code
    assert told in said.err


def test_a_generalized_image_is_not_started(update: Callable[..., Said], tmp_path: Path) -> None:
    """Its own setup would run, and what sysprep has cleared would be there again."""
    setup = {"SetupType": 2, "CmdLine": r"oobe\windeploy.exe", "SystemSetupInProgress": 1}
    (tmp_path / "g").mkdir()
    image = make_disk(tmp_path / "g/generalized.raw", setup)
    said = update(StandIn(tmp_path / "work"), image=image)
    assert said.code == 5
    assert "sysprep" in said.err


def test_a_windows_without_files_is_told_how(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["update", str(disk), "-o", str(tmp_path / "new.raw")])
    said = capsys.readouterr()
    assert code == 5
    assert "give their files with --media FILE" in said.err


def test_other_guests_take_no_media(
    update: Callable[..., Said], tmp_path: Path, small_ova: Path
) -> None:
    said = update(StandIn(tmp_path / "work"), "--format", "raw", image=small_ova)
    assert said.code == 2
    assert "--media is for a Windows, and" in said.err
