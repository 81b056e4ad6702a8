"""Clients: command lines of people at a board that stays up, to the operator."""

from typing import ClassVar

from proto.messages.base import Message
from proto.scenario import Step


class Operate(Message, frozen=True):
    """A client asks the operator to carry out a step now; answered by `OperateResult`."""

    tx: int
    step: Step
    link: ClassVar[str] = "operator"


class AwaitSteps(Message, frozen=True):
    """A client waits until the scenario's own steps are carried out; answered likewise."""

    tx: int
    link: ClassVar[str] = "operator"


class ReadConsole(Message, frozen=True):
    """A client asks what a console (-1: Xen's) has printed; answered by `OperateResult`.

    `first` counts lines from 0, or back from the end if it is negative. The answer comes as soon as
    there is a line or the power LED changes, at the latest after `within_ms` of board time.
    """

    tx: int
    domain: int
    first: int
    within_ms: int = 0
    link: ClassVar[str] = "operator"


class EndScenario(Message, frozen=True):
    """A client ends an open scenario: the board goes down; only a refusal is answered."""

    tx: int
    link: ClassVar[str] = "operator"


class OperateResult(Message, frozen=True):
    """The operator's answer to a client: what came of it, and the power LED as it is now.

    `status` is the exit status of an `xl` step, -1 without one. `next_line` is the number of the
    first line that the console has not printed yet. `reason` says why `ok` is false; `refused`
    means that nothing was begun.
    """

    tx: int
    ok: bool
    lines: tuple[str, ...] = ()
    status: int = -1
    reason: str = ""
    power: str = ""
    next_line: int = 0
    refused: bool = False
    link: ClassVar[str] = "operator"
