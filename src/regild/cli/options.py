"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.place import approve, read_place

if TYPE_CHECKING:
    from regild.agent.site import Site

Json = Annotated[
    bool, typer.Option("--json", help="Print the answer as JSON (schemas: docs/spec/schemas).")
]
"""Declared for the help and the parser; `regild.cli.exits` reads it before parsing."""

Debug = Annotated[
    bool, typer.Option("--debug", help="Show every command that is run, and tracebacks.")
]
"""Declared like `Json`; `regild.cli.exits` acts on it."""

Image = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGE",
        help="An .ova, an .ovf, a folder with one .ovf, a bare disk; or the address of one.",
        parser=read_place,
    ),
]
ImageHere = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGE",
        help="An .ova, an .ovf, a folder with one .ovf, or a bare disk, on this machine.",
        parser=read_place,
    ),
]
"""For what takes the disk's bytes as files. An address gets that said with what to do instead."""

ModeOption = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="upgrade|security|full",
        help="upgrade (the default): new packages allowed, none removed; security: only security "
        "updates and what they need; full: removals allowed.",
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="auto|offline|boot",
        help="auto (the default): boot the guest only where a package takes it; offline: leave "
        "such packages out; boot: make the whole change in the booted guest.",
    ),
]
CarrierOption = Annotated[
    str | None,
    typer.Option(
        "--carrier",
        metavar="auto|record|uml|boot",
        help="What runs the package scripts: a sandbox over the guest's files (record), the same "
        "inside a kernel of its own (uml), or the booted guest (boot).",
    ),
]
Mirror = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror", metavar="FROM=TO", help="Fetch TO where the image's sources say FROM."
    ),
]
Offline = Annotated[
    Path | None,
    typer.Option(
        "--offline", metavar="DIR", help="Take repositories from this folder, not from the network."
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="HOST", help="Allow a private or local address."),
]
Hold = Annotated[
    list[str] | None, typer.Option("--hold", metavar="NAME", help="Leave this package as it is.")
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Change only this package, and what it needs."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="NAME", help="Leave this package out of the plan."),
]
AutoRemove = Annotated[
    bool,
    typer.Option(
        "--autoremove",
        help="Remove what was installed for others only and is needed no more; two kernels stay.",
    ),
]
AsOf = Annotated[
    str,
    typer.Option("--as-of", metavar="DATE", help="Plan with what the repositories had then."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The site's regild.toml (default: ./regild.toml if any)."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Where indexes and packages are kept."),
]

Advisories = Annotated[
    list[str] | None,
    typer.Option(
        "--advisories",
        metavar="PLACE",
        help="A file, folder or address of advisories: OSV, CSAF, Debian tracker, updateinfo, "
        "secdb, CVRF, KEV; may be repeated.",
    ),
]
AcceptOlder = Annotated[
    bool,
    typer.Option(
        "--accept-older", help="Take a repository although a newer state of it was seen before."
    ),
]

Force = Annotated[bool, typer.Option("--force", help="Replace OUT if it is there already.")]

Sbom = Annotated[
    str,
    typer.Option(
        "--sbom",
        metavar="sidecar|embed|none",
        help="Write an SBOM beside OUT (the default), into it, or none.",
    ),
]
SbomFormat = Annotated[
    str,
    typer.Option(
        "--sbom-format", metavar="cyclonedx|spdx", help="CycloneDX 1.6 (default) or SPDX 2.3."
    ),
]
FromSbom = Annotated[
    Path | None,
    typer.Option(
        "--from-sbom", metavar="FILE", help="Describe what this SBOM says, not what is seen."
    ),
]
Strip = Annotated[
    bool, typer.Option("--strip", help="Write OUT without descriptors; an .ovf gets its old bytes.")
]

Languages = Annotated[
    bool,
    typer.Option(
        "--languages/--no-languages",
        help="Look for packages of Python, npm, Ruby, Java and Go, or leave them out.",
    ),
]

BASES = ("disk", "descriptor")
BasisOption = Annotated[
    str,
    typer.Option(
        "--basis",
        metavar="disk|descriptor",
        help="descriptor: say what the package claims; no disk is read, or need be there.",
    ),
]

PLAN_BASES = ("auto", "disk", "descriptor")
PlanBasisOption = Annotated[
    str,
    typer.Option(
        "--basis",
        metavar="auto|disk|descriptor",
        help="What to plan on: the disk (auto: where it is here), or what the package claims.",
    ),
]

KeyFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        envvar="REGILD_KEY_FILE",
        help="Open LUKS volumes with the passphrase or volume key in FILE; may be repeated.",
    ),
]

Follow = Annotated[
    list[str] | None,
    typer.Option(
        "--follow",
        metavar="HOST",
        callback=approve,
        help="Read what an OVF says lies at this server; may be repeated. Others are refused.",
    ),
]
"""Acts while it is parsed; commands only declare it."""

PlanOut = Annotated[
    Path | None,
    typer.Option(
        "--out", "--output", "-o", metavar="FILE", help="Write the plan, for update --plan."
    ),
]
PlanKey = Annotated[
    Path | None,
    typer.Option("--key", metavar="KEY.pem", help="Sign what --out writes with this key."),
]
TableForm = Annotated[
    str,
    typer.Option(
        "--format", metavar="table|csv|markdown", help="How the table of many images looks."
    ),
]
GivenPlan = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Make exactly the changes of a plan that plan --out wrote, or none.",
    ),
]
PlanTrust = Annotated[
    Path | None,
    typer.Option(
        "--trust", metavar="KEY.pem", help="Take the plan only if one of these keys signed it."
    ),
]
Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE...",
        help="An .ova, an .ovf, a folder with one .ovf, a bare disk; the address of one; or a "
        "folder of such.",
        show_default=False,
        parser=read_place,
    ),
]

RecipeFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--recipe",
        metavar="FILE",
        help="Use this recipe besides the site's own; may be repeated.",
    ),
]
FORMATS = ("ova", "ovf", "vmdk", "vmdk-stream", "vmdk-sparse", "qcow2", "raw", "vhd", "vhdx")

Out = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="Where the new image goes.")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="|".join(FORMATS), help="The form of OUT (default: the same as IMAGE)."
    ),
]
Scratch = Annotated[
    Path | None,
    typer.Option(
        "--scratch",
        metavar="DIR",
        help="Where to work (default: jobs/ in regild's cache; root: /var/lib/regild/jobs).",
    ),
]
Timeout = Annotated[
    int,
    typer.Option(
        "--timeout", metavar="SECONDS", min=1, help="How long the package scripts may take."
    ),
]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="WHAT",
        help="What a booted guest does: unit:NAME, tcp:PORT, http:PORT/PATH, https:PORT/PATH, "
        "command:LINE, console:TEXT, or running (no unit failed); may be repeated.",
    ),
]
TestTimeout = Annotated[
    int | None,
    typer.Option(
        "--test-timeout",
        metavar="SECONDS",
        min=1,
        help="How long a test boot may take (default: 600).",
    ),
]
MediaFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--media",
        metavar="FILE",
        help="For a Windows: an update or a script to install (.msu, .cab, .msi, .exe, .ps1), or a "
        "folder of such; may be repeated.",
    ),
]
TestBoot = Annotated[
    bool,
    typer.Option(
        "--test-boot", help="Boot the result on a throw-away overlay; publish only what comes up."
    ),
]
SignReceipt = Annotated[
    Path | None,
    typer.Option(
        "--sign-receipt",
        metavar="KEY.pem",
        help="Sign the receipt with this private key: Ed25519, an elliptic curve, or RSA.",
    ),
]
KeepJob = Annotated[bool, typer.Option("--keep-job", help="Keep the job's folder with its logs.")]


def wanted_site(
    config: Path | None,
    mode: str | None,
    mirror: list[str] | None,
    offline: Path | None,
    allow: list[str] | None,
    hold: list[str] | None,
    cache: Path | None,
    advisories: list[str] | None = None,
    accept_older: bool = False,
    *,
    only: list[str] | None = None,
    exclude: list[str] | None = None,
    autoremove: bool = False,
    as_of: str = "",
    method: str | None = None,
    carrier: str | None = None,
    recipes: list[Path] | None = None,
) -> Site:
    """What the site's file and the command line want together.

    Raises: UsageError, MissingFile.
    """
    from regild.agent.site import read_site, with_options

    return with_options(
        read_site(config),
        mode=mode,
        mirror=mirror or (),
        offline=offline,
        allow=allow or (),
        hold=hold or (),
        cache=cache,
        advisories=advisories or (),
        accept_older=accept_older,
        only=only or (),
        exclude=exclude or (),
        autoremove=autoremove,
        as_of=as_of,
        method=method,
        carrier=carrier,
        recipes=recipes or (),
    )
