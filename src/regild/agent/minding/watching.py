"""Sources that are watched: what appears or changes in a folder, below a prefix of S3, in a
registry or where a command says so becomes the next generation of an image.

Each thing there has a mark that differs once it has changed, such as a manifest's digest. What
was taken stands in the rows of jobs, so it is taken once, whoever is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from regild.agent.keeping.engine import Desk
from regild.agent.keeping.pushing import bring
from regild.agent.keeping.storing import Store
from regild.agent.minding.story import Story
from regild.agent.policy_file import policy_for
from regild.errors import ListedAlready, RegildError
from regild.model.digest import canonical, hex_of, sha256_of
from regild.model.generation import Generation, Reference
from regild.model.job import Job
from regild.model.policy import AgentPolicy, ImagePolicy
from regild.publish.schemes import open_target
from regild.publish.target import marks_of
from regild.store import Writing
from regild.store.channels import list_channels, promote
from regild.store.generations import list_generations
from regild.store.images import list_images
from regild.store.jobs import find_job, submit_job

KEY_DIGITS = 32


def imports_due(store: Store, policy: AgentPolicy, story: Story) -> None:
    """Leave a job for each thing in a watched source that was not taken yet as it is now.

    A source that cannot be asked stands in the story as a failure; the others go on.

    Raises: Unanswered.
    """
    with store.catalogue.reading() as view:
        images = [one.name for one in list_images(view)]
    for image in images:
        wanted = policy_for(policy, image)
        if wanted is None or not wanted.source:
            continue
        try:
            marks = marks_of(open_target(wanted.source))
        except RegildError as error:
            story.fail(f"source of {image}", error)
            continue
        named = {
            name: mark
            for name, mark in marks.items()
            if mark and fnmatchcase(name, wanted.source_names)
        }
        with store.catalogue.writing(store.actor) as change:
            for name, mark in named.items():
                _submit(change, image, wanted, name, mark)


def import_job(desk: Desk, job: Job) -> Mapping[str, Any]:
    """The job `import`: facts are the image, the source's address, and a name there. Bytes that
    the image's line has already are no new generation.

    Raises: as `bring`.
    """
    facts = job.facts
    image = facts["image"]

    def settle(change: Writing, made: Generation) -> None:
        """Promote what was imported, unless the line has its bytes already, and end the job."""
        for one in list_generations(change, image):
            if one.digest == made.digest and one.number != made.number:
                raise ListedAlready(where=one.name, why="it has these bytes")
        channel = facts.get("channel") or next((c.name for c in list_channels(change, image)), "")
        pinned = {one.name for one in list_channels(change, image) if one.pinned}
        if channel and channel not in pinned:
            number = Reference(image, str(made.number))
            promote(change, number, channel, f"imported as {facts['name']}")
        desk.end(change, {"generation": made.name, "name": facts["name"]})

    try:
        made = bring(
            desk.store,
            open_target(facts["source"]),
            facts["name"],
            image,
            desk.progress,
            scratch=desk.workplace.scratch,
            settling=settle,
        )
    except ListedAlready as known:
        return {"generation": "", "known": known.where}
    return {"generation": made.name, "name": facts["name"]}


def _submit(change: Writing, image: str, policy: ImagePolicy, name: str, mark: str) -> None:
    inputs = "import", image, policy.source, name, mark
    key = f"import:{hex_of(sha256_of(canonical(inputs)))[:KEY_DIGITS]}"
    if find_job(change, key) is not None:
        return
    facts = {"image": image, "source": policy.source, "name": name, "mark": mark}
    if policy.channels:
        facts["channel"] = policy.channels[0]
    submit_job(change, key, "import", image, facts)
