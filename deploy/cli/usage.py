"""How commands show their usage."""

from typing import Any

import typer
import typer.core


class PlainUsage(typer.core.TyperCommand):
    """A command whose usage line names what has to be given without brackets: `run SCENARIO`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line after the command."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "") for piece in pieces]


def help_without_command(context: typer.Context) -> None:
    """A group by itself shows what it has."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
