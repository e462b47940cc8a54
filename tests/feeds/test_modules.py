"""The modules of a repository: YAML from strangers."""

from __future__ import annotations

import pytest

from regild.errors import Malformed
from regild.feeds.modules import read_modules

PLAIN = """---
document: modulemd
version: 2
data:
  name: tool
  stream: "1.10"
  version: 3
  description: >-
    R &D, *all* of it
  dependencies:
  - requires: {platform: [el9]}
  artifacts:
    rpms: [tool-0:1.10-1.x86_64]
"""
REPEATED = """---
document: modulemd
data: {name: x, dependencies: [{requires: {a: &s [1, 2], b: *s}}]}
"""


def test_a_build_is_read() -> None:
    (build,) = read_modules(PLAIN.encode(), "test").builds
    assert (build.name, build.stream, build.version) == ("tool", "1.10", 3)
    assert build.requires == ((("platform", ("el9",)),),)
    assert build.packages == ("tool-0:1.10-1.x86_64",)


@pytest.mark.parametrize(
    "content", [REPEATED.encode(), REPEATED.encode("utf-16"), b"a: &x 1\nb: *y"]
)
def test_what_repeats_a_part_of_itself_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_modules(content, "test")
