"""`torpor replay`: the same run again, and the same verdict."""

import tempfile
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bus.journal import Journal, Record, read_journal
from bus.replay import Replayed, replay_forced, replay_nodes
from bus.world.strategies import Diverged, TapeStrategy
from bus.world.tape import Tape
from deploy.cli.evidence import read_evidence
from deploy.cli.report import deliver, report_on
from deploy.composition import build_node, build_nodes
from deploy.run_sim import run_sim
from proto.turn import Turn
from services.monitor.verdict import Verdict, judge

EXIT_DIFFERENT = 1


def replay(
    path: Annotated[Path, typer.Argument(metavar="TAPE|JOURNAL", help="What a run left behind.")],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Run a tape again, or replay a journal: same inputs, same effects, same verdict.

    The exit code is that of the verdict; 1 also stands for a replay that differs.
    """
    evidence = read_evidence(path)
    console = Console(stderr=True)
    if isinstance(evidence, Tape):
        return _replay_tape(evidence, path, json, console)
    return _replay_journal(evidence, path, json, console)


def _replay_tape(tape: Tape, path: Path, json: bool, console: Console) -> int:
    """Run the board with the recorded choices."""
    with tempfile.TemporaryDirectory(prefix="torpor-") as folder:
        again = Path(folder) / "journal"
        try:
            result = run_sim(
                tape.board, again, TapeStrategy(tape.choices, tape.windows), tape.strategy
            )
        except Diverged as error:
            return _differs(console, f"the tape does not fit: {error}")
        verdict = judge(read_journal(again), result.crash, healthy=not result.crash)
    return deliver(report_on(tape.board, "sim", verdict, path), json, console)


def _replay_journal(journal: Journal, path: Path, json: bool, console: Console) -> int:
    """Each node alone, then all of them in the recorded order, then the verdict of both."""
    alone = replay_nodes(journal, build_node)
    if alone.difference is not None:
        return _differs(console, f"replaying nodes: {alone.difference}")
    turns: list[Turn] = []
    together = replay_forced(journal, build_nodes(journal.header.board), turns.append)
    if together.difference is not None:
        return _differs(console, f"forcing the order: {together.difference}")
    verdict, again = judge(journal), judge(_replayed(journal, turns))
    if verdict != again:
        return _differs(console, f"the verdict was {_brief(verdict)}, and is now {_brief(again)}")
    _say(console, alone)
    return deliver(
        report_on(journal.header.board, journal.header.world, verdict, path), json, console
    )


def _replayed(journal: Journal, turns: list[Turn]) -> Journal:
    """The journal with its turns replaced by those of the replay."""
    following = iter(turns)
    records: list[Record] = [
        next(following) if isinstance(record, Turn) else record for record in journal.records
    ]
    return with_changes(journal, records=records)


def _say(console: Console, replayed: Replayed) -> None:
    text = f"{replayed.turns} turns replayed node by node and in the recorded order: no difference"
    console.print(Text(text), soft_wrap=True)


def _differs(console: Console, text: str) -> int:
    console.print(Text(f"the replay differs: {text}", style="red"), soft_wrap=True)
    return EXIT_DIFFERENT


def _brief(verdict: Verdict) -> str:
    return f"{verdict.verdict} with {len(verdict.findings)} findings"
