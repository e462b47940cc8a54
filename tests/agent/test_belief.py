from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from regild.agent.reading.belief import DiskEvidence, Evidence, believe
from regild.model.appliance import Binding, Descriptor
from regild.model.content import Content, Package, Platform, Witness
from regild.model.digest import Digest, sha256_of

STORED, OTHER = sha256_of(b"disk"), sha256_of(b"another disk")
ENVELOPE = sha256_of(b"<Envelope/>")
VIRTUAL, OTHER_VIRTUAL = Digest("mt1-sha256-1MiB:aa"), Digest("mt1-sha256-1MiB:bb")
WITNESSES = tuple(
    Witness("UUID=1", path, sha256_of(path.encode()), 10)
    for path in ("/etc/os-release", "/var/lib/dpkg/status")
)
CONTENT = Content(platform=Platform(id="debian"), witnesses=WITNESSES)
BINDING = Binding(disk="d1", stored=STORED, virtual=VIRTUAL, virtual_bytes=1000)
DESCRIPTOR = Descriptor(content=CONTENT, bindings=(BINDING,))
DISK = DiskEvidence(bytes=1000, promised=STORED)
EVIDENCE = Evidence(
    packaged=True,
    has_manifest=True,
    envelope_promised=ENVELOPE,
    envelope=ENVELOPE,
    disks={"d1": DISK},
    observed=CONTENT,
)
BARE = Evidence(packaged=False, disks={"d1": DiskEvidence(bytes=1000)}, observed=CONTENT)
CHANGED = msgspec.structs.replace(
    CONTENT, witnesses=(WITNESSES[0], Witness("UUID=1", "/var/lib/dpkg/status", OTHER, 11))
)
FORGED = msgspec.structs.replace(CONTENT, packages=(Package(type="deb", name="a", version="9"),))


def seen(evidence: Evidence = EVIDENCE, **disk: Any) -> Evidence:
    return replace(evidence, disks={"d1": replace(evidence.disks["d1"], **disk)})


@pytest.mark.parametrize(
    ("state", "evidence"),
    [
        ("equivalent", EVIDENCE),
        ("equivalent", BARE),
        ("claimed", replace(EVIDENCE, observed=None)),
        ("verified", seen(stored=STORED)),
        ("verified", seen(virtual=VIRTUAL)),
        ("verified", seen(BARE, stored=STORED)),
        ("verified", seen(BARE, stored=OTHER, virtual=VIRTUAL)),  # converted to another format
        ("stale", replace(EVIDENCE, observed=CHANGED)),
        ("stale", replace(EVIDENCE, observed=FORGED)),
        ("stale", seen(BARE, stored=OTHER)),
        ("stale", seen(virtual=OTHER_VIRTUAL)),
        ("detached", replace(EVIDENCE, has_manifest=False)),
        ("detached", replace(EVIDENCE, disks={})),
        ("detached", seen(bytes=2000)),
        ("detached", seen(BARE, bytes=2000)),
        ("detached", seen(promised=OTHER)),
        ("detached", seen(promised=None)),
        ("detached", seen(promised=Digest("sha1:00"))),
        ("tampered", replace(EVIDENCE, envelope=OTHER)),
        ("tampered", seen(stored=OTHER)),
    ],
)
def test_a_descriptor_is_believed_as_far_as_it_was_checked(state: str, evidence: Evidence) -> None:
    answer = believe(DESCRIPTOR, evidence)
    assert answer.state == state, answer.why
    assert answer.why


def test_no_descriptor_is_absent_and_an_unreadable_one_tampered() -> None:
    assert believe(None, EVIDENCE).state == "absent"
    assert believe(None, EVIDENCE, broken="its list has another digest").state == "tampered"


def test_the_reason_names_what_differs() -> None:
    answer = believe(DESCRIPTOR, replace(EVIDENCE, observed=CHANGED))
    assert "/var/lib/dpkg/status" in answer.why


def test_the_worst_that_is_true_is_said() -> None:
    evidence = replace(seen(stored=OTHER, bytes=2000), observed=CHANGED)
    assert believe(DESCRIPTOR, evidence).state == "tampered"


def test_a_descriptor_without_bindings_speaks_of_nothing() -> None:
    assert believe(Descriptor(content=CONTENT), EVIDENCE).state == "detached"


def test_a_descriptor_without_witnesses_is_never_more_than_claimed_unhashed() -> None:
    bare = msgspec.structs.replace(CONTENT, witnesses=())
    descriptor = Descriptor(content=bare, bindings=(BINDING,))
    assert believe(descriptor, replace(EVIDENCE, observed=bare)).state == "claimed"
    assert believe(descriptor, replace(seen(stored=STORED), observed=bare)).state == "verified"
