"""One tree on every filesystem and in every container: the same files everywhere."""

import hashlib
import shutil
from pathlib import Path

import pytest

from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.tree import Tree
from tests.image import test_containers, test_lvm
from tests.image.disks import blank, tool
from tests.image.guests import FILES
from tests.image.mounted import mounted, xfs
from tests.image.test_filesystems import fill

MORE = {
    "plain.qcow2": ("qcow2", "compat=1.1"),
    "zlib.qcow2": ("qcow2", "compression_type=zlib"),
    "zstd.qcow2": ("qcow2", "compression_type=zstd"),
    "stream.vmdk": ("vmdk", "subformat=streamOptimized"),
    "sparse.vmdk": ("vmdk", "subformat=monolithicSparse"),
}
CONTAINERS = {**MORE, **{name: kind[:2] for name, kind in test_containers.KINDS.items()}}
LVM_FSTAB = "/dev/mapper/vg--x-root / ext4 rw 0 1\n/dev/mapper/vg--x-var /var ext4 rw 0 2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, with a /var of its own weight."""
    folder = tmp_path_factory.mktemp("matrix")
    fill(folder / "tree")
    for name, content in FILES.items():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_text(content)
    (folder / "tree/etc/fstab").write_text(LVM_FSTAB)
    for path in (folder / "tree").rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def ext4(folder: Path) -> Path:
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder / "tree", folder / "ext4", "20M")
    return folder / "ext4"


@pytest.fixture(scope="module")
def wanted(folder: Path) -> str:
    """The digest of the tree as the machine itself sees it."""
    lines = []
    for path in sorted((folder / "tree").rglob("*")):
        name = "/" + path.relative_to(folder / "tree").as_posix()
        if path.is_symlink():
            lines.append((name, "symlink", str(path.readlink())))
        elif path.is_dir():
            lines.append((name, "directory", ""))
        else:
            lines.append((name, "file", hashlib.sha256(path.read_bytes()).hexdigest()))
    return digest(lines)


def digest(lines: list[tuple[str, str, str]]) -> str:
    return hashlib.sha256(repr(sorted(lines)).encode()).hexdigest()


def digest_of(image: Path) -> str:
    with open_disk(image) as disk, open_guest(disk) as guest:
        # The fstab speaks of LVM, which only one of them has.
        assert all(one.where in ("/", "/var") for one in guest.unknowns)
        return digest(list(entries(guest.tree, "")))


def entries(tree: Tree, folder: str) -> list[tuple[str, str, str]]:
    found = []
    for name in tree.names(folder or "/"):
        path = f"{folder}/{name}"
        node = tree.find(path)
        assert node is not None
        if name == "lost+found":
            continue
        if node.kind == "directory":
            found += [(path, "directory", ""), *entries(tree, path)]
        elif node.kind == "symlink":
            found.append((path, "symlink", node.target))
        else:
            content = tree.read(path, 4 << 20)
            found.append((path, node.kind, hashlib.sha256(content).hexdigest()))
    return found


def test_a_raw_ext4_holds_the_tree(ext4, wanted):
    assert digest_of(ext4) == wanted


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_tree_is_the_same_in_every_container(ext4, wanted, name, tmp_path):
    form, option = CONTAINERS[name]
    packed = ["-c"] if name in ("zlib.qcow2", "zstd.qcow2") else []
    tool("qemu-img", "convert", *packed, "-O", form, "-o", option, ext4, tmp_path / name)
    assert digest_of(tmp_path / name) == wanted


def test_the_tree_is_the_same_on_xfs(folder, wanted, tmp_path):
    image = xfs(tmp_path / "xfs")
    with mounted(image, tmp_path / "m") as place:
        shutil.copytree(folder / "tree", place, symlinks=True, dirs_exist_ok=True)
    assert digest_of(image) == wanted


def test_the_tree_is_the_same_on_btrfs(folder, wanted, tmp_path):
    image = blank(tmp_path / "btrfs", 128 << 20)
    tool("mkfs.btrfs", "-q", "--rootdir", folder / "tree", image)
    assert digest_of(image) == wanted


def test_the_tree_is_the_same_on_lvm_with_a_var_of_its_own(folder, wanted, tmp_path):
    image = test_lvm.group(tmp_path)
    shutil.copytree(folder / "tree", tmp_path / "root", symlinks=True)
    (tmp_path / "root/var").rename(tmp_path / "var")
    (tmp_path / "root/var").mkdir()
    for name, size in (("root", "20M"), ("var", "16M")):
        made = tmp_path / f"{name}.ext4"
        tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / name, made, size)
    test_lvm.put(image, (tmp_path / "root.ext4").read_bytes(), (tmp_path / "var.ext4").read_bytes())
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert [mount.path for mount in guest.mounts] == ["/", "/var"]
        assert digest(list(entries(guest.tree, ""))) == wanted
