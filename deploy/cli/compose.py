"""`torpor compose`: the compose file of a board."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.containers.compose_file import shipped
from deploy.loading import Overrides, UsageError, locate, standing
from proto.platform import Platform


def compose(
    platform: Annotated[
        str, typer.Argument(metavar="PLATFORM", help="Name or path of a platform.")
    ] = "quad",
    scenario: Annotated[str, typer.Option(help="Name of a scenario of the image.")] = "board",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; stdout without it.")
    ] = None,
) -> int:
    """Write the compose file of a board: one container per process.

    docker-compose 1.29 and Compose v2 read it.
    """
    board = standing(scenario, Overrides(platform=platform))
    path = locate(Platform, platform)
    text = shipped(board, None if path.stem == platform else path.resolve())
    if output is None:
        typer.echo(text, nl=False)
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    typer.echo(f"wrote {output}: {len(board.platform.cpus)} PEs, {len(board.domains)} domains")
    return 0
