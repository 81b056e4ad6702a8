"""`torpor shrink`: the smallest scenario and schedule that fail as a tape does."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from bus.runfolder import RunFolder
from bus.world.strategies import Diverged
from bus.world.tape import Tape
from deploy.cli.evidence import read_evidence
from deploy.cli.report import command
from deploy.loading import UsageError
from deploy.shrink.decisive import decisive_pair
from deploy.shrink.outputs import Shrunk, write
from deploy.shrink.reduce import reduce
from deploy.shrink.trial import Case, Lab, case_of, reason_of
from proto.units import MS
from services.monitor.prop import Finding

EXIT_VIOLATED = 1
PATIENCE = 2
"""How many times as long as the tape's run a try may take, in board time."""
PATIENCE_MIN_NS = 20 * MS


class ShrinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """The `--json` object; `minimal` is false if the tries were used up before the end."""

    property: str
    finding: str
    choices_before: int
    delays_before: int
    delays: int
    share: float
    pes: int
    domains: int
    steps: int
    points: int
    tries: int
    minimal: bool
    decisive: str
    folder: str
    tape: str
    replay: str


def shrink(
    tape: Annotated[Path, typer.Argument(metavar="TAPE", help="Tape of a run that fails.")],
    wanted: Annotated[
        str | None,
        typer.Option("--property", help="Which failure, if there are several; default: the first."),
    ] = None,
    tries: Annotated[int, typer.Option(min=1, max=10**6, help="Runs that may be made.")] = 5000,
    run_folder: Annotated[Path | None, typer.Option(help="Where the result goes.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Take away PEs, domains, steps, points and delays until nothing can go, and tell the story.

    The exit code is 1: what is left still fails.
    """
    evidence = read_evidence(tape)
    if not isinstance(evidence, Tape):
        raise UsageError(f"{tape} is a journal; give the tape beside it")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    case, finding, end_ns = _failing(evidence, tape, wanted)
    lab = Lab(reason_of(finding), tries, max(PATIENCE_MIN_NS, PATIENCE * end_ns))
    console.print(Text(f"shrinking {finding.property}: {finding.text}"))
    console.print(_line(case, lab))
    with Watch(console, lab) as watch:
        smallest = reduce(case, lab, watch.tell)
    minimal = not lab.exhausted
    pair = decisive_pair(smallest, Lab(lab.reason, 10**6, lab.patience_ns))
    with RunFolder(run_folder) as folder:
        shrunk = Shrunk(
            case=smallest,
            finding=finding,
            pair=pair,
            choices_before=len(evidence.choices),
            delays_before=len(case.delays),
            tries=lab.tries,
            minimal=minimal,
            folder=folder.path,
        )
        write(shrunk, lab)
    report = _report(shrunk)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    _show(report, console)
    return EXIT_VIOLATED


def _failing(tape: Tape, path: Path, wanted: str | None) -> tuple[Case, Finding, int]:
    """The case of a tape, what is to be found again, and when its run ends."""
    try:
        case, played = case_of(tape)
    except Diverged as error:
        raise UsageError(f"{path} does not fit its board: {error}") from error
    verdict = played.verdict
    surprises = [] if verdict is None else [one for one in verdict.findings if not one.expected]
    names = list(dict.fromkeys(found.property for found in surprises))
    if played.crash:
        raise UsageError(f"{path}: a node raised {played.crash}; replay it, there is no property")
    if not surprises:
        raise UsageError(f"{path}: its run violates nothing that is not expected; nothing to do")
    if wanted is not None and wanted not in names:
        raise UsageError(f"--property: its run violates {', '.join(names)}, not {wanted}")
    finding = next(one for one in surprises if wanted in (None, one.property))
    return case, finding, played.ended_ns


class Watch:
    """Progress on a terminal; a line for each success anywhere else."""

    def __init__(self, console: Console, lab: Lab) -> None:
        self._console = console
        self._lab = lab
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._told: tuple[int, ...] = ()

    def __enter__(self) -> "Watch":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, case: Case, tries: int) -> None:
        """Show how small it is by now."""
        line = _line(case, self._lab)
        if self._live is not None:
            self._live.update(line)
        elif case.size != self._told:
            self._told = case.size
            self._console.print(line)


def _line(case: Case, lab: Lab) -> Text:
    scenario = case.board.scenario
    return Text(
        f"after {lab.tries} tries: {len(case.delays)} delays, {case.board.platform.pes} PEs, "
        f"{len(scenario.domains)} domains, {len(scenario.steps)} steps, "
        f"{len(scenario.points)} points"
    )


def _report(shrunk: Shrunk) -> ShrinkReport:
    board = shrunk.case.board
    return ShrinkReport(
        property=shrunk.finding.property,
        finding=shrunk.finding.text,
        choices_before=shrunk.choices_before,
        delays_before=shrunk.delays_before,
        delays=len(shrunk.case.delays),
        share=round(shrunk.share, 6),
        pes=board.platform.pes,
        domains=len(board.scenario.domains),
        steps=len(board.scenario.steps),
        points=len(board.scenario.points),
        tries=shrunk.tries,
        minimal=shrunk.minimal,
        decisive="" if shrunk.pair is None else f"at {shrunk.pair.node}: {shrunk.pair.text}",
        folder=str(shrunk.folder),
        tape=str(shrunk.tape),
        replay=command("replay", str(shrunk.tape)),
    )


def _show(report: ShrinkReport, console: Console) -> None:
    what = "minimal" if report.minimal else "as small as the tries allowed"
    console.print(
        Text(
            f"{what} after {report.tries} tries: {report.delays} of {report.choices_before} "
            f"choices ({report.share:.2%}), {report.pes} PEs, {report.domains} domains, "
            f"{report.steps} steps, {report.points} points"
        )
    )
    console.print(Text(f"decisive: {report.decisive or 'no pair of events was found'}"))
    console.print(Text(f"report:   {report.folder}/report.md"))
    console.print(Text(f"diagram:  {report.folder}/diagram.svg"))
    console.print(Text(f"replay:   {report.replay}"))
