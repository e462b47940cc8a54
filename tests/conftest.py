"""What tests of several rooms need: real appliances, the shared corpus, rights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from demo.build import find_appliance
from demo.recipe import RECIPES, WORKER
from tests.host.apart import all_gone, keeping_orphans

ROOT = Path(__file__).resolve().parent.parent

# Debian leaves these out of an ordinary user's PATH; mke2fs and e2fsck lie there.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"

# Time that passes says nothing on a machine that others use too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):  # there hypothesis has a profile of its own, with the same wishes
    settings.load_profile("shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the checkout; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared corpus is not beside this checkout (../shared)")
    return folder


@pytest.fixture(scope="session")
def small_ova() -> Path:
    """A real Debian 12 with three old packages (64 MB); read it, or copy it before you write."""
    return find_appliance("small")


@pytest.fixture(scope="session")
def demo_ova() -> Path:
    """The demo's real, bootable, outdated Debian 12 (221 MB); building it takes a minute or two."""
    return find_appliance("demo")


@pytest.fixture(scope="session")
def worker_ova() -> Path:
    """The smallest Debian 12 that boots (163 MB), with an old OpenSSL."""
    return find_appliance("worker")


@pytest.fixture(scope="session")
def kernel_ova() -> Path:
    """The smallest Debian 12 that boots, with the kernel of its last point release."""
    older = replace(WORKER, name="kernel", suites=("bookworm",), outdated=())
    return find_appliance(RECIPES.setdefault(older.name, older).name)


@pytest.fixture
def machines_gone() -> Iterator[Callable[[], bool]]:
    """Whether no QEMU that the test started is left; those of others do not count."""
    with keeping_orphans():
        yield lambda: all_gone("qemu-system", own=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root say so by a mark and are skipped for an ordinary user."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their place: two workers may make the same case with other bytes."""
    return argname if isinstance(val, bytes) else None
