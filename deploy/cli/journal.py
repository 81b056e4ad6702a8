"""`torpor journal`: looking into journals."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bus.journal import Journal, Record, read_journal
from deploy.loading import UsageError
from proto.messages import Body
from proto.turn import CancelTimer, Effect, Fired, MessageId, Received, Send, SetTimer, Trace, Turn

app = typer.Typer(help="Look into journals.", no_args_is_help=True)


@app.callback()
def journal() -> None:
    """Look into journals."""


@app.command(epilog="Example: torpor journal cat runs/last/journal --grep 'Phase'")
def cat(
    path: Annotated[Path, typer.Argument(metavar="JOURNAL", help="Journal of a run.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    grep: Annotated[
        str | None, typer.Option(metavar="RE", help="Only lines in which this is found.")
    ] = None,
) -> int:
    """Print the records of a journal, one line each, beginning with their position."""
    wanted = _pattern(grep)
    read = read_journal(path)
    lines = _json_lines(read) if json else _text_lines(read)
    try:
        for line in lines:
            if wanted is None or wanted.search(line):
                typer.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the lines has seen enough: the exit must not flush into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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


def _text_lines(read: Journal) -> Iterator[str]:
    bodies: dict[MessageId, Body] = {}
    for position, record in enumerate(read.records):
        yield f"{position:6} {_text(record, bodies)}"


def _text(record: Record, bodies: dict[MessageId, Body]) -> str:
    if not isinstance(record, Turn):
        return f"{record.now_ns / 1e6:12.3f} ms hub {record.kind} {record.who}: {record.text}"
    answered = _input(record, bodies)
    effects = "".join(f" | {_effect(effect)}" for effect in record.effects)
    seq = record.first_seq
    for effect in record.effects:
        if isinstance(effect, Send):
            bodies[MessageId(record.node, record.incarnation, seq)] = effect.body
            seq += 1
    return f"{record.now / 1e6:12.3f} ms {record.node} < {answered}{effects}"


def _input(turn: Turn, bodies: dict[MessageId, Body]) -> str:
    match turn.input:
        case Received(message):
            return f"{message.src} {bodies.pop(message, 'a message that is not in the journal')}"
        case Fired(timer):
            return f"timer {timer}"
        case _:
            return "start"


def _effect(effect: Effect) -> str:
    match effect:
        case Send(dst, body):
            return f"> {dst} {body}"
        case SetTimer(timer, earliest_ns, latest_ns):
            return f"set timer {timer} {earliest_ns}-{latest_ns}"
        case CancelTimer(timer):
            return f"cancel timer {timer}"
        case Trace(event):
            return str(event)
