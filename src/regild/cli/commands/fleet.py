"""`regild fleet`: the same work for many images, on several processes or machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.cluster_options import Scheduler, TlsCa, TlsCert, TlsKey, Workers, read_wish
from regild.cli.options import (
    Advisories,
    Cache,
    Config,
    Debug,
    Images,
    Json,
    KeyFile,
    Languages,
    ModeOption,
    Offline,
    Scratch,
    TableForm,
    wanted_site,
)
from regild.cli.outcome import DONE, Outcome
from regild.cli.store_options import StorePlace
from regild.errors import RegildError

if TYPE_CHECKING:
    from regild.model.answers import DescribeAnswer

app = typer.Typer(
    help="Many images at once, on the processors of this machine or on a cluster.",
    rich_markup_mode=None,
)
Names = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Images of the store, by name or by a pattern: 'web*'."),
]


@app.command()
def describe(
    images: Images,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    languages: Languages = True,
    config: Config = None,
    key_file: KeyFile = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what is inside each of many images, in one table.

    Workers on other machines read the images at the same paths, or addresses, as they are named.
    """
    from regild.agent.minding.cluster import each_on
    from regild.agent.reading.many import DescribeWork, spread
    from regild.agent.site import read_site
    from regild.cli.commands.describe import outcome_of
    from regild.cli.progress import open_progress
    from regild.host.cluster import open_cluster
    from regild.image.keys import read_keys

    wish = read_wish(workers, scheduler, tls_ca, tls_cert, tls_key)
    paths, keys = spread(images), read_keys(key_file or ())
    work = DescribeWork(keys, languages, read_site(config))
    with open_progress(live=not debug) as progress, open_cluster(wish) as cluster:
        found = dict(each_on(cluster, work, paths, progress))
    answers: list[DescribeAnswer | RegildError] = []
    for path in paths:
        one = found[path]
        answers += [one] if isinstance(one, RegildError) else one
    complaints = tuple(one for one in answers if isinstance(one, RegildError))
    return outcome_of(answers, complaints, whole=False)


@app.command()
def plan(
    images: Images,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    mode: ModeOption = None,
    offline: Offline = None,
    advisories: Advisories = None,
    config: Config = None,
    cache: Cache = None,
    form: TableForm = "table",
    key_file: KeyFile = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what needs updating in each of many images, in one table."""
    from regild.agent.minding.cluster import each_on
    from regild.agent.planning.fleet import PlanWork
    from regild.agent.reading.many import spread
    from regild.cli.commands.plan import table_of
    from regild.cli.progress import open_progress
    from regild.host.cluster import open_cluster
    from regild.image.keys import read_keys

    wish = read_wish(workers, scheduler, tls_ca, tls_cert, tls_key)
    site = wanted_site(config, mode, None, offline, None, None, cache, advisories)
    paths, work = spread(images), PlanWork(site, "auto", read_keys(key_file or ()))
    with open_progress(live=not debug) as progress, open_cluster(wish) as cluster:
        found = dict(each_on(cluster, work, paths, progress))
    return table_of([(path, found[path]) for path in paths], form)


@app.command()
def update(
    images: Names,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    mode: ModeOption = None,
    scratch: Scratch = None,
    place: StorePlace = None,
    config: Config = None,
    cache: Cache = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Bring many images of the store up to date: each gets its next generation, where it needs one.

    What was begun and killed goes on with the next run. Workers on other machines need the same
    store: PostgreSQL and a folder that all of them see.
    """
    from regild.agent.keeping.engine import Workplace
    from regild.agent.keeping.storing import open_store
    from regild.agent.minding.cluster import OnCluster
    from regild.agent.minding.renew_fleet import renew_fleet
    from regild.cli.agent_text import agent_text
    from regild.cli.progress import open_progress
    from regild.host.cluster import open_cluster

    wish = read_wish(workers, scheduler, tls_ca, tls_cert, tls_key)
    site = wanted_site(config, mode, None, None, None, None, cache)
    workplace = Workplace(site, place, config, scratch)
    with (
        open_store(place, config) as store,
        open_progress(live=not debug) as progress,
        open_cluster(wish) as cluster,
    ):
        engine = OnCluster(workplace, cluster)
        answer = renew_fleet(store, site, engine, images, progress)
    codes = [one.exit_code for one in answer.failures]
    code = codes[0] if codes else DONE
    return Outcome(answer=answer, text=lambda width: agent_text(answer, width), code=code)
