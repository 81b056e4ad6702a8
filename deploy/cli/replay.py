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
from deploy.cli.run import writable
from deploy.composition import build_node, build_nodes
from deploy.loading import UsageError
from deploy.run_sim import run_sim
from proto.turn import Turn
from services.monitor.verdict import Verdict, judge

EXIT_DIFFERENT = 1


def replay(
    path: Annotated[Path, typer.Argument(metavar="TAPE|JOURNAL", help="What a run left behind.")],
    journal: Annotated[
        Path | None, typer.Option(help="Where to write the journal of a tape's run.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Run a tape again, or replay a journal: same inputs, same effects, same verdict.

    The exit code is that of the verdict; 1 also stands for a replay that differs.
    """
    evidence = read_evidence(path)
    console = Console(stderr=True)
    if isinstance(evidence, Tape):
        target = None if journal is None else writable(journal)
        return _replay_tape(evidence, path, target, json, console)
    if journal is not None:
        raise UsageError("--journal is where a tape's run goes; a journal is only read")
    return _replay_journal(evidence, path, json, console)


def _replay_tape(tape: Tape, path: Path, target: Path | None, json: bool, console: Console) -> int:
    """Run the board with the recorded choices."""
    with tempfile.TemporaryDirectory(prefix="torpor-") as folder:
        again = target or Path(folder) / "journal"
        recorded = TapeStrategy(tape.choices, tape.windows)
        try:
            result = run_sim(tape.board, again, recorded, tape.strategy, limit_ns=tape.stopped_ns)
        except Diverged as error:
            return _differs(console, f"the tape does not fit: {error}")
        if recorded.left:
            text = f"the run ends at choice {len(tape.choices) - recorded.left}, before the tape"
            return _differs(console, text)
        if (difference := _compared(path, again, console)) is not None:
            return _differs(console, difference)
        verdict = judge(read_journal(again), result.crash, healthy=not result.crash)
    return deliver(report_on(tape.board, "sim", verdict, path), json, console)


def _compared(tape: Path, again: Path, console: Console) -> str | None:
    """Compare with the journal that lies beside the tape, if it does; gives the difference."""
    recorded = tape.with_suffix("")
    if tape.suffix != ".tape" or not recorded.is_file() or recorded.samefile(again):
        return None
    if recorded.read_bytes() == again.read_bytes():
        text = f"the same journal as {recorded}, to the byte"
        console.print(Text(text), soft_wrap=True)
        return None
    one, other = read_journal(recorded).records, read_journal(again).records
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"record {position} was {left}, and is now {right}"
    return f"the journal had {len(one)} records, and has now {len(other)}"


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
