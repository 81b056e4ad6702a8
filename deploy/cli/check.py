"""`torpor check`: the properties, offline."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.cli.evidence import read_own_journal
from deploy.cli.report import deliver, report_on
from services.monitor.verdict import judge


def check(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="Journal of a run.")],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Judge a journal: every property, offline."""
    read = read_own_journal(journal)
    report = report_on(read.header.board, read.header.world, judge(read), journal)
    return deliver(report, json, Console(stderr=True))
