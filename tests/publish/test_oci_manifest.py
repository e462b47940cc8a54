"""What a registry answers is a stranger's: each wrong answer is an error of ours, never a path."""

import io
import tarfile

import pytest

from regild.errors import Malformed, MissingFile, RegildError, TargetExists, UnsafeName
from regild.publish.container_disk import taken_out
from regild.publish.oci_manifest import TITLE, read_blob, read_layers, read_objects

DIGEST = f"sha256:{'a' * 64}"


def layer(**changes):
    return {"digest": DIGEST, "size": 5, "annotations": {TITLE: "a.ova"}, **changes}


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": "sha256:../../etc/passwd"},
        {"digest": None},
        {"size": -1},
        {"size": "5"},
        {"size": True},
        {"size": 1 << 70},
        {"annotations": {TITLE: "../x"}},
        {"annotations": {TITLE: "a/b"}},
        {"annotations": {TITLE: ".hidden"}},
        {"annotations": {TITLE: ["x"]}},
    ],
    ids=str,
)
def test_a_descriptor_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises((Malformed, UnsafeName)):
        read_layers({"layers": [layer(**wrong)]}, "it")


@pytest.mark.parametrize("manifest", [{"layers": 5}, {"layers": [[]]}, {"layers": [layer()] * 2}])
def test_layers_are_a_list_of_descriptors_with_names_of_their_own(manifest):
    with pytest.raises(Malformed):
        read_layers(manifest, "it")


def test_what_is_absent_is_empty_and_a_nameless_layer_is_called_by_its_digest():
    assert read_layers({"layers": None}, "it") == read_layers({}, "it") == ()
    assert read_blob(layer(annotations=None), "it").name == f"{'a' * 12}.bin"
    with pytest.raises(Malformed):
        read_objects({"manifests": ["x"]}, "manifests", "it")


def packed(path, mode, **entries):
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_only_the_disk_of_a_layer_is_taken_out(tmp_path, mode):
    path = packed(tmp_path / "layer", mode, etc__passwd=b"x", disk__d=b"disk" * 500)
    assert taken_out(path, tmp_path / "out").read_bytes() == b"disk" * 500
    with pytest.raises(TargetExists):
        taken_out(path, tmp_path / "out")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["layer", "out"]


def test_a_layer_without_a_disk_and_one_that_is_cut_off_leave_nothing(tmp_path):
    path = packed(tmp_path / "layer", "w:gz", etc__passwd=b"x")
    with pytest.raises(MissingFile):
        taken_out(path, tmp_path / "out")
    whole = packed(path, "w:gz", disk__d=bytes(range(256)) * 99).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(RegildError):
            taken_out(path, tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["layer"]
