"""The operator at the bench: types, presses, waits and expects, as the scenario says.

Carries out the scenario's steps one after the other, answers the armed points, and does meanwhile
and afterwards what clients ask for. It knows the board as a person does: by what the consoles print
and by the power LED.
"""

from collections.abc import Iterable, Sequence

from proto.board import Board
from proto.ids import OPERATOR, BoardNs, NodeId, is_client
from proto.messages import (
    AwaitSteps,
    EndScenario,
    Operate,
    PointReached,
    PointRelease,
    PowerLed,
    RaiseLine,
    ReadConsole,
    SerialOutput,
)
from proto.node import ProtocolError
from proto.platform import interrupt_sources
from proto.scenario import PointAction, Step, domain_ids, flatten
from proto.traces import ScenarioEnded, ScenarioStep
from proto.turn import Effect, Envelope, Send, SetTimer, Trace
from proto.units import US
from services.operator.clients import Clients
from services.operator.script import Script, device_of
from services.operator.seen import Seen, console_node
from services.operator.words import step_text

STEP_TIMER = "step"


class Operator:
    """Node `operator`."""

    def __init__(self, board: Board) -> None:
        self.id = OPERATOR
        domains = domain_ids(board.scenario)
        self._open = board.scenario.open
        self._points = board.scenario.points
        self._sources = interrupt_sources(domains)
        self._seen = Seen([console_node(domain) for domain in (None, *domains)])
        self._script = Script(
            STEP_TIMER, flatten(board.scenario.steps), self._seen, self._sources, _announce
        )
        self._clients = Clients(self._seen, self._sources, domains)
        self._ended = False
        self._due: dict[str, tuple[NodeId, PointRelease | RaiseLine]] = {}
        """Timer to what is sent when it fires."""
        self._effects: list[Effect] = []

    # -- the node contract

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Begin with the first step."""
        self._script.begin(now, self._effects)
        self._advance(now)
        return self._take_effects()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A console has printed a line, a node stands at an armed point, a client wants something.

        Raises `ProtocolError` for anything else.
        """
        src, body = envelope.id.src, envelope.body
        match body:
            case SerialOutput(line) if src in self._seen.terminals:
                self._seen.terminals[src].show(line)
            case PointReached(tx, point):
                self._point_reached(now, src, tx, point)
            case PowerLed(state):
                self._seen.led.append(state)
            case Operate() | ReadConsole() | AwaitSteps() if is_client(src):
                self._clients.ask(now, src, body, self._effects)
            case EndScenario(tx) if is_client(src):
                self._end_asked(src, tx)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {src}")
        self._advance(now)
        return self._take_effects()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A step's time is over, or what a point asked for is due."""
        if timer == STEP_TIMER:
            self._script.timed_out(now, self._effects)
        elif timer in self._due:
            dst, body = self._due.pop(timer)
            self._effects.append(Send(dst, body))
        elif not self._clients.timed_out(now, timer, self._effects):
            raise ProtocolError(f"{self.id} has no timer {timer}")
        self._advance(now)
        return self._take_effects()

    # -- steps

    def _advance(self, now: BoardNs) -> None:
        """Go on with the scenario, then with the clients, in the order in which they came."""
        self._script.advance(now, self._effects)
        outcome = self._script.outcome
        if outcome is not None and not outcome.ok:
            self._end(ScenarioEnded("failed", f"step {self._script.index}: {outcome.reason}"))
        elif outcome is not None and not self._open:
            self._end(ScenarioEnded("done"))
        self._clients.advance(now, outcome is not None and outcome.ok, self._effects)

    def _end_asked(self, client: NodeId, tx: int) -> None:
        """Somebody wants the board to go down, and the steps must not be cut short."""
        outcome = self._script.outcome
        if outcome is None or not self._open:
            reason = "the scenario's steps are not carried out yet"
            self._clients.refuse(client, tx, reason, self._effects)
        else:
            self._end(ScenarioEnded("done"))

    def _end(self, ended: ScenarioEnded) -> None:
        if not self._ended:
            self._ended = True
            self._effects.append(Trace(ended))

    # -- points

    def _point_reached(self, now: BoardNs, src: NodeId, tx: int, point: str) -> None:
        """Carry out what the scenario says for this occurrence; without a word, let it go on."""
        occurrence = self._seen.reached.get(point, 0) + 1
        self._seen.reached[point] = occurrence
        actions = [
            action
            for action in self._points
            if action.point == point and action.occurrence == occurrence
        ]
        for number, action in enumerate(actions):
            if action.irq is not None:
                name = f"irq.{point}.{occurrence}.{number}"
                device = device_of(action.irq, self._sources)
                assert device is not None, "checked when the scenario was loaded"
                self._send_later(now, name, action.irq_after_us, device, RaiseLine())
        if not any(action.hold for action in actions):
            hold_us = max((action.hold_us for action in actions), default=0)
            release = PointRelease(tx, _answer(actions))
            self._send_later(now, f"point.{src}.{tx}", hold_us, src, release)

    def _send_later(
        self, now: BoardNs, timer: str, after_us: int, dst: NodeId, body: PointRelease | RaiseLine
    ) -> None:
        if after_us:
            self._due[timer] = (dst, body)
            at_ns = now + after_us * US
            self._effects.append(SetTimer(timer, at_ns, at_ns))
        else:
            self._effects.append(Send(dst, body))

    def _take_effects(self) -> Sequence[Effect]:
        effects, self._effects = self._effects, []
        return effects


def _announce(index: int, step: Step) -> ScenarioStep:
    return ScenarioStep(index, step_text(step))


def _answer(actions: Iterable[PointAction]) -> int:
    """The injected return code: the first that is not zero."""
    return next((action.return_code for action in actions if action.return_code), 0)
