"""This machine cannot do what is needed (exit 15)."""

from __future__ import annotations

from dataclasses import dataclass

from regild.errors.root import RegildError


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


class NoProgram(ToolMissing):
    """There is no program at the path that the site gave."""

    sentence = "{where} is needed {why} and is no program that can be run"
    hint = "check the path, and that the file may be executed"


@dataclass(eq=False)
class LibraryMissing(HostError):
    """A Python library that only some of regild needs is not installed."""

    extra: str = ""
    sentence = "the library {where} is needed {why} and is not installed"
    hint = "pip install 'regild[{extra}]'"


class Unanswered(HostError):
    """A database or a server that regild was told to use does not answer."""

    retryable = True
    sentence = "{where} does not answer: {why}"
    hint = "check that it runs and that the address and the credentials are right, then try again"


class LeaseLost(HostError):
    """Another worker took over what this one was doing, because its lease had ended."""

    retryable = True
    sentence = "{where} belongs to another worker now: {why}"
    hint = "nothing was written twice; whoever took over goes on"


class NotPermitted(HostError):
    """A right that is needed is missing."""

    sentence = "{where} is not permitted on this machine: {why}"
    hint = "change the permissions or name another place; docs/guide says what a host needs"


class NotServed(HostError):
    """Files cannot be shown out of an image on this machine."""

    sentence = "{where} cannot be used to show files out of an image: {why}"
    hint = "everything is taken out of the image instead, which needs room for it"


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
