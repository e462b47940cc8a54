"""The libvirt driver against a real libvirtd, with guests that really boot and really end."""

import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from demo.daemon import URI, readable_folder, remove_domains, running_daemon
from regild.errors import DriverFailed
from regild.model.rotation import Group, Health, Seen, StartOrder
from regild.rotate.driver import open_driver
from regild.rotate.libvirt import LibvirtDriver
from tests.rotate.tiny import Tiny, make_disk, make_tiny

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]

NAME = "regild-test-web"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    if shutil.which("libvirtd") is None:
        pytest.skip("libvirt is not installed; scripts/setup slow installs it")
    with running_daemon(), readable_folder("regild-test-") as made:
        yield made
        remove_domains(NAME)


@pytest.fixture(scope="module")
def tiny(folder: Path, demo_ova: Path) -> Tiny:
    return make_tiny(demo_ova, folder / "tiny")


def group(tiny: Tiny, folder: Path, **options: str) -> Group:
    told = {"uri": URI, "folder": str(folder / "instances"), "memory": "256", "shutdown": "30"}
    told |= {"kernel": str(tiny.kernel), "initrd": str(tiny.initrd)}
    told["cmdline"] = "console=ttyS0 quiet panic=-1"
    health = Health("boot", "TINY: ready", 120)
    return Group(NAME, "web", "production", "libvirt", 2, health=health, options=told | options)


def until(ask: Callable[[], bool], seconds: float = 400) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ask():
            return True
        time.sleep(0.5)
    return False


def only(driver: LibvirtDriver) -> Seen:
    (one,) = driver.look()
    return one


def domains() -> str:
    line = ["virsh", "-q", "-c", URI, "list", "--all"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_life_of_an_instance(folder: Path, tiny: Tiny) -> None:
    driver = LibvirtDriver(group(tiny, folder, seed="nocloud", user_disk="16M"), folder)
    disk = make_disk(folder / "web-7.qcow2", "generation 7")
    before = digest(disk)
    order = StartOrder(f"{NAME}-1", 7, f"sha256:{before}", str(disk), "qcow2", "anna")
    driver.start(order)
    driver.start(order)
    assert f"{NAME}-1" in domains()
    assert until(lambda: only(driver).healthy is True)
    console = (folder / "instances/consoles" / f"{NAME}-1.log").read_text(errors="replace")
    assert "TINY: ready on generation 7" in console
    seen = only(driver)
    assert (seen.generation, seen.owner, seen.running) == (7, "anna", True)
    driver.drain(seen.name)
    assert only(driver).draining
    driver.stop(seen.name)
    driver.stop(seen.name)
    assert driver.look() == ()
    assert f"{NAME}-1" not in domains()
    left = {path.name for path in (folder / "instances").rglob("*") if path.is_file()}
    assert left == {f"{NAME}-1.log", "anna.qcow2"}, "its console, and its owner's own disk"
    gone = (folder / "instances/gone" / f"{NAME}-1.log").read_text(errors="replace")
    assert "TINY: goodbye" in gone, "it was asked, not killed"
    assert digest(disk) == before
    driver.close()


def test_a_guest_that_does_not_obey_is_ended_by_force(folder: Path, tiny: Tiny) -> None:
    stubborn = group(tiny, folder, initrd=str(tiny.stubborn), shutdown="3")
    driver = LibvirtDriver(stubborn, folder)
    disk = make_disk(folder / "web-8.qcow2", "generation 8")
    driver.start(StartOrder(f"{NAME}-2", 8, "sha256:00", str(disk), "qcow2"))
    assert until(lambda: only(driver).healthy is True)
    driver.stop(f"{NAME}-2")
    assert driver.look() == ()


def test_a_guest_that_breaks_is_never_healthy(folder: Path, tiny: Tiny) -> None:
    driver = LibvirtDriver(group(tiny, folder), folder)
    disk = make_disk(folder / "web-9.qcow2", "bad")
    driver.start(StartOrder(f"{NAME}-3", 9, "sha256:00", str(disk), "qcow2"))
    log = folder / "instances/consoles" / f"{NAME}-3.log"
    assert until(lambda: log.exists() and b"TINY: broken" in log.read_bytes())
    assert only(driver).healthy is False
    driver.stop(f"{NAME}-3")


def test_others_domains_are_not_touched(folder: Path, tiny: Tiny) -> None:
    driver = LibvirtDriver(group(tiny, folder), folder)
    other = LibvirtDriver(replace(group(tiny, folder), name=f"{NAME}-other"), folder)
    disk = make_disk(folder / "web-1.qcow2", "generation 1")
    order = StartOrder(f"{NAME}-4", 1, "sha256:00", str(disk), "qcow2")
    other.start(order)
    assert driver.look() == ()
    own = (lambda: driver.start(order), lambda: driver.drain(order.name))
    for attempt in (*own, lambda: driver.stop(order.name)):
        with pytest.raises(DriverFailed, match="not this group's"):
            attempt()
    assert only(other).running
    assert not only(other).draining
    other.stop(order.name)


def test_a_daemon_that_is_not_there() -> None:
    away = Group("web", "web", "c", "libvirt", 1, options={"uri": "qemu+unix:///system?socket=/no"})
    with pytest.raises(DriverFailed, match="socket"):
        LibvirtDriver(away, Path("/tmp"))


def test_a_base_that_is_not_there(folder: Path, tiny: Tiny) -> None:
    driver = LibvirtDriver(group(tiny, folder), folder)
    with pytest.raises(DriverFailed):
        driver.start(StartOrder(f"{NAME}-5", 1, "sha256:00", "/no/such/disk", "qcow2"))
    assert driver.look() == ()


def test_the_worked_example_of_the_exec_driver_runs_a_guest(folder: Path, tiny: Tiny) -> None:
    script = Path(__file__).parents[2] / "docs/guide/examples/exec-driver"
    told = f"-kernel {tiny.kernel} -initrd {tiny.initrd} -append console=ttyS0"
    place = {"QEMU_OPTIONS": told, "READY": "TINY: ready", "MEMORY": "256"}
    words = " ".join(f"'{name}={value}'" for name, value in place.items())
    options = {verb: f"env {words} {script} {verb}" for verb in ("look", "start", "drain", "stop")}
    driver = open_driver(Group(NAME, "web", "production", "exec", 1, options=options), folder)
    disk = make_disk(folder / "web-2.qcow2", "generation 2")
    driver.start(StartOrder(f"{NAME}-6", 2, "sha256:00", str(disk), "qcow2", "anna"))
    try:
        assert until(lambda: driver.look()[0].healthy is True)
        driver.drain(f"{NAME}-6")
        (seen,) = driver.look()
        assert (seen.generation, seen.owner, seen.draining) == (2, "anna", True)
    finally:
        driver.stop(f"{NAME}-6")
    assert driver.look() == ()
