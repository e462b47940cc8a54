"""Guests on subvolumes of btrfs, filled by the kernel."""

import shutil
import uuid

import pytest

from regild.errors import Ambiguous
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from tests.image.disks import blank, tool
from tests.image.guests import FILES, STATUS
from tests.image.mounted import mounted
from tests.image.test_filesystems import fill

FSTAB = """\
UUID={uuid} / btrfs subvol={root},compress=zstd 0 0
UUID={uuid} /home btrfs subvol=/@home 0 0
UUID={uuid} /srv btrfs subvol=@none 0 0
"""


def guest_on(tmp_path, roots, default=None, says=None):
    """A btrfs whose subvolumes `roots` each hold a guest, and one more that holds /home."""
    image = blank(tmp_path / "disk", 128 << 20)
    own = uuid.uuid4()  # of each its own: the kernel takes two of one name for one
    tool("mkfs.btrfs", "-q", "-U", own, image)
    with mounted(image, tmp_path / "m", "compress-force=zstd") as folder:
        tool("btrfs", "subvolume", "create", folder / "@home")
        (folder / "@home/me").write_text("x")
        for root in roots:
            tool("btrfs", "subvolume", "create", folder / root)
            for name, content in FILES.items():
                (folder / root / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / root / name).write_text(content)
            fstab = FSTAB.format(uuid=own, root=says or root)
            (folder / root / "etc/fstab").write_text(fstab)
        if default:
            fill(folder / default / "tree")
            tool("btrfs", "subvolume", "set-default", folder / default)
            shutil.copytree(folder / default / "tree", tmp_path / "tree", symlinks=True)
    return image


@pytest.mark.parametrize(
    ("roots", "default"), [(["@"], None), (["root"], "root"), (["@", "@old"], None)]
)
def test_the_root_is_found_on_its_subvolume_and_home_on_another(tmp_path, roots, default):
    image = guest_on(tmp_path, roots, default, roots[0])
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert [one.where for one in guest.unknowns] == ["/srv"]
        assert [mount.path for mount in guest.mounts] == ["/", "/home"]
        assert guest.tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()
        assert guest.tree.read("/home/me", 10) == b"x"
        if default:
            assert len(guest.tree.names("/tree/many")) == 700
            for name in ("size70000", "size700000", "holes"):
                content = (tmp_path / "tree" / name).read_bytes()
                assert guest.tree.read(f"/tree/{name}", 4 << 20) == content


def test_two_subvolumes_that_both_call_themselves_the_root_are_ambiguous(tmp_path):
    image = guest_on(tmp_path, ["@", "@old"])
    with open_disk(image) as disk, pytest.raises(Ambiguous), open_guest(disk):
        pass


def test_a_subvolume_var_beside_the_root_makes_no_root_of_the_top(tmp_path):
    image = guest_on(tmp_path, ["root"])
    with mounted(image, tmp_path / "m") as folder:
        tool("btrfs", "subvolume", "create", folder / "var")
        shutil.move(folder / "root/var/lib", folder / "var/lib")
        table = folder / "root/etc/fstab"
        line = table.read_text().splitlines()[1].replace("@home", "var").replace("/home", "/var")
        table.write_text(f"{table.read_text()}{line}\n")
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert [mount.path for mount in guest.mounts] == ["/", "/home", "/var"]
        assert guest.tree.read("/etc/os-release", 1000) == FILES["etc/os-release"].encode()
        assert guest.tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()
