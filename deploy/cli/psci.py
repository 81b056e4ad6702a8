"""`torpor psci`: files of PSCI call vectors on bare PEs, in the simulator or on real processes."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from bus.runfolder import RunFolder
from deploy.cli.run import WorldName
from deploy.loading import SEED_MAX, UsageError
from deploy.psci.board import VECTORS
from deploy.psci.parse import FileCase, read_file
from deploy.psci.report import (
    STYLES,
    CaseReport,
    case_report,
    exit_code,
    junit,
    lines,
    vector_report,
)
from deploy.psci.run import CaseResult, LiveRun, LiveSettings, Status, run_in_sim


def psci(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Vector files; without any, the shipped ones."),
    ] = None,
    world: Annotated[WorldName, typer.Option(help="Real processes, or the simulator.")] = (
        WorldName.SIM
    ),
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Seed of every case.")] = 0,
    case: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Run only this case; may be repeated.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report.")
    ] = None,
    time_scale: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, help="Real time per board time (live; default 1)."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Boards at a time (live; default 2).")
    ] = None,
) -> int:
    """Run PSCI call vectors against the firmware, each case on a fresh board without Xen."""
    if world is WorldName.SIM and (time_scale is not None or jobs is not None):
        name = "--jobs" if time_scale is None else "--time-scale"
        raise UsageError(f"{name} has no meaning in the sim world; leave it out")
    # All files are read before anything runs: a malformed one is refused as a whole.
    cases = _chosen([found for path in _paths(files) for found in read_file(path)], case)
    if junit_file is not None:
        _check_junit(junit_file)
    console = Console(stderr=json, soft_wrap=True, highlight=False)
    with RunFolder() as folder:
        settings = LiveSettings(jobs=jobs or 2, time_scale=time_scale or 1.0)
        reports = [
            _tell(result, world.value, seed, console)
            for result in _results(cases, world, folder.path, seed, settings)
        ]
    # Live cases end in any order; the report has that of the files.
    order = {(str(found.file), found.case.id): number for number, found in enumerate(cases)}
    reports.sort(key=lambda report: order[report.file, report.id])
    report = vector_report(reports, world.value, seed)
    died = f", {report.died} died" if report.died else ""
    console.print(Text(f"{report.passed} passed, {report.failed} failed{died}"))
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    if junit_file is not None:
        junit_file.write_bytes(junit(report))
    return exit_code(reports)


def _results(
    cases: Sequence[FileCase], world: WorldName, folder: Path, seed: int, settings: LiveSettings
) -> Iterator[CaseResult]:
    if world is WorldName.SIM:
        return run_in_sim(cases, folder, seed)
    return LiveRun(cases, folder, seed, settings).results()


def _tell(result: CaseResult, world: str, seed: int, console: Console) -> CaseReport:
    """Print a case as soon as it has ended."""
    report = case_report(result, world, seed)
    first, *rest = lines(report)
    console.print(
        Text(first, style="" if result.status is Status.PASSED else STYLES[result.status])
    )
    for line in rest:
        console.print(Text(line))
    return report


def _paths(files: Sequence[str] | None) -> list[Path]:
    """Paths as they were given; names of shipped files; all shipped files for none."""
    shipped = {path.stem: path for path in sorted(VECTORS.glob("*.yaml"))}
    if not files:
        return list(shipped.values())
    return [shipped[name] if name in shipped else Path(name) for name in dict.fromkeys(files)]


def _chosen(cases: Sequence[FileCase], wanted: Sequence[str] | None) -> list[FileCase]:
    if not wanted:
        return list(cases)
    known = {found.case.id for found in cases}
    for name in wanted:
        if name not in known:
            raise UsageError(f"--case: there is no case {name!r} in these files; look for its id")
    return [found for found in cases if found.case.id in wanted]


def _check_junit(path: Path) -> None:
    """Before anything is started: the report has to have a place."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"--junit: {path} cannot be written; choose a file in an existing folder")
