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
    PowerLed,
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
    if step.power is not None:
        return f"expect power {step.power.state} within {step.power.within_ms} ms"
    if step.reached is not None:
        return f"expect {step.reached.point!r} to be reached within {step.reached.within_ms} ms"
    if step.irq is not None:
        return f"irq {step.irq}"
    if step.alarm_ms is not None:
        return f"alarm in {step.alarm_ms} ms"
    return f"wait {step.wait_ms} ms"


def _missed(step: Step) -> str:
    return step_text(step).replace("expect ", "expected ", 1)


def time_limit_ms(step: Step) -> int | None:
    """How long a step may take, or None for one that is done at once."""
    expectation = step.expect or step.power or step.reached
    return expectation.within_ms if expectation is not None else step.wait_ms


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
        self._due: dict[str, tuple[NodeId, PointRelease | RaiseLine]] = {}
        """Timer to what is sent when it fires."""
        self._power = ""
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
                self._advance(now)
            case PowerLed(state):
                self._power = state
                self._advance(now)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {src}")
        return self._take_effects()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """The current step's time is over, or what a point asked for is due."""
        if timer == STEP_TIMER:
            self._step_timed_out(now)
        elif timer in self._due:
            dst, body = self._due.pop(timer)
            self._effects.append(Send(dst, body))
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
        elif (limit_ms := time_limit_ms(step)) is not None:
            self._waiting = True
            self._set_timer(STEP_TIMER, now + limit_ms * MS)

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
        if step.power is not None:
            return self._power == step.power.state
        if step.reached is not None:
            return step.reached.point in self._reached
        return step.wait_ms is None

    def _is_met(self, expect: ExpectLine) -> bool:
        node = console_node(expect.domain)
        first = self._seen_before_step.get(node, 0) if expect.since == "step" else 0
        lines = self._lines.get(node, [])[first:]
        return any(text in line for line in lines for text in expect.any_of)

    def _set_timer(self, timer: str, at_ns: int) -> None:
        self._effects.append(SetTimer(timer, at_ns, at_ns))

    def _step_timed_out(self, now: BoardNs) -> None:
        """A wait is over, or an expectation was missed."""
        if not self._waiting:
            return
        self._waiting = False
        step = self._steps[self._index]
        if step.wait_ms is not None:
            self._index += 1
            self._begin_step(now)
            self._advance(now)
        else:
            reason = f"step {self._index}: {_missed(step)}; {self._last_seen(step)}"
            self._end(ScenarioEnded("failed", reason))

    def _last_seen(self, step: Step) -> str:
        """What there was instead of what the step waited for."""
        if step.expect is None:
            return f"the power LED shows {self._power or 'nothing'}"
        last = self._lines.get(console_node(step.expect.domain), [])[-LAST_LINES:]
        return "last lines: " + ("; ".join(repr(line) for line in last) or "nothing")

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
        for number, action in enumerate(actions):
            if action.irq is not None:
                name = f"irq.{point}.{occurrence}.{number}"
                self._send_later(now, name, action.irq_after_us, NodeId(action.irq), RaiseLine())
        if not any(action.hold for action in actions):
            hold_us = max((action.hold_us for action in actions), default=0)
            release = PointRelease(tx, _answer(actions))
            self._send_later(now, f"point.{src}.{tx}", hold_us, src, release)

    def _send_later(
        self, now: BoardNs, timer: str, after_us: int, dst: NodeId, body: PointRelease | RaiseLine
    ) -> None:
        if after_us:
            self._due[timer] = (dst, body)
            self._set_timer(timer, now + after_us * US)
        else:
            self._effects.append(Send(dst, body))

    def _take_effects(self) -> Sequence[Effect]:
        effects, self._effects = self._effects, []
        return effects


def _answer(actions: Iterable[PointAction]) -> int:
    """The injected return code: the first that is not zero."""
    return next((action.return_code for action in actions if action.return_code), 0)
