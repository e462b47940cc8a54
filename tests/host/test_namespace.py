"""Name spaces: whose ids stand behind a guest's, and what of the machine is in there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from regild.host.namespace import IdMap, View, find_id_map, open_namespace
from tests.host.apart import run_as, user_with_ids

pytestmark = pytest.mark.timeout(120)


def inside(text: str, folder: Path, view: View | None = None) -> tuple[int, str]:
    """The exit status of a shell command inside, and what it says."""
    argv = ["/bin/sh", "-c", text]
    with (
        (folder / "errors.log").open("wb") as errors,
        open_namespace(argv, find_id_map(), view or View(), errors=errors) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.read().decode()
        return process.wait(), said


def test_the_exit_status_is_the_commands(tmp_path: Path) -> None:
    assert inside("exit 7", tmp_path) == (7, "")
    assert inside("sh -c 'kill -SEGV $$'; exit $?", tmp_path)[0] == 139


def test_inside_is_root_of_a_range_that_is_nobody_outside(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    ids = find_id_map()
    os.chown(place, *ids.owner)
    tmp_path.chmod(0o700)
    text = f"id -u; cd {place} && touch a b && chown 33:44 b && chmod 4755 b"
    assert inside(text, tmp_path, View(writable=(place,))) == (0, "0\n")
    if os.geteuid() == 0:
        first = ids.users[0][1]
        assert (place / "a").stat().st_uid == first >= 1 << 30
        assert (place / "b").stat()[4:6] == (first + 33, first + 44)


def test_readable_is_not_writable_whatever_is_mounted_below(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert inside(f"touch {tmp_path}/x", tmp_path, View(readable=(tmp_path,)))[0] != 0
    assert inside("touch /usr/x /usr/lib/x /lib/x", tmp_path)[0] != 0
    assert not Path("/usr/x").exists()


def test_the_machine_cannot_be_told_from_inside(tmp_path: Path) -> None:
    text = (
        "cat /etc/hostname /etc/passwd; ls /home /srv /boot /old; tr '\\0' '\\n' < /proc/1/environ"
    )
    _, said = inside(text, tmp_path)
    assert {line.partition("=")[0] for line in said.splitlines()} <= {"LC_ALL", "PATH"}


def test_only_the_kept_file_descriptors_go_along(tmp_path: Path) -> None:
    first, second = (os.open("/etc/passwd", os.O_RDONLY) for _ in range(2))
    os.set_inheritable(first, True)
    code = f"import os; print(os.path.exists('/proc/self/fd/{first}'), len(os.read({second}, 9)))"
    with (
        (tmp_path / "errors.log").open("wb") as errors,
        open_namespace(
            [sys.executable, "-c", code], find_id_map(), View(), errors=errors, keep=(second,)
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.read() == b"False 9\n"
    os.close(first)
    os.close(second)


@pytest.mark.root
def test_the_range_of_an_ordinary_user_is_the_one_of_subuid() -> None:
    done = run_as(
        user_with_ids(),
        "from regild.host.namespace import find_id_map; print(find_id_map().users[1][2] >= 65536)",
    )
    assert done.stdout == "True\n", done.stderr


def test_the_owner_is_who_stands_behind_root() -> None:
    assert IdMap(((0, 5, 1), (1, 100, 9)), ((0, 6, 1),)).owner == (5, 6)
