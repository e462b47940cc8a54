"""What an image keeps for itself."""

from __future__ import annotations

import pytest

from regild.change.seal import is_kept


@pytest.mark.parametrize(
    "path",
    [
        "/etc/machine-id",
        "/etc/resolv.conf",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_rsa_key.pub",
        "/run/utmp",
        "/tmp/x/y",
        "/var/lib/apt/lists/partial",
    ],
)
def test_identity_and_running_state_stay_out_of_the_record(path: str) -> None:
    assert is_kept(path)


@pytest.mark.parametrize(
    "path", ["/etc/ssh/sshd_config", "/running", "/var/lib/apt/extended_states"]
)
def test_everything_else_is_recorded(path: str) -> None:
    assert not is_kept(path)
