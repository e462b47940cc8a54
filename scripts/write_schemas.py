"""Write the JSON Schemas of the command line's answers and of the files that people write, from
the types that give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regild.feeds.recipes import ReleaseList
from regild.model.agent_answers import AGENT_ANSWERS
from regild.model.answers import ANSWERS
from regild.model.form import FORM_ANSWERS
from regild.model.group_answers import GROUP_ANSWERS
from regild.model.json import schema_of
from regild.model.recipe_file import RecipeTables
from regild.model.store_answers import STORE_ANSWERS

FILES: dict[str, Any] = {"recipe-file": RecipeTables, "releases": ReleaseList}
"""A recipe's TOML as JSON has it, and a list of releases that a recipe may name."""
FOLDER = Path(__file__).parent.parent / "docs" / "spec" / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of every answer and file, by file name."""
    return {
        f"{command}.schema.json": schema_of(kind)
        for command, kind in {
            **ANSWERS,
            **STORE_ANSWERS,
            **GROUP_ANSWERS,
            **AGENT_ANSWERS,
            **FORM_ANSWERS,
            **FILES,
        }.items()
    }


def text_of(schema: dict[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text_of(schema))
