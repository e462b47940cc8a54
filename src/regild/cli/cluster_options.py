"""Options of commands whose work several processes or machines can share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regild.errors import UsageError

if TYPE_CHECKING:
    from regild.host.cluster import ClusterWish

Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="So many processes of this machine."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="The workers of a Dask cluster: tls://HOST:PORT.",
    ),
]
TlsCa = Annotated[
    Path | None, typer.Option("--tls-ca", metavar="PEM", help="The cluster's authority.")
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="PEM", help="Our certificate for the cluster.")
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="PEM", help="The certificate's private key.")
]


def read_wish(
    workers: int | None,
    scheduler: str | None,
    authority: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> ClusterWish:
    """Which workers the options name.

    Raises: UsageError where they do not fit together.
    """
    from regild.host.cluster import ClusterWish, Tls

    if scheduler and workers:
        raise UsageError(what="--workers are of this machine, --scheduler has its own: not both")
    named = [one for one in (authority, certificate, key) if one is not None]
    if named and not scheduler:
        raise UsageError(what="--tls-ca, --tls-cert and --tls-key go with --scheduler")
    if authority is None or certificate is None or key is None:
        if named:
            raise UsageError(what="--tls-ca, --tls-cert and --tls-key go together")
        return ClusterWish(workers or 0, scheduler or "")
    return ClusterWish(0, scheduler or "", Tls(authority, certificate, key))
