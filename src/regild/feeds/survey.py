"""An index of XML looked through once, before anything is believed of it: no document type, so no
entities, no other encoding, no depths."""

from __future__ import annotations

from pathlib import Path
from xml.parsers import expat

from regild.errors import Malformed, TooLarge

DEPTH_LIMIT = 16
PIECE_BYTES = 1 << 18


class Surveyor:
    """Refuses what no index of a repository needs; others note what they look for besides."""

    def __init__(self, where: str) -> None:
        self.where, self.depth = where, 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.XmlDeclHandler = self._declared

    def read(self, path: Path) -> None:
        """Look through a whole file.

        Raises: Malformed, TooLarge.
        """
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    self.parser.Parse(piece, False)
                self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            why = f"it is not well-formed XML: {error}"
            raise Malformed(where=self.where, why=why) from error

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins.

        Raises: TooLarge.
        """
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise TooLarge(where=self.where, why=f"it nests deeper than {DEPTH_LIMIT}")

    def end(self, name: str) -> None:
        """An element ends."""
        self.depth -= 1

    def _refuse(self, *told: object) -> None:
        raise Malformed(where=self.where, why="it declares a document type, which is not read")

    def _declared(self, version: str, encoding: str | None, alone: int) -> None:
        if (encoding or "UTF-8").upper() != "UTF-8":
            raise Malformed(where=self.where, why=f"it is written in {encoding}, not in UTF-8")
