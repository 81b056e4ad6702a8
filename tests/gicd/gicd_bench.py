"""A GIC without a bus: accesses of PEs and firmware, wires, and what comes out of it."""

from types import SimpleNamespace
from typing import Any, cast

from proto.board import Board
from proto.gic import GICC, GICD, SGIR
from proto.ids import GICD_NODE, BoardNs, Incarnation, NodeId
from proto.messages import (
    Abort,
    BlockPower,
    BlockPowered,
    Body,
    IrqOutput,
    RegRead,
    RegWrite,
    Reply,
    VirtualDeactivate,
    WakeEnable,
    WakeLine,
    WakeRequests,
    Wire,
)
from proto.platform import GICC_BASE, GICD_BASE, GiccPower, Platform
from proto.registers import PerIntid, Word
from proto.traces import IntState, TraceEvent
from proto.turn import Effect, Envelope, MessageId, Send, Trace
from services.gicd.node import Gicd

ALL = 0xFFFF_FFFF
EDGE, LEVEL = 0b10, 0b00


def board(
    power_model: str = "all-lost",
    pes: int = 4,
    intids: int = 96,
    gicc_power: GiccPower = GiccPower.GICD,
) -> Board:
    """As much of a board as a GIC looks at."""
    platform = Platform(name="test", clusters=(pes,), intids=intids, gicc_power=gicc_power)
    scenario = SimpleNamespace(power_model=power_model)
    return cast(Board, SimpleNamespace(platform=platform, scenario=scenario))


class Bench:
    """A GIC, the levels of its outputs, the wake requests and all traces so far."""

    def __init__(
        self,
        power_model: str = "all-lost",
        pes: int = 4,
        intids: int = 96,
        gicc_power: GiccPower = GiccPower.GICD,
    ) -> None:
        self.gicd = Gicd(board(power_model, pes, intids, gicc_power))
        self.pes, self.intids = pes, intids
        self.irq = [False] * pes
        self.outputs: list[tuple[int, bool]] = []
        self.wake: list[tuple[int, bool]] = []
        self.wake_of: list[list[tuple[int, bool]]] = [[] for _ in range(pes)]
        self.traces: list[TraceEvent] = []
        self.powered: list[bool] = []

    # -- what comes in

    def send(self, src: str, body: Body) -> Any:
        """Deliver one message; gives the answer to the sender, if there is one."""
        sender = MessageId(NodeId(src), Incarnation(1), 0)
        answer: Any = None
        for effect in self.gicd.on_message(BoardNs(0), Envelope(sender, GICD_NODE, None, body)):
            answer = self._take(effect, src) or answer
        return answer

    def read(
        self, cpu: int, row: Word | PerIntid, intid: int = 0, width: int = 4, secure: bool = False
    ) -> int:
        """A register as a PE reads it; `intid` chooses the word or byte of an array."""
        src = f"el3.pe{cpu}" if secure else f"pe{cpu}"
        answer = self.send(src, RegRead(1, address(row, intid, width), width, secure))
        assert isinstance(answer, Reply), answer
        return answer.value

    def write(
        self,
        cpu: int,
        row: Word | PerIntid,
        value: int,
        intid: int = 0,
        width: int = 4,
        secure: bool = False,
    ) -> None:
        """A register write by a PE; `intid` chooses the word or byte of an array."""
        src = f"el3.pe{cpu}" if secure else f"pe{cpu}"
        answer = self.send(
            src, RegWrite(1, address(row, intid, width), value, width, False, secure)
        )
        assert answer == Reply(1), answer

    def wire(self, intid: int, level: bool, cpu: int = -1) -> None:
        """An input wire changes."""
        assert self.send("rtc", Wire(intid, level, cpu)) is None

    def pulse(self, intid: int) -> None:
        """An SPI's wire rises and falls."""
        self.wire(intid, True)
        self.wire(intid, False)

    def deactivate(self, cpu: int, intid: int) -> None:
        """A guest deactivates a list register with HW=1."""
        assert self.send("dom1", VirtualDeactivate(cpu, intid)) is None

    def power(self, on: bool, reset: bool = False) -> None:
        """`scp` switches the block."""
        assert self.send("scp", BlockPower(on, reset)) == BlockPowered(GICD_NODE, on)

    def wake_requests(self, cpu: int, enable: WakeEnable) -> None:
        """`scp` says which signal of a PE it wants."""
        assert self.send("scp", WakeRequests(cpu, enable)) is None

    def take_traces(self, *kinds: type) -> list[TraceEvent]:
        """Traces of these kinds since the last call."""
        taken = [trace for trace in self.traces if isinstance(trace, kinds)]
        self.traces.clear()
        return taken

    # -- usual sequences

    def firmware_boot(self) -> None:
        """What EL3 does at each boot: everything to Group 1."""
        for cpu in range(self.pes):
            self.write(cpu, GICD.IGROUPR, ALL, secure=True)
            self.write(cpu, GICC.PMR, 0xFF, secure=True)
        for first in range(32, self.intids, 32):
            self.write(0, GICD.IGROUPR, ALL, first, secure=True)
        self.write(0, GICD.CTLR, GICD.CTLR_ENABLE_GRP0, secure=True)

    def open(self, eoimode: int = 0) -> "Bench":
        """Firmware and hypervisor have set everything up; all SPIs target PE 0, priority 0xA0."""
        self.firmware_boot()
        self.write(0, GICD.CTLR, GICD.CTLR_ENABLE)
        for intid in range(0, self.intids, 4):
            for cpu in range(self.pes if intid < 32 else 1):
                self.write(cpu, GICD.IPRIORITYR, 0xA0A0A0A0, intid)
            self.write(0, GICD.ITARGETSR, 0x01010101, intid)
        for cpu in range(self.pes):
            self.write(cpu, GICC.PMR, 0xF8)
            self.write(cpu, GICC.CTLR, GICC.CTLR_ENABLE | (eoimode and GICC.CTLR_EOIMODE))
        self.traces.clear()
        self.outputs.clear()
        return self

    def enable(self, *intids: int, cpu: int = 0) -> None:
        """Enable interrupts, as seen by a PE."""
        for intid in intids:
            self.write(cpu, GICD.ISENABLER, 1 << intid % 32, intid)

    def set_edge(self, intid: int) -> None:
        """Make an interrupt edge-triggered."""
        word = self.read(0, GICD.ICFGR, intid)
        self.write(0, GICD.ICFGR, word | EDGE << intid % 16 * 2, intid)

    def priority(self, intid: int, priority: int, cpu: int = 0) -> None:
        """Set one interrupt's priority."""
        self.write(cpu, GICD.IPRIORITYR, priority, intid, width=1)

    def target(self, intid: int, mask: int) -> None:
        """Set one SPI's targets."""
        self.write(0, GICD.ITARGETSR, mask, intid, width=1)

    def sgi(self, cpu: int, intid: int, targets: int, filter_: int = SGIR.TO_LIST) -> None:
        """Generate an SGI."""
        fields = SGIR.TARGET_FILTER.put(filter_) | SGIR.TARGETS.put(targets)
        self.write(cpu, GICD.SGIR, fields | SGIR.INTID.put(intid))

    def iar(self, cpu: int = 0) -> int:
        """Acknowledge."""
        return self.read(cpu, GICC.IAR)

    def eoir(self, value: int, cpu: int = 0) -> None:
        """End of interrupt."""
        self.write(cpu, GICC.EOIR, value)

    def dir(self, value: int, cpu: int = 0) -> None:
        """Deactivate."""
        self.write(cpu, GICC.DIR, value)

    def bit(self, row: PerIntid, intid: int, cpu: int = 0, secure: bool = False) -> bool:
        """One bit of a bit array, as a PE reads it."""
        return bool(self.read(cpu, row, intid, secure=secure) >> intid % 32 & 1)

    def state(self, intid: int, cpu: int = 0) -> str:
        """The state of an interrupt as the registers show it."""
        pending = self.bit(GICD.ISPENDR, intid, cpu, secure=True)
        active = self.bit(GICD.ISACTIVER, intid, cpu, secure=True)
        return {
            (False, False): "inactive",
            (True, False): "pending",
            (False, True): "active",
            (True, True): "active and pending",
        }[pending, active]

    # -- inside

    def _take(self, effect: Effect, src: str) -> Any:
        match effect:
            case Trace(event):
                self.traces.append(event)
            case Send(dst, IrqOutput(level)):
                cpu = int(dst.removeprefix("pe"))
                assert self.irq[cpu] != level, "an output is only told when it changes"
                self.irq[cpu] = level
                self.outputs.append((cpu, level))
            case Send("scp", WakeLine(intid, level, -1)):
                self.wake.append((intid, level))
            case Send("scp", WakeLine(intid, level, cpu)):
                self.wake_of[cpu].append((intid, level))
            case Send(dst, Reply() | Abort() | BlockPowered() as body):
                assert dst == src
                return body
            case _:
                raise AssertionError(effect)
        return None


def address(row: Word | PerIntid, intid: int = 0, width: int = 4) -> int:
    """Physical address of a register, or of the word or byte of an array that holds an INTID."""
    base = GICC_BASE if row.name.startswith("GICC") else GICD_BASE
    if isinstance(row, Word):
        return base + row.offset
    return base + (row.word(intid) if width == 4 else row.byte(intid))


def states(traces: list[TraceEvent]) -> list[tuple[int, int, bool, bool]]:
    """The IntState traces as tuples."""
    return [(t.intid, t.cpu, t.pending, t.active) for t in traces if isinstance(t, IntState)]
