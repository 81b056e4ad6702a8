"""What the commands at a running board share: asking its operator, and saying what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from bus.client import BoardGone, BoardSilent, Client, RefusedByBoard
from deploy.boards import BoardFolder
from deploy.loading import UsageError
from proto.messages import Operate, OperateResult, ReadConsole
from proto.scenario import Step

EXIT_NO_ANSWER: Final = 3
MARGIN_S = 10.0
"""Real time an answer may take beyond the board time that was granted."""

XEN: Final = -1
"""The number of Xen's console in `ReadConsole`."""


class NoAnswer(Exception):
    """The board is there and does not do what was asked: one line, exit code 3."""


@contextmanager
def joined(board: BoardFolder) -> Iterator[Client]:
    """A client of the board; what goes wrong on the way is one line."""
    try:
        with board.join() as client:
            yield client
    except (BoardGone, BoardSilent) as error:
        raise NoAnswer(f"{board.name}: {error}; see `torpor status`") from error
    except RefusedByBoard as error:
        if not board.is_of_this_code:
            raise UsageError(
                f"{board.name} was started before the code was changed; "
                f"`torpor down --board {board.name}` ends it, `torpor up` starts another"
            ) from error
        raise UsageError(f"{board.name} refuses this command: {error}") from error


def operate(board: BoardFolder, client: Client, step: Step, limit_ms: int) -> OperateResult:
    """Have the operator carry out a step; what cannot be done on this board is bad usage."""
    answer = client.ask(Operate(client.tx, step), _limit_s(board, limit_ms))
    assert isinstance(answer, OperateResult), f"the operator answers a step with {answer}"
    if answer.refused:
        raise UsageError(answer.reason)
    return answer


def read_console(
    board: BoardFolder, client: Client, domain: int, first: int, within_ms: int = 0
) -> OperateResult:
    """What a console has printed from a line on; see `ReadConsole`."""
    question = ReadConsole(client.tx, domain, first, within_ms)
    answer = client.ask(question, _limit_s(board, within_ms))
    assert isinstance(answer, OperateResult), f"the operator answers a reader with {answer}"
    if answer.refused:
        raise UsageError(answer.reason)
    return answer


def say(lines: tuple[str, ...]) -> None:
    """Lines of the board, to stdout, at once."""
    for line in lines:
        typer.echo(line)


def _limit_s(board: BoardFolder, limit_ms: int) -> float:
    return limit_ms / 1000 * board.state.time_scale + MARGIN_S
