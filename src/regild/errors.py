"""Every way in which regild can fail, drawn as one tree.

    RegildError                        70  the root; never raised itself
    ├── Unforeseen                     70  an exception that no room expected
    ├── UsageError                      2  the command line or regild.toml asks for the impossible
    ├── NothingRead                     3  nothing in the guest could be read
    ├── InputError                      4  what we were given is wrong
    ├── UnsupportedError                5  right, but beyond us
    ├── IntegrityError                  6  it is not what it says it is
    ├── PlanError                       7  there is no way to get there
    ├── ChangeError                     8  the guest did not follow
    ├── ProveError                      9  the result is not what was promised
    ├── PublishError                   13  the result could not be put where it belongs
    ├── RotateError                    14  the running side did not follow
    └── HostError                      15  this machine cannot

Each class has typed fields, templates over them for the user's `sentence` and a `hint` of what can
be done, and `retryable`. Printing and exiting happen once, in `regild.cli`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(eq=False)
class RegildError(Exception):
    """Something went wrong that regild did not foresee."""

    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False
    sentence: ClassVar[str] = "regild stopped at something that it did not foresee"
    hint: ClassVar[str] = "run again with --debug and report what it prints"

    def __str__(self) -> str:
        return self.sentence.format(**self.facts())

    @property
    def advice(self) -> str:
        """What the user can do about it, in one line."""
        return self.hint.format(**self.facts())

    def facts(self) -> dict[str, Any]:
        """The fields of this error by name, as they stand in `--json`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __reduce__(self) -> tuple[type[RegildError], tuple[Any, ...]]:
        return type(self), tuple(self.facts().values())


@dataclass(eq=False)
class Unforeseen(RegildError):
    """An exception that no room of regild expected: a bug."""

    what: str
    sentence = "regild stopped at something that it did not foresee: {what}"


@dataclass(eq=False)
class UsageError(RegildError):
    """The command line or the site's configuration asks for something that cannot be."""

    what: str
    exit_code = 2
    sentence = "{what}"
    hint = "see regild COMMAND --help"


@dataclass(eq=False)
class NothingRead(RegildError):
    """Nothing that tells about software could be read from the image."""

    where: str
    why: str
    exit_code = 3
    sentence = "nothing could be read from {where}: {why}"
    hint = "check that it is the right file; an empty answer would not be the truth"


@dataclass(eq=False)
class InputError(RegildError):
    """What regild was given is wrong."""

    where: str
    why: str
    exit_code = 4
    sentence = "{where} cannot be used: {why}"
    hint = "check how the file was made or copied"


class MissingFile(InputError):
    """A file that was named does not exist."""

    sentence = "{where} is missing: {why}"
    hint = "check the path, or that every file of the package was copied"


class NotAnArchive(InputError):
    """The file is neither a tar archive nor a disk image that regild knows."""

    sentence = "{where} is not an OVA, an OVF or a disk image: {why}"
    hint = "an OVA is a plain tar file with the .ovf first; unpack a compressed archive before"


class Truncated(InputError):
    """The file ends before it should."""

    sentence = "{where} is cut off: {why}"
    hint = "copy or download the file again and compare its size"


class Malformed(InputError):
    """The bytes do not follow their format."""

    sentence = "{where} is malformed: {why}"
    hint = "the producer of this file wrote something that its format does not allow"


class Ambiguous(InputError):
    """There are two answers where one was needed."""

    sentence = "{where} is ambiguous: {why}"
    hint = "say which one is meant, or remove the other"


class UnsafeName(InputError):
    """A file name would lead out of its folder."""

    sentence = "{where} names a file outside its own folder: {why}"
    hint = "regild follows names only inside the package's folder"


class TooLarge(InputError):
    """A size or depth is over the limit that protects this machine."""

    sentence = "{where} is larger than regild accepts: {why}"
    hint = "such sizes are usually an attack or damage; limits can be raised in regild.toml"


@dataclass(eq=False)
class UnsupportedError(RegildError):
    """The input is right, but regild cannot work with it."""

    where: str
    why: str
    exit_code = 5
    sentence = "{where} is not supported: {why}"
    hint = "see docs/guide for the formats that regild reads and writes"


class UnsupportedFormat(UnsupportedError):
    """A disk format, or a feature of one, that regild does not know."""


class ExternalFile(UnsupportedError):
    """A disk image refers to another file, which regild does not follow."""

    sentence = "{where} refers to another file, which is refused: {why}"
    hint = "flatten the image first, for example with qemu-img convert"


class UnsupportedFilesystem(UnsupportedError):
    """The guest's filesystem is not one that regild can work on."""


class Encrypted(UnsupportedError):
    """The volume is encrypted and no key was given."""

    sentence = "{where} is encrypted: {why}"
    hint = "regild cannot open encrypted volumes yet"


class NoPackageDatabase(UnsupportedError):
    """The guest holds no package database that regild can read."""

    sentence = "{where} holds no package database that regild knows: {why}"
    hint = "regild looks for dpkg's database; see docs/guide"


@dataclass(eq=False)
class IntegrityError(RegildError):
    """Something is not what it says it is."""

    where: str
    why: str
    exit_code = 6
    sentence = "{where} is not what it says it is: {why}"
    hint = "do not use it before you know who changed it"


class DigestMismatch(IntegrityError):
    """A digest that was promised does not match the bytes."""

    sentence = "{where} does not match its digest: {why}"
    hint = "copy or download it again; if it stays so, it was changed after it was signed"


class BadSignature(IntegrityError):
    """A signature does not verify with the keys that are trusted for it."""

    sentence = "the signature of {where} cannot be trusted: {why}"
    hint = "the keys come from the image itself; check the source's Signed-By and its keyrings"


@dataclass(eq=False)
class SignatureRefused(IntegrityError):
    """A package's signature is not what was asked for; `state` says in which way."""

    state: str = ""
    sentence = "the signature of {where} is {state}: {why}"


class WrongRelease(IntegrityError):
    """A signed statement speaks of something else than what was asked for."""

    sentence = "{where} is not the release that was asked for: {why}"
    hint = "the mirror may be mixed up, or someone shows another release's files in its place"


class Expired(IntegrityError):
    """A signed statement is past its validity."""

    sentence = "{where} has expired: {why}"
    hint = "the mirror may be stale or frozen; compare with the origin"


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


class FeedUnreachable(PlanError):
    """A package repository could not be read."""

    retryable = True
    sentence = "the repository {where} cannot be read: {why}"
    hint = "check the network and the proxy, or use --mirror FROM=TO or --offline DIR"


class NotOffered(FeedUnreachable):
    """A package repository answers, and does not have a file."""

    retryable = False
    sentence = "the repository does not have {where}: {why}"
    hint = "the mirror may be incomplete or in the middle of an update; try another one"


class Unsolvable(PlanError):
    """The package manager's rules leave no consistent set of packages."""

    sentence = "the packages of {where} cannot be brought up to date: {why}"
    hint = "look for held or broken packages; regild describe lists them"


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


class GuestCommandHung(ChangeError):
    """A command of the guest did not end in time."""

    sentence = "the guest's {where} did not end in time: {why}"
    hint = "a package script waits for something; raise --timeout if it is only slow"


class RecordRefused(ChangeError):
    """The record of changes holds something that must not be written to the image."""

    sentence = "the change of {where} is refused: {why}"


class GuestFull(ChangeError):
    """The guest's filesystem is too small for the change."""

    sentence = "the guest's filesystem {where} is too small: {why}"
    hint = "make the disk larger, or remove what is not needed from the image"


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


@dataclass(eq=False)
class RotateError(RegildError):
    """The running side did not follow."""

    where: str
    why: str
    exit_code = 14
    sentence = "{where} could not be rotated: {why}"
    hint = "the previous generation stays in place"


@dataclass(eq=False)
class HostError(RegildError):
    """This machine cannot do what is needed."""

    where: str
    why: str
    exit_code = 15
    sentence = "this machine cannot run {where}: {why}"
    hint = "see docs/guide for what a host needs"


@dataclass(eq=False)
class ToolMissing(HostError):
    """A program that is needed is not installed."""

    package: str = ""
    sentence = "{where} is needed {why} and is not installed: install the package {package}"
    hint = "on Debian: apt-get install {package}"


class NotPermitted(HostError):
    """A right that is needed is missing."""

    sentence = "{where} is not permitted on this machine: {why}"
    hint = "change the permissions or name another place; docs/guide says what a host needs"


@dataclass(eq=False)
class CommandFailed(HostError):
    """A program of this machine ended with an error."""

    code: int = 0
    sentence = "{where} ended with {code}: {why}"
    hint = "run again with --debug to see the whole command line"


class DiskFull(HostError):
    """There is no room left on this machine."""

    retryable = True
    sentence = "there is no room left in {where}: {why}"
    hint = "free some space or say --scratch with another folder, then run the same command again"


class Busy(HostError):
    """Another regild works on the same thing."""

    retryable = True
    sentence = "{where} is in use: {why}"
    hint = "wait for the other run to end"
