"""Lists of all files of an rpm repository: brought only when asked for, believed by digest only."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from regild.errors import DigestMismatch, Malformed, NotOffered, TooLarge, Truncated
from regild.feeds.policy import SitePolicy, with_options
from regild.feeds.rpm import refresh, with_filelists
from regild.feeds.rpm_available import FILELISTS, RpmAvailable
from regild.model.progress import Silent
from tests.feeds.repositories import NOW
from tests.feeds.rpm_repositories import URI, Rpm, content_of, needs_createrepo, publish, source

pytestmark = needs_createrepo

RPMS = (Rpm("a"), Rpm("x", files=("/usr/share/x/data",)))
BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>
<filelists><package><file>&b;</file></package></filelists>"""


def policy_for(mirror: Path) -> SitePolicy:
    return with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))


def bring(mirror: Path) -> RpmAvailable:
    policy, cache = policy_for(mirror), mirror.parent / "cache"
    available = refresh(content_of(source()), policy, cache, NOW, Silent())
    assert FILELISTS not in {one.form for one in available.indexes}
    return with_filelists(available, policy, cache, Silent())


def replaced(mirror: Path, content: bytes) -> None:
    """Put another list in the place of the repository's, and vouch for it."""
    listed = mirror / "repodata/filelists.xml.gz"
    listed.write_bytes(packed := gzip.compress(content))
    repomd = mirror / "repodata/repomd.xml"
    head, part, rest = repomd.read_text().partition('<data type="filelists">')
    facts = {
        "checksum": hashlib.sha256(packed).hexdigest(),
        "open-checksum": hashlib.sha256(content).hexdigest(),
        "size": len(packed),
        "open-size": len(content),
    }
    for name, fact in facts.items():
        rest = re.sub(rf"(<{name}[^>]*>)[^<]*", rf"\g<1>{fact}", rest, count=1)
    repomd.write_text(head + part + rest)


def test_the_list_comes_by_the_digest_that_the_repository_states(tmp_path: Path) -> None:
    mirror = publish(tmp_path / "mirror", RPMS)
    (index,) = (one for one in bring(mirror).indexes if one.form == FILELISTS)
    assert b"/usr/share/x/data" in Path(index.path).read_bytes()
    (mirror / "repodata/filelists.xml.gz").unlink()
    assert index in bring(mirror).indexes, "it is in the cache"


@pytest.mark.parametrize(
    ("content", "error", "why"),
    [
        (BOMB.encode(), Malformed, "filelists.*document type"),
        (b"<a>" * 100 + b"</a>" * 100, TooLarge, "filelists.*deeper"),
        (b"<filelists><package>", Malformed, "filelists.*well-formed"),
        ('<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16"), Malformed, "not in UTF-8"),
    ],
)
def test_a_list_that_is_vouched_for_may_still_be_refused(
    tmp_path: Path, content: bytes, error: type[Exception], why: str
) -> None:
    mirror = publish(tmp_path / "mirror", RPMS)
    replaced(mirror, content)
    with pytest.raises(error, match=why):
        bring(mirror)


def test_another_list_than_the_promised_one_is_refused(tmp_path: Path) -> None:
    mirror = publish(tmp_path / "mirror", RPMS)
    listed = mirror / "repodata/filelists.xml.gz"
    whole = listed.read_bytes()
    listed.write_bytes(bytes(len(whole)))
    with pytest.raises(DigestMismatch):
        bring(mirror)
    listed.write_bytes(whole[:-5])
    with pytest.raises(Truncated):
        bring(mirror)
    listed.unlink()
    with pytest.raises(NotOffered):
        bring(mirror)
