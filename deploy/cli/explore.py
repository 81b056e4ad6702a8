"""`torpor explore`: many schedules of one scenario, until one fails."""

import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bus.runfolder import RunFolder
from deploy.cli.report import command
from deploy.cli.run import MutantOption
from deploy.explore.explorer import Progress, Result, explore
from deploy.explore.failures import CLAUSES, Kept, distinct, keep, kind_of, summary
from deploy.explore.plan import BOUNDED, STRATEGIES
from deploy.loading import SEED_MAX, Overrides, UsageError, power_model, resolve
from deploy.psci.board import bare_board
from proto.board import Board
from proto.platform import PowerModel
from proto.scenario import Finding as KnownFinding
from services.monitor.prop import Finding

EXIT_VIOLATED, EXIT_INCONCLUSIVE = 1, 3
NAMES: Final = (*STRATEGIES, BOUNDED)
QUIET_S: Final = 5.0
"""How often progress is told where nobody watches a terminal."""


class FailureReport(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure: its first schedule, how often it came, and where it is written down."""

    summary: str
    schedule: int
    strategy: str
    seed: int
    times: int
    findings: tuple[Finding, ...]
    crash: str
    tape: str
    journal: str
    report: str
    replay: str


class ExploreReport(msgspec.Struct, frozen=True, kw_only=True):
    """The `--json` object of an exploration.

    `states` counts the states of pairs of nodes that were reached; a bounded search also counts the
    `worlds` in which there was a choice to make, and is `complete` if it has tried everything
    within its bound. `expected` counts schedules with findings that the profile is known for.
    """

    scenario: str
    platform: str
    profile: str
    power_model: PowerModel
    patches: tuple[str, ...]
    composition: str
    strategy: str
    seed: int
    schedules: int
    strategies: dict[str, int]
    seconds: float
    per_second: float
    states: int
    worlds: int
    complete: bool
    expected: dict[str, int]
    sometimes: dict[str, int]
    never: tuple[str, ...]
    failures: tuple[FailureReport, ...]
    again: str


def explore_command(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Name or path of a scenario.")
    ],
    seeds: Annotated[int, typer.Option(min=1, max=10**9, help="How many schedules.")] = 200,
    strategy: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")] = "portfolio",
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; default: one per core.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Go on after a failure, and keep one of each kind.")
    ] = False,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--property", help="Look for violations of this one only, expected ones included."
        ),
    ] = None,
    bound: Annotated[
        int, typer.Option(min=0, max=64, help="Delays that `bounded` may spend on a schedule.")
    ] = 2,
    case: Annotated[
        str | None,
        typer.Option(metavar="ID", help="SCENARIO is a vector file: explore this case of its."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=SEED_MAX, help="Seed of the exploration.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Version of the series.")] = None,
    platform: Annotated[str | None, typer.Option(help="Board to build.")] = None,
    power: Annotated[str | None, typer.Option(help="What loses its state asleep.")] = None,
    mutant: MutantOption = None,
    run_folder: Annotated[Path | None, typer.Option(help="Where failures are kept.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Run a scenario under many schedules and keep the first that fails.

    The exit code is 1 for a violated property, 3 if only a node raised, 0 for nothing found.
    """
    if strategy not in NAMES:
        raise UsageError(f"--strategy: expected one of {', '.join(NAMES)}, got {strategy!r}")
    if case is not None:
        _refuse(
            {"--profile": profile, "--platform": platform, "--power": power, "--mutant": mutant}
        )
        board = bare_board(scenario, case, seed or 0)
    else:
        model = None if power is None else power_model(power)
        board = resolve(scenario, Overrides(platform, profile, model, seed, tuple(mutant or ())))
    if board.scenario.open:
        raise UsageError(f"scenario {scenario} stays open; start it with `torpor up {scenario}`")
    if wanted is not None:
        board = nothing_expected(board, wanted)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    workers = 1 if strategy == BOUNDED else jobs or os.cpu_count() or 1
    with RunFolder(run_folder) as folder, Show(board, strategy, seeds, workers, console) as show:
        progress = explore(
            board,
            strategy,
            seeds,
            jobs=workers,
            stop=(lambda result: False) if every else partial(_is_wanted, wanted),
            bound=bound,
            tell=show.tell,
        )
        kept = [
            keep(board, failures[0], folder.path, progress)
            for failures in distinct(_wanted(progress, wanted)).values()
        ]
    report = report_on(board, strategy, progress, kept, wanted)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    deliver(report, console)
    if any(failure.findings for failure in report.failures):
        return EXIT_VIOLATED
    return EXIT_INCONCLUSIVE if report.failures else 0


def nothing_expected(board: Board, name: str) -> Board:
    """The board on which findings of a property surprise, also those that it is known for."""
    if name not in CLAUSES:
        raise UsageError(f"--property: expected one of {', '.join(CLAUSES)}, got {name!r}")

    def others(known: tuple[KnownFinding, ...]) -> tuple[KnownFinding, ...]:
        return tuple(finding for finding in known if finding.property != name)

    profile, scenario = board.profile, board.scenario
    return msgspec.structs.replace(
        board,
        profile=msgspec.structs.replace(
            profile, expected_findings=others(profile.expected_findings)
        ),
        scenario=msgspec.structs.replace(
            scenario, expected_findings=others(scenario.expected_findings)
        ),
    )


def _is_wanted(name: str | None, result: Result) -> bool:
    if name is None:
        return result.failed
    return any(found.property == name for found in result.surprises)


def _wanted(progress: Progress, name: str | None) -> list[Result]:
    return [result for result in progress.failures if _is_wanted(name, result)]


def _refuse(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{name} has no meaning for a case of calls, which says its own board")


class Show:
    """Progress: one line that changes on a terminal, a line now and then anywhere else."""

    def __init__(
        self, board: Board, strategy: str, wanted: int, jobs: int, console: Console
    ) -> None:
        self._console = console
        self._wanted = wanted
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._told_s = time.monotonic()
        scenario = board.scenario
        patches = "".join(f", with {patch.name}" for patch in board.patches)
        workers = "one process" if jobs == 1 else f"{jobs} processes"
        console.print(
            Text(
                f"exploring {scenario.name}: profile {board.profile.name}, platform "
                f"{board.platform.name}{patches}; {wanted} schedules by {strategy}, seed "
                f"{scenario.seed}, {workers}"
            )
        )

    def __enter__(self) -> "Show":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, progress: Progress) -> None:
        """Show how far it is."""
        now_s = time.monotonic()
        if self._live is not None:
            self._live.update(self._line(progress))
        elif now_s - self._told_s > QUIET_S:
            self._told_s = now_s
            self._console.print(self._line(progress))

    def _line(self, progress: Progress) -> Text:
        left_s = (self._wanted - progress.done) / max(progress.per_second, 1e-9)
        found = len(distinct(progress.failures))
        return Text(
            f"{progress.done}/{self._wanted} schedules, {progress.per_second:.1f}/s, "
            f"{progress.states} states, {_clock(left_s)} left, "
            f"{found} kind{'' if found == 1 else 's'} of failure"
        )


def _clock(span_s: float) -> str:
    minutes, seconds = divmod(int(span_s), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def report_on(
    board: Board, strategy: str, progress: Progress, kept: list[Kept], wanted: str | None
) -> ExploreReport:
    """Everything an exploration has to say."""
    kinds = distinct(_wanted(progress, wanted))
    scenario = board.scenario
    return ExploreReport(
        scenario=scenario.name,
        platform=board.platform.name,
        profile=board.profile.name,
        power_model=scenario.power_model,
        patches=tuple(patch.name for patch in board.patches),
        composition=board.composition,
        strategy=strategy,
        seed=scenario.seed,
        schedules=progress.done,
        strategies=progress.strategies,
        seconds=round(progress.elapsed_s, 3),
        per_second=round(progress.per_second, 2),
        states=progress.states,
        worlds=progress.worlds,
        complete=progress.complete,
        expected=progress.expected,
        sometimes={name: times for name, times in progress.sometimes.items() if times},
        never=tuple(name for name, times in progress.sometimes.items() if not times),
        failures=tuple(_failure(found, len(kinds[kind_of(found.result)])) for found in kept),
        again=command(*sys.argv[1:]),
    )


def _failure(kept: Kept, times: int) -> FailureReport:
    result = kept.result
    return FailureReport(
        summary=summary(result),
        schedule=result.index,
        strategy=result.strategy,
        seed=result.seed,
        times=times,
        findings=result.surprises,
        crash=result.crash,
        tape=str(kept.tape),
        journal=str(kept.journal),
        report=str(kept.page),
        replay=command("replay", str(kept.tape)),
    )


def deliver(report: ExploreReport, console: Console) -> None:
    """The lines for people."""
    table = Table("interleaving", "in schedules")
    for name in (*report.sometimes, *report.never):
        times = report.sometimes.get(name, 0)
        table.add_row(name, str(times) if times else Text("never reached", style="yellow"))
    console.print(table)
    console.print(
        Text(
            f"{report.schedules} schedules in {report.seconds:.1f} s ({report.per_second:.1f}/s), "
            f"{report.states} states"
            + (f", {report.worlds} worlds with a choice" if report.worlds else "")
            + (", complete within the bound" if report.complete else "")
        )
    )
    for name, times in report.expected.items():
        console.print(Text(f"expected: {name} in {times} schedules", style="dim"))
    for failure in report.failures:
        console.print(Text(f"schedule {failure.schedule}: {failure.summary}", style="red"))
        if failure.times > 1:
            console.print(Text(f"  and {failure.times - 1} more of this kind", style="red"))
        console.print(Text(f"report:  {failure.report}"))
        console.print(Text(f"replay:  {failure.replay}"))
        console.print(Text(f"shrink:  {command('shrink', failure.tape)}"))
    if not report.failures:
        console.print(Text("nothing found", style="green"))
    console.print(Text(f"again:   {report.again}"))
