"""Hand-made journals: a script of turns, written as a test wants them."""

from typing import Any

from bus.journal import Header, HubEvent, Journal, Record
from proto.board import Board
from proto.ids import Incarnation, NodeId
from proto.platform import Platform
from proto.scenario import DomainSpec, Finding, Parking, Profile, Role, Scenario, Step
from proto.traces import (
    AffinityState,
    ConsoleSync,
    Online,
    PauseCount,
    PePower,
    Phase,
    ScenarioEnded,
    SmcIssued,
    SystemPower,
    SystemState,
    SystemSuspendDecision,
)
from proto.turn import Effect, Input, MessageId, Received, Send, Start, Trace, Turn
from services.monitor.verdict import Verdict, judge

LIFE = Incarnation(1)
SYSTEM_SUSPEND = 0xC400000E
CPU_OFF = 0x84000002


def board(
    expected: tuple[Finding, ...] = (), parking: Parking = Parking.BLOCK, **scenario: Any
) -> Board:
    """Two PEs and two domains."""
    return Board(
        scenario=Scenario(
            name="hand",
            domains=(DomainSpec(id=0, role=Role.HARDWARE), DomainSpec(id=1, vcpus=2)),
            steps=(Step(wait_ms=1),),
            **scenario,
        ),
        platform=Platform(name="two", clusters=(2,)),
        profile=Profile(
            name="hand",
            title="",
            suspend_steps=(),
            parking=parking,
            expected_findings=expected,
        ),
        code="none",
    )


class Script:
    """A journal under construction; board time moves one microsecond per turn."""

    def __init__(self, of: Board | None = None, world: str = "sim") -> None:
        self.board = of or board()
        self.world = world
        self.records: list[Record] = []
        self.now = 0
        self._numbers: dict[str, int] = {}
        self._seqs: dict[str, int] = {}

    def turn(self, node: str, *effects: Effect, answered: Input | None = None) -> int:
        """One turn; gives its position."""
        number, seq = self._numbers.get(node, 0), self._seqs.get(node, 0)
        self._numbers[node] = number + 1
        self._seqs[node] = seq + sum(isinstance(effect, Send) for effect in effects)
        self.now += 1_000
        turn = Turn(NodeId(node), LIFE, number, answered or Start(), self.now, seq, effects)
        self.records.append(turn)
        return len(self.records) - 1

    def trace(self, node: str, *events: Any) -> int:
        """A turn with nothing but traces."""
        return self.turn(node, *(Trace(event) for event in events))

    def send(self, src: str, dst: str, body: Any) -> MessageId:
        """A turn that sends one message."""
        identity = MessageId(NodeId(src), LIFE, self._seqs.get(src, 0))
        self.turn(src, Send(NodeId(dst), body))
        return identity

    def deliver(self, dst: str, message: MessageId, *effects: Effect) -> int:
        """The turn of the receiver."""
        return self.turn(dst, *effects, answered=Received(message))

    def message(self, src: str, dst: str, body: Any, *effects: Effect) -> int:
        """Send and deliver at once; gives the position of the receiver's turn."""
        return self.deliver(dst, self.send(src, dst, body), *effects)

    def hub(self, kind: Any, who: str, text: str) -> int:
        """A record of the hub."""
        self.records.append(HubEvent(kind, who, text, self.now))
        return len(self.records) - 1

    def phase(self, label: str, edge: str, error: int = 0) -> int:
        """A phase on pe0."""
        return self.trace("pe0", Phase(label, label.lower(), edge, error))

    def phases(self, *labels: str) -> None:
        """Phases on pe0, each from its beginning to its end."""
        for label in labels:
            self.phase(label, "begin")
            self.phase(label, "end")

    # -- whole passages

    def boot(self) -> None:
        """Both PEs up, Xen active."""
        self.trace("pe0", PePower(True), Online(0, True))
        self.cpu1_on()
        self.trace("pe0", SystemState("active"))

    def fall_asleep(self, until: str = "S13") -> None:
        """Steps of the host's suspend, up to the beginning of one of them."""
        steps = {
            "S0": lambda: self.trace("pe0", SystemState("suspend")),
            "S1": lambda: self.trace("pe0", PauseCount(0, 1), PauseCount(1, 1)),
            "S3": self.cpu1_off,
            "S4": lambda: self.trace("pe0", ConsoleSync(1)),
            "S7": lambda: None,
            "S9": lambda: None,
        }
        for label, act in steps.items():
            if label == until:
                return
            self.phase(label, "begin")
            act()
            self.phase(label, "end")
        self.phase("S13", "begin")
        self.trace("pe0", SmcIssued(SYSTEM_SUSPEND, (0, 0, 0), True))

    def cpu1_on(self) -> None:
        """CPU0 starts CPU1, in firmware and in Xen."""
        self.trace("el3.pe0", AffinityState(1, "ON_PENDING"))
        self.trace("el3.pe1", AffinityState(1, "ON"))
        self.trace("pe1", PePower(True), Online(1, True))

    def cpu1_off(self) -> None:
        """CPU1 goes down, in Xen and in firmware."""
        self.trace("pe1", Online(1, False), SmcIssued(CPU_OFF, (0, 0, 0), True))
        self.trace("el3.pe1", AffinityState(1, "OFF"))
        self.trace("pe1", PePower(False))

    def decide(self, result: str = "SUSPEND", *affinity: str) -> int:
        """EL3's decision."""
        return self.trace("el3.pe0", SystemSuspendDecision(0, result, affinity or ("ON", "OFF")))

    def sleep(self) -> None:
        """Power goes, a wake line brings it back."""
        self.trace("pe0", PePower(False))
        self.trace("scp", SystemPower("sleeping"))
        self.trace("scp", SystemPower("waking", 34))
        self.trace("scp", SystemPower("on"))
        self.trace("pe0", PePower(True))

    def wake_up(self, cpu1: bool = True, thaw: bool = True, console: bool = True) -> None:
        """Steps of the host's resume; what is left out is forgotten."""
        self.trace("pe0", SystemState("resume"))
        self.phases("R2")
        if console:
            self.trace("pe0", ConsoleSync(0))
        self.phase("R7", "begin")
        if cpu1:
            self.cpu1_on()
        self.phase("R7", "end")
        self.phase("R8", "begin")
        if thaw:
            self.trace("pe0", PauseCount(0, 0), PauseCount(1, 0))
        self.trace("pe0", SystemState("active"))
        self.phase("R8", "end")

    def cycle(self) -> None:
        """A whole, faultless cycle."""
        self.fall_asleep()
        self.decide()
        self.sleep()
        self.wake_up()

    def end(self, outcome: str = "done", reason: str = "") -> None:
        """The operator has finished."""
        self.trace("operator", ScenarioEnded(outcome, reason))
        self.hub("end", "hub", "ended: the scenario has been carried out")

    # -- judging

    def journal(self, torn: bool = False) -> Journal:
        """The journal so far."""
        header = Header(
            world=self.world, seed=0, composition=self.board.composition, board=self.board
        )
        return Journal(header, list(self.records), torn)

    def judged(self, torn: bool = False) -> Verdict:
        """The verdict on it."""
        return judge(self.journal(torn))


def texts(verdict: Verdict, name: str) -> list[str]:
    """Texts of a property's findings."""
    return [finding.text for finding in verdict.findings if finding.property == name]
