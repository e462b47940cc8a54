"""Generations in OpenStack's Image service: the boot disk as an image, hidden until it is whole.

The new image is made hidden, sent, compared with the service's own hash, and shown; then those that
it follows are hidden and deactivated, so that at every moment one can be started from. A service
keeps nothing of an upload that broke off: the next push sends all of it into the same image.

OpenStack Image API v2: create, upload, `os_hidden`, deactivate and reactivate.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from regild.errors import DigestMismatch, MissingFile, NotPermitted, PublishError, UsageError
from regild.host.bookmark import Bookmark
from regild.host.files import translated
from regild.host.web_api import WebApi
from regild.model.digest import Digest, algorithm_of, hex_of, sha256_of
from regild.model.progress import Progress
from regild.publish.boot_disk import disk_parcel, split_format
from regild.publish.glance_answers import Listed, read_image, read_page
from regild.publish.target import Label, Parcel, Pushed

PAGES_MAX = 1000
PATCH = "application/openstack-images-v2.1-json-patch"
OWN = ("private", "shared")
"""What may be ours where the project is not known; the rest may be anybody's."""


class GlanceTarget:
    """`glance://HOST[:PORT][/PATH][?format=raw]`, `glance+http://`; the token of OS_TOKEN."""

    def __init__(self, address: str) -> None:
        place, self._form = split_format(address)
        scheme, _, rest = place.partition("://")
        if not rest.partition("/")[0]:
            raise UsageError(what=f"{address}: an Image service is {scheme}://HOST[:PORT][/PATH]")
        web = "http" if scheme.endswith("+http") else "https"
        token = os.environ.get("OS_TOKEN", "")
        self.where = rest.rstrip("/")
        self._api = WebApi(f"{web}://{self.where}", {"X-Auth-Token": token} if token else {})
        self._project = os.environ.get("OS_PROJECT_ID", "")

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Send the boot disk, show it, and put what it follows away."""
        flat = disk_parcel(parcel, self._form)
        label, (path,) = flat.label, flat.paths.values()
        progress.step(f"Pushing to {self.where}", label.files[0].bytes)
        before = self._line(label.image)
        sums: dict[str, Digest] = {}
        image = next((one for one in before if _is(one, label) and _fits(one, path, sums)), None)
        sent = 0 if image else label.files[0].bytes
        if image is None:
            image = self._sent(flat, path, progress, sums)
        else:
            progress.advance(label.files[0].bytes)
        if image.status == "deactivated":
            self._act(image, "reactivate")
        self._hide(image, hidden=False)
        image = self._show(image.id)
        notes = self._put_away(image, label, {one.id for one in before})
        return Pushed(f"{self.where}/v2/images/{image.id}", image.digest, sent, notes)

    def names(self) -> tuple[str, ...]:
        """What is shown there and can be taken."""
        return tuple(self._named())

    def marks(self) -> dict[str, str]:
        """What is shown there, with the digests of its bytes."""
        return {name: f"{one.id} {one.digest}" for name, one in self._named().items()}

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Bring an image by its name, `web@3` or its id."""
        found = self._named().get(name) or self._by_id(name)
        if found is None:
            raise MissingFile(where=f"{self.where}: {name}", why="no one image is called so")
        if not found.digest or found.size is None:
            why = "the service says no digest of it"
            raise DigestMismatch(where=f"{self.where}: {name}", why=why)
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", found.called.replace("@", "-"))[:100]
        path = folder / f"{plain.lstrip('._-') or found.id}{found.suffix()}"
        progress.step(f"Pulling {name}", found.size)
        place = f"/v2/images/{found.id}/file"
        self._api.download(place, path, found.digest, found.size, progress.advance)
        return (path,)

    # --- sending

    def _sent(
        self, parcel: Parcel, path: Path, progress: Progress, sums: dict[str, Digest]
    ) -> Listed:
        """Make a hidden image of a file, or go on with one of an earlier run.

        Raises: DigestMismatch when other bytes came; then the image is removed.
        """
        mark = Bookmark(f"glance {self.where} {parcel.label.digest} {self._form}")
        made = self._unfinished(mark.find())
        if made is None:
            made = self._made(parcel)
            mark.keep(made.id)
        self._api.upload(
            *("PUT", f"/v2/images/{made.id}/file", (204,), path),
            length=path.stat().st_size,
            headers={"Content-Type": "application/octet-stream"},
            advance=progress.advance,
        )
        done = self._show(made.id)
        mark.forget()
        if not _fits(done, path, sums):
            self._remove(made.id)
            why = f"what arrived has the digest {done.digest or 'none'}, not that of what was sent"
            raise DigestMismatch(where=f"{self.where}/v2/images/{made.id}", why=why)
        return done

    def _unfinished(self, kept: str) -> Listed | None:
        """The image that an earlier run of this user made and did not fill; one that cannot be
        filled any more is removed."""
        found = self._by_id(kept)
        if found is None or found.status == "queued":
            return found
        self._remove(found.id)
        return None

    def _made(self, parcel: Parcel) -> Listed:
        label = parcel.label
        told = {
            "name": label.image,
            "container_format": "bare",
            "disk_format": self._form,
            "os_hidden": True,
            "regild_image": label.image,
            "regild_generation": str(label.number),
            "regild_digest": label.digest,
            "regild_parent": label.parent,
        }
        told |= {f"regild_{kind}": sha256_of(said) for kind, (_, said) in parcel.referrers.items()}
        answer = self._api.ask("POST", "/v2/images", (201,), json=told)
        return read_image(answer.content, self.where)

    # --- what follows

    def _put_away(self, image: Listed, label: Label, before: set[str]) -> tuple[str, ...]:
        """Hide and deactivate what an image follows; what is said about the rest."""
        unfinished = 0
        for one in self._line(label.image):
            if one.id == image.id:
                continue
            # Two who push two generations at once must not put each other's away.
            older = one.number < label.number or one.id in before
            if one.status == "active" and (older or _is(one, label)):
                # Of two equal ones the one that was there first stays, whoever of two looks.
                twin = _is(one, label) and one.digest == image.digest
                stays = min(one, image, key=lambda it: (it.created_at, it.id)) if twin else image
                self._retire(one if stays is image else image)
            unfinished += one.status in ("queued", "saving")
        note = f"{unfinished} unfinished uploads of {label.image} are there"
        return (note,) if unfinished else ()

    def _retire(self, image: Listed) -> None:
        self._hide(image, hidden=True)
        self._act(image, "deactivate")

    def _hide(self, image: Listed, hidden: bool) -> None:
        if image.os_hidden != hidden:
            change = [{"op": "replace", "path": "/os_hidden", "value": hidden}]
            told = {"Content-Type": PATCH}
            self._api.ask("PATCH", f"/v2/images/{image.id}", (200,), json=change, headers=told)

    def _act(self, image: Listed, verb: str) -> None:
        self._api.ask("POST", f"/v2/images/{image.id}/actions/{verb}", (204,))

    def _remove(self, number: str) -> None:
        try:
            self._api.ask("DELETE", f"/v2/images/{number}", (204,))
        except MissingFile:
            return

    # --- looking

    def _named(self) -> dict[str, Listed]:
        """What can be taken, by name; what shares its name with another, by id."""
        shown = [one for one in self._list("") if one.status == "active"]
        calls = [one.called for one in shown]
        return {one.called if calls.count(one.called) == 1 else one.id: one for one in shown}

    def _line(self, image: str) -> list[Listed]:
        """Our images of a line, shown or hidden."""
        asked = f"regild_image={image}"
        found = [*self._list(asked), *self._list(f"{asked}&os_hidden=true")]
        return [one for one in found if one.regild_image == image and self._is_own(one)]

    def _is_own(self, image: Listed) -> bool:
        return image.owner == self._project if self._project else image.visibility in OWN

    def _list(self, asked: str) -> Iterator[Listed]:
        """All images of a question, page by page.

        Raises: PublishError where the pages do not end.
        """
        place = f"/v2/images?limit=100&{asked}"
        for _ in range(PAGES_MAX):
            page = read_page(self._api.ask("GET", place, (200,)).content, self.where)
            yield from page.images
            if not page.next:
                return
            place = page.next
        raise PublishError(where=self.where, why="its list of images does not end")

    def _by_id(self, number: str) -> Listed | None:
        if not re.fullmatch(r"[0-9a-f-]{36}", number):
            return None
        try:
            return self._show(number)
        except (MissingFile, NotPermitted):
            return None

    def _show(self, number: str) -> Listed:
        answer = self._api.ask("GET", f"/v2/images/{number}", (200,))
        return read_image(answer.content, self.where)


def _is(image: Listed, label: Label) -> bool:
    """Whether an image is a generation, as it says, and can be used."""
    named = (image.number, image.regild_digest) == (label.number, label.digest)
    return named and image.status in ("active", "deactivated")


def _fits(image: Listed, path: Path, sums: dict[str, Digest]) -> bool:
    """Whether an image's bytes are a file's; the file's digests are kept in `sums`."""
    if not image.digest or image.size != path.stat().st_size:
        return False
    algorithm = algorithm_of(image.digest)
    if algorithm not in sums:
        with translated(path), path.open("rb") as file:
            state = hashlib.file_digest(file, algorithm)
        sums[algorithm] = Digest(f"{algorithm}:{state.hexdigest()}")
    return hex_of(sums[algorithm]) == hex_of(image.digest)
