"""`torpor run`: a scenario on a board, live or simulated, judged by its journal."""

import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bus.journal import JournalError, read_journal
from bus.runfolder import RunFolder
from deploy.cli.report import Report, command, deliver, replay_command, report_on
from deploy.cli.view import View
from deploy.loading import SEED_MAX, Overrides, UsageError, power_model, resolve
from deploy.run_live import run_live
from deploy.run_sim import run_sim
from deploy.supervisor import LiveOptions
from proto.board import Board
from proto.turn import Turn
from services.monitor.verdict import Judge, Verdict, judge

EXIT_VIOLATED = 1


class WorldName(StrEnum):
    """Where a board can run."""

    LIVE = "live"
    SIM = "sim"


class Transport(StrEnum):
    """What carries the bus of the live world."""

    IPC = "ipc"
    TCP = "tcp"


CurveOption = Annotated[
    bool | None,
    typer.Option(
        "--curve/--no-curve", help="Encrypt and authenticate the live bus; the default is to."
    ),
]


MutantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mutant",
        metavar="ID|FILE.py",
        help="A known bug, or your own patch; may be given several times.",
    ),
]


def run(
    scenario: Annotated[
        str,
        typer.Argument(metavar="SCENARIO", help="Name of a scenario, or path of its YAML file."),
    ],
    world: Annotated[WorldName, typer.Option(help="Real processes, or the simulator.")] = (
        WorldName.LIVE
    ),
    profile: Annotated[str | None, typer.Option(help="Version of the series.")] = None,
    platform: Annotated[str | None, typer.Option(help="Board to build.")] = None,
    power: Annotated[str | None, typer.Option(help="What loses its state asleep.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=SEED_MAX, help="Seed of the run.")] = None,
    mutant: MutantOption = None,
    time_scale: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, help="Real time per board time (live; default 1)."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, max=1e6, help="Real seconds the run may take.")
    ] = None,
    journal: Annotated[Path | None, typer.Option(help="Where to write the journal.")] = None,
    run_folder: Annotated[Path | None, typer.Option(help="Private folder of the run.")] = None,
    transport: Annotated[Transport | None, typer.Option(help="Carrier of the live bus.")] = None,
    curve: CurveOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    twice: Annotated[
        bool, typer.Option("--twice", help="Run twice and compare the journals (sim).")
    ] = False,
) -> int:
    """Run a scenario, show it, and judge it by its journal."""
    live_only = {"--time-scale": time_scale, "--transport": transport, "--curve": curve}
    _refuse_options(world, live_only, twice)
    model = None if power is None else power_model(power)
    board = resolve(scenario, Overrides(platform, profile, model, seed, tuple(mutant or ())))
    if board.scenario.open:
        raise UsageError(f"scenario {scenario} stays open; start it with `torpor up {scenario}`")
    console = Console(stderr=True)
    with RunFolder(run_folder) as folder:
        target = writable(journal or folder.journal)
        if world is WorldName.SIM:
            return _simulate(board, target, timeout, twice, json, console)
        options = LiveOptions(
            time_scale=time_scale or 1.0,
            transport=(transport or Transport.IPC).value,
            curve=curve is not False,
            time_limit_s=timeout,
            journal=target,
        )
        return live(board, folder, options, json, console)


def _refuse_options(world: WorldName, live_only: Mapping[str, object], twice: bool) -> None:
    """An option that would be ignored is a mistake worth telling."""
    if world is WorldName.SIM:
        for name, value in live_only.items():
            if value is not None:
                raise UsageError(f"{name} has no meaning in the sim world; leave it out")
    elif twice:
        raise UsageError("--twice compares simulated runs; add --world sim")


def writable(path: Path) -> Path:
    """Before anything is started: the journal has to have a place."""
    path = path.absolute()
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give --journal the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; create it, or choose another --journal")
    return path


# -- live


def live(
    board: Board, folder: RunFolder, options: LiveOptions, json: bool, console: Console
) -> int:
    with View(board, console) as view:
        result = run_live(board, folder, options, view.feed)
    trouble = (
        "" if result.outcome == "ended" else f"{result.outcome}: {result.died or result.reason}"
    )
    healthy = result.outcome not in ("died", "crashed")
    again = None
    try:
        verdict = judge(read_journal(result.journal), trouble, healthy)
    except JournalError as error:
        # The hub never came to write one: there is nothing to replay, only to run again.
        verdict = Judge(board, "live").conclude(False, f"{trouble}; {error}", healthy)
        again = command(*sys.argv[1:])
    report = report_on(board, "live", verdict, result.journal, result.pids, again)
    return deliver(report, json, console)


# -- sim


def _simulate(
    board: Board, journal: Path, timeout: float | None, twice: bool, json: bool, console: Console
) -> int:
    report = _simulate_once(board, journal, timeout, console)
    if twice:
        other = journal.with_name(f"{journal.name}.twice")
        _simulate_once(board, other, timeout, console, quiet=True)
        if journal.read_bytes() != other.read_bytes():
            text = f"the same seed gave two journals: {journal} and {other}"
            console.print(Text(text, style="red"), soft_wrap=True)
            console.print(Text(f"replay:  {replay_command(journal)}"), soft_wrap=True)
            return EXIT_VIOLATED
        console.print(Text("two runs, the same journal to the byte"), soft_wrap=True)
    return deliver(report, json, console)


def _simulate_once(
    board: Board, journal: Path, timeout: float | None, console: Console, quiet: bool = False
) -> Report:
    deadline_s = None if timeout is None else time.monotonic() + timeout
    with View(board, console) as view:

        def on_turn(turn: Turn) -> None:
            if not quiet:
                view.feed((turn,))
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError

        trouble, healthy, again = "", True, None
        try:
            result = run_sim(board, journal, on_turn=on_turn)
            if result.crash:
                # Only the choices lead to the turn that raised: it is not in the journal.
                trouble, healthy, again = result.crash, False, replay_command(result.tape)
        except TimeoutError:
            trouble = f"timeout: {timeout} s of real time ran out"
    verdict: Verdict = judge(read_journal(journal), trouble, healthy)
    return report_on(board, "sim", verdict, journal, again=again)
