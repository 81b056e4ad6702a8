"""`torpor prepare`: what the containers of a board need before the first of them starts."""

from pathlib import Path
from typing import Annotated

import typer

from bus.keys import KeyFileError
from bus.runfolder import RunFolder
from deploy.containers.layout import hand_out_keys, lay_out
from deploy.loading import SEED_MAX, Overrides, UsageError, power_model, standing
from deploy.session import write_session


def prepare(
    address: Annotated[str, typer.Option(help="Address of the interconnect's container.")],
    board: Annotated[Path, typer.Option(help="Folder that all containers read.")],
    runs: Annotated[Path, typer.Option(help="Folder of run folders, with the journals.")],
    keys: Annotated[Path, typer.Option(help="Folder with a folder for each process's key.")],
    scenario: Annotated[
        str, typer.Option(envvar="TORPOR_SCENARIO", help="Name or path of a scenario.")
    ] = "board",
    profile: Annotated[
        str | None, typer.Option(envvar="TORPOR_PROFILE", help="Version of the series.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(envvar="TORPOR_PLATFORM", help="Board to build.")
    ] = None,
    power: Annotated[
        str | None, typer.Option(envvar="TORPOR_POWER", help="What loses its state asleep.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(envvar="TORPOR_SEED", min=0, max=SEED_MAX, help="Seed of the run."),
    ] = None,
    time_scale: Annotated[
        float,
        typer.Option(
            envvar="TORPOR_TIME_SCALE", min=0.001, max=1e6, help="Real time per board time."
        ),
    ] = 1.0,
) -> int:
    """Make a run folder, the session and the keys of a board in containers.

    The compose file runs it before all else; a person has no need of it.
    """
    model = None if power is None else power_model(power)
    resolved = standing(scenario, Overrides(platform, profile, model, seed))
    for place in (board, keys):
        if not place.is_dir():
            raise UsageError(f"{place} is no folder; mount a volume there")
    with RunFolder(root=runs) as folder:
        try:
            session = lay_out(resolved, folder, address, time_scale)
            hand_out_keys(folder, session, keys)
            write_session(board, resolved, session)
        except (KeyFileError, OSError) as error:
            raise UsageError(f"cannot prepare the board: {error}") from error
    typer.echo(f"prepared {folder.path.name}: journal {session.journal}")
    return 0
