"""The node of one PE: powers the PE object up and down and hands it what arrives.

Process life is not power state: without power the node obeys only its rail, and remembers the level
of the interrupt wire, which is not part of the PE.
"""

from collections.abc import Hashable, Mapping, Sequence
from importlib import import_module
from typing import Final

from proto.board import Board
from proto.ids import GICD_NODE, BoardNs, CpuIndex, el3_node, pe_node
from proto.image import Image, Program, defined_in
from proto.machine import Translations
from proto.messages import (
    BankLost,
    Barrier,
    Eret,
    IrqOutput,
    Rail,
    Reply,
    SmcReturn,
    SysregRead,
    TlbInvalidate,
    VcpuExit,
    VcpuState,
)
from proto.node import ProtocolError
from proto.patch import XEN
from proto.platform import XEN_TEXT, GiccPower, MemoryModel
from proto.scenario import Relink
from proto.traces import PeEntered, PePower
from proto.turn import Effect, Envelope, Send, Trace
from services.pcpu.pe import Pe, WeakPe
from services.pcpu.xen.memory import XenMemory

XEN_PACKAGE: Final = XEN
XEN_MODULES = (
    "conring",
    "console",
    "context",
    "continue_hypercall",
    "cpu",
    "cpuerrata",
    "domain",
    "domctl",
    "event_channel",
    "gic",
    "gic_v2",
    "guest_access",
    "head",
    "heap",
    "hypercall",
    "idle",
    "iommu",
    "ipmmu_vmsa",
    "irq",
    "mm",
    "notifier",
    "percpu",
    "pl011",
    "psci",
    "rcupdate",
    "sched",
    "sched_op",
    "scif_uart",
    "serial",
    "setup",
    "shutdown",
    "smmu",
    "smmu_v3",
    "smpboot",
    "softirq",
    "spinlock",
    "state",
    "stop_machine",
    "suspend",
    "suspend_policy",
    "sysctl",
    "tasklet",
    "time",
    "timer",
    "traps",
    "vgic",
    "vgic_v2",
    "vpsci",
    "vtimer",
    "watchdog",
)
"""What is linked into Xen's image."""


def xen_image(
    relink: Sequence[Relink] = (), relinked: Mapping[str, Program] | None = None
) -> Image:
    """Xen as one image: all its programs with their addresses.

    `relink` puts symbols of the image in the place of others, as a profile does; `relinked` puts
    programs there, also in the place of what stands in for another. Raises KeyError for a symbol
    that the image does not define.
    """
    for module in XEN_MODULES:
        import_module(f"{XEN_PACKAGE}.{module}")
    given = relinked or {}
    programs = {**defined_in(XEN_PACKAGE), **given}
    by_name = {entry.symbol: programs[entry.stand_in] for entry in relink}
    return Image(XEN_PACKAGE, XEN_TEXT, "start", {**by_name, **given})


class PeNode:
    """Node `pe<N>`. `relinked` replaces symbols of Xen's image."""

    def __init__(
        self, board: Board, cpu: CpuIndex, relinked: Mapping[str, Program] | None = None
    ) -> None:
        self.id = pe_node(cpu)
        self._board = board
        self._cpu = cpu
        patched = {**board.relinked(XEN_PACKAGE), **(relinked or {})}
        self._image = xen_image(board.profile.relink, patched)
        self._memory = XenMemory(board)
        self._translations: dict[Hashable, Translations] = {}
        self._pe: Pe | None = None
        self._last_tx = 0
        self._irq_line = False

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The board has power, this PE has not."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Rail and interrupt wire always; everything else only with power."""
        body, pe = envelope.body, self._pe
        if pe is not None:
            # Nine of ten messages answer what a program waits for.
            pe.now = now
            if pe.answer(body):
                return pe.end()
        if isinstance(body, IrqOutput):
            self._irq_line = body.level
        if isinstance(body, TlbInvalidate):
            # A PE without power holds no translations: the interconnect answers in its place.
            if self._pe is not None:
                self._pe.tlb_invalidated()
            return [Send(envelope.id.src, Reply(body.tx))]
        if isinstance(body, Rail):
            return self._power_up(now, body) if body.on else self._power_down(now, body)
        if pe is None:
            return ()
        self._dispatch(pe, envelope)
        return pe.end()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A timer of the PE; one that was set before the power was cut finds nobody."""
        pe = self._pe
        if pe is None:
            return ()
        pe.begin(now)
        if not pe.timer_fired(timer):
            raise ProtocolError(f"{self.id} has no timer {timer}")
        return pe.end()

    def _dispatch(self, pe: Pe, envelope: Envelope) -> None:
        body = envelope.body
        match body:
            case IrqOutput(level):
                pe.set_irq_line(level)
            case VcpuExit():
                pe.guest_exited(body)
            case VcpuState(tx, state):
                pe.complete(tx, state)
            case SmcReturn(tx, results):
                pe.complete(tx, results)
            case Eret(entry, x0):
                self._enter(pe, entry, x0)
            case SysregRead(tx, "ISR_EL1"):
                pe.emit(Send(envelope.id.src, Reply(tx, int(pe.irq_line))))
            case Barrier(tx):
                pe.complete_for(envelope.id.src, tx)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {envelope.id.src}")

    def _enter(self, pe: Pe, entry: int, x0: int) -> None:
        symbol = self._image.at(entry)
        if symbol is None:
            pe.halt(f"instruction abort: no code at {entry:#x}")
            return
        pe.trace(PeEntered(symbol, x0))
        pe.boot(self._image.links[symbol](pe, x0))

    def _power_up(self, now: BoardNs, rail: Rail) -> Sequence[Effect]:
        if self._pe is not None:
            raise ProtocolError(f"{self.id} is powered up twice")
        weak = self._board.platform.memory_model is MemoryModel.WEAK
        self._pe = (WeakPe if weak else Pe)(
            self._board,
            self._cpu,
            self._image,
            self._memory,
            self._last_tx,
            self._irq_line,
            self._translations,
        )
        return [Trace(PePower(True, rail.reason.name)), *self._pass_on(rail)]

    def _power_down(self, now: BoardNs, rail: Rail) -> Sequence[Effect]:
        pe, self._pe = self._pe, None
        if pe is None:
            raise ProtocolError(f"{self.id} is powered down twice")
        self._last_tx = pe.last_tx
        pe.begin(now)
        pe.trace(PePower(False))
        pe.power_lost()
        if pe.loaded is not None:
            pe.emit(Send(pe.loaded.node, BankLost(pe.loaded.number, pe.generation)))
        return [*pe.end(), *self._pass_on(rail)]

    def _pass_on(self, rail: Rail) -> list[Effect]:
        """To what shares the rail."""
        shared = [el3_node(self._cpu)]
        if self._board.platform.gicc_power is GiccPower.PE:
            shared.append(GICD_NODE)
        return [Send(node, rail) for node in shared]
