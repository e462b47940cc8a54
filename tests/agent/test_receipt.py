"""`verify` believes a receipt only where it is the one that the descriptor names, of these
disks."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.agent.reading.verify import complaint_of, verify
from regild.errors import DigestMismatch, SignatureRefused
from regild.model.answers import VerifyAnswer
from regild.model.appliance import BomReference, ReceiptReference
from regild.model.digest import Digest, sha256_of
from regild.model.progress import Silent
from regild.model.receipt import Receipt
from regild.ovf.content import insert_descriptor
from regild.prove.receipt import sign_statement, write_statement
from tests.agent.test_verify import Described
from tests.cli import golden
from tests.ovf.authorities import holder

NAME = "golden.receipt.json"
NOTHING = Digest("sha256:" + "0" * 64)
SIGNER = holder("Signer")


class Received(Described):
    """A described package whose descriptor names a receipt, which stands beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        state = self.descriptor.content.state
        self.receipt = Receipt(plan=NOTHING, base=NOTHING, result=state, carrier="record")
        self.say(self.receipt, sha256_of(self.content))

    def say(self, receipt: Receipt, disk: Digest) -> None:
        self.statement = write_statement(receipt, [(self.disk.name, (disk,))])
        reference = ReceiptReference(NAME, sha256_of(self.statement))
        plain = golden.envelope({"disk1": self.disk})
        told = replace(self.descriptor, receipt=reference)
        self.ovf = insert_descriptor(plain, told, "golden")
        self.put(self.statement)

    def put(self, content: bytes) -> None:
        (self.folder / NAME).write_bytes(content)

    def verified(self, keys: bytes | None = None) -> VerifyAnswer:
        return verify(self.pack(), False, Silent(), receipt_keys=keys)


@pytest.fixture
def package(tmp_path: Path) -> Received:
    return Received(tmp_path)


def test_the_receipt_that_is_named_is_found_and_fits(package: Received) -> None:
    answer = package.verified()
    assert [one.state for one in answer.receipts] == ["unsigned"]
    assert complaint_of(answer) is None


def test_a_signed_one_is_valid_with_the_key_and_only_with_it(package: Received) -> None:
    package.put(sign_statement(package.statement, SIGNER.key))
    assert package.verified().receipts[0].state == "unchecked"
    answer = package.verified(SIGNER.pem)
    assert answer.receipts[0].state == "valid"
    assert complaint_of(answer, trusting_receipts=True) is None
    answer = package.verified(holder("Other").pem)
    assert answer.receipts[0].state == "untrusted"
    assert isinstance(complaint_of(answer), SignatureRefused)


def test_where_a_signature_is_asked_for_nothing_else_will_do(package: Received) -> None:
    answer = package.verified(SIGNER.pem)
    assert isinstance(complaint_of(answer, trusting_receipts=True), SignatureRefused)
    (package.folder / NAME).unlink()
    answer = package.verified(SIGNER.pem)
    assert answer.receipts[0].state == "absent"
    assert complaint_of(answer) is None
    assert isinstance(complaint_of(answer, trusting_receipts=True), SignatureRefused)


def test_another_receipt_in_its_place_is_refused(package: Received) -> None:
    package.put(package.statement.replace(b"record", b"recorb"))
    answer = package.verified()
    assert answer.receipts[0].state == "broken"
    assert isinstance(complaint_of(answer), DigestMismatch)


def test_a_receipt_of_another_disk_or_content_is_refused(package: Received) -> None:
    package.say(package.receipt, NOTHING)
    assert package.disk.name in package.verified().receipts[0].differences[0].what
    package.say(replace(package.receipt, result=NOTHING), sha256_of(package.content))
    assert "content" in package.verified().receipts[0].differences[0].what


def test_a_damaged_one_is_refused(package: Received) -> None:
    package.put(b"{")
    answer = package.verified()
    assert answer.receipts[0].state == "broken"
    assert isinstance(complaint_of(answer), DigestMismatch)


@pytest.mark.parametrize("name", ["/", "..", ".", "../../etc/passwd", "a" * 300])
def test_a_name_that_no_file_beside_it_can_have_is_of_an_absent_one(
    package: Received, name: str
) -> None:
    told = replace(
        package.descriptor,
        receipt=ReceiptReference(name, sha256_of(package.statement)),
        bom=BomReference(location="sidecar", name=name, digest=NOTHING),
    )
    plain = golden.envelope({"disk1": package.disk})
    package.ovf = insert_descriptor(plain, told, "golden")
    answer = package.verified()
    assert [one.state for one in answer.receipts] == ["absent"]
    assert complaint_of(answer) is None


def test_a_bill_of_materials_without_end_is_not_read_to_it(package: Received) -> None:
    bom = BomReference(location="sidecar", name="golden.cdx.json", digest=NOTHING)
    plain = golden.envelope({"disk1": package.disk})
    package.ovf = insert_descriptor(plain, replace(package.descriptor, bom=bom), "golden")
    with (package.folder / "golden.cdx.json").open("wb") as file:
        file.truncate(1 << 40)
    assert isinstance(complaint_of(package.verified()), DigestMismatch)
