"""The JSON Schema of what a user may write, generated from the very types that validate it."""

import json
from pathlib import Path
from typing import Any

import msgspec

from proto.platform import Platform
from proto.scenario import Profile, Scenario

KINDS: dict[str, type] = {"scenario": Scenario, "platform": Platform, "profile": Profile}
"""What a user can write, by the name of its folder."""

COMMITTED = Path(__file__).parent.parent / "docs" / "scenario.schema.json"
"""Where the schema of scenarios stands for editors."""


def schema(kind: str = "scenario") -> dict[str, Any]:
    """JSON Schema of a scenario, a platform or a profile."""
    return msgspec.json.schema(KINDS[kind])


def schema_text(kind: str = "scenario") -> str:
    """The schema as the committed file holds it."""
    return json.dumps(schema(kind), indent=2) + "\n"
