"""An operator on a board of two domains, with everything it did."""

from collections.abc import Sequence

from proto.board import Board
from proto.ids import OPERATOR, Incarnation, NodeId
from proto.messages import Body, OperateResult, SerialOutput
from proto.platform import Platform
from proto.scenario import DomainSpec, PointAction, Profile, Role, Scenario, Step
from proto.traces import ScenarioEnded, TraceBody
from proto.turn import CancelTimer, Effect, Envelope, MessageId, Send, SetTimer, Trace
from services.operator.node import Operator


class Bench:
    """An operator with everything it did."""

    def __init__(
        self, *steps: Step, points: tuple[PointAction, ...] = (), is_open: bool = False
    ) -> None:
        domains = (DomainSpec(id=0, role=Role.HARDWARE), DomainSpec(id=1))
        profile = Profile(
            name="test",
            title="",
            suspend_steps=(),
        )
        scenario = Scenario(name="test", domains=domains, steps=steps, points=points, open=is_open)
        platform = Platform(name="test", clusters=(1,))
        self.node = Operator(Board(scenario=scenario, platform=platform, profile=profile, code=""))
        self.now = 1_000
        self.sent: list[tuple[str, Body]] = []
        self.traces: list[TraceBody] = []
        self.timers: dict[str, int] = {}
        self._perform(self.node.on_start(self.now))

    def receive(self, src: str, body: Body) -> None:
        """Deliver a message."""
        envelope = Envelope(MessageId(NodeId(src), Incarnation(1), 0), OPERATOR, None, body)
        self._perform(self.node.on_message(self.now, envelope))

    def print(self, src: str, line: str) -> None:
        """A console prints a line."""
        self.receive(src, SerialOutput(line))

    def ask(self, client: str, body: Body) -> None:
        """A client asks."""
        self.receive(client, body)

    def answers(self, client: str) -> list[OperateResult]:
        """What this client has been answered, oldest first."""
        return [
            body for dst, body in self.sent if dst == client and isinstance(body, OperateResult)
        ]

    def fire(self, timer: str) -> None:
        """A timer fires at its time."""
        self.now = self.timers.pop(timer)
        self._perform(self.node.on_timer(self.now, timer))

    @property
    def ended(self) -> list[TraceBody]:
        """How the scenario ended."""
        return [event for event in self.traces if isinstance(event, ScenarioEnded)]

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(dst, body):
                    self.sent.append((dst, body))
                case SetTimer(timer, earliest, latest):
                    assert earliest == latest
                    self.timers[timer] = earliest
                case CancelTimer(timer):
                    self.timers.pop(timer)
                case Trace(event):
                    self.traces.append(event)
