"""`torpor down`: end a board, and judge what it has written."""

from typing import Annotated

import typer
from rich.console import Console

from bus.client import BoardGone, BoardSilent, RefusedByBoard
from bus.journal import JournalError, read_journal
from deploy.boards import BoardFolder, choose, read_folder
from deploy.cli.bench import BoardOption
from deploy.cli.report import deliver, report_on
from deploy.cli.talk import NoAnswer
from deploy.loading import UsageError
from proto.messages import EndScenario
from services.monitor.verdict import Judge, judge

ANSWER_LIMIT_S = 5.0
"""How long an operator may take to end its scenario."""


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
        trouble = end(found)
    elif found.project is not None:
        trouble = "" if found.state.state == "ended" else f"{found.state.state} while it was up"
    else:
        raise UsageError(
            f"{found.name} is down already ({found.state.state}); "
            f"`torpor check {found.journal}` judges it"
        )
    if found.project is not None:
        found.project.down()
    return _judge(found, trouble, json)


def end(found: BoardFolder) -> str:
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
