"""Targets of third parties: found by entry point, used as ours are, never in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.errors import UsageError
from regild.model.digest import Digest
from regild.model.progress import Silent
from regild.publish.schemes import open_target
from regild.publish.shelf_target import ShelfTarget
from regild.publish.target import Label, Parcel, marks_of
from tests.cli.conftest import Said
from tests.cli.conftest import ova as ova
from tests.cli.conftest import raw as raw
from tests.cli.conftest import regild as regild
from tests.cli.conftest import vmdk as vmdk
from tests.distributions import install

MODULE = '''
import shutil
from pathlib import Path
from regild.publish.target import Pushed

class Drawer:
    """A folder, in the simplest way that the protocol allows."""

    def __init__(self, address):
        self.place = Path(address.partition("://")[2])

    def push(self, parcel, progress):
        for name, path in parcel.paths.items():
            shutil.copy(path, self.place / f"{parcel.label.image}-{parcel.label.number}-{name}")
        return Pushed(str(self.place), None, sum(one.bytes for one in parcel.label.files))

    def names(self):
        return tuple(sorted(path.name for path in self.place.iterdir()))

    def pull(self, name, folder, progress):
        return (Path(shutil.copy(self.place / name, folder / name)),)
'''
ENTRIES = """[regild.targets]
drawer = a_drawer:Drawer
broken = a_drawer:Nothing
file = a_drawer:Drawer
"""


@pytest.fixture
def drawer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another distribution is installed, which brings a target; the folder that it speaks for."""
    install(tmp_path / "site", "a_drawer", MODULE, ENTRIES, monkeypatch)
    place = tmp_path / "drawer"
    place.mkdir()
    return place


def test_a_generation_goes_there_and_comes_back(
    regild: object, ova: Path, drawer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(regild)
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    regild("image", "add", "web")
    assert regild("publish", ova, "--image", "web").code == 0
    pushed: Said = regild("push", "web@1", f"drawer://{drawer}", "--scratch", tmp_path)
    assert pushed.code == 0, pushed.err
    (name,) = (path.name for path in drawer.iterdir())
    assert marks_of(open_target(f"drawer://{drawer}")) == {name: name}
    regild("image", "add", "copy")
    brought = ("import", f"drawer://{drawer}", name, "--image", "copy", "--scratch", tmp_path)
    assert regild(*brought).code == 0
    assert regild("export", "copy", "-o", tmp_path / "back.ova").code == 0
    assert (tmp_path / "back.ova").read_bytes() == ova.read_bytes()


def test_regilds_own_schemes_stay_its_own(drawer: Path) -> None:
    assert isinstance(open_target(f"file://{drawer}"), ShelfTarget)


def test_one_that_cannot_be_loaded_is_named(drawer: Path) -> None:
    with pytest.raises(UsageError, match=r"broken:// is a target of a_drawer:Nothing"):
        open_target("broken://x")


def test_it_is_among_those_that_there_are(drawer: Path) -> None:
    with pytest.raises(UsageError, match="drawer://"):
        open_target("gopher://x")


def test_the_protocol_is_enough(drawer: Path, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    label = Label("web", 1, Digest("sha256:00"), "disk", ())
    open_target(f"drawer://{drawer}").push(Parcel(label, {"a": path}, lambda _: path), Silent())
    assert (drawer / "web-1-a").read_text() == "x"
