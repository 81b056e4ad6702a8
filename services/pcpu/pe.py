"""One processing element as Xen at EL2 sees it: MMU, generic timer, SMC, guest entry.

Everything in here is lost when the PE's power is cut: power-on builds a fresh object whose
registers read as UNKNOWN until software writes them.
"""

import types
from collections.abc import Awaitable, Generator, Hashable
from typing import Any

from proto import timer
from proto.board import Board
from proto.gic import PPI_HYP_TIMER
from proto.ids import GICD_NODE, CpuIndex, el3_node, pe_node
from proto.image import Image
from proto.machine import ExternalAbort, Processor, Thread, Translations
from proto.messages import (
    El1State,
    Smc,
    TlbInvalidate,
    VcpuExit,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    Wire,
)
from proto.psci import from_register
from proto.traces import PeHalted, SmcIssued, Unpredictable
from proto.turn import CancelTimer, Send, SetTimer
from proto.weak import StoreBuffering
from services.pcpu.xen.memory import XEN_VIRT_OFFSET, Vcpu, XenMemory, pa

PAGE_TABLE_MAGIC = 0x5847_5054
"""First word of a page-table record."""

GUEST_REGISTERS = ("VBAR_EL2", "VTCR_EL2", "CPTR_EL2", "HCR_EL2", "CNTHCTL_EL2", "MDCR_EL2")
"""EL2 registers that decide what a guest may do: entering one while they are UNKNOWN halts."""


ERRATA_REGISTER = "CPUACTLR_EL1"
"""Implementation defined: holds the workarounds for errata that guests depend on."""

HCR_EN = 1 << 0
HCR_UIE = 1 << 1
"""Bits of GICH_HCR: the virtual interface is on; interrupt when at most one LR is in use."""

XEN_VIRT_SIZE = 1 << 32
"""How much Xen maps behind XEN_VIRT_OFFSET: all physical addresses of a board."""


class Pe(Processor):
    """A powered PE.

    `current` is Xen's current vCPU (None: idle), `loaded` the one whose EL1 bank is in this PE,
    `lrs` its list registers, `hcr` the GICH_HCR it runs with. `result` is what goes to the guest's
    x0 when it is entered next. `translations` outlive the PE, by state of the MMU: they are
    numbers that follow from it, and a suspend cycle cuts the power of every PE.
    """

    def __init__(
        self,
        board: Board,
        cpu: CpuIndex,
        image: Image,
        memory: XenMemory,
        first_tx: int,
        irq_line: bool,
        translations: dict[Hashable, Translations],
    ) -> None:
        super().__init__(
            pe_node(cpu), image, board.memory_map, board.platform.bus_timeout_ns, first_tx
        )
        self.board = board
        self.cpu = cpu
        self.xen = memory
        self.points = board.points
        self.irq_line = irq_line
        self._translations = translations
        self.registers: dict[str, int] = {}
        self.current: Vcpu | None = None
        self.loaded: Vcpu | None = None
        self.lrs: tuple[int, ...] = ()
        self.result: int | None = None
        self.reload = False
        """The current vCPU has a requested reset, which the next switch or entry applies."""
        self.hcr = HCR_EN
        self._mmu_on = False
        self._offset = 0
        self._identity = False
        self._cnthp_ctl = 0
        self._cnthp_cval = 0
        self._cnthp_line = False
        self._generation = 0
        self._run_tx = 0
        self._kicked = False
        self._errata_missed = False
        self._translate_anew()

    # -- memory management

    def translate(self, address: int) -> int:
        """Stage 1 of EL2: physical addresses only with the MMU off, mapped ones with it on."""
        if not self._mmu_on:
            if address >= XEN_VIRT_OFFSET:
                raise ExternalAbort(f"virtual address {address:#x} used with the MMU off")
            return address
        if XEN_VIRT_OFFSET <= address < XEN_VIRT_OFFSET + XEN_VIRT_SIZE:
            return address - self._offset
        if address >= XEN_VIRT_SIZE:
            raise ExternalAbort(f"translation fault at {address:#x}: not mapped")
        if self._identity:
            return address
        raise ExternalAbort(f"translation fault at {address:#x}: no identity mapping")

    async def enable_mmu(self, ttbr: int) -> None:
        """Set SCTLR_EL2.M with TTBR0_EL2; the code runs from its identity mapping (head.S)."""
        table = self.xen.page_table
        if ttbr != pa(table.magic):
            raise ExternalAbort(f"TTBR0_EL2 is {ttbr:#x}: there is no page table")
        cells = (pa(table.magic), pa(table.offset), pa(table.identity))
        magic, offset, identity = await self.load_burst(cells)
        if magic != PAGE_TABLE_MAGIC:
            raise ExternalAbort(f"the page table at {ttbr:#x} is not valid")
        if not identity:
            raise ExternalAbort("instruction abort: the code that enables the MMU is not mapped")
        self._mmu_on, self._offset, self._identity = True, offset, True
        self._translate_anew()

    async def flush_tlb(self) -> None:
        """Take up changes of the page-table record, on every PE (TLBI ALLE2IS, DSB ISH).

        What is not mapped is in no TLB, so only a mapping that is taken away is broadcast.
        """
        self._identity = bool(await self.load(self.xen.page_table.identity))
        self._translate_anew()
        if not self._identity:
            for cpu in self.board.platform.cpus:
                if cpu != self.cpu:
                    await self.transact(pe_node(cpu), TlbInvalidate)

    def tlb_invalidated(self) -> None:
        """Another PE has taken the identity mapping away."""
        self._identity = False
        self._translate_anew()

    def _translate_anew(self) -> None:
        self.translate_by((self._mmu_on, self._offset, self._identity))

    # -- registers

    def set_register(self, name: str, value: int) -> None:
        """MSR to an EL2 register of the saved set."""
        self.registers[name] = value

    def register(self, name: str) -> int:
        """MRS; a register that nobody wrote since reset is UNKNOWN."""
        if name not in self.registers:
            raise ExternalAbort(f"{name} is UNKNOWN: not written since reset")
        return self.registers[name]

    # -- EL2 physical timer

    def set_cnthp(self, ctl: int, cval: int) -> None:
        """Write CNTHP_CVAL_EL2, then CNTHP_CTL_EL2."""
        self._cnthp_ctl, self._cnthp_cval = ctl, cval
        edge = timer.next_edge_ns(ctl, cval, self.now)
        if edge is None:
            self.emit(CancelTimer("cnthp"))
        else:
            slack = self.board.platform.latencies.timer
            self.emit(SetTimer("cnthp", edge + slack[0], edge + slack[1]))
        self._drive_cnthp()

    def cnthp_is_pending(self) -> bool:
        """CNTHP_CTL_EL2.ISTATUS and not masked."""
        return timer.line(self._cnthp_ctl, self._cnthp_cval, self.now)

    def _drive_cnthp(self) -> None:
        level = self.cnthp_is_pending()
        if level != self._cnthp_line:
            self._cnthp_line = level
            self._wire(level)

    def _wire(self, level: bool) -> None:
        self.emit(Send(GICD_NODE, Wire(PPI_HYP_TIMER, level, self.cpu)))

    def timer_fired(self, timer_name: str) -> bool:
        """A timer of this PE: the EL2 comparator, or one of the processor's."""
        if timer_name == "cnthp":
            self._drive_cnthp()
            return True
        return super().timer_fired(timer_name)

    # -- secure monitor call

    @types.coroutine
    def _smc(self, function: int, args: tuple[int, int, int]) -> Generator[int, Any, Any]:
        tx = self._next_tx()
        self.trace(SmcIssued(function, args, self.irq_masked))
        self.emit(Send(el3_node(self.cpu), Smc(tx, function, args)))
        return (yield tx)

    async def smc(self, function: int, x1: int = 0, x2: int = 0, x3: int = 0) -> int:
        """SMC #0; gives x0 as a signed value. CPU_OFF does not come back."""
        results = await self._smc(function, (x1, x2, x3))
        return from_register(results[0])

    # -- guest entry and exit

    async def vcpu_load(self, vcpu: Vcpu, state: El1State, generation: int) -> None:
        """Put a vCPU's EL1 bank into this PE; its entries are numbered from `generation` on."""
        assert self.loaded is None, f"{self.loaded} is still loaded"
        self._generation = generation
        generation = self._next_generation()
        await self.transact(vcpu.node, lambda tx: VcpuLoad(tx, vcpu.number, generation, state))
        self.loaded, self.lrs, self.hcr = vcpu, state.lrs, HCR_EN

    async def vcpu_put(self) -> El1State:
        """Take the loaded EL1 bank out of this PE."""
        vcpu = self.loaded
        assert vcpu is not None
        number, generation = vcpu.number, self._generation
        state: El1State = await self.transact(vcpu.node, lambda tx: VcpuPut(tx, number, generation))
        self.loaded = None
        return state

    def run_vcpu(self, result: int | None = None) -> Awaitable[VcpuExit]:
        """ERET to the loaded vCPU until it exits; a pending physical IRQ is an exit at once.

        Called with IRQs masked at EL2: physical interrupts are routed to EL2 (HCR_EL2.IMO).
        """
        assert self.loaded is not None
        for name in GUEST_REGISTERS:
            self.register(name)
        if ERRATA_REGISTER not in self.registers and not self._errata_missed:
            self._errata_missed = True
            what = f"a guest runs on CPU{self.cpu} without the workarounds for its errata"
            self.trace(Unpredictable(what, "xen/arch/arm/cpuerrata.c, check_local_cpu_errata"))
        return self._run_vcpu(self.loaded, result)

    @types.coroutine
    def _run_vcpu(self, vcpu: Vcpu, result: int | None) -> Generator[int, Any, VcpuExit]:
        self._run_tx = tx = self._next_tx()
        generation = self._next_generation()
        self.emit(Send(vcpu.node, VcpuRun(vcpu.number, generation, self.lrs, result, self.hcr)))
        self._kicked = False
        if self.irq_line:
            self._kick()
        exit_: VcpuExit = yield tx
        self._run_tx = 0
        self.lrs, self.hcr = exit_.lrs, exit_.hcr
        return exit_

    def guest_exited(self, exit_: VcpuExit) -> None:
        """The loaded vCPU has left EL1."""
        assert exit_.generation == self._generation, "an exit of another entry"
        self.complete(self._run_tx, exit_)

    def set_irq_line(self, level: bool) -> None:
        """nIRQ: while a guest runs, it is kicked; otherwise as any processor."""
        super().set_irq_line(level)
        if level and self._run_tx and not self._kicked:
            self._kick()

    def _kick(self) -> None:
        assert self.loaded is not None
        self._kicked = True
        self.emit(Send(self.loaded.node, VcpuKick(self.loaded.number, self._generation)))

    def _next_generation(self) -> int:
        self._generation += 1
        return self._generation

    @property
    def generation(self) -> int:
        """Number of the latest load or entry."""
        return self._generation

    # -- exceptions

    def irq_vector(self) -> Thread:
        """IRQ taken at EL2 from EL2."""
        return self.links["hyp_irq"](self)

    def on_halt(self, message: str) -> None:
        """Nothing handles an abort or a panic at EL2."""
        self.trace(PeHalted(message))

    def power_lost(self) -> None:
        """Power is cut: the stack is gone, timers stop, the lines this PE drives fall."""
        self.discard()
        if self._cnthp_line:
            self._wire(False)


class WeakPe(StoreBuffering, Pe):
    """A powered PE whose stores become visible in their own time."""

    def __init__(
        self,
        board: Board,
        cpu: CpuIndex,
        image: Image,
        memory: XenMemory,
        first_tx: int,
        irq_line: bool,
        translations: dict[Hashable, Translations],
    ) -> None:
        super().__init__(board, cpu, image, memory, first_tx, irq_line, translations)
        self.set_up_buffer(board.platform.latencies.store_buffer)

    def power_lost(self) -> None:
        """Power is cut, with what is in the buffer."""
        self.lose_stores()
        super().power_lost()

    @property
    def is_buffering(self) -> bool:
        """With the MMU off every access is to Device-nGnRnE memory."""
        return self._mmu_on
