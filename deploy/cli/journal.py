"""`torpor journal`: looking into journals."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bus.journal import Journal
from deploy.cli.evidence import read_any_journal
from deploy.cli.usage import PlainUsage, help_without_command
from deploy.lines import Lines
from deploy.loading import UsageError, code_hash

app = typer.Typer(help="Look into journals.", invoke_without_command=True)
app.callback()(help_without_command)


@app.command(cls=PlainUsage, epilog="Example: torpor journal cat runs/last/journal --grep 'Phase'")
def cat(
    path: Annotated[Path, typer.Argument(metavar="JOURNAL", help="Journal of a run.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    grep: Annotated[
        str | None, typer.Option(metavar="RE", help="Only lines in which this is found.")
    ] = None,
) -> int:
    """Print the records of a journal, one line each.

    A line is the record's number, the board time, the node, what reached it, and what it did.
    """
    wanted = _pattern(grep)
    read = read_any_journal(path)
    own = read.header.board.code == code_hash()
    lines: Iterable[str] = _json_lines(read) if json else Lines(read, own)
    try:
        for line in lines:
            if wanted is None or wanted.search(line):
                typer.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the lines has seen enough: the exit must not flush into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not own and not json:
        typer.echo(f"{path} was made by other code: its cells are not named", err=True)
    if read.torn:
        typer.echo(f"{path} is torn: its last record is incomplete", err=True)
    return 0


def _pattern(expression: str | None) -> re.Pattern[str] | None:
    try:
        return None if expression is None else re.compile(expression)
    except re.error as error:
        raise UsageError(f"--grep: {expression!r} is no regular expression: {error}") from error


def _json_lines(read: Journal) -> Iterator[str]:
    for position, record in enumerate(read.records):
        yield msgspec.json.encode({"position": position, "record": _named(record)}).decode()


def _named(value: object) -> object:
    """A record with its fields by name: on the wire structs are arrays."""
    if isinstance(value, msgspec.Struct):
        fields = {name: _named(getattr(value, name)) for name in value.__struct_fields__}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_named(item) for item in value]
    return value
