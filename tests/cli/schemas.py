"""Answers held against the published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "spec" / "schemas"


def valid(command: str, answer: Any) -> Any:
    """The answer, which follows its published schema."""
    from jsonschema import Draft202012Validator

    schema = json.loads((FOLDER / f"{command}.schema.json").read_text())
    Draft202012Validator(schema).validate(answer)
    return answer
