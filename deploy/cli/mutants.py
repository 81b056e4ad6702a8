"""`torpor mutants`: every known bug: is it found, by which property, after how many schedules."""

import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.cli.report import command
from deploy.explore.explorer import explore
from deploy.explore.failures import summary
from deploy.explore.hunt import Hunted, control, hunt, mutant_in
from deploy.loading import SEED_MAX, Overrides, UsageError, resolve
from deploy.patching import shipped_mutants
from proto.patch import Mutant, PatchError

EXIT_VIOLATED: Final = 1
BASELINE: Final = "baseline"
CONTROL_MIN: Final = 20
"""Schedules of a mutant's board without its bug, if it was caught after fewer."""


class MutantReport(msgspec.Struct, frozen=True, kw_only=True):
    """One row: `caught` means by the property of its file, in every exploration.

    `schedules` are the numbers until it was caught, one for each seed (none if it was not);
    `strategy` is what caught it most often. `control` is what the same board without the bug shows
    over `control_schedules` schedules; empty is as it should be.
    """

    id: str
    section: str
    core: bool
    caught: bool
    property: str
    schedules_median: float | None
    strategy: str
    schedules: tuple[int | None, ...]
    crashes: int
    control: str
    control_schedules: int


class BaselineReport(msgspec.Struct, frozen=True, kw_only=True):
    """The board that has none of the bugs, over as many schedules as the rarest mutant needed."""

    clean: bool
    schedules: int
    found: str


class MutantsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The `--json` object."""

    mutants: tuple[MutantReport, ...]
    baseline: BaselineReport
    seeds: int
    again: str


def mutants(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID|FILE...", help="Which; without any, all that are shipped."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Explorations for each.")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Seed of the first one.")] = 0,
    schedules: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="At most so many for an exploration.")
    ] = None,
    baseline: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Schedules of the board without bugs.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; default: one per core.")
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="Only list the known bugs.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Look for every known bug, and for nothing in the board that has none.

    The exit code is 1 if a bug is not caught, or something is found where there is no bug.
    """
    chosen = list(dict.fromkeys(ids or shipped_mutants()))
    try:
        described = {name: mutant_in(name) for name in chosen}
    except PatchError as error:
        raise UsageError(str(error)) from error
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if names:
        _list(described)
        return 0
    with ProcessPoolExecutor(jobs or os.cpu_count() or 1, get_context("spawn")) as pool:
        hunts = {
            name: [pool.submit(hunt, name, seed + number, schedules) for number in range(seeds)]
            for name in chosen
        }
        rows = []
        for name in chosen:
            hunted = Hunted(described[name], [future.result() for future in hunts[name]])
            rows.append(_row(hunted, name, seed, pool))
        reports = tuple(_finished(row, future, console) for row, future in rows)
        rarest = max((max(filter(None, row.schedules), default=0) for row in reports), default=0)
        clean = pool.submit(_baseline, baseline or max(rarest, CONTROL_MIN), seed).result()
    report = MutantsReport(
        mutants=reports, baseline=clean, seeds=seeds, again=command(*sys.argv[1:])
    )
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    _show(report, console)
    good = clean.clean and all(row.caught and not row.control for row in reports)
    return 0 if good else EXIT_VIOLATED


def _list(described: dict[str, Mutant]) -> None:
    for name, mutant in described.items():
        core = "*" if mutant.core else " "
        sys.stdout.write(f"{mutant.section}{core} {name}: {mutant.title} [{mutant.property}]\n")


Pending = tuple[MutantReport, "Future[str]"]


def _row(hunted: Hunted, name: str, seed: int, pool: ProcessPoolExecutor) -> Pending:
    """What the hunts came to; the control over as many schedules is under way."""
    counts = tuple(found.caught_after for found in hunted.hunts)
    strategies = [found.strategy for found in hunted.hunts if found.strategy]
    after = max(max(filter(None, counts), default=0), CONTROL_MIN)
    row = MutantReport(
        id=hunted.mutant.id,
        section=hunted.mutant.section,
        core=hunted.mutant.core,
        caught=hunted.caught,
        property=hunted.mutant.property,
        schedules_median=hunted.schedules_median,
        strategy=max(sorted(set(strategies)), key=strategies.count, default=""),
        schedules=counts,
        crashes=sum(found.crashes for found in hunted.hunts),
        control="",
        control_schedules=after,
    )
    return row, pool.submit(_control, name, seed, after)


def _control(name: str, seed: int, schedules: int) -> str:
    failures = control(name, seed, schedules).failures
    return summary(failures[0]) if failures else ""


def _finished(row: MutantReport, pending: "Future[str]", console: Console) -> MutantReport:
    row = msgspec.structs.replace(row, control=pending.result())
    median = "-" if row.schedules_median is None else f"{row.schedules_median:g}"
    style = "" if row.caught and not row.control else "red"
    text = f"{row.id}: {'caught' if row.caught else 'NOT caught'} by {row.property}, {median}"
    console.print(Text(text, style=style))
    return row


def _baseline(schedules: int, seed: int) -> BaselineReport:
    progress = explore(resolve(BASELINE, Overrides(seed=seed)), "portfolio", schedules)
    found = summary(progress.failures[0]) if progress.failures else ""
    return BaselineReport(clean=not found, schedules=progress.done, found=found)


def _show(report: MutantsReport, console: Console) -> None:
    table = Table("", "mutant", "caught", "property", "schedules", "by", "without the bug")
    for row in report.mutants:
        median = "-" if row.schedules_median is None else f"{row.schedules_median:g}"
        caught = sum(count is not None for count in row.schedules)
        clean = f"{row.control_schedules} clean"
        table.add_row(
            f"{row.section}{'*' if row.core else ''}",
            row.id,
            Text(f"{caught}/{report.seeds}", style="green" if row.caught else "red"),
            row.property,
            median,
            row.strategy,
            Text(row.control, style="red") if row.control else clean,
        )
    console.print(table)
    caught = sum(row.caught for row in report.mutants)
    plain = report.baseline
    what = f"clean over {plain.schedules} schedules" if plain.clean else plain.found
    console.print(Text(f"{caught} of {len(report.mutants)} mutants are caught; baseline: {what}"))
    console.print(Text(f"again: {report.again}"))
