"""Trying regild on a conformance kit: labelled packages and what has to be said of each.

The kit (docs/spec/conformance) is a folder with `kit.json` and the packages that it names; other
readers can be tried on the same folder.
"""

from __future__ import annotations

from pathlib import Path

from regild.agent.reading.claim import read_claims
from regild.agent.reading.describe import describe
from regild.agent.reading.verify import verify
from regild.errors import Malformed, RegildError
from regild.host.files import read_limited
from regild.model.answers import CaseAnswer, ConformanceAnswer, Kit, KitCase
from regild.model.json import from_json
from regild.model.progress import Progress

KIT = "kit.json"
MAX_KIT_BYTES = 16 << 20
REFUSED = "refused"


def try_kit(folder: Path, progress: Progress) -> ConformanceAnswer:
    """What regild says of each package of a kit, beside what the kit expects.

    Raises: MissingFile, Malformed, TooLarge, NotPermitted.
    """
    kit = from_json(Kit, read_limited(folder / KIT, MAX_KIT_BYTES), str(folder / KIT))
    cases = []
    for case in kit.cases:
        if Path(case.file).name != case.file:
            raise Malformed(where=str(folder / KIT), why=f"{case.file[:80]!r} is no file beside it")
        progress.step(case.file)
        observed = _observed(folder / case.file, case, progress)
        cases.append(CaseAnswer(case.file, case.why, case.states, observed))
    failed = sum(1 for one in cases if one.expected != one.observed)
    return ConformanceAnswer(str(folder), tuple(cases), failed)


def _observed(path: Path, case: KitCase, progress: Progress) -> dict[str, str]:
    """The state of each system; `{"": "refused"}` where the package itself is refused."""
    try:
        if case.basis == "descriptor":
            return {one.system: one.state.state for one in read_claims(path)}
        if case.basis == "disk":
            return {one.system: one.descriptor.state for one in describe(path, progress)}
        return {one.system: one.state for one in verify(path, True, progress).descriptors}
    except RegildError:
        return {"": REFUSED}
