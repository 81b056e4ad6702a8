"""`torpor up`: a board that stays up, in processes of this machine or in containers."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from bus.client import BoardGone, BoardSilent
from bus.runfolder import RunFolder
from deploy.boards import BoardFolder, choose, read_folder
from deploy.cli.run import CurveOption, MutantOption, Transport, live
from deploy.cli.talk import XEN, NoAnswer, joined, read_console
from deploy.containers.bring_up import bring_up
from deploy.containers.engine import IMAGE
from deploy.daemon import Order, Word
from deploy.loading import SEED_MAX, Overrides, UsageError, power_model, standing
from deploy.supervisor import LiveOptions
from proto.board import Board
from proto.codec import encode
from proto.messages import AwaitSteps
from proto.scenario import domain_ids

DEFAULT_SCENARIO = "board"
_ROOT = Path(__file__).resolve().parent.parent.parent


def up(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Name or path of a scenario.")
    ] = DEFAULT_SCENARIO,
    profile: Annotated[str | None, typer.Option(help="Version of the series.")] = None,
    platform: Annotated[str | None, typer.Option(help="Board to build.")] = None,
    power: Annotated[str | None, typer.Option(help="What loses its state asleep.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=SEED_MAX, help="Seed of the run.")] = None,
    mutant: MutantOption = None,
    time_scale: Annotated[
        float, typer.Option(min=0.001, max=1e6, help="Real time per board time.")
    ] = 1.0,
    transport: Annotated[Transport, typer.Option(help="Carrier of the bus.")] = Transport.IPC,
    curve: CurveOption = None,
    run_folder: Annotated[Path | None, typer.Option(help="Private folder of the board.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach/--no-detach", help="Run in the background, or here.")
    ] = True,
    compose: Annotated[
        bool, typer.Option("--compose", help="Run each process in a container of its own.")
    ] = False,
    image: Annotated[str | None, typer.Option(help="Image of the containers.")] = None,
) -> int:
    """Start a board that stays up, and come back when Xen and the domains are up.

    The scenario's steps are carried out first. The board runs until `torpor down`.
    """
    _refuse_options(
        compose,
        {"--transport tcp": transport is Transport.TCP, "--no-detach": not detach}
        | {"--no-curve": curve is False},
        {"--image": image is not None},
    )
    model = None if power is None else power_model(power)
    board = standing(scenario, Overrides(platform, profile, model, seed, tuple(mutant or ())))
    if compose:
        _introduce(_contain(board, run_folder, image or IMAGE, time_scale))
        return 0
    if not detach:
        with RunFolder(run_folder) as folder:
            options = LiveOptions(
                time_scale=time_scale, transport=transport.value, curve=curve is not False
            )
            return live(board, folder, options, False, Console(stderr=True))
    where = None if run_folder is None else str(run_folder.absolute())
    order = Order(
        board=board,
        folder=where,
        time_scale=time_scale,
        transport=transport.value,
        curve=curve is not False,
    )
    found = start(order)
    _introduce(found)
    return 0


def _refuse_options(compose: bool, local: dict[str, bool], contained: dict[str, bool]) -> None:
    """An option that would be ignored is a mistake worth telling."""
    for name in (option for option, given in local.items() if compose and given):
        raise UsageError(f"{name} has no meaning with --compose; leave it out")
    for name in (option for option, given in contained.items() if given and not compose):
        raise UsageError(f"{name} has no meaning without --compose; leave it out")


def _contain(board: Board, where: Path | None, image: str, time_scale: float) -> BoardFolder:
    """Start the board's containers; what goes wrong on the way is one line."""
    try:
        return bring_up(board, where, image, time_scale)
    except (BoardGone, BoardSilent) as error:
        raise NoAnswer(f"the board did not come up: {error}") from error
    except KeyboardInterrupt as error:
        raise NoAnswer("interrupted: the board has been taken down again") from error


def start(order: Order) -> BoardFolder:
    """Start the board's supervisor and wait until the steps are carried out.

    Whoever gives up waiting takes the board with him.
    """
    reading, writing = os.pipe()
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    with os.fdopen(reading, "rb") as words:
        # -P: a folder named like one of our packages in the user's directory must not be imported.
        daemon = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-P", "-m", "deploy.daemon", "--report-fd", str(writing)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        try:
            assert daemon.stdin is not None, "it was asked for"
            with suppress(BrokenPipeError), daemon.stdin as orders:
                orders.write(encode(order))
            found = _started(_word(words.readline()))
            with found.join() as client:
                client.ask(AwaitSteps(client.tx))
        except BoardGone as error:
            word = _word(words.readline())
            daemon.wait()
            raise NoAnswer(
                f"the board did not come up ({word.state}: {word.reason}); "
                f"`torpor check {found.journal}` says why"
            ) from error
        except BaseException as error:
            daemon.terminate()
            daemon.wait()
            if isinstance(error, KeyboardInterrupt):
                raise NoAnswer("interrupted: the board has been taken down again") from error
            raise
    return found


def _word(line: bytes) -> Word:
    if not line:
        raise NoAnswer("the board's supervisor ended without a word")
    return msgspec.json.decode(line, type=Word)


def _started(word: Word) -> BoardFolder:
    if word.state == "refused":
        raise UsageError(word.reason)
    found = read_folder(Path(word.folder)) if word.state == "running" else None
    if found is None:
        raise NoAnswer(f"the board did not come up: {word.state}: {word.reason}")
    return found


def _introduce(found: BoardFolder) -> None:
    """What it is, where it lies, what to type next."""
    board = found.board
    with joined(found) as client:
        for domain in (XEN, *domain_ids(board.scenario)):
            for line in read_console(found, client, domain, 0).lines:
                if " is up with " in line or line.startswith(f"dom{domain}: up"):
                    typer.echo(line)
    option = "" if _is_only(found) else f" --board {found.name}"
    typer.echo(
        f"{found.name}: scenario {board.scenario.name}, platform {board.platform.name}, "
        f"profile {board.profile.name}, power model {_model(board)}"
    )
    typer.echo(f"journal: {found.journal}")
    typer.echo("now try:")
    for words in (
        "torpor status",
        f"torpor xl{option} list",
        f'torpor console dom0{option} --line "echo mem > /sys/power/state"',
        f"torpor wake{option} rtc",
        f"torpor down{option}",
    ):
        typer.echo(f"  {words}")


def _is_only(found: BoardFolder) -> bool:
    """Whether commands find this board without being told."""
    try:
        return choose(None).path == found.path
    except UsageError:
        return False


def _model(board: Board) -> str:
    model = board.scenario.power_model
    if isinstance(model, str):
        return model
    return ",".join(f"{block}={retention.value}" for block, retention in model.items())
