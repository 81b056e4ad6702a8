"""`torpor up`, `status` and `down`: the life of a board that stays up."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from bus.client import BoardGone, BoardSilent, RefusedByBoard
from bus.journal import JournalError, read_journal
from bus.runfolder import RunFolder
from deploy.boards import BoardFolder, choose, known_boards, read_folder
from deploy.cli.bench import BoardOption
from deploy.cli.report import deliver, report_on
from deploy.cli.run import CurveOption, Transport, live
from deploy.cli.talk import XEN, NoAnswer, joined, read_console
from deploy.daemon import Order, Word
from deploy.loading import SEED_MAX, Overrides, UsageError, power_model, resolve
from deploy.supervisor import LiveOptions
from proto.board import Board
from proto.codec import encode
from proto.messages import AwaitSteps, EndScenario
from proto.scenario import domain_ids
from services.monitor.verdict import Judge, judge

DEFAULT_SCENARIO = "board"
ANSWER_LIMIT_S = 5.0
"""How long an operator may take to end its scenario."""
_ROOT = Path(__file__).resolve().parent.parent.parent


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One board in `torpor status --json`; times are seconds."""

    folder: str
    state: str
    power: str
    scenario: str
    platform: str
    profile: str
    power_model: object
    uptime_s: float
    board_s: float
    journal: str
    supervisor: int
    processes: dict[str, int]


def up(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Name or path of a scenario.")
    ] = DEFAULT_SCENARIO,
    profile: Annotated[str | None, typer.Option(help="Version of the series.")] = None,
    platform: Annotated[str | None, typer.Option(help="Board to build.")] = None,
    power: Annotated[str | None, typer.Option(help="What loses its state asleep.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=SEED_MAX, help="Seed of the run.")] = None,
    time_scale: Annotated[
        float, typer.Option(min=0.001, max=1e6, help="Real time per board time.")
    ] = 1.0,
    transport: Annotated[Transport, typer.Option(help="Carrier of the bus.")] = Transport.IPC,
    curve: CurveOption = None,
    run_folder: Annotated[Path | None, typer.Option(help="Private folder of the board.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach/--no-detach", help="Run in the background, or here.")
    ] = True,
) -> int:
    """Start a board that stays up, and come back when Xen and the domains are up.

    The scenario's steps are carried out first. The board runs until `torpor down`.
    """
    model = None if power is None else power_model(power)
    board = resolve(scenario, Overrides(platform, profile, model, seed))
    opened = msgspec.structs.replace(board.scenario, open=True)
    board = msgspec.structs.replace(board, scenario=opened)
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
    found = _start(order)
    _introduce(found)
    return 0


def status(
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> int:
    """List the boards that run here: power LED, time, profile, processes."""
    listed = [_listed(found) for found in known_boards()]
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(listed), indent=2) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    if not listed:
        typer.echo("no board runs here; start one with `torpor up`")
    for entry in listed:
        _show(entry)
    return 0


def down(
    board: BoardOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """End a board and judge its journal; the exit code is that of the verdict."""
    found = choose(board)
    trouble = ""
    if found.is_dead:
        trouble = "died: the board's processes were killed"
        found.note_dead()
    elif found.is_up:
        trouble = _end(found)
    else:
        raise UsageError(
            f"{found.name} is down already ({found.state.state}); "
            f"`torpor check {found.journal}` judges it"
        )
    return _judge(found, trouble, json)


# -- up


def _start(order: Order) -> BoardFolder:
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


# -- status


def _listed(found: BoardFolder) -> Listed:
    board, state = found.board, found.state
    dead = not found.is_up
    return Listed(
        folder=found.name,
        state="dead" if dead else state.state,
        power="unknown" if dead else _power(found),
        scenario=board.scenario.name,
        platform=board.platform.name,
        profile=board.profile.name,
        power_model=board.scenario.power_model,
        uptime_s=0.0 if dead else round(time.time() - state.started_s, 1),
        board_s=0.0 if dead else round(found.board_s, 1),
        journal=state.journal,
        supervisor=state.supervisor,
        processes={} if dead else state.pids,
    )


def _power(found: BoardFolder) -> str:
    """What its LED shows; a board that does not answer is listed all the same."""
    try:
        with joined(found) as client:
            return read_console(found, client, XEN, -1).power
    except (NoAnswer, UsageError):
        return "unknown"


def _show(entry: Listed) -> None:
    if entry.state == "dead":
        typer.echo(f"{entry.folder}: dead: its processes were killed, and left nothing running")
        typer.echo(f"  `torpor down --board {entry.folder}` judges what it left")
        return
    typer.echo(
        f"{entry.folder}: {entry.state}, power LED {entry.power}, up {entry.uptime_s} s, "
        f"board time {entry.board_s} s"
    )
    typer.echo(f"  scenario {entry.scenario}, platform {entry.platform}, profile {entry.profile}")
    pids = "  ".join(f"{name} {pid}" for name, pid in entry.processes.items())
    typer.echo(f"  supervisor {entry.supervisor}  {pids}")


# -- down


def _end(found: BoardFolder) -> str:
    """End the scenario as a person at the bench would, else by force; says what went wrong."""
    try:
        with found.join() as client:
            client.ask(EndScenario(client.tx), ANSWER_LIMIT_S)
        found.terminate()  # It was refused: the board is not up yet.
    except BoardGone:
        pass  # As asked.
    except (BoardSilent, RefusedByBoard):
        found.terminate()
    if not found.wait_for_end():
        pid = found.state.supervisor
        raise NoAnswer(f"{found.name} does not go down; kill its supervisor, process {pid}")
    ended = read_folder(found.path)
    outcome = "killed" if ended is None else ended.state.state
    return "" if outcome == "ended" else f"{outcome} while it was up"


def _judge(found: BoardFolder, trouble: str, json: bool) -> int:
    """The verdict of the journal so far."""
    try:
        verdict = judge(read_journal(found.journal), trouble, healthy=not trouble)
    except JournalError as error:
        verdict = Judge(found.board, "live").conclude(False, f"{trouble}; {error}", False)
    pids = found.state.pids
    report = report_on(found.board, "live", verdict, found.journal, pids)
    return deliver(report, json, Console(stderr=True))
