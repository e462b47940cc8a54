"""Package URLs: one name for a package that every tool of the field understands (ECMA-427)."""

from __future__ import annotations

import re

from regild.model.content import Platform

_PLAIN = re.compile(r"[A-Za-z0-9.~:_-]*")
_RUN = re.compile(rb"[^A-Za-z0-9.~:_-]")


def package_url(
    type: str,
    name: str,
    version: str,
    *,
    namespace: str = "",
    arch: str = "",
    distro: str = "",
    epoch: str = "",
) -> str:
    """The package URL of one package, such as
    `pkg:deb/debian/openssl@3.0.15-1~deb12u1?arch=amd64&distro=debian-12`."""
    path = "/".join(_quoted(part) for part in (type, namespace, name) if part)
    named = (("arch", arch), ("distro", distro), ("epoch", epoch))
    qualifiers = "&".join(f"{key}={_quoted(value)}" for key, value in named if value)
    return f"pkg:{path}@{_quoted(version)}" + (f"?{qualifiers}" if qualifiers else "")


def debian_url(name: str, version: str, arch: str, platform: Platform) -> str:
    """The package URL of a Debian package on a platform; Debian's own is named by its release
    without the point (`debian-12`)."""
    release = platform.version.partition(".")[0] if platform.id == "debian" else platform.version
    distro = f"{platform.id}-{release or platform.codename}".strip("-")
    return package_url("deb", name, version, namespace=platform.id, arch=arch, distro=distro)


def rpm_url(name: str, version: str, epoch: int, arch: str, platform: Platform) -> str:
    """The package URL of an rpm package; the epoch is no part of its version."""
    return package_url(
        "rpm",
        name,
        version,
        namespace=platform.id,
        arch=arch,
        distro=f"{platform.id}-{platform.version}".strip("-"),
        epoch=str(epoch) if epoch else "",
    )


def _quoted(text: str) -> str:
    """Percent-encoding of everything outside the characters that a purl leaves as they are."""
    if _PLAIN.fullmatch(text):
        return text
    return _RUN.sub(lambda found: b"%%%02X" % found[0][0], text.encode()).decode()
