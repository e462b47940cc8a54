"""`regild describe`: what is inside an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regild.cli.options import (
    BASES,
    BasisOption,
    Config,
    Debug,
    Follow,
    Force,
    FromSbom,
    Json,
    KeyFile,
    Languages,
    RecipeFiles,
    Sbom,
    SbomFormat,
    Strip,
)
from regild.cli.outcome import DONE, UNREAD, Outcome
from regild.cli.place import read_place
from regild.errors import RegildError, UsageError

if TYPE_CHECKING:
    from regild.agent.reading.many import Answers
    from regild.agent.site import Site
    from regild.image.keys import Keys
    from regild.model.answers import DescribeAnswer
    from regild.model.progress import Progress

SBOMS = ("sidecar", "embed", "none")
SBOM_FORMATS = ("cyclonedx", "spdx")


def describe(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            help="An .ova, an .ovf, a folder with one .ovf, a bare disk; a folder of such; or an "
            "address: https:// or s3://.",
            parser=read_place,
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Write the image with its descriptor to OUT."
        ),
    ] = None,
    sbom: Sbom = "sidecar",
    sbom_format: SbomFormat = "cyclonedx",
    from_sbom: FromSbom = None,
    strip: Strip = False,
    basis: BasisOption = "disk",
    languages: Languages = True,
    recipe: RecipeFiles = None,
    config: Config = None,
    force: Force = False,
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what is inside an image, and what could not be read.

    Platform, packages, applications, update sources and how far its descriptor can be believed.
    Nothing is booted or mounted, and no root is needed. With -o, the same is written into the
    OVF as a content descriptor; the disk's bytes stay as they are.
    """
    from regild.cli.progress import open_progress
    from regild.image.keys import read_keys

    _check_use(images, output, sbom, sbom_format, from_sbom, strip, basis)
    if not languages and output is not None:
        raise UsageError(what="a descriptor says everything: --no-languages does not go with -o")
    keys = read_keys(key_file or ())
    site = _site(recipe, config)
    with open_progress(live=not debug) as progress:
        if output is not None and strip:
            return _stripped(images[0], output, force, progress)
        if output is not None and from_sbom is not None:
            from regild.agent.writing.restate import from_bom

            wishes = (output, sbom, force, progress, sbom_format)
            return outcome_of([from_bom(images[0], from_sbom, *wishes)], ())
        if output is not None:
            from regild.agent.writing.inscribe import inscribe

            answer = inscribe(images[0], output, sbom, force, progress, sbom_format, keys, site)
            return outcome_of([answer], ())
        return _described(images, basis, progress, keys, languages, site)


def _check_use(
    images: list[Path],
    output: Path | None,
    sbom: str,
    sbom_format: str,
    from_sbom: Path | None,
    strip: bool,
    basis: str,
) -> None:
    """The options fit together.

    Raises: UsageError.
    """
    for name, value, allowed in (
        ("--sbom", sbom, SBOMS),
        ("--sbom-format", sbom_format, SBOM_FORMATS),
        ("--basis", basis, BASES),
    ):
        if value not in allowed:
            raise UsageError(what=f"{name} is {' or '.join(allowed)}, not {value}")
    if output is not None and basis != "disk":
        raise UsageError(what="-o writes what is seen on the disk, not what a descriptor claims")
    if output is not None and len(images) != 1:
        raise UsageError(what="-o takes one image")
    if output is None and (strip or from_sbom):
        raise UsageError(what="--strip and --from-sbom write a new image: say where with -o OUT")
    if strip and from_sbom:
        raise UsageError(what="--strip takes a descriptor out, --from-sbom puts one in: not both")


def _stripped(image: Path, output: Path, force: bool, progress: Progress) -> Outcome:
    """Write an image without descriptors."""
    from regild.agent.writing.restate import strip
    from regild.cli.render import strip_text

    answer = strip(image, output, force, progress)
    return Outcome(answer=answer, text=lambda width: strip_text(answer, width))


def _site(recipe: list[Path] | None, config: Path | None) -> Site | None:
    """What the site says of recipes; None where nothing does, so that no image is asked for more.

    Raises: UsageError, MissingFile.
    """
    from regild.agent.site import RecipeSettings, read_site, with_options

    site = with_options(read_site(config), recipes=recipe or ())
    return site if site.recipes != RecipeSettings() else None


def _described(
    images: list[Path],
    basis: str,
    progress: Progress,
    keys: Keys,
    languages: bool,
    site: Site | None,
) -> Outcome:
    """Describe each image; one that cannot be read does not keep the others from it."""
    from regild.agent.reading.claim import describe_claims
    from regild.agent.reading.many import describe_many, spread

    paths = spread(images)
    found: dict[Path, Answers] = {}
    if basis == "descriptor":
        for image in paths:
            try:
                found[image] = describe_claims(image) or ()
            except RegildError as error:
                found[image] = error
    rest = tuple(image for image in paths if not found.get(image))
    found.update(zip(rest, describe_many(rest, progress, keys, languages, site), strict=True))
    answers: list[DescribeAnswer | RegildError] = []
    for image in paths:
        answer = found[image]
        if isinstance(answer, RegildError) and len(paths) == 1:
            raise answer
        answers += [answer] if isinstance(answer, RegildError) else answer
    complaints = tuple(one for one in answers if isinstance(one, RegildError))
    return outcome_of(answers, complaints, whole=len(paths) == 1)


def outcome_of(
    answers: list[DescribeAnswer | RegildError],
    complaints: tuple[RegildError, ...],
    whole: bool = True,
) -> Outcome:
    """One answer stands alone in JSON; several, or one of several systems, stand in an array.

    Shown to a person, each is shown whole, or all in one table.
    """
    from regild.cli.exits import failure_of
    from regild.cli.overview import overview_text
    from regild.cli.render import describe_text

    good = [one for one in answers if not isinstance(one, RegildError)]
    shown: list[Any] = [
        {"error": failure_of(one)} if isinstance(one, RegildError) else one for one in answers
    ]
    return Outcome(
        answer=shown[0] if len(shown) == 1 else shown,
        text=lambda width: (
            "\n\n\n".join(describe_text(one, width) for one in good)
            if whole
            else overview_text(good, width)
        ),
        code=UNREAD if any(one.unknowns for one in good) else DONE,
        complaints=complaints,
    )
