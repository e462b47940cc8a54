"""Names that somebody changes while regild opens them: it reads and writes in its own folder only.

Another process puts a symlink in the place of a file or folder and takes it away again, as fast as
it can, until regild has met both.
"""

import contextlib
import subprocess
import sys
import time

import pytest

from regild.agent.reading import browse
from regild.agent.reading.intake import open_image, open_stored
from regild.errors import HostError, InputError, RegildError, TargetExists, UnsafeName
from regild.host.files import open_new
from regild.image.formats import open_disk
from regild.ovf.archive import open_appliance
from tests.cli import golden
from tests.image.disks import descriptor, tool
from tests.ovf.samples import envelope

SECRET = b"not for you " * 5000
OWN = b"for everybody" + bytes(119 * 512 - 13)
SECONDS = 20
TRIES = 60

FILE = """
import os, sys
name, own, secret = sys.argv[1:]
while True:
    os.symlink(secret, name + ".two")
    os.rename(name + ".two", name)
    os.link(own, name + ".one")
    os.rename(name + ".one", name)
"""
FOLDER = """
import os, sys
name, own, secret = sys.argv[1:]
while True:
    os.symlink(secret, name + ".two")
    os.rename(name, own)
    os.rename(name + ".two", name)
    os.unlink(name)
    os.rename(own, name)
"""


@contextlib.contextmanager
def swapping(script, name, own, secret):
    """Another process that swaps a name between what belongs there and a symlink to a secret."""
    process = subprocess.Popen([sys.executable, "-c", script, name, own, secret])
    try:
        yield
        assert process.poll() is None, "the other process has ended by itself"
    finally:
        process.kill()
        process.wait()


def race(read):
    """Read again and again; what was read, and how often it was refused."""
    found, refused = set(), 0
    until = time.monotonic() + SECONDS
    for count in range(1_000_000):
        if time.monotonic() > until or (count > TRIES and found and refused):
            break
        try:
            found.add(read())
        except (RegildError, OSError) as error:
            assert isinstance(error, RegildError), error
            assert not isinstance(error, HostError), error
            refused += 1
    assert refused, "nothing was swapped in time"
    return found


def read_all(path):
    with open_disk(path) as disk:
        return disk.read(0, disk.size)


@pytest.fixture
def place(tmp_path):
    """A folder with a file of its own, and a secret elsewhere."""
    (tmp_path / "own").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/base.raw").write_bytes(SECRET)
    (tmp_path / "own/base.raw").write_bytes(OWN)
    (tmp_path / "kept").hardlink_to(tmp_path / "own/base.raw")
    return tmp_path


def over_a_base(place):
    image = place / "own/disk.qcow2"
    named = ("-u", "-F", "raw", "-b", "base.raw")
    tool("qemu-img", "create", "-q", "-f", "qcow2", *named, image, str(len(OWN)))
    return image


def of_an_extent(place):
    image = place / "own/disk.vmdk"
    extra = ("parentCID=ffffffff", 'createType="monolithicFlat"')
    image.write_bytes(descriptor(len(OWN) // 512, 'FLAT "base.raw" 0', *extra))
    return image


@pytest.mark.parametrize("make", [over_a_base, of_an_extent])
def test_a_named_file_that_becomes_a_symlink_is_never_followed(place, make):
    image = make(place)
    names = (place / "own/base.raw", place / "kept", place / "elsewhere/base.raw")
    with swapping(FILE, *names):
        assert race(lambda: read_all(image)) == {OWN}


@pytest.mark.parametrize("make", [over_a_base, of_an_extent])
def test_a_named_file_is_never_one_of_another_folder(place, make):
    image = make(place)
    with swapping(FOLDER, place / "own", place / "aside", place / "elsewhere"):
        assert race(lambda: read_all(image)) == {OWN}


def packaged(place, href):
    """A package in a folder, whose disk is the file of its own."""
    text = envelope().replace(b"disk1.vmdk", href.encode())
    text = text.replace(b'ovf:size="5"', f'ovf:size="{len(OWN)}"'.encode())
    (place / "vm.ovf").write_bytes(text)

    def read():
        with open_image(place / "vm.ovf") as image, contextlib.ExitStack() as stack:
            disk = stack.enter_context(open_stored(image.only_system.disks[0]))
            return disk.read(0, 4096)

    return read


def test_a_packages_file_that_becomes_a_symlink_is_never_followed(place):
    read = packaged(place, "own/base.raw")
    names = (place / "own/base.raw", place / "kept", place.parent / "secret")
    (place.parent / "secret").write_bytes(SECRET)
    with swapping(FILE, *names):
        assert race(read) == {OWN[:4096]}


def test_a_packages_folder_that_becomes_a_symlink_is_never_followed(place):
    read = packaged(place, "own/base.raw")
    outside = place.parent / "outside"
    outside.mkdir()
    (outside / "base.raw").write_bytes(SECRET)
    with swapping(FOLDER, place / "own", place / "aside", outside):
        assert race(read) == {OWN[:4096]}


def test_what_was_a_file_when_the_package_was_opened_is_no_symlink_later(place):
    packaged(place, "own/base.raw")
    with open_appliance(place / "vm.ovf") as appliance:
        (member,) = appliance.parts_of(appliance.envelope.files[0])
        assert member.read(1 << 20) == OWN
        (place / "own/base.raw").unlink()
        (place / "own/base.raw").symlink_to(place / "elsewhere/base.raw")
        with pytest.raises(UnsafeName):
            member.read(1 << 20)
        with pytest.raises(UnsafeName), open_disk(member.path):
            pass
        with pytest.raises(UnsafeName):
            member.path.read_bytes()


@pytest.mark.parametrize("name", ["base.raw", "pipe", "null"])
def test_only_a_file_can_be_named(place, name):
    """A device in the folder is not; a disk's own guest may have chosen the name."""
    tool("mkfifo", place / "own/pipe")
    (place / "own/null").symlink_to("/dev/null")
    image = of_an_extent(place)
    image.write_bytes(image.read_bytes().replace(b"base.raw", name.encode()))
    if name == "base.raw":
        assert read_all(image)
    else:
        with pytest.raises(RegildError) as caught:
            read_all(image)
        assert caught.value.exit_code == 5


# What is written


def swap(folder, aside, victim):
    folder.rename(aside)
    folder.symlink_to(victim)


def test_a_new_file_goes_into_the_folder_that_was_named(tmp_path):
    for name in ("out", "victim"):
        (tmp_path / name).mkdir()
    with open_new(tmp_path / "out/file") as file:
        file.write(b"x")
        swap(tmp_path / "out", tmp_path / "aside", tmp_path / "victim")
    assert list((tmp_path / "victim").iterdir()) == []
    assert (tmp_path / "aside/file").read_bytes() == b"x"


@pytest.mark.parametrize("replace", [True, False])
def test_a_symlink_under_the_name_is_not_written_through(tmp_path, replace):
    (tmp_path / "victim").write_bytes(b"victim")
    refused = contextlib.nullcontext() if replace else pytest.raises(TargetExists)
    with refused, open_new(tmp_path / "file", replace=replace) as file:
        file.write(b"x")
        (tmp_path / "file").symlink_to("victim")
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert (tmp_path / "file").is_symlink() != replace


@pytest.fixture
def guest(tmp_path):
    return golden.filesystem(tmp_path, {**golden.GUEST, "/srv/a/one": "1", "/srv/b/two": "2"})


def test_a_copied_folder_is_filled_where_it_was_made(guest, tmp_path, monkeypatch):
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.mkdir()
    content = browse._Copy._content

    def meanwhile(self, place):
        for hidden in out.glob(".srv.*"):
            if not hidden.is_symlink() and not (tmp_path / "aside").exists():
                swap(hidden, tmp_path / "aside", victim)
        return content(self, place)

    monkeypatch.setattr(browse._Copy, "_content", meanwhile)
    with pytest.raises((RegildError, OSError)):
        browse.copy_out(guest, "/srv", out / "srv")
    assert list(victim.iterdir()) == []


def test_a_folder_that_comes_meanwhile_is_not_replaced(guest, tmp_path, monkeypatch):
    target = tmp_path / "srv"
    content = browse._Copy._content

    def meanwhile(self, place):
        if not target.exists():
            target.symlink_to(tmp_path)
        return content(self, place)

    monkeypatch.setattr(browse._Copy, "_content", meanwhile)
    with pytest.raises(TargetExists):
        browse.copy_out(guest, "/srv", target)
    assert target.is_symlink()
    assert not list(tmp_path.glob(".srv.*"))


def test_a_file_that_comes_meanwhile_is_not_replaced(guest, tmp_path, monkeypatch):
    target = tmp_path / "one"
    content = browse._Copy._content

    def meanwhile(self, place):
        target.write_text("older")
        return content(self, place)

    monkeypatch.setattr(browse._Copy, "_content", meanwhile)
    with pytest.raises((TargetExists, InputError)):
        browse.copy_out(guest, "/srv/a/one", target)
    assert target.read_text() == "older"
    browse.copy_out(guest, "/srv/a/one", target, force=True)
    assert target.read_text() == "1"
