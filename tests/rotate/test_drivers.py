"""The folder and the exec driver do what a driver promises; every call may be made twice."""

import json
import stat
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.errors import DriverFailed, GroupRefused
from regild.model.rotation import Group, StartOrder
from regild.rotate.driver import Driver, open_driver

ORDER = StartOrder("web-1", 7, "sha256:00", "", "qcow2", "anna")

PLATFORM = f"""#!{sys.executable}
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
verb, env = sys.argv[2], os.environ
own = folder / (env.get("REGILD_INSTANCE", "none") + ".machine")
if verb == "look":
    print(json.dumps([json.loads(path.read_text()) for path in sorted(folder.glob("*.machine"))]))
elif verb == "start":
    told = {{"name": env["REGILD_INSTANCE"], "generation": int(env["REGILD_GENERATION"])}}
    told |= {{"healthy": True, "owner": env["REGILD_OWNER"], "sessions": 1}}
    own.write_text(json.dumps(told))
elif verb == "drain" and own.exists():
    own.write_text(json.dumps({{**json.loads(own.read_text()), "draining": True}}))
elif verb == "stop":
    own.unlink(missing_ok=True)
"""


def exec_group(tmp_path: Path) -> Group:
    script = tmp_path / "platform"
    script.write_text(PLATFORM)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    lines = {verb: f"'{script}' '{tmp_path}' {verb}" for verb in ("look", "start", "drain", "stop")}
    return Group("web", "web", "production", "exec", 2, options=lines)


def folder_group(tmp_path: Path) -> Group:
    options = {"folder": str(tmp_path / "instances")}
    return Group("web", "web", "production", "folder", 2, options=options)


@pytest.fixture(params=["folder", "exec"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    made = {"folder": folder_group, "exec": exec_group}[request.param](tmp_path)
    return open_driver(made, tmp_path)


def test_a_life_of_an_instance_with_every_call_made_twice(driver: Driver, tmp_path: Path) -> None:
    disk = tmp_path / "web-7.qcow2"
    disk.write_bytes(b"a disk")
    order = replace(ORDER, disk=str(disk))
    assert driver.look() == ()
    for _ in range(2):
        driver.start(order)
    (one,) = driver.look()
    assert (one.name, one.generation, one.owner, one.running) == ("web-1", 7, "anna", True)
    assert one.healthy and not one.draining
    for _ in range(2):
        driver.drain("web-1")
    assert driver.look()[0].draining
    for _ in range(2):
        driver.stop("web-1")
    assert driver.look() == ()
    assert disk.read_bytes() == b"a disk"


def test_draining_and_stopping_what_is_not_there(driver: Driver) -> None:
    driver.drain("web-9")
    driver.stop("web-9")


def test_a_folder_link_leads_to_the_generations_disk_and_its_status_counts(tmp_path: Path) -> None:
    driver = open_driver(folder_group(tmp_path), tmp_path)
    driver.start(replace(ORDER, disk="/srv/web-7.qcow2"))
    folder = tmp_path / "instances"
    assert str((folder / "web-1.disk").readlink()) == "/srv/web-7.qcow2"
    (folder / "web-1.status").write_text(json.dumps({"healthy": False, "sessions": 3}))
    (one,) = driver.look()
    assert (one.healthy, one.sessions) == (False, 3)
    (folder / "web-1.status").write_text("{half")
    assert driver.look()[0].healthy is None
    (folder / "web-1.disk").unlink()
    assert not driver.look()[0].running


def test_an_exec_platform_that_answers_nonsense_or_fails(tmp_path: Path) -> None:
    group = exec_group(tmp_path)
    for line in ("echo no json", "echo '[{\"name\": 3}]'", "false", "there-is-no-such-tool"):
        driver = open_driver(replace(group, options={**group.options, "look": line}), tmp_path)
        with pytest.raises(DriverFailed):
            driver.look()


def test_an_exec_group_needs_all_its_commands(tmp_path: Path) -> None:
    group = exec_group(tmp_path)
    options = {name: line for name, line in group.options.items() if name != "drain"}
    with pytest.raises(GroupRefused, match="drain"):
        open_driver(replace(group, options=options), tmp_path)


def test_a_driver_that_is_not_known(tmp_path: Path) -> None:
    group = replace(folder_group(tmp_path), driver="punch-cards")
    with pytest.raises(GroupRefused, match=r"exec, folder, libvirt, not 'punch-cards'"):
        open_driver(group, tmp_path)
