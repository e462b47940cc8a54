"""What was given is wrong, beyond us, or not what it says it is (exits 4, 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass

from regild.errors.root import RegildError


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


class Unreachable(InputError):
    """A file on a server could not be read this time."""

    retryable = True
    sentence = "{where} cannot be reached: {why}"
    hint = "check the address, the network and the proxy, and try again"


class AddressRefused(InputError):
    """An address is not valid, or leads where a stranger must not lead us."""

    sentence = "{where} is not read: {why}"
    hint = "give the file's own address, as https://HOST/PATH or s3://BUCKET/KEY"


class NotListed(InputError):
    """The catalogue does not have what was asked for."""

    sentence = "{where} is not in the catalogue: {why}"
    hint = "regild image list, regild generation list and regild group list show what there is"


class ListedAlready(InputError):
    """The catalogue has something of this name already."""

    sentence = "{where} is in the catalogue already: {why}"
    hint = "choose another name"


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
    hint = "copy or download it again; if it stays so, what wrote it did not keep to the format"


class Ambiguous(InputError):
    """There are two answers where one was needed."""

    sentence = "{where} is ambiguous: {why}"
    hint = "leave only one of them there: regild does not choose between them"


class UnsafeName(InputError):
    """A file name would lead out of its folder."""

    sentence = "{where} names a file outside its own folder: {why}"
    hint = "have it made anew with plain names: regild follows none that leads elsewhere"


class WrongKey(InputError):
    """None of the keys that were given opens an encrypted volume."""

    sentence = "{where} cannot be unlocked: {why}"
    hint = "a key file holds the passphrase alone, or the volume key as it is; check which is meant"


class RecipeRefused(InputError):
    """A recipe cannot be meant as it stands."""

    sentence = "the recipe {where} cannot be used: {why}"
    hint = "regild recipe check FILE lists all that is wrong; docs/guide/recipes.md explains it"


class MediaRefused(InputError):
    """A file that was given for a guest to install cannot be handed to it."""

    sentence = "{where} cannot be handed to the guest: {why}"
    hint = "give .msu, .cab, .msi, .exe or .ps1 files, or a folder that holds such"


class TooLarge(InputError):
    """A size or depth is over the limit that protects this machine."""

    sentence = "{where} is larger than regild accepts: {why}"
    hint = "such sizes are mostly damage or an attack; compare it with where it came from"


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


class InstallPending(UnsupportedError):
    """A system that installs itself at its first start would be started for something else."""

    sentence = "{where} has not had its first start: {why}"
    hint = (
        "change it offline (--method offline), or start it once as its package wants, and update "
        "what it becomes"
    )


class CannotBoot(UnsupportedError):
    """A guest cannot be booted for its changes, or what it changed could not be taken over."""

    sentence = "{where} cannot be changed by booting it: {why}"
    hint = (
        "--method offline changes all packages that do not take the booted machine, and names "
        "those that it leaves out"
    )


class RunImpossible(UnsupportedError):
    """A Windows cannot be told to start a run, so that it would be found as it was afterwards."""

    sentence = "{where} cannot be told to start the run: {why}"
    hint = "start that Windows once, let it finish, shut it down (shutdown /s), and try again"


class UnsupportedCarrier(UnsupportedError):
    """What was asked to run the guest's commands is not there."""

    sentence = "nothing can be changed by the carrier {where}: {why}"
    hint = "choose --carrier uml for a kernel of its own, or --carrier boot for the image's own"


class UnsupportedWish(UnsupportedError):
    """What was asked of a plan cannot be had of this family of packages."""

    hint = "leave that option out: docs/guide says what is planned for which packages"


class Encrypted(UnsupportedError):
    """The volume is encrypted and no key was given."""

    sentence = "{where} is encrypted: {why}"
    hint = "give its passphrase or volume key with --key-file FILE; update changes no such volume"


class NoPackageDatabase(UnsupportedError):
    """The guest holds no package database that regild can read."""

    sentence = "{where} holds no package database that regild knows: {why}"
    hint = "regild plans for guests with the database of dpkg, rpm or apk; see docs/guide"


class NewerCatalogue(UnsupportedError):
    """The catalogue was changed by a newer regild, and this one does not know its shape."""

    sentence = "the catalogue {where} is newer than this regild: {why}"
    hint = "use the newer regild everywhere; this one has changed nothing"


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


class UnknownKey(BadSignature):
    """A signature is by a key that nobody here trusts."""

    sentence = "the signature of {where} is by a key that is not trusted: {why}"
    hint = (
        "compare the image's keyrings and Signed-By, and [feeds.keys] of the site, with the origin"
    )


@dataclass(eq=False)
class SignatureRefused(IntegrityError):
    """A package's signature is not what was asked for; `state` says in which way."""

    state: str = ""
    sentence = "the signature of {where} is {state}: {why}"

    @property
    def advice(self) -> str:
        """Where nothing was ever signed, nobody need have changed anything."""
        if self.state in ("absent", "unsigned"):
            return "have it signed by somebody who is trusted, or do not ask for a signature"
        return super().advice


class WrongRelease(IntegrityError):
    """A signed statement speaks of something else than what was asked for."""

    sentence = "{where} is not the release that was asked for: {why}"
    hint = "the mirror may be mixed up, or someone shows another release's files in its place"


class NotYetValid(IntegrityError):
    """What was signed says that it will be made later than now."""

    sentence = "{where} is not valid yet: {why}"
    hint = "check this machine's clock and time zone; if they are right, ask who made it"


class RolledBack(IntegrityError):
    """A signed statement is older than one that was seen before."""

    sentence = "{where} goes back in time: {why}"
    hint = "the mirror may be stale, or someone hides updates; --accept-older takes it as it is"


class Expired(IntegrityError):
    """A signed statement is past its validity."""

    sentence = "{where} has expired: {why}"
    hint = "the mirror may be stale or frozen; compare with the origin"
