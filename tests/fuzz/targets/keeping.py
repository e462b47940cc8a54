"""What reads stored generations, what registries and shelves answer, groups and their calendars."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from regild.errors import RegildError
from tests.fuzz.targets.target import Target, file_of, folder, texts


def run_pack(content: bytes) -> None:
    """Read the list of a pack, and its pieces."""
    from regild.store.pack import read_list, unpacked

    for one in read_list(content, "the pack")[:50]:
        begin = max(0, one.offset)
        with contextlib.suppress(RegildError):
            stored = content[begin : begin + max(0, one.stored)]
            assert len(unpacked(stored, one, "the pack")) == one.bytes


def run_map(content: bytes) -> None:
    """Read of which pieces a file is made; ours says the same."""
    from regild.store.map import read_map, write_map

    assert write_map(read_map(content, "the map")) == content


def run_registry(content: bytes) -> None:
    """Read an answer of a registry as a manifest, an index and a list of tags."""
    from regild.publish.oci_manifest import (
        read_blob,
        read_layers,
        read_list,
        read_object,
        read_objects,
    )

    found = read_object(content, "the registry")
    for read in (
        lambda: [_plain_name(one.name) for one in read_layers(found, "it")],
        lambda: read_blob(found.get("config"), "it"),
        lambda: read_objects(found, "manifests", "it"),
        lambda: read_list(found, "tags", "it"),
    ):
        with contextlib.suppress(RegildError):
            read()


def _plain_name(name: str) -> None:
    assert "/" not in name and name not in ("", ".", "..")


def run_layer(content: bytes) -> None:
    """Take the disk out of a layer."""
    from regild.publish.container_disk import taken_out

    target = folder() / "taken.qcow2"
    target.unlink(missing_ok=True)
    taken_out(file_of(content, ".layer"), target)
    assert target.is_file()


def run_label(content: bytes) -> None:
    """Read what stands on a parcel."""
    from regild.model.json import from_json
    from regild.publish.target import Label

    assert from_json(Label, content, "the label").image is not None


def run_answer(content: bytes) -> None:
    """Read the first answer of a server that was asked for a range."""
    from regild.host.patience import Again
    from regild.host.web import WebFile

    file = WebFile("http://mirror.example/a", "http://mirror.example/a")
    file._line = _Line(content)  # type: ignore[assignment] # it answers what is given
    file._drop = lambda: None  # type: ignore[method-assign] # there is no other line
    file._connected = lambda host: _Line(content)  # type: ignore[assignment, method-assign, return-value]
    with contextlib.suppress(Again):
        assert len(file.try_fetch(0, 1000)) <= 1000


class _Line:
    """A connection whose other side says one thing."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def ask(self, address: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(self)  # type: ignore[arg-type] # it has what is used
        answer.begin()
        return answer

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._said)


def run_group(content: bytes) -> None:
    """Read the file of a group."""
    from regild.rotate.group_file import check_group, read_group

    group = read_group(content.decode(errors="replace"), "the group", lambda path: path)
    assert check_group(group) == []


def run_calendar(content: bytes) -> None:
    """Work out the windows of a year, and its freezes, which stand behind a form feed."""
    from regild.rotate.calendar import read_calendar

    windows, _, freezes = content.decode(errors="replace").partition("\f")
    since, until = (datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2027))
    spans = read_calendar(windows, freezes, since, until).open
    for (begin, end), (after, _) in itertools.pairwise(spans):
        assert begin < end < after


def run_tag(content: bytes) -> None:
    """Read what a domain's metadata say; ours say the same."""
    from regild.rotate.domain import read_tag

    tag = read_tag(content.decode(errors="replace"))
    if tag is not None and all(text.isprintable() for text in (tag.group, tag.digest, tag.owner)):
        assert read_tag(tag.to_xml()) == tag


def run_seen(content: bytes) -> None:
    """Read what a driver's command says that there is."""
    from regild.model.json import from_json
    from regild.model.rotation import Seen

    assert all(one.name is not None for one in from_json(tuple[Seen, ...], content, "look"))


def run_glance(content: bytes) -> None:
    """Read a page of images; what names files and addresses is harmless."""
    from regild.publish.glance_answers import read_page

    for one in read_page(content, "the service").images[:50]:
        assert "/" not in one.id
        assert one.number >= 0
        assert one.digest == "" or one.digest.partition(":")[2].isalnum()
        with contextlib.suppress(RegildError):
            assert one.suffix().startswith(".")


def run_pool(content: bytes) -> None:
    """Read what a daemon says of a volume."""
    from regild.host.pool import read_volume

    length, changed = read_volume(content.decode(errors="replace"), "the pool")
    assert (length >= 0, changed >= 0) == (True, True)


def seeds_of_packs() -> Iterator[bytes]:
    """A pack of two pieces, one of which does not get smaller."""
    from regild.store.pack import PackWriter
    from tests.image.disks import noise

    pack = PackWriter()
    for piece in (b"a" * 500, noise(30)):
        pack.add(hashlib.sha256(piece).digest(), piece)
    yield pack.close().content


def seeds_of_maps() -> Iterator[bytes]:
    from regild.store.map import write_map

    yield write_map([(bytes(32), 5), (b"x" * 32, 1 << 20)])


def seeds_of_layers() -> Iterator[bytes]:
    """A layer with a disk, plain and packed."""
    import gzip
    import tarfile

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as layer:
        for name in ("etc/a", "disk/disk.img"):
            entry = tarfile.TarInfo(name)
            entry.size = 600
            layer.addfile(entry, io.BytesIO(b"x" * 600))
    yield held.getvalue()
    yield gzip.compress(held.getvalue())


DIGEST = f"sha256:{'0' * 64}"
MANIFESTS = (
    f'{{"schemaVersion":2,"config":{{"digest":"{DIGEST}","size":2}},"layers":[{{"digest":'
    f'"{DIGEST}","size":5,"annotations":{{"org.opencontainers.image.title":"a.ova"}}}}]}}',
    f'{{"manifests":[{{"digest":"{DIGEST}","size":1,"artifactType":"a"}}],"tags":["a","b"]}}',
)
LABEL = (
    f'{{"image":"a","number":1,"digest":"{DIGEST}","form":"ova",'
    f'"files":[{{"name":"a.ova","digest":"{DIGEST}","bytes":5}}]}}'
)
GROUP = """[group]
name = "web"
image = "web"
channel = "production"
driver = "folder"
size = 12
[rollout]
waves = ["25%", "100%"]
bake = "30m"
[drain]
grace = 90
[options]
folder = "/srv"
"""
CALENDAR = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:x\r
X-WR-TIMEZONE:Europe/Berlin\r
BEGIN:VEVENT\r
UID:a\r
DTSTART;TZID=Europe/Berlin:20260105T220000\r
DTEND;TZID=Europe/Berlin:20260106T020000\r
RRULE:FREQ=WEEKLY;BYDAY=MO,WE\r
EXDATE;TZID=Europe/Berlin:20260107T220000\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:b\r
DTSTART;VALUE=DATE:20261224\r
DURATION:P3D\r
END:VEVENT\r
END:VCALENDAR\r
"""
ANSWERS = (
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n"
    'ETag: "1"\r\n\r\nhello',
    "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 206 x\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\n"
    "a\r\n0123456789\r\n0\r\n\r\n",
)
PAGE = (
    '{"images":[{"id":"c2bd0e0b-5b29-4a25-87bc-49c28a2c5794","status":"active","name":"web",'
    '"size":5,"container_format":"bare","disk_format":"qcow2","os_hash_algo":"sha512",'
    f'"os_hash_value":"{"0" * 128}","regild_image":"web","regild_generation":"3"}}],'
    '"next":"/v2/images?marker=1"}'
)
VOLUME = (
    "<volume type='file'><name>web-1.disk.qcow2</name><capacity unit='bytes'>8388608</capacity>"
    "<physical unit='bytes'>197632</physical><target><format type='qcow2'/><timestamps>"
    "<mtime>1774000000.5</mtime></timestamps></target></volume>"
)

TARGETS: dict[str, Target] = {
    "store-pack": Target(run_pack, seeds_of_packs),
    "store-map": Target(run_map, seeds_of_maps),
    "registry": Target(run_registry, texts(*MANIFESTS)),
    "layer": Target(run_layer, seeds_of_layers),
    "glance": Target(run_glance, texts(PAGE)),
    "pool": Target(run_pool, texts(VOLUME)),
    "label": Target(run_label, texts(LABEL)),
    "answer": Target(run_answer, texts(*ANSWERS)),
    "group": Target(run_group, texts(GROUP)),
    "calendar": Target(run_calendar, texts(CALENDAR, f"{CALENDAR}\f{CALENDAR}")),
    "tag": Target(
        run_tag, texts('<instance group="a" generation="3" digest="sha256:0" draining="yes"/>')
    ),
    "seen": Target(run_seen, texts('[{"name": "a", "generation": 3, "running": true}]')),
}
