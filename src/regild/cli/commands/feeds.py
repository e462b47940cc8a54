"""`regild feeds`: where an image's repositories and the site's advisories are read, and how old
they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.options import (
    BASES,
    AcceptOlder,
    Advisories,
    Allow,
    BasisOption,
    Cache,
    Config,
    Debug,
    Json,
    Mirror,
    Offline,
    wanted_site,
)
from regild.cli.outcome import Outcome
from regild.cli.place import read_place
from regild.errors import RegildError, UsageError

if TYPE_CHECKING:
    from regild.agent.site import Site

Images = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[IMAGE]...",
        help="Whose sources; without one, every repository that was ever read.",
        show_default=False,
        parser=read_place,
    ),
]

Refreshed = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[IMAGE]...",
        help="Whose sources; without one, only the site's advisories are read.",
        show_default=False,
        parser=read_place,
    ),
]

feeds = typer.Typer(
    help="Say where repositories and advisories are read, and read them anew.",
    rich_markup_mode=None,
)


@feeds.command("list")
def list_feeds(
    images: Images = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    config: Config = None,
    cache: Cache = None,
    advisories: Advisories = None,
    basis: BasisOption = "disk",
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say which feeds there are, where each is read, and which the site refuses."""
    site = wanted_site(config, None, mirror, offline, allow, None, cache, advisories)
    return _told(images or [], site, basis, debug, anew=False, short=True)


@feeds.command()
def status(
    images: Images = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    config: Config = None,
    cache: Cache = None,
    advisories: Advisories = None,
    basis: BasisOption = "disk",
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what was read of each feed last: its date, its age, its digest and who signed it."""
    site = wanted_site(config, None, mirror, offline, allow, None, cache, advisories)
    return _told(images or [], site, basis, debug, anew=False)


@feeds.command()
def refresh(
    images: Refreshed = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    config: Config = None,
    cache: Cache = None,
    advisories: Advisories = None,
    accept_older: AcceptOlder = False,
    basis: BasisOption = "disk",
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Read the repositories of images, and the site's advisories, anew."""
    site = wanted_site(config, None, mirror, offline, allow, None, cache, advisories, accept_older)
    return _told(images or [], site, basis, debug, anew=True)


def _told(
    images: list[Path], site: Site, basis: str, debug: bool, anew: bool, short: bool = False
) -> Outcome:
    """The feeds of each image, and of the site once; an image that fails is a complaint."""
    from datetime import UTC, datetime

    from regild.agent.planning.feeds import content_of, list_feeds, refresh_feeds
    from regild.cli.feeds_text import feeds_text
    from regild.cli.progress import open_progress
    from regild.model.answers import FeedsAnswer

    if basis not in BASES:
        raise UsageError(what=f"--basis is {', '.join(BASES)}, not {basis}")
    now = datetime.now(UTC)
    found: list[FeedsAnswer] = []
    complaints: list[RegildError] = []
    named: list[Path | None] = [*images] if images else [None]
    with open_progress(live=not debug) as progress:
        for image in named:
            try:
                content = content_of(image, basis, progress) if image else None
                name = str(image or "")
                if anew:
                    found.append(refresh_feeds(content, name, site, now, progress))
                else:
                    found.append(list_feeds(content, name, site, now))
            except RegildError as error:
                if len(images) < 2:
                    raise
                complaints.append(error)
    rows = tuple(row for one in found for row in one.sources)
    answer = FeedsAnswer(rows, found[0].advisories if found else ())
    return Outcome(
        answer=answer,
        text=lambda width: feeds_text(answer, width, short),
        complaints=tuple(complaints),
    )
