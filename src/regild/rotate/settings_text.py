"""A settings file's text, for saying in which line of it something is wrong (TOML 1.0)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

import msgspec

from regild.errors import RegildError
from regild.model.rotation import Amount

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
"""What msgspec's words for kinds of values are to whoever writes settings."""

T = TypeVar("T")


class SettingsText:
    """A file's text; `refusal` makes the error of a place and a reason."""

    def __init__(self, text: str, where: str, refusal: Callable[[str, str], RegildError]) -> None:
        self._lines = text.splitlines()
        self._where, self._refusal = where, refusal

    def table(self, told: Any, name: str, kind: type[T]) -> T:
        """One table of the file, of which `told` is what it holds.

        Raises: as `refuse`.
        """
        try:
            return msgspec.convert(told, kind)
        except msgspec.ValidationError as error:
            # msgspec says "... field `size`" of a name, and "... - at `$.size`" of a value.
            found = re.search(r"field `([a-z_]+)`|`\$\.([a-z_]+)", str(error))
            setting = next(filter(None, found.groups())) if found else ""
            known = tuple(_words(get_type_hints(kind).get(setting)))
            self.refuse(name, setting, _plainly(str(error).partition(" - at")[0], known))

    def amount(self, table: str, name: str, value: int | str, most: int) -> Amount:
        """A number or a share such as `25%`.

        Raises: as `refuse`.
        """
        if isinstance(value, int) and 0 <= value <= most:
            return Amount(value)
        found = re.fullmatch(r"(\d{1,3})%", value) if isinstance(value, str) else None
        if found is None or int(found[1]) > 100:
            self.refuse(table, name, f"is a number or a share such as 25%, not {value!r}")
        return Amount(int(found[1]), percent=True)

    def seconds(self, table: str, name: str, value: int | str) -> int:
        """A length of time: seconds, or a number with s, m, h or d.

        Raises: as `refuse`.
        """
        found = re.fullmatch(r"(\d{1,7})([smhd]?)", str(value))
        if found is None:
            self.refuse(table, name, f"is a time such as 90s, 30m, 2h or 1d, not {value!r}")
        return int(found[1]) * SECONDS[found[2] or "s"]

    def refuse(self, table: str, name: str, why: str) -> NoReturn:
        """Say what is wrong, and in which line as far as that can be seen.

        Raises: what `refusal` makes, always.
        """
        line = self._line_of(table, name)
        place = f"{self._where}, line {line}" if line else self._where
        setting = f"[{table}] {name}".strip()
        raise self._refusal(place, f"{setting}: {why}")

    def _line_of(self, table: str, name: str) -> int:
        current, heading = "", 0
        for number, line in enumerate(self._lines, 1):
            if found := re.match(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]", line):
                current = found[1].replace('"', "").replace("'", "")
                heading = number if current == table else heading
            elif current == table and name and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", line):
                return number
        return heading


def _words(kind: Any) -> Iterator[str]:
    """The words of a Literal, wherever it stands in a type: in a list, or beside None."""
    for one in get_args(kind):
        if isinstance(one, str):
            yield one
        else:
            yield from _words(one)


def _plainly(said: str, known: tuple[str, ...]) -> str:
    """What msgspec says of a value, in words of the file and not of a programming language;
    `known` are the words that the setting takes."""
    if said.startswith("Object contains unknown field"):
        return "there is no such setting"
    if said.startswith("Object missing required field"):
        return "has to be said"
    if found := re.fullmatch(r"Invalid enum value (.*)", said):
        return f"is one of {', '.join(known)}, not {found[1]}"
    if found := re.fullmatch(r"Expected `(.*)`, got `(.*)`", said):
        wanted = " or ".join(KINDS.get(one, one) for one in found[1].split(" | "))
        return f"is {wanted}, not {KINDS.get(found[2], found[2])}"
    return said
