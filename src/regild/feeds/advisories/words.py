"""The words of publishers, brought to one: severities, scores and names of distributions."""

from __future__ import annotations

import re

from regild.model.advisory import Severity

SEVERITY_WORDS: dict[str, Severity] = {
    "critical": "critical",
    "important": "high",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "unimportant": "negligible",
    "negligible": "negligible",
    "none": "negligible",
}
"""Red Hat, SUSE and Microsoft say important and moderate; Debian unimportant; Ubuntu negligible."""

SCORES: tuple[tuple[float, Severity], ...] = (
    (9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "negligible"),
)  # fmt: skip
"""Qualitative ratings of scores (CVSS 3.1, 5; the same in 4.0)."""

VECTOR_LENGTH = 300
CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")
_ECOSYSTEM = re.compile(
    r"[A-Za-z ]+:(?:v|enterprise_linux:|Leap |Linux Enterprise Server )?"
    r"([0-9]+(?:\.[0-9]+)?)(?: SP([0-9]+))?(?:$|:)"
)

IDS = {
    "rocky linux": "rocky",
    "red hat": "rhel",
    "alpine": "alpine",
    "opensuse": "opensuse-leap",
    "suse": "sles",
}
"""Names of distributions in OSV whose ID in os-release(5) is another."""
TYPES = {
    **dict.fromkeys(("debian", "ubuntu"), "deb"),
    **dict.fromkeys(("alpine", "wolfi", "chainguard"), "apk"),
    **dict.fromkeys(
        ("almalinux", "rocky", "rhel", "sles", "opensuse-leap", "mageia", "openeuler"), "rpm"
    ),
}
"""The package family of each distribution that advisories name."""


def read_severity(word: str) -> Severity:
    """A publisher's word for how grave it is; what is not known says nothing."""
    plain = word.strip().rstrip("*").lower()
    return SEVERITY_WORDS.get(plain, "")


def severity_of_score(score: float) -> Severity:
    """The rating of a CVSS base score."""
    return next((word for least, word in SCORES if score >= least), "")


def severity_of_vector(vector: str) -> Severity:
    """The rating of a CVSS vector; one that cannot be read says nothing."""
    if not 0 < len(vector) <= VECTOR_LENGTH:
        return ""
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
    try:
        return severity_of_score(float(kind(vector).scores()[0]))
    except CVSSError:
        return ""


def cves_of(*texts: str) -> tuple[str, ...]:
    """The CVE ids among some texts that are whole ids, each once, by year and number."""
    found = {text for text in texts if CVE.fullmatch(text)}
    return tuple(sorted(found, key=lambda name: tuple(map(int, name.split("-")[1:]))))


def read_ecosystem(text: str) -> tuple[str, str]:
    """The package family and the ecosystem that OSV's name of one means, such as `Debian:12`."""
    name = text.partition(":")[0].strip().lower()
    distribution = IDS.get(name, name)
    match = _ECOSYSTEM.match(text)
    if distribution not in TYPES:
        return LANGUAGES.get(name, name), ""
    if match is not None:
        version = ".".join(filter(None, match.groups()))
        return TYPES[distribution], f"{distribution}-{version}"
    # What stands after the colon is another product of theirs, such as `Ubuntu:Pro:22.04:LTS`.
    return TYPES[distribution], distribution if ":" not in text else text.lower()


LANGUAGES = {"crates.io": "cargo", "go": "golang", "rubygems": "gem", "packagist": "composer"}
"""Purl types that OSV's ecosystems of languages are not named after."""
