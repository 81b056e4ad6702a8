"""A failure of an exploration, written out: tape, journal, and one page that tells it."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from bus.journal import Journal, read_journal
from bus.world.strategies import Diverged, TapeStrategy
from deploy.cli.report import command, duration, named_waits, waiting_lines
from deploy.explore.explorer import Progress, Result
from deploy.lines import Lines
from deploy.run_sim import run_sim, tape_beside
from proto.board import Board
from proto.patch import load_patch
from proto.turn import Turn
from proto.units import MS
from services.monitor.prop import Finding
from services.monitor.properties import PROPERTIES
from services.monitor.verdict import PhaseReport, judge
from services.monitor.waiting import Wait

CLAUSES = {kind.name: kind.clause for kind in PROPERTIES}
LINE_MAX = 400
"""Characters of a record's line; a burst of cells can have thousands."""
PHASES = 14
"""Phases that a report shows before the failure."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a failure lies."""

    result: Result
    tape: Path
    journal: Path
    page: Path


def summary(result: Result) -> str:
    """A failure in one line."""
    if result.differs:
        return f"a node is not deterministic, the same choices gave two journals: {result.differs}"
    if result.crash:
        return f"a node raised {result.crash}"
    first = result.surprises[0]
    return f"{first.property}: {first.text}"


def kind_of(result: Result) -> str:
    """Failures of one kind have the same property and the same text but for its numbers.

    Where a run that does not repeat goes another way is chance.
    """
    if result.differs:
        return "differs"
    return "".join("#" if letter.isdigit() else letter for letter in summary(result))


def distinct(failures: Sequence[Result]) -> dict[str, list[Result]]:
    """Failures by kind, each kind's first one first."""
    kinds: dict[str, list[Result]] = {}
    for failure in failures:
        kinds.setdefault(kind_of(failure), []).append(failure)
    return kinds


def keep(board: Board, result: Result, folder: Path, progress: Progress) -> Kept:
    """Run a failure again from its choices, and write everything about it into a folder.

    A run that does not repeat is written down as far as its choices fit.
    """
    journal = folder / f"schedule-{result.index}.journal"
    recorded = TapeStrategy(result.choices, result.windows)
    name = f"{result.strategy} seed {result.seed}"
    with suppress(Diverged) if result.differs else nullcontext():
        run_sim(board, journal, recorded, name, limit_ns=result.stopped_ns)
    page = folder / f"schedule-{result.index}.md"
    kept = Kept(result, tape_beside(journal), journal, page)
    page.write_text("\n".join(_page(board, kept, progress)) + "\n", encoding="utf-8")
    return kept


def _page(board: Board, kept: Kept, progress: Progress) -> Iterator[str]:
    result, scenario = kept.result, board.scenario
    journal = read_journal(kept.journal)
    yield f"# `{scenario.name}`: {_headline(result)}"
    yield ""
    told = summary(result)
    yield f"{told[0].upper()}{told[1:]}."
    yield ""
    yield from _table(board, result, progress)
    for finding in result.surprises:
        yield from _finding(finding, journal)
    verdict = judge(journal)
    yield from _phases(verdict.phases, result.surprises, journal)
    yield from _waiting(named_waits(board, verdict))
    yield "## Look at it"
    yield ""
    yield f"    {command('replay', str(kept.tape))}"
    yield f"    {command('shrink', str(kept.tape))}"
    yield f"    {command('journal', 'cat', str(kept.journal))}"
    yield ""
    yield (
        "The first runs the same schedule again. The second looks for the smallest scenario and "
        "schedule that fail alike, and for the one pair of events whose order decides. The third "
        "prints every message."
    )


def _headline(result: Result) -> str:
    if result.differs:
        return "a run that does not repeat"
    if result.crash:
        return "a node raised"
    names = dict.fromkeys(finding.property for finding in result.surprises)
    return f"{' and '.join(names)} violated"


def _table(board: Board, result: Result, progress: Progress) -> Iterator[str]:
    scenario, platform = board.scenario, board.platform
    domains = ", ".join(f"{spec.title} with {spec.vcpus} vCPUs" for spec in scenario.domains)
    yield "| | |"
    yield "| --- | --- |"
    yield f"| board | {platform.name}: {platform.pes} PEs, {platform.intids} INTIDs; {domains} |"
    yield f"| version | profile {board.profile.name}: {board.profile.title} |"
    for patch in board.patches:
        mutant = load_patch(patch).mutant
        yield f"| patch | {patch.name}{'' if mutant is None else f': {mutant.title}'} |"
    yield f"| power model | {scenario.power_model} |"
    yield f"| schedule | number {result.index}, {result.strategy}, seed {result.seed} |"
    yield f"| exploration | seed {scenario.seed}, {progress.done} schedules before and with it |"
    yield ""


def _finding(finding: Finding, journal: Journal) -> Iterator[str]:
    yield f"## {finding.property}"
    yield ""
    yield f"Demanded: {CLAUSES[finding.property]}."
    yield ""
    yield f"Found: {finding.text}."
    yield ""
    yield "The records that prove it:"
    yield ""
    wanted = set(finding.positions)
    for position, line in enumerate(Lines(journal, own=True)):
        if position in wanted:
            yield f"    {shortened(line)}"
    yield ""


def _waiting(waits: Sequence[Wait]) -> Iterator[str]:
    """For a board that has stopped."""
    if waits:
        yield "## Who waits for whom"
        yield ""
        for line in waiting_lines(waits):
            yield f"- {line}"
        yield ""


def shortened(line: str) -> str:
    """A line of a journal that fits a page."""
    return line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]} ..."


def _phases(
    phases: Sequence[PhaseReport], findings: Sequence[Finding], journal: Journal
) -> Iterator[str]:
    """The steps of suspend and resume up to the last record that matters."""
    until = max((position for found in findings for position in found.positions), default=None)
    last = journal.records[-1 if until is None else min(until, len(journal.records) - 1)]
    now = last.now if isinstance(last, Turn) else last.now_ns
    shown = [phase for phase in phases if phase.start_ns <= now][-PHASES:]
    if not shown:
        return
    yield "## Where the board was"
    yield ""
    yield "| step | | began | took |"
    yield "| --- | --- | ---: | ---: |"
    for phase in shown:
        ended_ns = phase.end_ns
        is_over = ended_ns is not None and ended_ns <= now
        took = duration(ended_ns - phase.start_ns) if ended_ns and is_over else "not over"
        failed = f", failed with {phase.error}" if phase.error else ""
        yield f"| {phase.label} | {phase.name}{failed} | {phase.start_ns / MS:.3f} ms | {took} |"
    yield ""
