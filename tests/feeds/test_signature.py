"""Who signed a release, and how anything else is told apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysequoia import ArmorKind, Cert, SignatureMode, Tsk, armor, sign

from regild.errors import BadSignature
from regild.feeds.keys import Trust, read_keys, split_certificates, trust_of
from regild.feeds.signature import verify_cleartext, verify_detached
from regild.host.run import run
from regild.model.content import Keyring, Source
from tests.feeds.repositories import certificate, fingerprint, key

NOW = datetime.now(UTC)
TEXT = b"Origin: Test\n- dashed\nSHA256:\n"
SOURCE = Source("apt", "http://mirror.example/x", "stable", ("main",))


def trust(*names: str) -> Trust:
    return Trust(tuple(one for name in names for one in read_keys(certificate(name))))


def clear(name: str = "archive", text: bytes = TEXT) -> bytes:
    return sign(key(name).signer(), text, mode=SignatureMode.CLEAR)


def refused(message: bytes, trusted: Trust, now: datetime = NOW) -> str:
    with pytest.raises(BadSignature) as caught:
        verify_cleartext(message, trusted, now, "it")
    assert "\n" not in str(caught.value) and "backtrace" not in str(caught.value)
    return caught.value.why


def test_the_signed_text_comes_back() -> None:
    signed = verify_cleartext(clear(), trust("other", "archive"), NOW, "it")
    assert signed.text.rstrip(b"\n") == TEXT.rstrip(b"\n")
    assert signed.keys == (fingerprint(),)


def test_a_detached_signature_counts_for_its_own_text_only() -> None:
    signature = sign(key().signer(), TEXT, mode=SignatureMode.DETACHED)
    assert verify_detached(TEXT, signature, trust("archive"), NOW, "it").text == TEXT
    with pytest.raises(BadSignature, match="not what"):
        verify_detached(TEXT + b"x", signature, trust("archive"), NOW, "it")
    with pytest.raises(BadSignature, match="damaged"):
        verify_detached(TEXT, b"nothing", trust("archive"), NOW, "it")


def test_text_outside_of_what_is_signed_is_refused() -> None:
    message = clear()
    for other in (message + b"x\n", b"x\n" + message, message + message, message[:-40]):
        assert "outside" in refused(other, trust("archive"))
    assert "not signed" in refused(TEXT, trust("archive"))
    assert "not signed" in refused(b"", trust("archive"))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
def test_any_altered_byte_is_refused(at: int, by: int) -> None:
    message = bytearray(clear())
    start = bytes(message).index(b"Origin")
    message[start + at] ^= by
    try:
        signed = verify_cleartext(bytes(message), trust("archive"), NOW, "it")
    except BadSignature:
        return
    # White space at the end of a line is not signed (RFC 9580, 7.2).
    assert signed.text.split() == TEXT.split()


def test_an_unknown_key_is_named() -> None:
    said = refused(clear(), trust("other"))
    assert "it is signed by key" in said and "key " in said


def test_one_good_signature_is_enough() -> None:
    assert verify_cleartext(clear(), trust("other", "archive"), NOW, "it").keys


def expiring(seconds: int) -> Tsk:
    return Tsk.generate("short <short@mirror.example>", validity_seconds=seconds)


def test_an_expired_key_is_refused_and_the_day_is_told() -> None:
    short = expiring(3600)
    trusted = Trust(tuple(read_keys(bytes(short.extract_certificate()))))
    message = sign(short.signer(), TEXT, mode=SignatureMode.CLEAR)
    assert verify_cleartext(message, trusted, NOW, "it").keys
    later = NOW + timedelta(hours=2)
    assert f"expired on {NOW + timedelta(hours=1):%Y-%m-%d}" in refused(message, trusted, later)


def test_a_revoked_key_is_no_key() -> None:
    tsk = Tsk.generate("gone <gone@mirror.example>")
    cert = tsk.extract_certificate()
    revoked = Cert.from_bytes(bytes(cert) + bytes(cert.revoke(tsk.certifier())))
    assert list(read_keys(bytes(revoked))) == []


def test_a_key_that_today_is_rejected_does_not_spoil_the_others(tmp_path: Path) -> None:
    weak = weak_certificate(tmp_path)
    ring = certificate("archive") + weak + certificate("other")
    assert len(list(split_certificates(ring))) == 3
    found = [one.fingerprint for one in read_keys(ring)]
    assert found[0] == fingerprint("archive") and found[-1] == fingerprint("other")


def weak_certificate(folder: Path) -> bytes:
    """A certificate that GnuPG binds with SHA-1."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    line = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--cert-digest-algo", "SHA1"]
    make = ["--passphrase", "", "--quick-gen-key", "old <old@mirror.example>", "rsa2048"]
    try:
        run([*line, *make, "sign", "never"], purpose="to make an old key")
        return run([*line, "--export"], purpose="to make an old key").stdout
    finally:
        run(["gpgconf", "--homedir", str(home), "--kill", "all"], purpose="to end its agent")


def test_armoured_keyrings_hold_any_number_of_keys() -> None:
    blocks = [armor(certificate(name), ArmorKind.PublicKey) for name in ("archive", "other")]
    text = "Comment before\n" + blocks[0].replace("\n\n", "\nComment: x\n\n", 1) + "\n" + blocks[1]
    assert len(list(read_keys(("-----\n" + text).encode()))) == 2
    assert len(list(read_keys(blocks[0].encode()))) == 1


@given(st.binary(max_size=200))
def test_no_bytes_make_a_keyring_fail(junk: bytes) -> None:
    list(split_certificates(junk))
    list(read_keys(certificate()[:400] + junk))


def test_signed_by_narrows_what_counts() -> None:
    rings = [
        Keyring("/etc/apt/trusted.gpg.d/a.gpg", certificate("archive")),
        Keyring("/etc/apt/trusted.gpg.d/b.gpg", certificate("other")),
        Keyring("/usr/share/keyrings/c.gpg", certificate("third")),
    ]

    def keys(*signed_by: str) -> set[str]:
        source = Source("apt", "http://mirror.example/x", "x", ("main",), signed_by=signed_by)
        found = trust_of(source, rings)
        return {one.fingerprint for one in found.keys if found.admits(one.fingerprint, "none")}

    first, second, third = (fingerprint(name) for name in ("archive", "other", "third"))
    assert keys() == {first, second}
    assert keys("/usr/share/keyrings/c.gpg") == {third}
    assert keys(first.upper()) == {first}
    assert keys("/usr/share/keyrings/c.gpg", first) == set()
    assert keys(armor(certificate("third"), ArmorKind.PublicKey)) == {third}
    for wrong in ("/none.gpg", "relative.gpg", first[-16:], "-----BEGIN PGP PUBLIC KEY BLOCK-----"):
        with pytest.raises(BadSignature):
            keys(wrong)


def test_a_fingerprint_of_another_trusted_key_is_refused() -> None:
    keys = (*read_keys(certificate("archive")), *read_keys(certificate("other")))
    only = Trust(keys, (fingerprint("other"),))
    assert "is not the key" in refused(clear("archive"), only)
    assert verify_cleartext(clear("other"), only, NOW, "it").keys == (fingerprint("other"),)
    subkeys = [one for one in keys[0].ends if one != keys[0].fingerprint]
    assert not Trust(keys, (keys[0].fingerprint + "!",)).admits(keys[0].fingerprint, subkeys[0])
