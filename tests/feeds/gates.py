"""Real servers on loopback that let in only who shows something: nginx with TLS, logins and client
certificates, and tinyproxy with a login."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from regild.host.run import run

NAME, PASSWORD = "reader", "s3cret-Word"


def find(name: str) -> str:
    """A program that a test needs, or a skip that says which is missing."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed; scripts/setup test installs it")
    return found


@dataclass(frozen=True)
class Certificates:
    """A small authority, and what it vouches for; PEM files, certificate and key in one."""

    ca: Path
    server: Path
    client: Path


def make_certificates(folder: Path) -> Certificates:
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("authority", key, None, None)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    paths = []
    for name in ("server", "client"):
        own = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(name, own, key, ca)
        plain = own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / f"{name}.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + plain)
        paths.append(path)
    return Certificates(folder / "ca.pem", *paths)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey | None,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    unused = ("content_commitment", "data_encipherment", "encipher_only", "decipher_only")
    unused += ("key_agreement", "key_encipherment")
    usage = dict.fromkeys(unused, False)
    is_ca = issuer is None
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=is_ca, crl_sign=is_ca, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((signer or key).public_key()),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(signer or key, hashes.SHA256())
    )


@contextlib.contextmanager
def nginx(folder: Path, root: Path, keys: Certificates) -> Iterator[tuple[int, int]]:
    """nginx over a folder: a TLS port that asks for a login below /private and for a client
    certificate below /entitled, and a plain port that asks for the login everywhere."""
    program = find("nginx")
    folder.mkdir(parents=True)
    hashed = run(
        ["openssl", "passwd", "-apr1", PASSWORD], purpose="to hash a password"
    ).stdout.decode()
    (folder / "users").write_text(f"{NAME}:{hashed}")
    tls, plain = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{one}_temp_path {folder}/{one};"
        for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    login = f'auth_basic "in"; auth_basic_user_file {folder}/users;'
    (folder / "nginx.conf").write_text(
        f"""
        {user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{
          access_log {folder}/access.log; {temporary}
          server {{
            listen 127.0.0.1:{tls} ssl; root {root};
            ssl_certificate {keys.server}; ssl_certificate_key {keys.server};
            ssl_client_certificate {keys.ca}; ssl_verify_client optional;
            location /private/ {{ {login} }}
            location /entitled/ {{ if ($ssl_client_verify != SUCCESS) {{ return 403; }} }}
            location /away/ {{ return 302 http://127.0.0.1:{plain}/private/; }}
          }}
          server {{ listen 127.0.0.1:{plain}; root {root}; {login} }}
        }}
        """
    )
    with _served([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], tls, folder):
        yield tls, plain


@contextlib.contextmanager
def tinyproxy(folder: Path) -> Iterator[int]:
    """A proxy that asks for the login."""
    program = find("tinyproxy")
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "proxy.conf").write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\n"
        f'BasicAuth {NAME} {PASSWORD}\nLogFile "{folder}/log"\nLogLevel Connect\n'
    )
    with _served([program, "-d", "-c", str(folder / "proxy.conf")], port, folder):
        yield port


@contextlib.contextmanager
def _served(argv: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(argv, stdout=said, stderr=said)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "said").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
