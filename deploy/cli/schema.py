"""`torpor schema`: the JSON Schema of what a user may write."""

from typing import Annotated

import typer

from deploy.loading import UsageError
from deploy.schema import KINDS, schema_text


def schema(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"What to describe: {', '.join(KINDS)}.")
    ] = "scenario",
) -> int:
    """Print the JSON Schema of scenarios, platforms or profiles."""
    if kind not in KINDS:
        raise UsageError(f"there is no schema {kind!r}; use one of {', '.join(KINDS)}")
    typer.echo(schema_text(kind), nl=False)
    return 0
