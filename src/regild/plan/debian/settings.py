"""The guest's settings that deciding heeds (apt.conf(5)), as describing wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from regild.errors import Malformed
from regild.model.content import TextFile

HEEDED = frozenset(
    (
        "APT::AutoRemove::RecommendsImportant",
        "APT::AutoRemove::SuggestsImportant",
        "APT::Default-Release",
        "APT::Install-Recommends",
        "APT::Install-Suggests",
        "APT::Move-Autobit-Sections",
        "APT::Never-MarkAuto-Sections",
        "APT::NeverAutoRemove",
        "APT::Protect-Kernels",
        "APT::VersionedKernelPackages",
    )
)
"""All that is heeded; the file that the settings come in may be a stranger's."""

SETTING = re.compile(r'([A-Za-z:-]+?)(::)? "([^"\\\n]*)";')


def read_settings(files: Iterable[TextFile]) -> dict[str, list[str]]:
    """The values of each heeded setting; a list's in their order, of any other the last one counts.

    Raises: Malformed when a line is not one assignment.
    """
    found: dict[str, list[str]] = {}
    for file in files:
        for line in filter(None, file.text.splitlines()):
            setting = SETTING.fullmatch(line)
            if setting is None or not line.isprintable():
                raise Malformed(where=file.path, why=f"{line[:80]!r} is not a setting")
            name, is_list, value = setting.groups()
            if name in HEEDED:
                found[name] = [*found.get(name, []), value] if is_list else [value]
    return found


def is_on(options: Mapping[str, Sequence[str]], option: str, default: bool) -> bool:
    """Whether a setting is on (apt.conf(5))."""
    word = options.get(option, [""])[-1].lower()
    if word in ("0", "no", "false", "without", "off", "disable"):
        return False
    return True if word in ("1", "yes", "true", "with", "on", "enable") else default
