"""The root of the error tree, and what can go wrong before or beside any room's work."""

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
    log: ClassVar[str] = ""
    """The file that tells more, where one was kept; see `keep_log`."""

    def __str__(self) -> str:
        return self.sentence.format(**self.facts())

    @property
    def advice(self) -> str:
        """What the user can do about it, in one line."""
        return self.hint.format(**self.facts())

    def facts(self) -> dict[str, Any]:
        """The fields of this error by name, as they stand in `--json`."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def keep_log(self, path: str) -> None:
        """Say which file tells more; the first that is said stays."""
        if path and not self.log:
            self.__dict__["log"] = path

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
class SettingRefused(UsageError):
    """A setting of the site's regild.toml is none, or has a value that it cannot have."""

    hint = "put that line of the file right; docs/guide shows what stands in it"


@dataclass(eq=False)
class NothingRead(RegildError):
    """Nothing that tells about software could be read from the image."""

    where: str
    why: str
    exit_code = 3
    sentence = "nothing could be read from {where}: {why}"
    hint = "check that it is the right file; an empty answer would not be the truth"
