"""What an update fixes and what stays, for those who scan images: OpenVEX.

Source: OpenVEX specification 0.2.0. Only what is known is said: without advisories or changelogs
there is no statement, and then no document.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regild.model.advisory import Weakness
from regild.model.content import Content
from regild.model.digest import canonical, sha256_of
from regild.model.plan import Plan, Step

CONTEXT = "https://openvex.dev/ns/v0.2.0"


def write_vex(plan: Plan, observed: Content, created: str, tool: str) -> bytes:
    """The document about an updated image; empty where nothing is known. `created` is RFC 3339."""
    statements = [*_fixed(plan, observed), *_remaining(plan, observed)]
    if not statements:
        return b""
    body = {
        "@context": CONTEXT,
        "author": tool,
        "timestamp": created,
        "version": 1,
        "statements": statements,
    }
    name = sha256_of(canonical(body)).replace("sha256:", "urn:regild:vex:sha256:")
    return canonical({"@id": name, **body}) + b"\n"


def _fixed(plan: Plan, observed: Content) -> Iterator[dict[str, Any]]:
    """Weaknesses that an upgrade is said to fix."""
    for step in plan.steps:
        for cve in step.fixes if step.becomes else ():
            yield {
                "vulnerability": {"name": cve},
                "products": _products(observed, step.name, step.becomes),
                "status": "fixed",
                "status_notes": _evidence(step),
            }


def _remaining(plan: Plan, observed: Content) -> Iterator[dict[str, Any]]:
    """Weaknesses that stay, with what is to be done about them."""
    for one in plan.unfixed:
        for name in one.cves or (one.advisory,):
            yield {
                "vulnerability": {"name": name},
                "products": _products(observed, one.package, one.version),
                "status": "affected",
                "action_statement": _action(one),
                "status_notes": f"advisory {one.advisory}",
            }


def _products(observed: Content, name: str, version: str) -> list[dict[str, str]]:
    """The packages that a statement is about, by their package URLs."""
    urls = [
        one.purl
        for one in observed.packages
        if one.purl
        and name in (one.name, one.source)
        and version in (one.version, one.source_version)
    ]
    return [{"@id": url} for url in urls or [f"pkg:generic/{name}@{version}"]]


def _evidence(step: Step) -> str:
    if step.recipe:
        return f"the recipe {step.recipe} says so"
    if step.evidence == "changelog":
        return "the package's changelog mentions it, which is no proof"
    return f"advisory {step.evidence}" if step.evidence else "the package's source says so"


def _action(one: Weakness) -> str:
    """What can be done, in one sentence."""
    why = f" ({one.why})" if one.why else ""
    if one.fixed:
        return f"Update {one.package} to {one.fixed} when it is offered{why}."
    return f"No version of {one.package} that fixes it is known{why}."
