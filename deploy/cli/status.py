"""`torpor status`: the boards that run here."""

import sys
import time
from typing import Annotated

import msgspec
import typer

from deploy.boards import BoardFolder, known_boards
from deploy.cli.talk import XEN, NoAnswer, joined, read_console
from deploy.loading import UsageError


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
    unwell: dict[str, str]
    containers: str
    reason: str


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
        unwell=state.unwell,
        reason=state.reason,
        containers="" if found.project is None else found.project.name,
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
        reason = entry.reason or "its processes were killed, and left nothing running"
        typer.echo(f"{entry.folder}: dead: {reason}")
        typer.echo(f"  `torpor down --board {entry.folder}` judges what it left")
        return
    typer.echo(
        f"{entry.folder}: {entry.state}, power LED {entry.power}, up {entry.uptime_s} s, "
        f"board time {entry.board_s} s"
    )
    typer.echo(f"  scenario {entry.scenario}, platform {entry.platform}, profile {entry.profile}")
    pids = "  ".join(f"{name} {pid}" for name, pid in entry.processes.items())
    where = f"supervisor {entry.supervisor}" if entry.supervisor else entry.containers
    typer.echo(f"  {where or 'in containers'}  {pids}".rstrip())
    for name, sign in entry.unwell.items():
        typer.echo(f"  {name} is {sign}")
