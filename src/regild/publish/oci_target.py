"""Generations in an OCI registry: an artifact with the appliance's files as layers, and descriptor,
bill of materials and receipt as its referrers.

OCI distribution specification 1.1 (push 4.4, referrers 4.6, the tag schema for registries without
them) and image specification 1.1 (artifacts, 3). A blob that the registry has is not sent again,
and an upload that broke off goes on where the registry says it stands.
"""

from __future__ import annotations

import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regild.errors import Malformed, MissingFile, PublishError, TooLarge, UsageError
from regild.host.bookmark import Bookmark
from regild.host.web_api import WebApi
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.json import from_json
from regild.model.progress import Progress
from regild.publish.oci_manifest import (
    TITLE,
    Json,
    read_blob,
    read_layers,
    read_list,
    read_object,
    read_objects,
)
from regild.publish.target import Label, Parcel, ParcelFile, Pushed

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
GENERATION = "application/vnd.regild.generation.v1"
LABEL = "application/vnd.regild.label.v1+json"
CREATED = "org.opencontainers.image.created"
CHUNK_BYTES = 8 << 20
"""What one request of an upload carries: what is lost when the line breaks."""
LABEL_BYTES = 1 << 20
MANIFEST_BYTES = 4 << 20
"""What registries keep at most (distribution specification 1.1, 4.4.3)."""


class Registry:
    """One repository of a registry."""

    def __init__(self, address: str) -> None:
        scheme, _, rest = address.partition("://")
        host, _, path = rest.partition("/")
        self.repository, _, self.tag = path.partition(":")
        if not host or not re.fullmatch(r"[a-z0-9]+([._/-][a-z0-9]+)*", self.repository):
            raise UsageError(what=f"{address}: a repository is {scheme}://HOST/NAME[:TAG]")
        web = "http" if scheme.endswith("+http") else "https"
        self.where = f"{host}/{self.repository}"
        self._api = WebApi(f"{web}://{host}", _credentials())

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository has some bytes already."""
        answer = self._api.ask("HEAD", f"/v2/{self.repository}/blobs/{digest}", (200, 404))
        return answer.status_code == 200

    def put_blob(self, path: Path, digest: Digest, size: int, progress: Progress) -> int:
        """Send a file unless it is there; how many bytes were sent.

        Raises: PublishError where the line breaks: calling again goes on.
        """
        if self.has_blob(digest):
            progress.advance(size)
            return 0
        location, at = self._upload(digest, size)
        progress.advance(at)
        begun = at
        # Registries of the distribution family give an upload up that broke off inside of a chunk
        # ("resumed at wrong offset"), so one that is begun is sent to its end also after Ctrl-C.
        with ThreadPoolExecutor(1) as crew:
            while at < size:
                length = min(CHUNK_BYTES, size - at)
                chunk = crew.submit(self._chunk, path, digest, location, at, length, progress)
                location, at = chunk.result(), at + length
        sign = "&" if "?" in location else "?"
        self._api.ask("PUT", f"{location}{sign}digest={digest}", (201,), content=b"")
        self._bookmark(digest).forget()
        return size - begun

    def _chunk(
        self, path: Path, digest: Digest, location: str, at: int, length: int, progress: Progress
    ) -> str:
        """Send a part of a file and remember it; where the upload goes on."""
        answer = self._api.upload(
            *("PATCH", location, (202,), path),
            begin=at,
            length=length,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{at}-{at + length - 1}",
            },
            advance=progress.advance,
        )
        following = _next(answer.headers, self._api.address)
        self._bookmark(digest).keep(following)
        return following

    def _bookmark(self, digest: Digest) -> Bookmark:
        return Bookmark(f"{self.where} {digest}")

    def put_bytes(self, content: bytes) -> Digest:
        """Send some bytes unless they are there; their digest."""
        digest = sha256_of(content)
        if not self.has_blob(digest):
            begun = self._api.ask("POST", f"/v2/{self.repository}/blobs/uploads/", (202,))
            location = _next(begun.headers, self._api.address)
            sign = "&" if "?" in location else "?"
            told = {"Content-Type": "application/octet-stream"}
            self._api.ask(
                *("PUT", f"{location}{sign}digest={digest}", (201,)), content=content, headers=told
            )
        return digest

    def put_manifest(self, manifest: Json, reference: str = "") -> tuple[Json, bool]:
        """Put a manifest or index under a tag, or its digest; its descriptor, and whether the
        registry took note of its subject."""
        content = canonical(manifest)
        digest = sha256_of(content)
        answer = self._api.ask(
            *("PUT", f"/v2/{self.repository}/manifests/{reference or digest}", (201,)),
            content=content,
            headers={"Content-Type": manifest["mediaType"]},
        )
        described = {"mediaType": manifest["mediaType"], "digest": digest, "size": len(content)}
        return described, "oci-subject" in answer.headers

    def manifest(self, reference: str) -> tuple[Json, Digest]:
        """A manifest or index by its tag or digest.

        Raises: MissingFile, Malformed.
        """
        told = {"Accept": f"{MANIFEST}, {INDEX}"}
        answer = self._api.ask(
            "GET", f"/v2/{self.repository}/manifests/{reference}", (200,), headers=told
        )
        digest = sha256_of(answer.content)
        if len(answer.content) > MANIFEST_BYTES or (":" in reference and digest != reference):
            raise Malformed(where=f"{self.where}:{reference}", why="its manifest is another one")
        return read_object(answer.content, f"{self.where}:{reference}"), digest

    def tags(self) -> tuple[str, ...]:
        """Every tag of the repository, but those that hold referrers."""
        try:
            answer = self._api.ask("GET", f"/v2/{self.repository}/tags/list", (200,))
        except MissingFile:
            return ()
        found = map(str, read_list(read_object(answer.content, self.where), "tags", self.where))
        return tuple(sorted(one for one in found if not re.fullmatch(r"sha256-[0-9a-f]{64}", one)))

    def marks(self) -> dict[str, str]:
        """Every tag with the digest of its manifest."""
        return {tag: self.manifest(tag)[1] for tag in self.tags()}

    def blob(self, digest: Digest, size: int, target: Path, progress: Progress) -> None:
        """Bring a blob into a file."""
        path = f"/v2/{self.repository}/blobs/{digest}"
        self._api.download(path, target, digest, size, progress.advance)

    def add_referrer(self, manifest: Json) -> Json:
        """Put a manifest that says something about another one, findable from that one."""
        described, noted = self.put_manifest(manifest)
        if not noted:
            kind = {"artifactType": manifest["artifactType"]}
            self._list_referrer(manifest["subject"]["digest"], described | kind)
        return described

    def referrers(self, digest: Digest) -> list[Json]:
        """What refers to a manifest, from the registry's own list or the tag that stands for it."""
        path = f"/v2/{self.repository}/referrers/{digest}"
        answer = self._api.ask("GET", path, (200, 404), headers={"Accept": INDEX})
        if answer.status_code == 200:
            found = read_object(answer.content, self.where)
        else:
            try:
                found = self.manifest(_referrers_tag(digest))[0]
            except MissingFile:
                return []
        return read_objects(found, "manifests", self.where)

    def _list_referrer(self, subject: Digest, described: Json) -> None:
        """Note a referrer under the subject's own tag (distribution specification 1.1, "Referrers
        Tag Schema")."""
        tag = _referrers_tag(subject)
        try:
            index = self.manifest(tag)[0]
        except MissingFile:
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        listed = read_objects(index, "manifests", self.where)
        if described not in listed:
            self.put_manifest({**index, "mediaType": INDEX, "manifests": [*listed, described]}, tag)

    def _upload(self, digest: Digest, size: int) -> tuple[str, int]:
        """Where an upload goes on, and from which byte: one that broke off, or a new one."""
        resume = self._bookmark(digest)
        if (kept := resume.find()) and urlsplit(kept).netloc == urlsplit(self._api.address).netloc:
            try:
                answer = self._api.ask("GET", kept, (204, 404))
            except PublishError:
                answer = None
            if answer is not None and answer.status_code == 204:
                last = answer.headers.get("range", "0-0").partition("-")[2]
                at = int(last) + 1 if re.fullmatch(r"[1-9][0-9]{0,18}", last) else 0
                if at <= size:
                    return _next(answer.headers, self._api.address), at
        begun = self._api.ask("POST", f"/v2/{self.repository}/blobs/uploads/", (202,))
        location = _next(begun.headers, self._api.address)
        resume.keep(location)
        return location, 0


class RegistryTarget:
    """`oci://HOST/REPOSITORY`: each generation under the tag `IMAGE-NUMBER`."""

    def __init__(self, address: str) -> None:
        self.registry = Registry(address)

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Send the files, then the manifest that names them, then what refers to it."""
        label, registry = parcel.label, self.registry
        progress.step(f"Pushing to {registry.where}", sum(one.bytes for one in label.files))
        sent = 0
        for one in label.files:
            sent += registry.put_blob(parcel.paths[one.name], one.digest, one.bytes, progress)
        config = canonical(label)
        registry.put_bytes(config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": GENERATION,
            "config": {"mediaType": LABEL, "digest": sha256_of(config), "size": len(config)},
            "layers": [_layer(one) for one in label.files],
            "annotations": {
                CREATED: label.created,
                "org.opencontainers.image.version": str(label.number),
                TITLE: f"{label.image}@{label.number}",
            },
        }
        tag = registry.tag or f"{label.image}-{label.number}"
        described, _ = registry.put_manifest(manifest, tag)
        for kind, (media_type, content) in sorted(parcel.referrers.items()):
            registry.add_referrer(_referrer(described, kind, media_type, content, registry))
        return Pushed(f"{registry.where}:{tag}", described["digest"], sent)

    def names(self) -> tuple[str, ...]:
        """The repository's tags."""
        return self.registry.tags()

    def marks(self) -> dict[str, str]:
        """The repository's tags, each with the digest of its manifest."""
        return self.registry.marks()

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Bring an artifact's layers by their titles."""
        manifest, _ = self.registry.manifest(name)
        layers = read_layers(manifest, f"{self.registry.where}:{name}")
        if not layers:
            raise Malformed(where=f"{self.registry.where}:{name}", why="it has no files")
        progress.step(f"Pulling {name}", sum(one.bytes for one in layers))
        for one in layers:
            self.registry.blob(one.digest, one.bytes, folder / one.name, progress)
        return tuple(folder / one.name for one in layers)

    def label(self, name: str, folder: Path, progress: Progress) -> Label:
        """What stands on an artifact of regild's own."""
        config = read_blob(self.registry.manifest(name)[0].get("config"), name)
        if config.bytes > LABEL_BYTES:
            raise TooLarge(where=name, why=f"its label takes {config.bytes} bytes")
        path = folder / "label.json"
        self.registry.blob(config.digest, config.bytes, path, progress)
        return from_json(Label, path.read_bytes(), name)


def _layer(file: ParcelFile) -> Json:
    return {
        "mediaType": file.media_type,
        "digest": file.digest,
        "size": file.bytes,
        "annotations": {TITLE: file.name},
    }


def _referrer(subject: Json, kind: str, media: str, content: bytes, registry: Registry) -> Json:
    """The manifest of something that is said about a generation."""
    registry.put_bytes(b"{}")
    digest = registry.put_bytes(content)
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": media,
        "config": {"mediaType": EMPTY, "digest": sha256_of(b"{}"), "size": 2},
        "layers": [
            {
                "mediaType": media,
                "digest": digest,
                "size": len(content),
                "annotations": {TITLE: f"{kind}.json"},
            }
        ],
        "subject": subject,
    }


def _referrers_tag(digest: Digest) -> str:
    return digest.replace(":", "-")


def _next(headers: Any, address: str) -> str:
    """Where an upload goes on; it may be told without the host.

    Raises: PublishError.
    """
    location = str(headers.get("location", ""))
    if not location:
        raise PublishError(where=address, why="the registry names no place for an upload")
    if location.startswith("/"):
        return address + location
    if urlsplit(location).netloc != urlsplit(address).netloc:
        raise PublishError(where=address, why=f"it sends the upload to {urlsplit(location).netloc}")
    return location


def _credentials() -> dict[str, str]:
    """User and password of the environment, as registries take them at once."""
    user, password = (
        os.environ.get("REGILD_REGISTRY_USER"),
        os.environ.get("REGILD_REGISTRY_PASSWORD"),
    )
    if not user or not password:
        return {}
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}
