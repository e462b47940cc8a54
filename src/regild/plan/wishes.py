"""How far one image may change: what is wished for it, and what the site and its maker allow."""

from __future__ import annotations

from typing import Annotated

import msgspec

from regild.model.content import Value
from regild.model.plan import CarrierWish, Method, MethodWish, Mode, Seal

Limit = Annotated[int, msgspec.Meta(ge=0)]


class Wishes(Value, frozen=True, forbid_unknown_fields=True):
    """What is wished: `[plan]` of regild.toml and the command line. Names may be patterns of a
    shell (`linux-*`); each must fit something that is installed."""

    mode: Mode = "upgrade"
    hold: tuple[str, ...] = ()
    """Packages that stay as they are, also where others would need them newer."""
    only: tuple[str, ...] = ()
    """Nothing but these packages, and what they need; empty: all."""
    exclude: tuple[str, ...] = ()
    """Packages that are left out of this plan."""
    autoremove: bool = False
    """Remove what was only installed for another's sake and is no longer needed."""
    method: MethodWish = "auto"
    """`offline` leaves out what takes the booted machine; `boot` makes all of the change there."""
    carrier: CarrierWish = "auto"
    seal: tuple[Seal, ...] = ()
    """What is cleared in the image once it is changed."""


class Policy(Value, frozen=True, forbid_unknown_fields=True):
    """What is allowed: `[policy]` of regild.toml, and the Maintenance of the image's descriptor."""

    holds: tuple[str, ...] = ()
    """Names or patterns of packages that stay as they are wherever they are installed."""
    keep: tuple[str, ...] = ()
    """Names or patterns of packages that must not be removed."""
    new: tuple[str, ...] | None = None
    """Names or patterns of packages that may be brought in; None: any."""
    methods: tuple[Method, ...] = ("offline", "boot")
    """How images may be changed."""
    download_limit: Limit | None = None
    """Bytes of package files that one plan may need."""
    growth_limit: Limit | None = None
    """Bytes that the installed packages may grow by."""
    phased: bool = True
    """Take updates that their repository still rolls out by and by; else not before all get
    them. The same for all images of a line, whatever machine plans them."""


__all__ = ["Method", "Policy", "Wishes"]
