"""Which changes need instances that run to be started anew."""

import pytest

from regild.plan.restart import restart_why


@pytest.mark.parametrize(
    "name",
    [
        "linux-image-6.1.0-56-cloud-amd64",
        "linux-image-cloud-amd64",
        "kernel-core",
        "linux-virt",
        "libc6",
        "glibc",
        "systemd",
        "dbus-broker",
        "intel-microcode",
        "firmware-misc-nonfree",
    ],
)
def test_what_a_running_machine_keeps_needs_a_restart(name: str) -> None:
    assert restart_why(name)


@pytest.mark.parametrize(
    "name",
    ["linux-image-6.1.0-56-amd64-dbg", "kernel-headers", "libc6-dev", "nginx", "libssl3", "tar"],
)
def test_everything_else_needs_none(name: str) -> None:
    assert restart_why(name) == ""
