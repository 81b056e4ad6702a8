"""`torpor check`: the properties, offline; with two journals also I12, which compares them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bus.journal import Journal
from deploy.cli.evidence import read_own_journal
from deploy.cli.report import EXIT_CODES, deliver, report_on
from services.monitor.compare import CLAUSE, NAME, differences
from services.monitor.prop import PASS, VIOLATED
from services.monitor.verdict import judge


def check(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="Journal of a run.")],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="OTHER", help="A second journal, to compare what woke the guests."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Judge a journal: every property, offline.

    With a second journal: does each guest of both wake alike (I12)? It gets a line of its own.
    """
    console = Console(stderr=True)
    read = read_own_journal(journal)
    second = None if other is None else read_own_journal(other)
    report = report_on(read.header.board, read.header.world, judge(read), journal)
    code = deliver(report, json, console)
    if second is None:
        return code
    compared = compare(read, second, console)
    return compared if compared == EXIT_CODES[VIOLATED] else code


def compare(one: Journal, other: Journal, console: Console) -> int:
    """Say for which guests waking differs; gives the exit code."""
    found = differences(one, other)
    for difference in found:
        console.print(Text(f"{NAME}: {difference.text}", style="red"), soft_wrap=True)
    verdict = VIOLATED if found else PASS
    console.print(Text(f"{NAME}: {verdict}: {CLAUSE}"), soft_wrap=True)
    return EXIT_CODES[verdict]
