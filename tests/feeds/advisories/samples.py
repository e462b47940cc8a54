"""Feeds of advisories as their publishers write them, made up in every fact.

One weakness of `tool` (source of `tool` and `libtool`) is fixed in 1.1, one stays open.
"""

from __future__ import annotations

import json
from typing import Any

FIXED, OPEN, OTHER = "CVE-2026-1111", "CVE-2026-2222", "CVE-2026-3333"
WHEN = "2026-05-01T00:00:00Z"
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def osv(
    id: str = "DEBIAN-" + FIXED,
    cve: str = FIXED,
    ecosystem: str = "Debian:12",
    name: str = "tool",
    fixed: str | None = "1.1",
    **more: Any,
) -> dict[str, Any]:
    """One OSV object."""
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    return {
        "schema_version": "1.6.0",
        "id": id,
        "modified": WHEN,
        "published": WHEN,
        "upstream": [cve],
        "summary": "tool reads past its end",
        "severity": [{"type": "CVSS_V3", "score": VECTOR}],
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
        **more,
    }


def tracker() -> dict[str, Any]:
    """Debian's security tracker."""
    return {
        "tool": {
            FIXED: {
                "description": "reads past its end",
                "debianbug": 1,
                "scope": "remote",
                "releases": {
                    "bookworm": {
                        "status": "resolved",
                        "repositories": {"bookworm": "1.0", "bookworm-security": "1.1"},
                        "fixed_version": "1.1",
                        "urgency": "high",
                    },
                    "sid": {
                        "status": "resolved",
                        "repositories": {"sid": "2.0"},
                        "fixed_version": "2.0",
                        "urgency": "high",
                    },
                },
            },
            OPEN: {
                "releases": {
                    "bookworm": {
                        "status": "open",
                        "repositories": {"bookworm": "1.0"},
                        "urgency": "unimportant",
                        "nodsa": "Minor issue",
                        "nodsa_reason": "",
                    }
                }
            },
        },
        "spared": {
            OTHER: {
                "releases": {
                    "bookworm": {
                        "status": "resolved",
                        "repositories": {"bookworm": "1"},
                        "fixed_version": "0",
                        "urgency": "unimportant",
                    }
                }
            }
        },
    }


def csaf(status: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """A vendor's advisory: a package as a part of a platform."""
    fixed = "base-9:tool-1:1.1-1.el9"
    return {
        "document": {
            "category": "csaf_security_advisory",
            "csaf_version": "2.0",
            "aggregate_severity": {"text": "Important"},
            "publisher": {
                "category": "vendor",
                "name": "Vendor",
                "namespace": "https://vendor.example",
            },
            "title": "An update for tool",
            "tracking": {
                "current_release_date": WHEN,
                "id": "VSA-2026:0001",
                "initial_release_date": WHEN,
                "revision_history": [{"date": WHEN, "number": "1", "summary": "First"}],
                "status": "final",
                "version": "1",
            },
        },
        "product_tree": {
            "branches": [
                {
                    "category": "vendor",
                    "name": "Vendor",
                    "branches": [
                        _branch("product_name", "base-9", cpe="cpe:/o:vendor:enterprise_linux:9"),
                        _branch(
                            "product_version",
                            "tool-1:1.1-1.el9",
                            purl="pkg:rpm/vendor/tool@1.1-1.el9?arch=x86_64&epoch=1",
                        ),
                        _branch("product_version", "other", purl="pkg:rpm/vendor/other"),
                    ],
                }
            ],
            "relationships": [
                _part(fixed, "tool-1:1.1-1.el9"),
                _part("base-9:other", "other"),
            ],
        },
        "vulnerabilities": [
            {
                "cve": FIXED,
                "title": "tool reads past its end",
                "product_status": status or {"fixed": [fixed], "known_affected": ["base-9:other"]},
                "remediations": [
                    {
                        "category": "none_available",
                        "details": "Will not be fixed",
                        "product_ids": ["base-9:other"],
                    }
                ],
                "threats": [{"category": "impact", "details": "Moderate"}],
            }
        ],
    }


def _branch(category: str, name: str, **ids: str) -> dict[str, Any]:
    product = {"product_id": name, "name": name, "product_identification_helper": ids}
    return {"category": category, "name": name, "product": product}


def _part(whole: str, of: str) -> dict[str, Any]:
    return {
        "category": "default_component_of",
        "full_product_name": {"product_id": whole, "name": whole},
        "product_reference": of,
        "relates_to_product_reference": "base-9",
    }


def secdb() -> dict[str, Any]:
    """Alpine's database for one release."""
    fixes = {"1.1-r0": [f"{FIXED} XSA-1"], "0": [OTHER]}
    return {
        "apkurl": "{{urlprefix}}/{{distroversion}}/{{pkg.name}}-{{pkg.ver}}.apk",
        "archs": ["x86_64"],
        "reponame": "main",
        "urlprefix": "https://mirror.example/alpine",
        "distroversion": "v3.20",
        "packages": [{"pkg": {"name": "tool", "secfixes": fixes}}],
    }


def kev(*cves: str) -> dict[str, Any]:
    """The catalogue of what is used in attacks."""
    rows = [
        {
            "cveID": cve,
            "vendorProject": "Vendor",
            "product": "tool",
            "vulnerabilityName": "tool reads past its end",
            "dateAdded": "2026-05-02",
            "shortDescription": "It reads past its end.",
            "requiredAction": "Update.",
            "dueDate": "2026-05-23",
        }
        for cve in cves or (FIXED,)
    ]
    return {
        "title": "Catalogue",
        "catalogVersion": "2026.05.02",
        "dateReleased": "2026-05-02T00:00:00Z",
        "count": len(rows),
        "vulnerabilities": rows,
    }


UPDATEINFO = f"""<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="security@vendor.example" status="final" type="security" version="1">
    <id>VSA-2026:0001</id><title>tool update</title><severity>Important</severity>
    <issued date="2026-05-01 00:00:00"/>
    <references><reference href="https://vendor.example/x" id="{FIXED}" type="cve"/></references>
    <pkglist><collection short="base"><name>base</name>
      <package name="tool" version="1.1" release="1.el9" epoch="1" arch="x86_64" src="t.src.rpm">
        <filename>tool-1.1-1.el9.x86_64.rpm</filename><reboot_suggested>1</reboot_suggested>
      </package>
      <package name="libtool" version="1.1" release="1.el9" epoch="0" arch="x86_64"/>
    </collection></pkglist>
  </update>
  <update type="bugfix"><id>VBA-2026:0002</id><pkglist/></update>
</updates>
""".encode()

CVRF = f"""<?xml version="1.0" encoding="utf-8"?>
<cvrf:cvrfdoc xmlns:cvrf="http://www.icasi.org/CVRF/schema/cvrf/1.1"
  xmlns:prod="http://www.icasi.org/CVRF/schema/prod/1.1"
  xmlns:vuln="http://www.icasi.org/CVRF/schema/vuln/1.1">
  <cvrf:DocumentTitle>May 2026 Security Updates</cvrf:DocumentTitle>
  <cvrf:DocumentType>Security Update</cvrf:DocumentType>
  <cvrf:DocumentPublisher Type="Vendor"/>
  <cvrf:DocumentTracking>
    <cvrf:Identification><cvrf:ID>2026-May</cvrf:ID></cvrf:Identification>
    <cvrf:Status>Final</cvrf:Status>
    <cvrf:Version>1.0</cvrf:Version>
    <cvrf:RevisionHistory><cvrf:Revision>
      <cvrf:Number>1.0</cvrf:Number>
      <cvrf:Date>{WHEN}</cvrf:Date>
      <cvrf:Description>First</cvrf:Description>
    </cvrf:Revision></cvrf:RevisionHistory>
    <cvrf:InitialReleaseDate>{WHEN}</cvrf:InitialReleaseDate>
    <cvrf:CurrentReleaseDate>{WHEN}</cvrf:CurrentReleaseDate>
  </cvrf:DocumentTracking>
  <prod:ProductTree>
    <prod:FullProductName ProductID="11923">Windows Server 2022</prod:FullProductName>
  </prod:ProductTree>
  <vuln:Vulnerability Ordinal="1">
    <vuln:Title>Kernel Elevation of Privilege</vuln:Title>
    <vuln:CVE>{FIXED}</vuln:CVE>
    <vuln:Threats>
      <vuln:Threat Type="Severity"><vuln:Description>Important</vuln:Description></vuln:Threat>
      <vuln:Threat Type="Exploit Status">
        <vuln:Description>Publicly Disclosed:No;Exploited:Yes</vuln:Description></vuln:Threat>
    </vuln:Threats>
    <vuln:Remediations>
      <vuln:Remediation Type="Vendor Fix">
        <vuln:Description>5050001</vuln:Description>
        <vuln:ProductID>11923</vuln:ProductID>
        <vuln:FixedBuild>10.0.20348.2900</vuln:FixedBuild>
      </vuln:Remediation>
      <vuln:Remediation Type="Workaround">
        <vuln:Description>Leave it switched off.</vuln:Description>
      </vuln:Remediation>
    </vuln:Remediations>
  </vuln:Vulnerability>
</cvrf:cvrfdoc>
""".encode()

CVRF_JSON = {
    "DocumentTitle": {"Value": "May 2026 Security Updates"},
    "DocumentTracking": {"CurrentReleaseDate": WHEN},
    "ProductTree": {
        "FullProductName": [{"ProductID": "11923", "Value": "Windows Server 2022"}],
    },
    "Vulnerability": [
        {
            "Title": {"Value": "Kernel Elevation of Privilege"},
            "CVE": FIXED,
            "Threats": [
                {"Description": {"Value": "Important"}, "Type": 3},
                {"Description": {"Value": "Publicly Disclosed:No;Exploited:Yes"}, "Type": 1},
            ],
            "Remediations": [
                {
                    "Description": {"Value": "5050001"},
                    "ProductID": ["11923"],
                    "Type": 2,
                    "FixedBuild": "10.0.20348.2900",
                }
            ],
        }
    ],
}
