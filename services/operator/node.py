"""The operator at the bench: types, presses, waits and expects, as the scenario says.

Carries out the scenario's steps one after the other and answers the armed points meanwhile. It
knows the board as a person does: by what the consoles print.
"""

from collections.abc import Iterable, Sequence

from proto.board import Board
from proto.ids import OPERATOR, BoardNs, NodeId
from proto.messages import (
    PointReached,
    PointRelease,
    RaiseLine,
    RtcAlarm,
    SerialInput,
    SerialOutput,
)
from proto.node import ProtocolError
from proto.scenario import ExpectLine, PointAction, Step, flatten
from proto.traces import ScenarioEnded, ScenarioStep
from proto.turn import CancelTimer, Effect, Envelope, Send, SetTimer, Trace
from proto.units import MS, US

RTC_NODE = NodeId("rtc")
UART_NODE = NodeId("uart")
STEP_TIMER = "step"
LAST_LINES = 3
"""How many lines of the console a missed expectation quotes."""


def console_node(domain: int | None) -> NodeId:
    """The serial port of a domain, or Xen's own for None."""
    return UART_NODE if domain is None else NodeId(f"tty{domain}")


def step_text(step: Step) -> str:
    """A step in words, for the journal."""
    if step.type_line is not None:
        return f"type on dom{step.type_line.domain}: {step.type_line.line}"
    if step.expect is not None:
        return f"expect {_expected(step.expect)}"
    if step.irq is not None:
        return f"irq {step.irq}"
    if step.alarm_ms is not None:
        return f"alarm in {step.alarm_ms} ms"
    return f"wait {step.wait_ms} ms"


def _expected(expect: ExpectLine) -> str:
    texts = " or ".join(repr(text) for text in expect.any_of)
    where = "Xen's console" if expect.domain is None else f"dom{expect.domain}"
    return f"{texts} on {where} within {expect.within_ms} ms"


class Operator:
    """Node `operator`."""

    def __init__(self, board: Board) -> None:
        self.id = OPERATOR
        self._steps = flatten(board.scenario.steps)
        self._points = board.scenario.points
        self._index = 0
        self._ended = False
        self._waiting = False
        """The current step ends with the step timer, or with a line if it is an expectation."""
        self._lines: dict[NodeId, list[str]] = {}
        self._seen_before_step: dict[NodeId, int] = {}
        self._reached: dict[str, int] = {}
        self._held: dict[str, tuple[NodeId, PointRelease]] = {}
        self._effects: list[Effect] = []

    # -- the node contract

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Begin with the first step."""
        self._begin_step(now)
        self._advance(now)
        return self._take_effects()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A console has printed a line, or a node stands at an armed point."""
        src, body = envelope.id.src, envelope.body
        match body:
            case SerialOutput(line):
                self._lines.setdefault(src, []).append(line)
                self._advance(now)
            case PointReached(tx, point):
                self._point_reached(now, src, tx, point)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {src}")
        return self._take_effects()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """The current step's time is over, or a point is to be released."""
        if timer == STEP_TIMER:
            self._step_timed_out(now)
        elif timer in self._held:
            dst, release = self._held.pop(timer)
            self._effects.append(Send(dst, release))
        else:
            raise ProtocolError(f"{self.id} has no timer {timer}")
        return self._take_effects()

    # -- steps

    def _begin_step(self, now: BoardNs) -> None:
        """Announce the current step and act; the end of the steps is the end of the scenario."""
        if self._index == len(self._steps):
            self._end(ScenarioEnded("done"))
            return
        step = self._steps[self._index]
        self._effects.append(Trace(ScenarioStep(self._index, step_text(step))))
        self._seen_before_step = {node: len(lines) for node, lines in self._lines.items()}
        if step.type_line is not None:
            dst = console_node(step.type_line.domain)
            self._effects.append(Send(dst, SerialInput(step.type_line.line)))
        elif step.irq is not None:
            self._effects.append(Send(NodeId(step.irq), RaiseLine()))
        elif step.alarm_ms is not None:
            self._effects.append(Send(RTC_NODE, RtcAlarm(step.alarm_ms * MS)))
        elif step.expect is not None:
            self._wait_until(now + step.expect.within_ms * MS)
        elif step.wait_ms is not None:
            self._wait_until(now + step.wait_ms * MS)

    def _advance(self, now: BoardNs) -> None:
        """Go on to the first step that is not done yet."""
        while not self._ended and self._is_done(self._steps[self._index]):
            if self._waiting:
                self._waiting = False
                self._effects.append(CancelTimer(STEP_TIMER))
            self._index += 1
            self._begin_step(now)

    def _is_done(self, step: Step) -> bool:
        if step.expect is not None:
            return self._is_met(step.expect)
        return step.wait_ms is None

    def _is_met(self, expect: ExpectLine) -> bool:
        node = console_node(expect.domain)
        first = self._seen_before_step.get(node, 0) if expect.since == "step" else 0
        lines = self._lines.get(node, [])[first:]
        return any(text in line for line in lines for text in expect.any_of)

    def _wait_until(self, at_ns: int) -> None:
        self._waiting = True
        self._effects.append(SetTimer(STEP_TIMER, at_ns, at_ns))

    def _step_timed_out(self, now: BoardNs) -> None:
        """A wait is over, or an expectation was missed."""
        if not self._waiting:
            return
        self._waiting = False
        expect = self._steps[self._index].expect
        if expect is None:
            self._index += 1
            self._begin_step(now)
            self._advance(now)
            return
        last = self._lines.get(console_node(expect.domain), [])[-LAST_LINES:]
        seen = "; ".join(repr(line) for line in last) or "nothing"
        reason = f"step {self._index}: expected {_expected(expect)}; last lines: {seen}"
        self._end(ScenarioEnded("failed", reason))

    def _end(self, ended: ScenarioEnded) -> None:
        self._ended = True
        self._effects.append(Trace(ended))

    # -- points

    def _point_reached(self, now: BoardNs, src: NodeId, tx: int, point: str) -> None:
        """Carry out what the scenario says for this occurrence; without a word, let it go on."""
        occurrence = self._reached.get(point, 0) + 1
        self._reached[point] = occurrence
        actions = [
            action
            for action in self._points
            if action.point == point and action.occurrence == occurrence
        ]
        for action in actions:
            if action.irq is not None:
                self._effects.append(Send(NodeId(action.irq), RaiseLine()))
        if any(action.hold for action in actions):
            return
        release = PointRelease(tx, _answer(actions))
        hold_ns = max((action.hold_us for action in actions), default=0) * US
        if not hold_ns:
            self._effects.append(Send(src, release))
            return
        timer = f"point.{src}.{tx}"
        self._held[timer] = (src, release)
        self._effects.append(SetTimer(timer, now + hold_ns, now + hold_ns))

    def _take_effects(self) -> Sequence[Effect]:
        effects, self._effects = self._effects, []
        return effects


def _answer(actions: Iterable[PointAction]) -> int:
    """The injected return code: the first that is not zero."""
    return next((action.return_code for action in actions if action.return_code), 0)
