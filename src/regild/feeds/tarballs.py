"""Tarballs of npm: in a folder beside a recipe, found by their digests, or where a lock says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from regild.errors import MissingFile, NotOffered, TooLarge
from regild.host.files import digest_file
from regild.model.digest import Digest, algorithm_of
from regild.model.npm_lock import Locked
from regild.model.plan import Archive
from regild.model.recipe import Recipe
from regild.model.recipe_rules import ADDRESS

FILES_MAX = 20_000


class Tarballs:
    """The tarballs of one recipe."""

    def __init__(self, recipe: Recipe, folder: str) -> None:
        self._recipe, self._folder = recipe, folder
        self._found: dict[str, dict[Digest, Path]] = {}

    def find(self, locked: Locked) -> Archive:
        """Where the tarball of a package is. Its size is 0 where only a digest is known.

        Raises: NotOffered, MissingFile for a folder that is not there, TooLarge.
        """
        if not self._folder:
            if not ADDRESS.fullmatch(locked.uri):
                why = f"the lock names no address for {locked.name} {locked.version}"
                raise NotOffered(where=self._recipe.name, why=why)
            return Archive(locked.uri, locked.name, locked.digest, 0)
        path = self._listed(algorithm_of(locked.digest)).get(locked.digest)
        if path is None:
            why = f"no tarball in it is {locked.name} {locked.version}"
            raise NotOffered(where=str(Path(self._recipe.folder) / self._folder), why=why)
        return Archive(f"file://{quote(str(path))}", path.name, locked.digest, path.stat().st_size)

    def _listed(self, algorithm: str) -> dict[Digest, Path]:
        """The tarballs of the folder by their digests."""
        if algorithm not in self._found:
            folder = Path(self._recipe.folder) / self._folder
            if not folder.is_dir():
                raise MissingFile(where=str(folder), why="the recipe takes its tarballs from there")
            paths = sorted(folder.glob("*.tgz"))
            if len(paths) > FILES_MAX:
                raise TooLarge(where=str(folder), why=f"it holds more than {FILES_MAX} tarballs")
            self._found[algorithm] = {
                digest_file(path, algorithm=algorithm): path for path in paths
            }
        return self._found[algorithm]
