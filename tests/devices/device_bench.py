"""A device without a bus: register accesses, the operator's hand, and what comes out of it."""

from types import SimpleNamespace
from typing import Any, cast

from proto.board import Board
from proto.ids import GICD_NODE, OPERATOR, SCP, BoardNs, Incarnation, NodeId
from proto.messages import (
    BlockPower,
    BlockPowered,
    Body,
    RegRead,
    RegWrite,
    Reply,
    SerialOutput,
    WakeLine,
    Wire,
)
from proto.platform import ConsoleDriver, IommuDriver, Platform
from proto.registers import Word
from proto.traces import LineEvent, TraceEvent
from proto.turn import CancelTimer, Effect, Envelope, MessageId, Send, SetTimer, Trace
from services.devices.block import Device


def board(
    power_model: str = "all-lost",
    console: ConsoleDriver = ConsoleDriver.SCIF,
    iommu: IommuDriver = IommuDriver.IPMMU_VMSA,
    iommu_msi: bool = False,
) -> Board:
    """As much of a board as a device looks at; a byte takes 10 us on its console."""
    platform = Platform(
        name="bench",
        clusters=(1,),
        console=console,
        console_baud=1_000_000,
        iommu=iommu,
        iommu_msi=iommu_msi,
    )
    scenario = SimpleNamespace(power_model=power_model)
    return cast(Board, SimpleNamespace(scenario=scenario, platform=platform))


class Bench:
    """A device, what it told the GIC, `scp` and the operator, its timers and its traces."""

    def __init__(self, device: Device, base: int) -> None:
        self.device = device
        self.base = base
        self.now = 0
        self.wires: list[tuple[int, bool]] = []
        self.wakes: list[tuple[int, bool]] = []
        self.lines: list[str] = []
        self.timers: dict[str, int] = {}
        self.traces: list[TraceEvent] = []

    def send(self, body: Body, src: str = "operator") -> Any:
        """Deliver one message; gives the answer to the sender, if there is one."""
        sender = MessageId(NodeId(src), Incarnation(1), 0)
        envelope = Envelope(sender, self.device.id, None, body)
        answer: Any = None
        for effect in self.device.on_message(BoardNs(self.now), envelope):
            answer = self._take(effect, src) or answer
        return answer

    def fire(self, timer: str) -> None:
        """The timer's time has come."""
        self.now = self.timers.pop(timer)
        for effect in self.device.on_timer(BoardNs(self.now), timer):
            self._take(effect, "")

    def run(self) -> None:
        """Let board time pass until the device waits for nothing."""
        while self.timers:
            self.fire(min(self.timers, key=lambda name: self.timers[name]))

    def at(self, row: Word) -> int:
        """Physical address of a register."""
        return self.base + row.offset

    def read(self, row: Word) -> int:
        """A register's value."""
        answer = self.send(RegRead(1, self.at(row)), "pe0")
        assert isinstance(answer, Reply), answer
        return answer.value

    def write(self, row: Word, value: int) -> None:
        """Write a register."""
        assert self.send(RegWrite(1, self.at(row), value), "pe0") == Reply(1)

    def power(self, on: bool) -> None:
        """`scp` switches the device."""
        assert self.send(BlockPower(on), "scp") == BlockPowered(self.device.id, on)

    def events(self) -> list[tuple[bool, int]]:
        """Level and count of the LineEvent traces."""
        return [(t.level, t.count) for t in self.traces if isinstance(t, LineEvent)]

    def _take(self, effect: Effect, src: str) -> Any:
        match effect:
            case Trace(event):
                self.traces.append(event)
            case SetTimer(timer, earliest_ns, latest_ns):
                assert earliest_ns == latest_ns
                self.timers[timer] = earliest_ns
            case CancelTimer(timer):
                self.timers.pop(timer, None)
            case Send(dst, Wire(intid, level, -1)):
                assert dst == GICD_NODE
                self.wires.append((intid, level))
            case Send(dst, WakeLine(intid, level)):
                assert dst == SCP
                self.wakes.append((intid, level))
            case Send(dst, SerialOutput(line)):
                assert dst == OPERATOR
                self.lines.append(line)
            case Send(dst, body):
                assert dst == src
                return body
        return None
