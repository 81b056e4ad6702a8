"""What a person sees while a board runs: the current step, the PEs, the domains, the consoles."""

from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from bus.journal import Record
from proto.board import Board
from proto.ids import OPERATOR
from proto.messages import SerialOutput
from proto.scenario import domain_ids
from proto.traces import (
    ClientStep,
    PauseCount,
    PePower,
    Phase,
    ScenarioStep,
    SystemState,
    TraceEvent,
)
from proto.turn import Send, Trace, Turn

CONSOLE_LINES = 12
BOOTING = "booting"


class View:
    """Follows records: a live picture on a terminal, plain lines anywhere else."""

    def __init__(self, board: Board, console: Console) -> None:
        self._console = console
        self._step = ""
        self._phase = BOOTING
        self._power = dict.fromkeys((f"pe{cpu}" for cpu in board.platform.cpus), False)
        self._paused = dict.fromkeys(domain_ids(board.scenario), 0)
        self._lines: deque[str] = deque(maxlen=CONSOLE_LINES)
        self._now = 0
        terminal = console.is_terminal
        self._live = Live(console=console, auto_refresh=False) if terminal else None

    def __enter__(self) -> "View":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def feed(self, records: Sequence[Record]) -> None:
        """Look at new records and show what they change."""
        for record in records:
            if isinstance(record, Turn):
                self._turn(record)
        if self._live is not None and records:
            self._live.update(self._picture(), refresh=True)

    def _turn(self, turn: Turn) -> None:
        self._now = max(self._now, turn.now)
        for effect in turn.effects:
            if isinstance(effect, Trace):
                self._trace(turn, effect.event)
            elif (
                isinstance(effect, Send)
                and effect.dst == OPERATOR
                and isinstance(effect.body, SerialOutput)
            ):
                self._say(turn, f"{turn.node}: {effect.body.line}")

    def _trace(self, turn: Turn, event: TraceEvent) -> None:
        match event:
            case Phase(label, name, edge, error):
                failed = f" with error {error}" if error else ""
                self._phase = f"{label} {name} {edge}{failed}"
                if self._live is None:
                    self._plain(turn, f"{turn.node} {self._phase}")
            case SystemState("active") if self._phase == BOOTING:
                self._phase = ""
            case PePower(on):
                self._power[turn.node] = on
            case PauseCount(domain, count):
                self._paused[domain] = count
            case ScenarioStep(index, text):
                self._begin(turn, f"step {index}: {text}")
            case ClientStep(client, text):
                self._begin(turn, f"{client}: {text}")

    def _begin(self, turn: Turn, step: str) -> None:
        self._step = step
        if self._live is None:
            self._plain(turn, step)

    def _say(self, turn: Turn, line: str) -> None:
        self._lines.append(line)
        if self._live is None:
            self._plain(turn, line)

    def _plain(self, turn: Turn, text: str) -> None:
        self._console.print(Text(f"{turn.now / 1e6:12.3f} ms  {text}"), soft_wrap=True)

    def _picture(self) -> Group:
        power = "  ".join(f"{pe} {'on' if on else 'off'}" for pe, on in self._power.items())
        domains = "  ".join(
            f"dom{domain} {'paused' if count else 'running'}"
            for domain, count in self._paused.items()
        )
        head = f"{self._now / 1e6:.3f} ms of board time\n{self._step}\n{self._phase}"
        return Group(
            Panel(Text(f"{head}\n{power}\n{domains}"), title="board"),
            Panel(Text("\n".join(self._lines)), title="consoles", height=CONSOLE_LINES + 2),
        )
