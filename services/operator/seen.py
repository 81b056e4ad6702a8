"""What the operator has seen of the board: console lines, the power LED, armed points reached."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from proto.ids import NodeId

UART_NODE = NodeId("uart")
LINES_KEPT = 10_000
"""Lines of one console that the operator remembers; older ones scroll away."""


def console_node(domain: int | None) -> NodeId:
    """The serial port of a domain, or Xen's own for None."""
    return UART_NODE if domain is None else NodeId(f"tty{domain}")


class Terminal:
    """One console's terminal; lines are numbered from 0, also those that have scrolled away."""

    def __init__(self) -> None:
        self.printed = 0
        self._kept: deque[str] = deque(maxlen=LINES_KEPT)

    def show(self, line: str) -> None:
        """The console has printed a line."""
        self._kept.append(line)
        self.printed += 1

    def lines(self, first: int) -> tuple[str, ...]:
        """The lines from this number on that are still there."""
        gone = self.printed - len(self._kept)
        return tuple(islice(self._kept, max(first - gone, 0), None))

    def last(self, count: int) -> tuple[str, ...]:
        """The newest lines."""
        return self.lines(max(self.printed - count, 0))


class Seen:
    """Everything a person at the bench knows of the board."""

    def __init__(self, consoles: Sequence[NodeId]) -> None:
        self.terminals = {node: Terminal() for node in consoles}
        self.led: list[str] = []
        """States that the power LED has shown, the newest last; it does not move at boot."""
        self.reached: dict[str, int] = {}
        """Armed point to how many times a node has stood at it."""
        self.typing: dict[NodeId, object] = {}
        """Console to whoever waits for the answer to a command there: one at a time."""

    @property
    def power(self) -> str:
        """What the LED shows; empty if it has never changed."""
        return self.led[-1] if self.led else ""
