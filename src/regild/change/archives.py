"""The names of package files in the repository that a guest is shown."""

from __future__ import annotations

import re

from regild.model.digest import hex_of
from regild.model.plan import Step


def archive_name(step: Step) -> str:
    """A file name of our own, as the archive's may hold anything; it says which package failed."""
    digits = hex_of(step.archive.digest)[:16] if step.archive else ""
    return f"{re.sub('[^A-Za-z0-9.+_-]', '-', step.name)}-{digits}.{step.type}"
