"""Per package: whether offline is safe, and why."""

from __future__ import annotations

import pytest

from regild.plan.method import choose_method, loader_is_written, writes_loader

GRUB = ("grub2-common", "grub-pc", "grub-pc-bin", "linux-image-amd64", "initramfs-tools")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("linux-image-amd64", "boot menu"),
        ("linux-image-6.1.0-40-cloud-amd64", "boot menu"),
        ("linux-modules-6.8.0-40-generic", "boot menu"),
        ("initramfs-tools-core", "initial RAM disk"),
        ("lvm2", "initial RAM disk"),
        ("cryptsetup-initramfs", "initial RAM disk"),
        ("grub-common", "boot loader's files"),
        ("grub2-common", "boot loader's files"),
        ("grub-efi-amd64-bin", "boot loader's files"),
        ("systemd", "recorded"),
        ("linux-libc-dev", "recorded"),
        ("systemd-boot-efi", "recorded"),
        ("dracut-install", "recorded"),
    ],
)
def test_what_is_safe_offline_says_why(name: str, words: str) -> None:
    method, why = choose_method(name, GRUB)
    assert method == "offline" and words in why


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grub-pc", "drive"),
        ("grub-efi-amd64", "drive"),
        ("grub-cloud-amd64", "drive"),
        ("grub-efi-amd64-signed", "EFI"),
        ("shim-signed", "EFI"),
        ("shim-helpers-amd64-signed", "EFI"),
        ("dracut", "running machine"),
        ("zfs-initramfs", "running machine"),
        ("systemd-boot", "not known"),
        ("refind", "not known"),
    ],
)
def test_what_takes_the_booted_machine_says_why(name: str, words: str) -> None:
    method, why = choose_method(name, GRUB)
    assert method == "boot" and words in why


@pytest.mark.parametrize("other", ["dracut", "systemd-boot", "flash-kernel"])
def test_a_kernel_beside_what_is_not_served_here_takes_the_booted_machine(other: str) -> None:
    for name in ("linux-image-amd64", "initramfs-tools"):
        method, why = choose_method(name, (*GRUB, other))
        assert method == "boot" and why.startswith(f"{other} is installed: ")
    assert choose_method("openssl", (*GRUB, other))[0] == "offline"


def test_a_kernel_that_nobody_knows_the_loader_of_takes_the_booted_machine() -> None:
    method, why = choose_method("linux-image-amd64", ("linux-image-amd64", "initramfs-tools"))
    assert method == "boot" and "no boot loader" in why
    assert choose_method("initramfs-tools", ("initramfs-tools",))[0] == "offline"


def test_the_order_of_what_is_installed_changes_nothing() -> None:
    names = (*GRUB, "dracut", "refind")
    assert choose_method("linux-image-amd64", names) == choose_method(
        "linux-image-amd64", names[::-1]
    )


@pytest.mark.parametrize("name", ["grub-pc", "shim-signed", "shim-x64", "grub2-efi-x64", "lilo"])
def test_what_writes_outside_of_the_guests_filesystems(name: str) -> None:
    assert writes_loader(name)


@pytest.mark.parametrize(
    ("changed", "installed", "written"),
    [
        ("grub-pc", ("grub-pc",), True),
        ("linux-image-6.1", ("grub-pc", "linux-image-6.1"), False),
        ("linux-image-6.1", ("systemd-boot",), True),
        ("kernel-core", ("systemd-boot-unsigned",), True),
        ("linux-lts", ("syslinux",), True),
        ("syslinux", ("syslinux",), True),
        ("grub-bios", ("grub", "grub-bios"), True),
    ],
)
def test_a_loader_is_written_by_its_own_package_or_with_each_kernel(
    changed: str, installed: tuple[str, ...], written: bool
) -> None:
    assert loader_is_written([changed], installed) == written


@pytest.mark.parametrize("name", ["grub2-common", "grub2-tools-minimal", "grub-pc-bin", "kernel"])
def test_what_does_not(name: str) -> None:
    assert not writes_loader(name)
