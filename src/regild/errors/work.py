"""A verb could not do its work: plan, change, prove, publish, rotate (exits 7, 8, 9, 13, 14)."""

from __future__ import annotations

from dataclasses import dataclass

from regild.errors.root import RegildError


@dataclass(eq=False)
class PlanError(RegildError):
    """There is no way from here to what was asked."""

    where: str
    why: str
    exit_code = 7
    sentence = "no plan for {where}: {why}"
    hint = "regild describe IMAGE shows the sources and packages that the plan starts from"


class SourceRefused(PlanError):
    """The site's policy does not allow an address that the image names."""

    sentence = "the image names {where}, which this site does not allow: {why}"
    hint = "map it with --mirror FROM=TO, or list it under [feeds] allow in regild.toml"


class RedirectRefused(SourceRefused):
    """An address that may be read leads to one that may not."""

    sentence = "{where} is redirected, and not followed: {why}"
    hint = "name the place that it leads to with --mirror FROM=TO, if it is the right one"


class FeedUnreachable(PlanError):
    """A package repository could not be read."""

    retryable = True
    sentence = "the repository {where} cannot be read: {why}"
    hint = "check the network and the proxy, or use --mirror FROM=TO or --offline DIR"


class TooSlow(FeedUnreachable):
    """A package repository answers so slowly that it would hold us for ever."""

    sentence = "the repository {where} is too slow: {why}"
    hint = "use --mirror FROM=TO or --offline DIR, or allow it more with answer_seconds and \
slowest_bytes under [feeds] in regild.toml"


class NotOffered(FeedUnreachable):
    """A package repository answers, and does not have a file."""

    retryable = False
    sentence = "the repository does not have {where}: {why}"
    hint = "the mirror may be incomplete or in the middle of an update; try another one"


class AccessDenied(FeedUnreachable):
    """A server or a proxy does not let us in."""

    retryable = False
    sentence = "{where} cannot be read: {why}"
    hint = "name a login, a client certificate or a proxy under [feeds] in regild.toml; docs/guide"


class PlanMoved(PlanError):
    """What a plan was made for is not what is there now."""

    sentence = "{where} is not as it was when the plan was made: {why}"
    hint = "make the plan anew with regild plan --out FILE"


class Unsolvable(PlanError):
    """The package manager's rules leave no consistent set of packages."""

    sentence = "the packages of {where} cannot be brought up to date: {why}"
    hint = "look for held or broken packages; regild describe lists them"


@dataclass(eq=False)
class NotInstalled(PlanError):
    """A wish names a package that the image does not have."""

    option: str = "hold"
    sentence = "--{option}: {where} cannot be planned so: {why}"
    hint = (
        "regild describe lists the packages, and 'linux-*' stands for several; what many images "
        "are to hold, each if it has it, stands in holds under [policy] of regild.toml"
    )


class RemovalRefused(PlanError):
    """A plan would remove what must be kept."""

    sentence = "the plan for {where} is not allowed: {why}, which must be kept"
    hint = "hold what asks for the removal, or change keep under [policy] in regild.toml"


class NewPackageRefused(PlanError):
    """A plan would bring in what is not allowed."""

    sentence = "the plan for {where} is not allowed: {why}, which may not be brought in"
    hint = "hold what needs it, or change new under [policy] in regild.toml"


class MethodRefused(PlanError):
    """A plan would change the image in a way that is not allowed."""

    sentence = "the plan for {where} is not allowed: {why}"
    hint = "hold these packages, ask for the allowed way with --method, or change [policy] methods"


class PlanTooLarge(PlanError):
    """A plan needs more than the site allows."""

    sentence = "the plan for {where} is not allowed: {why}"
    hint = "plan less with --only, or change the limits under [policy] in regild.toml"


class DiskTooSmall(PlanError):
    """A volume of the image has no room for what the plan brings."""

    sentence = "the image's {where} is too small for the plan: {why}"
    hint = (
        "regild resize IMAGE +2G -o OUT makes the disk larger; or plan with --autoremove, or leave "
        "packages out with --exclude"
    )


class NotKnownThen(PlanError):
    """What a repository offered at a past date cannot be known."""

    sentence = "what {where} offered then is not known: {why}"
    hint = "map it to a copy of that date with --mirror FROM=TO, or leave --as-of out"


@dataclass(eq=False)
class ChangeError(RegildError):
    """The guest did not follow the plan."""

    where: str
    why: str
    exit_code = 8
    sentence = "{where} failed: {why}"
    hint = "nothing was written; the log of the guest's commands is kept in the job's folder"


class GuestCommandFailed(ChangeError):
    """A command of the guest ended with an error."""

    sentence = "the guest's {where} failed: {why}"
    hint = (
        "nothing was written; the log has all that it said; a script that takes the running "
        "machine gets it with --carrier boot"
    )


class GuestCommandHung(ChangeError):
    """A command of the guest did not end in time."""

    sentence = "the guest's {where} did not end in time: {why}"
    hint = "a package script waits for something; raise --timeout if it is only slow"


class MediaFailed(ChangeError):
    """A file that was given did not install in the booted Windows."""

    sentence = "the booted Windows did not install {where}: {why}"
    hint = "nothing was written; the log has all that it reported; try the file in a copy by hand"


class ReportRefused(ChangeError):
    """What a booted Windows reports contradicts what it was told to do."""

    sentence = "the report of {where} is not believed: {why}"
    hint = "nothing was written; the log has all that it reported, and the image is as it was"


class HookLeft(ChangeError):
    """What started the run in a booted Windows still stands in its registry."""

    sentence = "{where} would start the run again: {why}"
    hint = "nothing was written; the log shows how far the run came before it was to clear that"


class RecordRefused(ChangeError):
    """The record of changes holds something that must not be written to the image."""

    sentence = "the change of {where} is refused: {why}"


class LinkSplit(RecordRefused):
    """A script wrote through one name of a file with several, which came apart outside of the
    image."""

    hint = "nothing was written; with --carrier boot the guest itself runs it, on the disk it means"


class GuestFull(ChangeError):
    """The guest's filesystem is too small for the change."""

    sentence = "the guest's filesystem {where} is too small: {why}"
    hint = (
        "regild resize IMAGE +2G -o OUT makes the disk larger; or remove what is not needed from "
        "the image"
    )


@dataclass(eq=False)
class ProveError(RegildError):
    """The result is not what the plan promised; nothing was published."""

    where: str
    differences: tuple[str, ...]
    exit_code = 9
    sentence = "{where} is not what the plan promised: {listed}"
    hint = "nothing was published; the job's folder holds the logs"

    def __str__(self) -> str:
        shown = "; ".join(self.differences[:8])
        more = f"; and {len(self.differences) - 8} more" if len(self.differences) > 8 else ""
        return self.sentence.format(where=self.where, listed=shown + more)


class BootTestFailed(ProveError):
    """A guest that was booted for a test is not as expected."""

    sentence = "the test boot of {where} failed: {listed}"
    hint = (
        "nothing was published; the console's log and the picture of the screen beside it show how "
        "far it came; regild boot-test IMAGE tries again, --test-timeout gives it more time"
    )


@dataclass(eq=False)
class PublishError(RegildError):
    """The result could not be put where it belongs."""

    where: str
    why: str
    exit_code = 13
    sentence = "{where} could not be published: {why}"
    hint = "the input is untouched; choose another place for the result"


class TargetExists(PublishError):
    """There is already a file where the result should go."""

    sentence = "{where} already exists: {why}"
    hint = "choose another name, or say --force to replace it"


class TargetFailed(PublishError):
    """The command that speaks for a place did not do what it was asked."""

    sentence = "{where} failed: {why}"
    hint = "try the command by hand; docs/guide/targets.md says what it has to do"


class Revoked(PublishError):
    """A generation that must not be used any more was about to be used."""

    sentence = "{where} is revoked and cannot be used: {why}"
    hint = "choose another generation; regild generation list shows which are good"


class Pinned(PublishError):
    """A channel or generation stays as it is until it is unpinned."""

    sentence = "{where} is pinned: {why}"
    hint = "regild pin --off lets it go"


@dataclass(eq=False)
class RotateError(RegildError):
    """The running side did not follow."""

    where: str
    why: str
    exit_code = 14
    sentence = "{where} could not be rotated: {why}"
    hint = "the previous generation stays in place"


class GroupRefused(RotateError):
    """A group's file cannot be meant as it stands."""

    sentence = "the group file {where} cannot be used: {why}"
    hint = "docs/guide/groups.md explains every setting"


class StillRunning(RotateError):
    """A group was about to be removed that has instances."""

    sentence = "group {where} is not removed: {why}"
    hint = "say --stop to end them first, or --leave to let them run and forget the group"


class NotPatched(RotateError):
    """An instance on request was to have today's plan, and does not."""

    sentence = "{where} was not brought up to date for this request: {why}"
    hint = "regild agent jobs shows the work; without late-patch the group hands it out as it is"


class GivenUp(RotateError):
    """A group does not go to the generation that it is to have: it failed there."""

    sentence = "{where} was given up: {why}"
    hint = (
        "publish a better one, or let the channel point back by regild rollback; "
        "regild group resume GROUP tries it again"
    )


class DriverFailed(RotateError):
    """The platform that runs a group's instances cannot be reached, or refuses."""

    retryable = True
    sentence = "the driver cannot work with {where}: {why}"
    hint = "check that the platform runs and that its address in the group's [options] is right"
