"""`regild plan`: what needs updating in an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regild.cli.options import (
    PLAN_BASES,
    AcceptOlder,
    Advisories,
    Allow,
    AsOf,
    AutoRemove,
    Cache,
    CarrierOption,
    Config,
    Debug,
    Exclude,
    Follow,
    Force,
    Hold,
    Images,
    Json,
    KeyFile,
    MethodOption,
    Mirror,
    ModeOption,
    Offline,
    Only,
    PlanBasisOption,
    PlanKey,
    PlanOut,
    RecipeFiles,
    TableForm,
    wanted_site,
)
from regild.cli.outcome import CHANGES, DONE, LEFT_OUT, UNREAD, Outcome
from regild.cli.store_options import StorePlace, name_in_store
from regild.errors import RegildError, UsageError

if TYPE_CHECKING:
    from regild.agent.site import Site
    from regild.image.keys import Keys
    from regild.model.answers import PlanAnswer
    from regild.model.progress import Progress


def plan(
    images: Images,
    mode: ModeOption = None,
    method: MethodOption = None,
    carrier: CarrierOption = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    hold: Hold = None,
    only: Only = None,
    exclude: Exclude = None,
    autoremove: AutoRemove = False,
    as_of: AsOf = "",
    config: Config = None,
    cache: Cache = None,
    advisories: Advisories = None,
    accept_older: AcceptOlder = False,
    recipe: RecipeFiles = None,
    basis: PlanBasisOption = "auto",
    output: PlanOut = None,
    key: PlanKey = None,
    force: Force = False,
    form: TableForm = "table",
    key_file: KeyFile = None,
    follow: Follow = None,
    place: StorePlace = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what needs updating, from the image's own repositories. Nothing is changed.

    Several images, or a folder or pattern of them, stand in one table. With --store, or as
    store:NAME, an IMAGE is a generation, or 'store:*' the newest of each image.

    Ends with 10 when there is something to do, 0 when not, 11 when only skipped or held changes
    remain, or when the plan is from an unsigned claim alone.
    """
    from regild.agent.reading.many import spread
    from regild.cli.progress import open_progress
    from regild.image.keys import read_keys

    _check_use(basis, form, key is None or output is not None)
    site = wanted_site(
        config, mode, mirror, offline, allow, hold, cache, advisories, accept_older, only=only,
        exclude=exclude, autoremove=autoremove, as_of=as_of, method=method, carrier=carrier,
        recipes=recipe,
    )  # fmt: skip
    names = [name for one in images if (name := name_in_store(one, place))]
    paths = spread(one for one in images if not name_in_store(one, place))
    _check_out(output, force, paths, names)
    keys = read_keys(key_file or ())
    with open_progress(live=not debug) as progress:
        if names:
            _check_kept(basis)
            return _kept(names, paths, place, config, site, progress, keys, form)
        if len(paths) > 1 or (form != "table" and output is None):
            return _table(paths, site, progress, basis, keys, form)
        return _written(_planned(paths[0], site, progress, basis, keys), output, key, form)


def _written(answer: PlanAnswer, output: Path | None, key: Path | None, form: str) -> Outcome:
    """The plan of one image, written where that is asked for."""
    if output is not None:
        from regild.agent.planning.plan_file import write_plan

        write_plan(answer, output, key)
    return _whole(answer) if form == "table" else table_of([(Path(answer.image), answer)], form)


def _check_out(output: Path | None, force: bool, paths: tuple[Path, ...], names: list[str]) -> None:
    """Refuse to write what is not the plan of one image in a file, or over something.

    Raises: UsageError, TargetExists.
    """
    if output is None:
        return
    if names:
        raise UsageError(what="--out is for an image in a file: update plans a generation anew")
    if len(paths) != 1:
        raise UsageError(what=f"--out takes the plan of one image, not of {len(paths)}")
    from regild.agent.planning.plan_file import check_plan_place

    check_plan_place(paths[0], output, force)


def _check_use(basis: str, form: str, is_written: bool) -> None:
    """Refuse options that there are not, and a key for a plan that is not written.

    Raises: UsageError.
    """
    from regild.cli.fleet_text import FORMS

    if basis not in PLAN_BASES:
        raise UsageError(what=f"--basis is {', '.join(PLAN_BASES)}, not {basis}")
    if form not in FORMS:
        raise UsageError(what=f"--format is {', '.join(FORMS)}, not {form}")
    if not is_written:
        raise UsageError(what="--key signs what is written: say where with --out FILE")


def _check_kept(basis: str) -> None:
    """Refuse what means nothing for a generation of the store.

    Raises: UsageError.
    """
    if basis != "auto":
        raise UsageError(what="--basis is for images in files: the store knows what it holds")


def _kept(
    names: list[str],
    paths: tuple[Path, ...],
    place: Path | None,
    config: Path | None,
    site: Site,
    progress: Progress,
    keys: Keys,
    form: str,
) -> Outcome:
    """The plans of generations, and of images in files beside them."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.minding.planned import plan_generations
    from regild.agent.planning.fleet import plan_many

    with open_store(place, config) as store:
        rows = [(Path(name), one) for name, one in plan_generations(store, names, site, progress)]
    rows += zip(paths, plan_many(paths, site, progress, "auto", keys), strict=True)
    if len(rows) > 1 or form != "table":
        return table_of(rows, form)
    ((_, alone),) = rows
    if isinstance(alone, RegildError):
        raise alone
    return _whole(alone)


def _planned(image: Path, site: Site, progress: Progress, basis: str, keys: Keys) -> PlanAnswer:
    from regild.agent.planning.planning import plan_image

    return plan_image(image, site, progress, basis, keys)


def _whole(answer: PlanAnswer) -> Outcome:
    """The plan of one image."""
    from datetime import UTC, datetime

    from regild.cli.render import plan_text
    from regild.plan.steps import verdict

    code, now = verdict(answer, bool(answer.unknowns)), datetime.now(UTC)
    return Outcome(answer=answer, text=lambda width: plan_text(answer, width, now), code=code)


def _table(
    paths: tuple[Path, ...], site: Site, progress: Progress, basis: str, keys: Keys, form: str
) -> Outcome:
    """The plans of many images."""
    from regild.agent.planning.fleet import plan_many

    planned = plan_many(paths, site, progress, basis, keys)
    return table_of(list(zip(paths, planned, strict=True)), form)


def table_of(answers: list[tuple[Path, PlanAnswer | RegildError]], form: str) -> Outcome:
    """Plans in one table; in JSON each as whole as alone."""
    from datetime import UTC, datetime

    from regild.cli.exits import failure_of
    from regild.cli.fleet_text import fleet_text
    from regild.plan.steps import verdict

    now = datetime.now(UTC)
    codes = {
        verdict(one, bool(one.unknowns)) for _, one in answers if not isinstance(one, RegildError)
    }
    return Outcome(
        answer=[
            {"error": failure_of(one)} if isinstance(one, RegildError) else one
            for _, one in answers
        ],
        text=lambda width: fleet_text(answers, form, width, now),
        # What was not read beats changes, and changes beat what was only left out.
        code=next((code for code in (UNREAD, CHANGES, LEFT_OUT) if code in codes), DONE),
        complaints=tuple(one for _, one in answers if isinstance(one, RegildError)),
    )
