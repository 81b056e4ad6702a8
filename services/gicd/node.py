"""The node `gicd`: distributor and CPU interfaces behind the bus, in their own power domain."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from proto.board import Board
from proto.gic import SGI_COUNT, SPI_FIRST
from proto.ids import GICD_NODE, SCP, BoardNs, CpuIndex, NodeId, el3_node, pe_node
from proto.messages import (
    Abort,
    Barrier,
    BlockPower,
    BlockPowered,
    IrqOutput,
    Rail,
    RegRead,
    RegWrite,
    Reply,
    VirtualDeactivate,
    WakeEnable,
    WakeLine,
    WakeRequests,
    Wire,
)
from proto.node import ProtocolError
from proto.platform import GICC_BASE, GICD_BASE, GiccPower, Retention, retention
from proto.registers import PerIntid
from proto.traces import InterruptLost, Unpredictable
from proto.turn import Effect, Envelope, Send, Trace
from services.gicd.cpu_interface import CpuInterface
from services.gicd.distributor import GICD_MAP, Distributor

GICD_SIZE = 0x1000
GICC_SIZE = 0x2000


SYSTEM = -1
"""The `cpu` of a wake request for the whole system."""


class WakeRequest(NamedTuple):
    """A wakeup output that is high, and the interrupt that raises it."""

    cpu: int
    intid: int


class Gicd:
    """GICv2 of the board.

    The accessing PE is the one whose `pe<N>` or `el3.pe<N>` sent the message; Secure accesses come
    from EL3 alone. Losing power resets distributor and CPU interfaces, but not the levels of the
    input wires. A PE that is switched off leaves its banked state in the distributor as it is; its
    CPU interface is lost with it where it shares the PE's power domain. Refused accesses
    are answered with `Abort`: no power, outside the frames, an unsupported width. A posted write
    that is refused has no answer and is traced as `Unpredictable`.

    Off with its state retained, the block asks `scp` to wake the system for every interrupt that is
    pending, enabled, in an enabled group and targets a PE, whatever the CPU interfaces say. `scp`
    says by `WakeRequests` which signal it wants of a PE that sleeps alone.
    """

    def __init__(self, board: Board) -> None:
        platform = board.platform
        self.id: NodeId = GICD_NODE
        self._gicc_power = platform.gicc_power
        self._retention = retention(board.scenario.power_model, self.id)
        self._distributor = Distributor(platform.pes, platform.intids)
        self._interfaces = [CpuInterface(cpu, self._distributor) for cpu in platform.cpus]
        self._outputs = [False] * platform.pes
        self._cpu_of: dict[NodeId, int] = {}
        for cpu in platform.cpus:
            self._cpu_of[pe_node(cpu)] = self._cpu_of[el3_node(cpu)] = cpu
        self._on = True
        self._kept = True
        """The state is there: the block has power, or has been switched off with retention."""
        self._wake_enable: dict[int, WakeEnable] = {}
        self._requested: list[WakeRequest] = []
        self._risen_unseen: set[tuple[int, int]] = set()
        self._handlers: dict[type, Callable[[NodeId, Any], list[Effect]]] = {
            RegRead: self._read,
            RegWrite: self._write,
            Barrier: self._barrier,
            Wire: self._wire,
            VirtualDeactivate: self._virtual_deactivate,
            BlockPower: self._block_power,
            WakeRequests: self._wake_requests,
            Rail: self._rail,
        }

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The GIC has power from the start, at reset values."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A register access, a wire, a guest's deactivation, or the block's power."""
        body = envelope.body
        handler = self._handlers.get(type(body))
        if handler is None:
            raise ProtocolError(f"gicd cannot take {body} from {envelope.id.src}")
        return handler(envelope.id.src, body)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """The GIC sets no timers."""
        raise ProtocolError(f"gicd set no timer {timer}")

    # -- register accesses

    def _read(self, src: NodeId, body: RegRead) -> list[Effect]:
        cpu = self._accessor(src, body.secure)
        if reason := self._refusal(body.address, body.width):
            return [Send(src, Abort(body.tx, reason))]
        if body.address < GICC_BASE:
            offset = body.address - GICD_BASE
            value = self._distributor.read(cpu, offset, body.width, body.secure)
        else:
            value = self._interfaces[cpu].read(body.address - GICC_BASE, body.secure)
            # Acknowledging and ending an interrupt moves the PE's running priority.
            self._distributor.touch(cpu)
        return [Send(src, Reply(body.tx, value)), *self._outcome()]

    def _write(self, src: NodeId, body: RegWrite) -> list[Effect]:
        cpu = self._accessor(src, body.secure)
        if reason := self._refusal(body.address, body.width):
            if body.posted:
                what = f"{src}: posted write to {body.address:#x} is lost: {reason}"
                return [Trace(Unpredictable(what, "DDI 0487, SError interrupt"))]
            return [Send(src, Abort(body.tx, reason))]
        if body.address < GICC_BASE:
            offset = body.address - GICD_BASE
            self._distributor.write(cpu, offset, body.width, body.value, body.secure)
        else:
            self._interfaces[cpu].write(body.address - GICC_BASE, body.value, body.secure)
            self._distributor.touch(cpu)
        outcome = self._outcome()
        return outcome if body.posted else [Send(src, Reply(body.tx)), *outcome]

    def _barrier(self, src: NodeId, body: Barrier) -> list[Effect]:
        return [Send(src, Reply(body.tx))]

    def _accessor(self, src: NodeId, secure: bool) -> int:
        """CPU index of the PE behind an access."""
        cpu = self._cpu_of.get(src)
        if cpu is None or (secure and not src.startswith("el3.")):
            raise ProtocolError(f"{src} has no {'Secure ' if secure else ''}access to the GIC")
        return cpu

    def _refusal(self, address: int, width: int) -> str:
        """Why an access aborts, or nothing."""
        if not self._on:
            return "gicd has no power"
        in_gicd = GICD_BASE <= address < GICD_BASE + GICD_SIZE
        if not in_gicd and not GICC_BASE <= address < GICC_BASE + GICC_SIZE:
            return f"no GIC register frame at {address:#x}"
        if width == 4 and not address & 3:
            return ""
        row = GICD_MAP.at(address - GICD_BASE) if in_gicd else None
        # IHI 0048B, GIC register access: only the arrays of byte fields take byte accesses.
        if width == 1 and isinstance(row, PerIntid) and row.bits == 8:
            return ""
        return f"no {width}-byte access to {address:#x}"

    # -- wires

    def _wire(self, src: NodeId, body: Wire) -> list[Effect]:
        intid, cpu = body.intid, body.cpu
        private = SGI_COUNT <= intid < SPI_FIRST
        if private and cpu not in range(self._distributor.pes):
            raise ProtocolError(f"{src}: PPI {intid} has no PE {cpu}")
        if not private and (cpu != -1 or not SPI_FIRST <= intid < self._distributor.intids):
            raise ProtocolError(f"{src}: gicd has no input wire {intid} of PE {cpu}")
        if self._kept:
            self._distributor.set_line(cpu, intid, body.level)
            return self._outcome()
        self._distributor.hold_line(cpu, intid, body.level)
        if body.level:
            self._risen_unseen.add((cpu, intid))
        elif (cpu, intid) in self._risen_unseen:
            # The pulse came and went while nothing could latch it.
            self._risen_unseen.remove((cpu, intid))
            return [Trace(InterruptLost(intid, self.id))]
        return []

    def _virtual_deactivate(self, src: NodeId, body: VirtualDeactivate) -> list[Effect]:
        if not self._on:
            what = f"{src}: deactivation of INTID {body.intid} is lost: gicd has no power"
            return [Trace(Unpredictable(what, "DDI 0487, SError interrupt"))]
        if body.cpu not in range(self._distributor.pes) or body.intid >= self._distributor.intids:
            raise ProtocolError(f"{src}: no INTID {body.intid} on PE {body.cpu}")
        self._distributor.deactivate(body.cpu, body.intid)
        return self._outcome()

    # -- power

    def _rail(self, src: NodeId, body: Rail) -> list[Effect]:
        """A CPU interface in the power domain of its PE has nothing left after a cut."""
        cpu = self._cpu_of.get(src)
        if cpu is None or self._gicc_power is not GiccPower.PE or src != pe_node(CpuIndex(cpu)):
            raise ProtocolError(f"{src}: no CPU interface lies on its rail")
        if not body.on:
            self._interfaces[cpu].reset()
            self._distributor.touch(cpu)
        return self._outcome()

    def _block_power(self, src: NodeId, body: BlockPower) -> list[Effect]:
        if body.on is self._on:
            raise ProtocolError(f"{src}: the power of gicd is {'on' if body.on else 'off'} already")
        self._on = body.on
        self._kept = body.on or (self._retention is Retention.RETAINED and not body.reset)
        if body.on:
            self._risen_unseen.clear()
            self._distributor.show_all()
        elif not self._kept:
            self._distributor.lose_power()
            for interface in self._interfaces:
                interface.reset()
        powered = Send(SCP, BlockPowered(self.id, body.on))
        return [*self._outcome(), powered]

    def _outcome(self) -> list[Effect]:
        """What the act that has just been carried out changes outside the block."""
        dirty, events = self._distributor.take()
        effects: list[Effect] = [Trace(event) for event in events]
        if self._on:
            effects += self._drive_outputs(dirty)
        if self._requested or self._wake_enable or not self._on:
            effects += self._drive_wake_requests()
        return effects

    def _drive_outputs(self, dirty: int) -> list[Effect]:
        effects: list[Effect] = []
        for cpu, interface in enumerate(self._interfaces):
            if dirty >> cpu & 1 and (level := interface.irq()) != self._outputs[cpu]:
                self._outputs[cpu] = level
                effects.append(Send(pe_node(cpu), IrqOutput(level)))
        return effects

    # -- wake requests

    def _wake_requests(self, src: NodeId, body: WakeRequests) -> list[Effect]:
        if src != SCP or body.cpu not in range(self._distributor.pes):
            raise ProtocolError(f"{src} may not ask for wake requests of PE {body.cpu}")
        self._wake_enable.pop(body.cpu, None)
        if body.enable != WakeEnable.NONE:
            self._wake_enable[body.cpu] = body.enable
        return self._drive_wake_requests()

    def _drive_wake_requests(self) -> list[Effect]:
        wanted = self._wanted_requests()
        effects: list[Effect] = [
            Send(SCP, WakeLine(request.intid, False, request.cpu))
            for request in self._requested
            if request not in wanted
        ]
        effects += [
            Send(SCP, WakeLine(request.intid, True, request.cpu))
            for request in wanted
            if request not in self._requested
        ]
        self._requested = wanted
        return effects

    def _wanted_requests(self) -> list[WakeRequest]:
        """Requests for the system while the block is off, and for PEs as `scp` wants them."""
        if not self._kept:
            return []
        wanted: list[WakeRequest] = []
        if not self._on:
            intids = self._distributor.wake_requests((1 << self._distributor.pes) - 1)
            wanted += [WakeRequest(SYSTEM, intid) for intid in intids]
        for cpu, enable in sorted(self._wake_enable.items()):
            if enable == WakeEnable.WAKEUP:
                intids = self._distributor.wake_requests(1 << cpu)
            else:
                intids = self._interfaces[cpu].signals() if self._on else []
            wanted += [WakeRequest(cpu, intid) for intid in intids]
        return wanted
