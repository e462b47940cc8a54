"""A Windows made new by files that somebody gives: booted, told to install them, described again.

Planning for Windows only says what is missing (docs/guide/feeds.md); which files bring it is the
user's word. The image is changed by booting it alone: nothing but Windows installs its updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from regild.agent.changing.boot_test import hardware_of
from regild.agent.changing.proof import Proof
from regild.agent.changing.update import (
    Manner,
    Trip,
    as_site_wants,
    check_volumes,
    make_change,
    open_for_change,
)
from regild.agent.planning.kitchen import Kitchen
from regild.agent.planning.planning import Planned
from regild.agent.reading.inspect import Inspected, with_further
from regild.agent.reading.recipes import Recipes
from regild.agent.site import RecipeSettings, Site, policy_of
from regild.change.apply import Changed
from regild.change.windows import LOG, MEMORY_MIB, SCREEN
from regild.change.windows_file import placed, read_file
from regild.change.windows_hook import HIVE_BYTES_MAX, SYSTEM, check_unhooked, make_hook
from regild.change.windows_media import Media, MediaFile, read_media, write_media
from regild.change.windows_report import INSTALLED_ALREADY, WindowsRun
from regild.describe.licences import read_licences
from regild.describe.reader import describe_guest
from regild.errors import (
    MethodRefused,
    ProveError,
    RegildError,
    ReportRefused,
    UnsupportedCarrier,
    UnsupportedError,
    UsageError,
)
from regild.host.files import read_limited
from regild.host.namespace import View
from regild.host.run import find_tool
from regild.host.scratch import Scratch
from regild.host.stage import run_stage
from regild.image.disk import Disk
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from regild.image.spans import Places
from regild.model.answers import UpdateAnswer
from regild.model.digest import sha256_of
from regild.model.json import to_json
from regild.model.plan import Archive, Errand, Plan
from regild.model.progress import Progress
from regild.model.receipt import MediaRun
from regild.model.recipe import Recipe
from regild.plan.recipes import Addition, bare_plan
from regild.plan.wishes import Policy, Wishes
from regild.prove.equipment import choose_bus, choose_firmware
from regild.prove.windows import CHECKS, UNPROVEN, UNRECORDED, Ran, check_windows, unlisted

WHY = "nothing but Windows itself installs its updates"
MORE_SECONDS = 300
UPDATES = ("msu", "cab")
"""Kinds of files that show in what the registry says of Windows itself."""
PROCESSORS = ("amd64", "x86")
LOG_BYTES_MAX, SCREEN_BYTES_MAX = 16 << 20, 64 << 20


def update_windows(
    path: Path,
    output: Path,
    given: Sequence[Path],
    site: Site,
    progress: Progress,
    manner: Manner,
) -> UpdateAnswer:
    """Have a Windows install files and folders of such, in their order, and write the result.

    Raises: UsageError for another guest; UnsupportedCarrier and MethodRefused where it may not be
    booted; MediaRefused, RunImpossible, MediaFailed, ReportRefused, HookLeft; as `update_by`.
    """
    manner, own = as_site_wants(manner, site), replace(site, recipes=RecipeSettings())
    progress.step("Reading what is to be installed")
    media = read_media(given)
    with open_for_change(path, output, own, progress, manner, ran=True) as (inspected, _recipes):
        _check(inspected, own.plan, own.policy)
        kitchen = Kitchen(Recipes(), own, policy_of(own), progress)
        plan = _plan(inspected, media.files, kitchen, own.policy)
        planned, trip = Planned(plan, None, own, kitchen.feeds, kitchen), _Windows(media)
        ways = Trip(trip.change, trip.prove)
        return make_change(inspected, planned, output, progress, manner, trip=ways)


def _check(inspected: Inspected, wishes: Wishes, policy: Policy) -> None:
    """Go on only with a Windows that was read whole, and that may be booted here.

    Raises: UsageError, UnsupportedCarrier, MethodRefused, UnsupportedError, ToolMissing.
    """
    platform, name = inspected.content.platform, inspected.image.path.name
    if platform.family != "windows":
        holds = platform.name or "another system"
        raise UsageError(what=f"--media is for a Windows, and {name} holds {holds}")
    offline = wishes.method if wishes.method == "offline" else ""
    other = offline or (wishes.carrier if wishes.carrier not in ("auto", "boot") else "")
    if other:
        raise UnsupportedCarrier(where=other, why=f"a Windows has to be booted: {WHY}")
    if wishes.only or wishes.exclude:
        raise UsageError(what="--media says what is installed: leave out --only and --exclude")
    if policy.methods == ("offline",):
        raise MethodRefused(where=name, why=f"it has to be booted ({WHY})")
    if platform.arch not in PROCESSORS:
        why = f"a Windows for {platform.arch or 'an unknown processor'} is not booted here"
        raise UnsupportedError(where=name, why=why)
    check_volumes(inspected)
    for tool in ("xorriso", "qemu-system-x86_64", "setpriv"):
        find_tool(tool, "to boot a Windows for its changes")


def _plan(
    inspected: Inspected, files: tuple[MediaFile, ...], kitchen: Kitchen, policy: Policy
) -> Plan:
    """The files as errands, in their order.

    Raises: as `with_additions`.
    """
    content = inspected.content
    bare = replace(bare_plan(content), carrier="boot", carrier_why=WHY)
    return kitchen.added(bare, content, policy, (Addition(errands=tuple(map(_errand, files))),))


def _errand(file: MediaFile) -> Errand:
    return Errand(
        name=file.name,
        commands=(file.command,),
        files=(Archive("", file.name, file.digest, file.bytes),),
        origin="command line",
        packages=True,
    )


class _Windows:
    """How a Windows is changed by what was given, and what is asked of it afterwards."""

    def __init__(self, media: Media) -> None:
        self.media = media

    def change(
        self,
        inspected: Inspected,
        planned: Planned,
        job: Scratch,
        seconds: float,
        progress: Progress,
    ) -> Changed:
        """Write the hook, make the medium, and boot the guest with it.

        Raises: RunImpossible, MediaFailed, ReportRefused, GuestCommandHung; as `run_stage`.
        """
        system, places = _registry(inspected, inspected.boot.disk)
        hook = make_hook(system)
        progress.step("Making the medium")
        iso = write_media(self.media, hook.command, job.folder("medium"))
        guest = job.make_guest()
        hardware = hardware_of(inspected)
        esp = any(one.filesystem == "vfat" and not one.layer for one in inspected.guest.volumes)
        first = inspected.boot.disk.read(0, 512)
        request = {
            "iso": str(iso),
            "job": str(guest),
            "files": to_json(self.media.files, indent=0),
            "writes": [(at, piece.hex()) for at, piece in placed(places, hook.patches)],
            "firmware": choose_firmware(hardware.firmware, first, esp),
            "bus": choose_bus(hardware.bus, frozenset()),
            "memory_mib": MEMORY_MIB,
            "timeout_seconds": seconds,
        }
        try:
            ran = _run(inspected, request, job, seconds + MORE_SECONDS, progress)
        except RegildError:
            if screen := _screen_of(job):
                (job.path / SCREEN).write_bytes(screen)
            raise
        iso.unlink()
        changed_grains = ran.pop("changed_grains")
        run = WindowsRun(**{**ran, "codes": tuple(ran["codes"])}, command=hook.command)
        overlay = str(guest / "overlay")
        return Changed(overlay, 0, 0, changed_grains, (), carrier="boot", windows=run)

    def prove(
        self,
        overlay: Overlay,
        inspected: Inspected,
        plan: Plan,
        changed: Changed,
        job: Scratch,
        progress: Progress,
        recipes: tuple[Recipe, ...],
        cache: Path,
    ) -> Proof:
        """Describe the result, and hold it against what it reported.

        Raises: HookLeft, ProveError; as `open_guest`.
        """
        told, files = changed.windows, self.media.files
        if told is None:
            raise ReportRefused(where="the job's journal", why="it does not tell of the run")
        progress.step("Describing the result")
        name = inspected.boot.stored.name
        with open_guest(overlay, name, inspected.image.keys) as guest:
            observed = with_further(describe_guest(guest, recipes=recipes), inspected)
            licences = read_licences(guest, observed.packages)
        check_unhooked(_registry(inspected, overlay)[0], told.command)
        ran = _ran(told, job)
        fresh = any(
            one.kind in UPDATES and code != INSTALLED_ALREADY
            for one, code in zip(files, told.codes, strict=True)
        )
        found = tuple(check_windows(inspected.content, observed, ran.run, fresh))
        if found:
            shown = tuple(f"{one.what}: {one.expected} != {one.observed}" for one in found)
            raise ProveError(where="the result", differences=shown)
        unlisted_ = tuple(unlisted((one.name for one in files), observed))
        return Proof(observed, CHECKS, licences, (UNPROVEN, UNRECORDED, *unlisted_), ran)


def _registry(inspected: Inspected, disk: Disk | Overlay) -> tuple[bytes, Places]:
    """The registry's file of the machine, as it is on a disk, and where it lies there.

    Raises: as `read_file`.
    """
    volume = inspected.guest.mounts[0].volume
    return read_file(disk, volume, SYSTEM, HIVE_BYTES_MAX)


def _run(
    inspected: Inspected,
    request: dict[str, Any],
    job: Scratch,
    seconds: float,
    progress: Progress,
) -> dict[str, Any]:
    """The stage that boots the guest."""
    path, offset, length = inspected.boot.stored.whole()
    with path.open("rb") as file:
        place = {"disk": file.fileno(), "where": str(path), "offset": offset, "bytes": length}
        answer: dict[str, Any] = run_stage(
            "regild.change.windows",
            {**place, **request},
            ids=job.ids,
            view=View(readable=(Path(request["iso"]).parent,), writable=(job.guest,)),
            log=job.path / "stages.log",
            progress=progress,
            keep=(file.fileno(),),
            confined=False,
            timeout_seconds=seconds,
        )
    return answer


def _ran(run: WindowsRun, job: Scratch) -> Ran:
    """What the run left, with the digests that the receipt has of it."""
    log = read_limited(job.guest / LOG, LOG_BYTES_MAX)
    screen = _screen_of(job)
    shot = sha256_of(screen) if screen else None
    facts = run.codes, run.starts, run.restarts, run.build, run.ubr, sha256_of(log), shot
    return Ran(MediaRun(*facts), log, screen)


def _screen_of(job: Scratch) -> bytes:
    """The last picture of the machine's screen; empty where there is none."""
    picture = job.guest / SCREEN
    return read_limited(picture, SCREEN_BYTES_MAX) if picture.is_file() else b""
