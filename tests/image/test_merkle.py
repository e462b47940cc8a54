import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from regild.image.formats import open_disk
from regild.image.merkle import LEAF_BYTES, virtual_digest
from tests.image.disks import MemoryDisk, noise, tool


def reference(content):
    """The construction as the module's head says it, without any short cut."""

    def sha(*parts):
        return hashlib.sha256(b"".join(parts)).digest()

    level = [sha(b"\0", content[at : at + LEAF_BYTES]) for at in range(0, len(content), LEAF_BYTES)]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [sha(b"\1", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    root = sha(b"\2", len(content).to_bytes(8, "big"), level[0])
    return "mt1-sha256-1MiB:" + root.hex()


@settings(max_examples=25, deadline=None)
@given(
    leaves=st.integers(1, 9),
    tail=st.integers(-600, 0),
    held=st.sets(st.integers(0, 8)),
    told=st.booleans(),
)
def test_holes_and_written_zeros_are_alike(leaves, tail, held, told):
    content = bytearray(leaves * LEAF_BYTES + tail)
    for number in held:
        if number < leaves:
            content[number * LEAF_BYTES + 5] = number + 1
    content = bytes(content)
    extents = [
        (number * LEAF_BYTES, min(LEAF_BYTES, len(content) - number * LEAF_BYTES))
        for number in sorted(held)
        if number < leaves
    ]
    disk = MemoryDisk(content, extents if told else None)
    assert virtual_digest(disk) == reference(content)


def test_a_huge_disk_of_holes_costs_nothing():
    class Blank(MemoryDisk):
        def __init__(self, size):
            super().__init__(b"", [])
            self.size = size

    assert virtual_digest(Blank(1 << 45)) != virtual_digest(Blank((1 << 45) + 512))


def test_size_counts_although_the_leaves_are_alike():
    assert virtual_digest(MemoryDisk(bytes(512))) != virtual_digest(MemoryDisk(bytes(1024)))


def test_progress_adds_up_to_the_disk():
    class Watch:
        done = 0

        def step(self, name, total=None): ...

        def advance(self, amount):
            assert amount >= 0
            self.done += amount

        def note(self, text): ...

    watch = Watch()
    size = 5 * LEAF_BYTES + 512
    virtual_digest(MemoryDisk(bytes(size), [(LEAF_BYTES, 512)]), watch)
    assert watch.done == size


def test_every_format_of_the_same_disk_has_the_same_digest(tmp_path):
    raw = tmp_path / "disk.raw"
    raw.write_bytes(noise(70000) + bytes(3 << 20) + noise(200000, 2) + bytes(1000 * 512 + 336))
    formats = {
        "stream.vmdk": ("-O", "vmdk", "-o", "subformat=streamOptimized"),
        "sparse.vmdk": ("-O", "vmdk"),
        "packed.qcow2": ("-O", "qcow2", "-c"),
        "plain.qcow2": ("-O", "qcow2", "-S", "0"),
    }
    size = raw.stat().st_size
    assert size % 512 == 0
    expected = reference(raw.read_bytes())
    with open_disk(raw) as disk:
        assert virtual_digest(disk) == expected
    for name, options in formats.items():
        tool("qemu-img", "convert", "-f", "raw", *options, raw, tmp_path / name)
        with open_disk(tmp_path / name) as disk:
            assert (disk.size, virtual_digest(disk)) == (size, expected), name
