"""`prove` as an answer: what can be asked of an image as it stands, with nobody's plan to hold it
against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regild.agent.changing.proof import areas_of, compare, rpm_files_of
from regild.agent.reading.inspect import Inspected, open_system
from regild.agent.reading.intake import open_image
from regild.describe.boot import read_boot
from regild.errors import HostError, ProveError, UnsupportedError
from regild.host.namespace import find_id_map
from regild.host.scratch import default_folder, open_scratch
from regild.image.keys import NO_KEYS, Keys
from regild.model.plan import Difference
from regild.model.progress import Progress
from regild.model.proof import CheckAnswer, ProveAnswer, SystemProof
from regild.prove.scene import Scene
from regild.prove.static import CHECKS, Proof, prove_static


def prove(
    path: Path, progress: Progress, scratch: Path | None = None, keys: Keys = NO_KEYS
) -> ProveAnswer:
    """Ask every question of the static proof of each virtual system of an image; nothing is
    written but a job's folder, which goes again.

    Raises: as `open_image` and `open_system`.
    """
    with open_image(path, keys) as image:
        systems = []
        for system in image.systems:
            progress.step(f"Reading {path.name} {system.id}".rstrip())
            with open_system(image, system) as inspected:
                systems.append(_proven(inspected, scratch or default_folder(), progress))
        return ProveAnswer(str(path), tuple(systems))


def complaint_of(answer: ProveAnswer) -> ProveError | None:
    """The error that an answer amounts to; None where everything held."""
    told = tuple(
        f"{check.check}: {one.what}: {one.expected} != {one.observed}"
        for system in answer.systems
        for check in system.checks
        for one in check.differences
    )
    return ProveError(where=answer.image, differences=told) if told else None


def _proven(inspected: Inspected, folder: Path, progress: Progress) -> SystemProof:
    filesystems, unasked = _judged(inspected, folder, progress)
    progress.step("Proving what it holds")
    guest = inspected.guest
    boot = read_boot(guest.tree)
    scene = Scene(
        guest,
        inspected.content,
        boot=boot.entries,
        rpm=rpm_files_of(guest, None, None),
        filesystems=filesystems,
        unasked=unasked,
    )
    proof = prove_static(scene)
    return SystemProof(
        system=inspected.system.id,
        checks=tuple(_check_answers(proof)),
        unknowns=(*inspected.content.unknowns, *boot.unknowns),
    )


def _check_answers(proof: Proof) -> Iterator[CheckAnswer]:
    """Every check of the table in its order, with what it found."""
    left_out = {one.where: one.why for one in proof.unchecked}
    for check in CHECKS:
        found = tuple(one.difference for one in proof.found if one.check == check.key)
        if check.key in left_out:
            yield CheckAnswer(check.key, check.says, "left out", left_out[check.key])
        else:
            yield CheckAnswer(check.key, check.says, "broken" if found else "held", "", found)


def _judged(
    inspected: Inspected, folder: Path, progress: Progress
) -> tuple[tuple[Difference, ...] | None, str]:
    """What e2fsck finds, or why it cannot be asked on this machine."""
    if not areas_of(inspected.guest):
        return None, ""
    name = f"prove-{inspected.image.path.stem[:40]}"
    try:
        with open_scratch(folder, name, find_id_map()) as job:
            job.make_guest()
            _, filesystems = compare(inspected, "", frozenset(), job, progress)
            return filesystems, ""
    except (HostError, UnsupportedError) as error:
        return None, str(error)
