"""The driver of a board without Xen: carries out the steps of one case and decides it.

It has the operator's place on the board: it orders the bare PEs, drives interrupt lines and looks
at memory from outside. What it does and what came of it is in the journal.
"""

from collections.abc import Callable, Sequence
from typing import Any

from proto.board import Board
from proto.ids import OPERATOR, BoardNs, NodeId, cpu_of
from proto.messages import (
    Abort,
    BareArrived,
    BareHalted,
    BarePower,
    BareReady,
    BareTaken,
    PowerLed,
    Reply,
)
from proto.node import ProtocolError
from proto.traces import ScenarioEnded, ScenarioStep
from proto.turn import Effect, Envelope, Trace
from proto.units import S
from proto.vectors import (
    ArmTimer,
    Call,
    Enters,
    Entries,
    ExpectSystem,
    Hold,
    Loop,
    MaskIrq,
    Memory,
    Poll,
    RaiseIrq,
    Returns,
    SendSgi,
    Step,
    Taken,
    Together,
    WaitMs,
)
from services.bare.bench import Bench
from services.bare.calls import call, poll, returns
from services.bare.steps import (
    arm_timer,
    enters,
    entries,
    hold,
    mask_irq,
    memory,
    raise_irq,
    send_sgi,
    system,
    taken,
    wait,
)
from services.bare.values import Frame, Unknown
from services.bare.waiting import Script, StepFailed, Until

BOOT_LIMIT_NS = 10 * S
"""How long PE 0 may take from power to its program."""

PLAYERS: dict[type, Callable[[Bench, Any, Frame], Script]] = {
    Call: call,
    Poll: poll,
    Enters: enters,
    Entries: entries,
    Returns: returns,
    MaskIrq: mask_irq,
    RaiseIrq: raise_irq,
    SendSgi: send_sgi,
    ArmTimer: arm_timer,
    Taken: taken,
    Memory: memory,
    Hold: hold,
    WaitMs: wait,
    ExpectSystem: system,
}
"""How each kind of step is carried out; repetitions and sequences are the driver's own."""


class Driver:
    """Node `operator` of a bare board.

    The case has passed when all steps have come out as expected (`ScenarioEnded("done")`); the
    first that does not ends it (`ScenarioEnded("failed", ...)`).
    """

    def __init__(self, board: Board) -> None:
        assert board.vectors is not None, "a bare board has a case"
        self.id: NodeId = OPERATOR
        self._case = board.vectors
        self._bench = Bench(board)
        self._begun = 0
        self._ended = False

    # -- the node contract

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Begin with the case as soon as PE 0 is there."""
        self._bench.threads.now = now
        self._go_on(lambda: self._bench.threads.start(self._play_case()))
        return self._take_effects()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A PE reports, memory answers, the power LED changes."""
        bench = self._bench
        bench.threads.now = bench.last_event_ns = now
        self._hear(envelope)
        self._go_on(bench.threads.advance)
        return self._take_effects()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A wait is over, or the always-on timer has reached its time."""
        bench = self._bench
        bench.threads.now = now
        if not bench.timer_fired(timer):
            self._go_on(lambda: self._resume(timer))
        self._go_on(bench.threads.advance)
        return self._take_effects()

    # -- what is heard

    def _hear(self, envelope: Envelope) -> None:
        src, body = envelope.id.src, envelope.body
        bench = self._bench
        if isinstance(body, PowerLed):
            bench.power_shown(body.state)
            return
        if isinstance(body, Reply | Abort):
            bench.answered(body)
            return
        if not src.startswith("pe"):
            raise ProtocolError(f"{self.id} cannot take {body} from {src}")
        view = bench.pes[cpu_of(src)]
        match body:
            case BarePower(on):
                view.power(on, bench.now)
            case BareArrived():
                bench.arrived(view, body)
            case BareHalted(reason):
                view.halted, view.ready_tx = reason, None
            case BareReady():
                bench.ready(view, body)
            case BareTaken():
                bench.taken(view, body)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {src}")

    def _resume(self, timer: str) -> None:
        if not self._bench.threads.fired(timer):
            raise ProtocolError(f"{self.id} has no timer {timer}")

    # -- steps

    def _go_on(self, act: Callable[[], object]) -> None:
        """Carry scripts on; a step that fails ends the case."""
        if self._ended:
            return
        try:
            act()
        except StepFailed as failure:
            self._end("failed", str(failure))

    def _play_case(self) -> Script:
        first = self._bench.pes[0]
        if not (yield Until(lambda: first.ready_tx is not None, BoardNs(BOOT_LIMIT_NS))):
            raise StepFailed("boot", f"C0 does not come up: it {first.state}")
        self._bench.shown.clear()
        yield from self._play(self._case.steps, Frame())
        self._end("done", "")

    def _play(self, steps: Sequence[Step], frame: Frame) -> Script:
        for step in steps:
            self._announce(step)
            if isinstance(step, Loop):
                for number in range(step.times):
                    yield from self._play(step.steps, Frame(number))
            elif isinstance(step, Together):
                threads = self._bench.threads
                yield from _all_ended(
                    [threads.start(self._play(thread, frame)) for thread in step.threads]
                )
            else:
                yield from self._play_one(step, frame)

    def _play_one(self, step: Step, frame: Frame) -> Script:
        try:
            yield from PLAYERS[type(step)](self._bench, step, frame)
        except Unknown as unknown:
            raise StepFailed(step.place, str(unknown)) from unknown

    def _announce(self, step: Step) -> None:
        text = f"{step.place}: {type(step).__name__}"
        self._bench.threads.effects.append(Trace(ScenarioStep(self._begun, text)))
        self._begun += 1

    def _end(self, how: str, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._bench.threads.effects.append(Trace(ScenarioEnded(how, reason)))

    def _take_effects(self) -> Sequence[Effect]:
        threads = self._bench.threads
        effects, threads.effects = threads.effects, []
        return effects


def _all_ended(ends: Sequence[Callable[[], bool]]) -> Script:
    """Wait until all of several scripts have ended; each of their waits has a limit."""
    yield Until(lambda: all(ended() for ended in ends), None)
