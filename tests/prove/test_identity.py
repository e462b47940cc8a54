"""The image's own: as it was, or gone where the plan had it cleared."""

from __future__ import annotations

import pytest

from regild.image.tree import Guest
from regild.model.content import Content, Platform
from regild.prove.identity import check_identity
from regild.prove.scene import Scene
from tests.describe.guests import MemoryTree

BEFORE = {"/etc/machine-id": "0123", "/etc/ssh/ssh_host_rsa_key": "key", "/etc/hostname": "web"}


def found(after: dict[str, str], seal: tuple[str, ...]) -> list[str]:
    guest, before = (Guest(MemoryTree(files), (), (), (), ()) for files in (after, BEFORE))
    scene = Scene(guest, Content(Platform()), before=before, seal=seal)
    return [one.what for one in check_identity(scene)]


@pytest.mark.parametrize(
    ("after", "seal", "what"),
    [
        (BEFORE, (), []),
        (BEFORE, ("machine-id", "host-keys"), []),
        ({**BEFORE, "/etc/machine-id": ""}, ("machine-id",), []),
        ({**BEFORE, "/etc/machine-id": ""}, (), ["/etc/machine-id"]),
        ({**BEFORE, "/etc/machine-id": ""}, ("host-keys", "logs"), ["/etc/machine-id"]),
        ({**BEFORE, "/etc/machine-id": "4567"}, ("machine-id",), ["/etc/machine-id"]),
        ({"/etc/machine-id": "0123", "/etc/hostname": "web"}, ("host-keys",), []),
        ({**BEFORE, "/etc/hostname": ""}, ("machine-id", "host-keys"), ["/etc/hostname"]),
        (
            {**BEFORE, "/etc/ssh/ssh_host_rsa_key": "k"},
            ("host-keys",),
            ["/etc/ssh/ssh_host_rsa_key"],
        ),
    ],
)
def test_only_what_was_to_be_cleared_may_be_gone(
    after: dict[str, str], seal: tuple[str, ...], what: list[str]
) -> None:
    assert found(after, seal) == what
