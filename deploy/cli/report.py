"""What a run or a check ends with: a JSON object for machines, tables for people, an exit code."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.lines import cell_names
from proto.board import Board
from proto.platform import PowerModel
from proto.units import MS, US
from services.monitor.prop import INCONCLUSIVE, PASS, VIOLATED, Finding
from services.monitor.properties import PROPERTIES
from services.monitor.verdict import AttemptReport, Loss, PhaseReport, Verdict
from services.monitor.waiting import Wait, cycle, named

EXIT_CODES = {PASS: 0, VIOLATED: 1, INCONCLUSIVE: 3}
STYLES = {PASS: "green", VIOLATED: "red", INCONCLUSIVE: "yellow"}


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a property demands: `kind` is `always` or `eventually`, `clause` names its source."""

    kind: str
    clause: str


VERDICT_FIELDS = frozenset(Verdict.__struct_fields__) - {"waits"}
DEMANDS = {kind.name: Demand(kind=kind.kind, clause=kind.clause) for kind in PROPERTIES}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The `--json` object; `processes` are pids of the live world, `replay` is a command.

    `demands` says of each of the `properties` what it is.
    """

    world: str
    scenario: str
    platform: str
    profile: str
    power_model: PowerModel
    seed: int
    composition: str
    verdict: str
    trouble: str
    properties: dict[str, str]
    demands: dict[str, Demand]
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...]
    attempts: tuple[AttemptReport, ...]
    phases: tuple[PhaseReport, ...]
    lost: tuple[Loss, ...]
    sometimes: dict[str, bool]
    waits: tuple[Wait, ...]
    messages: int
    turns: int
    processes: dict[str, int]
    journal: str
    replay: str
    configuration: Board

    @property
    def exit_code(self) -> int:
        """The exit code that goes with the verdict."""
        return EXIT_CODES[self.verdict]


def command(*words: str) -> str:
    """A command line of Torpor that works where this one was given.

    `torpor` if the shell finds this installation by that name, else the path it was called by,
    else this Python.
    """
    called, found = Path(sys.argv[0]), shutil.which("torpor")
    ours = (called, Path(sys.executable).with_name("torpor"))
    if found is not None and any(_is_same(Path(found), own) for own in ours):
        return shlex.join(["torpor", *words])
    if called.name == "torpor":
        return shlex.join([sys.argv[0], *words])
    return shlex.join([sys.executable, "-m", "deploy.cli.main", *words])


def _is_same(one: Path, other: Path) -> bool:
    return other.is_file() and one.samefile(other)


def replay_command(path: Path) -> str:
    """The one command that replays a journal or a tape."""
    return command("replay", str(path))


def report_on(
    board: Board,
    world: str,
    verdict: Verdict,
    journal: Path,
    pids: dict[str, int] | None = None,
    again: str | None = None,
) -> Report:
    """A verdict with what it belongs to; `again` replaces the command that replays the journal."""
    if journal.parent.is_symlink():
        # `runs/last` is another run's tomorrow; a report outlives it.
        journal = journal.resolve()
    return Report(
        world=world,
        scenario=board.scenario.name,
        platform=board.platform.name,
        profile=board.profile.name,
        power_model=board.scenario.power_model,
        seed=board.scenario.seed,
        demands=DEMANDS,
        composition=board.composition,
        processes=pids or {},
        journal=str(journal),
        replay=again or replay_command(journal),
        configuration=board,
        waits=named_waits(board, verdict),
        **{name: getattr(verdict, name) for name in VERDICT_FIELDS},
    )


def named_waits(board: Board, verdict: Verdict) -> tuple[Wait, ...]:
    """Who waited for whom, with the names of cells."""
    if not verdict.waits:
        return ()
    cells = cell_names(board)
    return tuple(named(wait, cells) for wait in verdict.waits)


def waiting_lines(waits: Sequence[Wait]) -> Iterator[str]:
    """Who waited for whom, line by line, and the circle if there is one."""
    for wait in waits:
        yield wait.text
    if circle := cycle(waits):
        yield f"a circle: {' -> '.join((*circle, circle[0]))}"


def deliver(report: Report, as_json: bool, console: Console) -> int:
    """Show a report: JSON to stdout if asked for, tables to `console`; gives the exit code."""
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        sys.stdout.buffer.flush()
    show(report, console)
    return report.exit_code


def show(report: Report, console: Console) -> None:
    """The tables and lines for people; the last line of a failure replays it."""
    if report.phases:
        console.print(_phases(report))
    console.print(_properties(report))
    for attempt in report.attempts:
        console.print(f"attempt {attempt.number}: {attempt.outcome or 'not over'}", highlight=False)
    if not report.attempts:
        console.print("no attempt to suspend the host")
    for finding in report.findings:
        console.print(_finding(finding), soft_wrap=True)
        for message in finding.messages:
            console.print(Text(f"    {message}", style="dim"), soft_wrap=True)
    for line in waiting_lines(report.waits):
        _line(console, "waiting: ", line)
    for loss in report.lost:
        _line(console, "lost: ", f"INTID {loss.intid} in {loss.block} (record {loss.position})")
    for text in report.undecided:
        _line(console, "undecided: ", text)
    missed = [name for name, reached in report.sometimes.items() if not reached]
    if missed:
        _line(console, "sometimes, but not in this run: ", ", ".join(missed))
    verdict = Text(report.verdict, style=f"bold {STYLES[report.verdict]}")
    reason = f" ({report.trouble})" if report.trouble else ""
    console.print(Text.assemble("verdict: ", verdict, reason), soft_wrap=True)
    counts = (
        f"seed {report.seed}, {report.turns} turns, {report.messages} messages, "
        f"composition {report.composition}"
    )
    _line(console, "", counts)
    _line(console, "journal: ", report.journal)
    _line(console, "replay:  ", report.replay)


def _line(console: Console, label: str, text: str) -> None:
    """A line that is not folded, so that it can be copied."""
    console.print(Text(label + text), soft_wrap=True)


def _phases(report: Report) -> Table:
    table = Table("phase", "step", "node", title="phases, in board time")
    table.add_column("begin", justify="right")
    table.add_column("duration", justify="right")
    table.add_column("error", justify="right")
    for phase in report.phases:
        lasted = "-" if phase.end_ns is None else duration(phase.end_ns - phase.start_ns)
        begin = f"{phase.start_ns / MS:.3f} ms"
        error = str(phase.error) if phase.error else ""
        table.add_row(phase.label, phase.name, phase.node, begin, lasted, error)
    return table


def duration(span_ns: int) -> str:
    """A span of board time for people: microseconds below a millisecond, else milliseconds."""
    return f"{span_ns / US:.2f} us" if span_ns < MS else f"{span_ns / MS:.2f} ms"


def _properties(report: Report) -> Table:
    surprises = {finding.property for finding in report.findings if not finding.expected}
    shown = {
        name: Text(f"{verdict}, as expected", style="dim")
        if verdict == VIOLATED and name not in surprises
        else Text(verdict, style=STYLES.get(verdict, "dim"))
        for name, verdict in report.properties.items()
    }
    table = Table()
    table.add_column("property", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what it demands")
    for name, verdict in shown.items():
        # A narrow terminal cuts the end of this one off.
        demand = DEMANDS[name]
        clause = Text(demand.clause, no_wrap=True, overflow="ellipsis")
        table.add_row(name, demand.kind, verdict, clause)
    return table


def _finding(finding: Finding) -> Text:
    mark = f" [expected: {finding.because}]" if finding.expected else ""
    noun = "record" if len(finding.positions) == 1 else "records"
    where = f"{noun} {', '.join(map(str, finding.positions))}"
    style = "dim" if finding.expected else "red"
    return Text(f"{finding.property}: {finding.text} ({where}){mark}", style=style)
