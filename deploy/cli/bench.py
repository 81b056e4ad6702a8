"""What a person does at a running board: `torpor xl`, `irq`, `wake` and `console`."""

import os
import re
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bus.client import Client
from deploy.boards import BoardFolder, choose_running
from deploy.cli.talk import XEN, NoAnswer, joined, operate, read_console, say
from deploy.loading import UsageError
from proto.messages import OperateResult
from proto.scenario import Step, TypeLine, Wake, XlCommand

BoardOption = Annotated[
    Path | None, typer.Option("--board", metavar="DIR", help="Run folder of the board.")
]
Timeout = Annotated[
    float, typer.Option(min=0.001, max=86_400, help="Seconds of board time to wait.")
]

_PROMPT = re.compile(r"dom\d+ \[\d+\]#")
_CONSOLE = re.compile(r"(?:dom|tty)?(\d)")
_INTID = re.compile(r"[0-9]{1,4}")
"""A GICv2 has 1020 interrupts; what is longer is the name of no device."""

LINE_MAX = 4096
"""Bytes of a line that a terminal gives at once."""

FOLLOW_MS = 3_600_000
"""How long one look at a quiet console lasts, in board time."""


def xl(
    arguments: Annotated[list[str], typer.Argument(metavar="ARGS", help="As for `xl`.")],
    from_domain: Annotated[int, typer.Option("--from", help="Domain whose shell runs it.")] = 0,
    timeout: Timeout = 10.0,
    board: BoardOption = None,
) -> int:
    """Type `xl ARGS...` in a control domain; print what it prints, exit with its status.

    Exit code 3 means that the domain does not answer.
    """
    limit_ms = _milliseconds(timeout)
    try:
        command = XlCommand(
            command=" ".join(arguments), from_domain=from_domain, within_ms=limit_ms
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    answer = _do(choose_running(board), Step(xl=command), limit_ms)
    if answer.status < 0:
        raise NoAnswer(answer.reason)
    return answer.status


def irq(
    source: Annotated[str, typer.Argument(metavar="INTID|DEVICE", help="Whose line to raise.")],
    board: BoardOption = None,
) -> int:
    """Raise the interrupt line of a device, named or by its INTID."""
    return _report(_do(choose_running(board), Step(irq=_source(source)), 0))


def wake(
    source: Annotated[str, typer.Argument(metavar="DEVICE|INTID", help="Which one to press.")],
    timeout: Timeout = 10.0,
    board: BoardOption = None,
) -> int:
    """Press a wake source and wait until the board is awake.

    Exit code 3 means that the board still sleeps.
    """
    limit_ms = _milliseconds(timeout)
    step = Step(wake=Wake(source=_source(source), within_ms=limit_ms))
    return _report(_do(choose_running(board), step, limit_ms))


def console(
    who: Annotated[str, typer.Argument(metavar="DOM|xen", help="dom0, 0, ..., or xen.")],
    line: Annotated[str | None, typer.Option(metavar="TEXT", help="Type this line.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="How many old lines.")] = 20,
    timeout: Timeout = 5.0,
    board: BoardOption = None,
) -> int:
    """Show a console's last lines, type a line and show its output, or follow it.

    A typed line's output ends at the shell's prompt, when the host falls asleep, or after the
    timeout. With --follow on a terminal every line you enter is typed.
    """
    domain = _console(who)
    if line is not None and (domain == XEN or not line.isprintable()):
        reason = "Xen's console has no shell" if domain == XEN else f"{line!r} is not one line"
        raise UsageError(f"--line: {reason}; type a line of text on a domain's console")
    chosen = choose_running(board)
    with joined(chosen) as client:
        if line is None:
            seen = read_console(chosen, client, domain, -lines)
        else:
            seen = read_console(chosen, client, domain, -1)
            operate(chosen, client, Step(type_line=TypeLine(domain=domain, line=line)), 0)
        if line is None:
            say(seen.lines)
        elif not follow:
            _show_output(chosen, client, domain, seen.next_line, timeout)
        if follow:
            _follow(chosen, client, domain, seen.next_line)
    return 0


# -- one step


def _do(board: BoardFolder, step: Step, limit_ms: int) -> OperateResult:
    """Have a step carried out and show its lines."""
    with joined(board) as client:
        answer = operate(board, client, step, limit_ms)
    say(answer.lines)
    return answer


def _report(answer: OperateResult) -> int:
    if not answer.ok:
        raise NoAnswer(answer.reason)
    return 0


def _source(word: str) -> str | int:
    return int(word) if _INTID.fullmatch(word) else word


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _console(who: str) -> int:
    if who == "xen":
        return XEN
    found = _CONSOLE.fullmatch(who)
    if found is None:
        raise UsageError(f"there is no console {who!r}; name a domain (dom0, 0, ...) or xen")
    return int(found[1])


# -- consoles


def _show_output(
    board: BoardFolder, client: Client, domain: int, first: int, timeout: float
) -> None:
    """Print what a typed line leads to, up to the prompt."""
    deadline_s = board.board_s + timeout
    while (left_s := deadline_s - board.board_s) > 0:
        seen = read_console(board, client, domain, first, _milliseconds(left_s))
        say(seen.lines)
        first = seen.next_line
        if any(_PROMPT.fullmatch(shown) for shown in seen.lines):
            return
        if seen.power in ("sleeping", "off"):
            typer.echo(f"power LED: {seen.power}", err=True)
            return
    typer.echo(f"dom{domain} has not come back to its prompt within {timeout} s", err=True)


def _follow(board: BoardFolder, client: Client, domain: int, first: int) -> None:
    """Print lines as they come; ends with Ctrl-C or with the board."""
    if sys.stdin.isatty() and domain != XEN:
        typist = threading.Thread(target=_type_lines, args=(board, domain), daemon=True)
        typist.start()
    power = ""
    try:
        while True:
            seen = read_console(board, client, domain, first, FOLLOW_MS)
            say(seen.lines)
            first = seen.next_line
            if power and seen.power != power:
                typer.echo(f"power LED: {seen.power}", err=True)
            power = seen.power
    except KeyboardInterrupt:
        return


def _type_lines(board: BoardFolder, domain: int) -> None:
    """Every line of the terminal goes to the console, each by a client of its own.

    Read without `sys.stdin`, whose lock would be in the way when this process ends.
    """
    while entered := os.read(sys.stdin.fileno(), LINE_MAX):
        typed = TypeLine(domain=domain, line=entered.decode(errors="replace").rstrip("\n"))
        with suppress(NoAnswer), joined(board) as client:  # Who follows says that it is gone.
            operate(board, client, Step(type_line=typed), 0)
