"""A vCPU as its guest's programs see it, and as the node drives it: run, exit, put, lose.

Programs are coroutines. One runs only between `VcpuRun` and its `VcpuExit`; each `await` either
leaves EL1, or is an access to a device that is passed through, or is compute time. A virtual IRQ is
taken at entry, between awaits or inside `work`, if PSTATE.I is clear; its handler is pushed and its
end is the ERET. While the guest is outside EL1 nothing of it advances.
"""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from proto.devices import PL011
from proto.el1 import is_token
from proto.gic import GICC, IAR
from proto.hypercall import XEN_HYPERCALL, Hypercall
from proto.ids import NodeId
from proto.image import Image, Program
from proto.messages import (
    Atomic,
    AtomicOp,
    Body,
    El1State,
    ExitReason,
    FifoRead,
    FifoWrite,
    RegRead,
    RegWrite,
    VcpuExit,
)
from proto.node import ProtocolError
from proto.platform import GICC_BASE
from proto.psci import MASK_32, MASK_64, from_register
from proto.scenario import DomainSpec, GuestArch
from proto.traces import GuestIrq, GuestStarted, GuestWork, TraceBody
from proto.turn import CancelTimer, Effect, Send, SetTimer, Trace
from services.domain.bank import VcpuBank

GICV_SIZE = 0x2000
"""The CPU interface frame that stage 2 maps to GICV."""

SPECIAL_INTIDS = 1020
"""IAR values from here on acknowledge nothing."""


HYPERCALL_REGISTER = {GuestArch.AARCH64: 16, GuestArch.AARCH32: 12}
"""x16, or r12, holds the number of a hypercall."""

REGISTER_MASK = {GuestArch.AARCH64: MASK_64, GuestArch.AARCH32: MASK_32}
"""What fits into a general register."""

Args = tuple[int, int, int, int, int]


class GuestAbort(Exception):
    """A synchronous external abort at EL1: an access to a passed-through device was refused."""


class Wait(Enum):
    """What the topmost program of a vCPU waits for."""

    NOTHING = auto()
    ENTRY = auto()
    """The next entry: behind a call, a trapped access or a WFI."""
    ACCESS = auto()
    """The answer of a device that is passed through."""
    WORK = auto()
    """Compute time."""


Thread = Coroutine[None, Any, Any]


@dataclass(slots=True)
class _Frame:
    """One level of the guest's exception stack."""

    thread: Thread
    masked: bool
    """PSTATE.I to restore when the frame below goes on."""
    wait: Wait = Wait.NOTHING
    tx: int = 0
    remaining_ns: int = 0
    """Compute time that is left of a `work`."""
    value: Any = None
    error: GuestAbort | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """What the vCPUs of a domain share: their description, their kernel, their RAM, their bus.

    `ram` maps guest-physical addresses of 64-bit words to values; words nobody wrote are zero.
    `passed_through` gives the node behind an address that stage 2 maps to a device, or None.
    """

    spec: DomainSpec
    image: Image
    ram: dict[int, int]
    tty: int
    """Address of the domain's own serial port."""
    passed_through: Callable[[int], NodeId | None]
    emit: Callable[[Effect], None]
    next_tx: Callable[[], int]
    names: Mapping[int, str]
    """What the toolstack calls each domain of the board."""
    xl_resume: bool
    """Whether the toolstack has `xl resume`."""


class GuestCpu:
    """One vCPU. The node calls `load`, `run`, `kick`, `put`, `lose`, `answer` and `fired`."""

    def __init__(self, domain: Domain, vcpu: int) -> None:
        self.domain = domain
        self.vcpu = vcpu
        self.links: Mapping[str, Program] = domain.image.links
        self._mask = REGISTER_MASK[domain.spec.arch]
        self.now = 0
        self.pe: NodeId | None = None
        """The PE that holds the bank."""
        self.running: int | None = None
        """Generation of the present entry, or None outside EL1."""
        self.last_generation = 0
        self._fresh = False
        """The loaded state is an entry address that has not been entered yet."""
        self._bank: VcpuBank | None = None
        self._frames: list[_Frame] = []
        self._work_until_ns: int | None = None

    # -- driven by the node

    @property
    def bank(self) -> VcpuBank:
        """The loaded bank."""
        if self._bank is None:
            raise ProtocolError(f"vCPU {self.vcpu} is not loaded")
        return self._bank

    @property
    def is_loaded(self) -> bool:
        """Whether a PE holds the bank."""
        return self._bank is not None

    def load(self, bank: VcpuBank, pe: NodeId) -> None:
        """The bank has been put into a PE; an entry address ends what ran before."""
        self._bank, self.pe = bank, pe
        self._fresh = not is_token(bank.pc)
        if self._fresh:
            self._discard()
        bank.drive(self.now)

    def put(self, token_pc: int) -> El1State:
        """The bank is taken out of its PE; programs stay where they are, and `token_pc` names them.

        A vCPU that was not entered keeps its entry address.
        """
        bank = self.bank
        state = bank.state(bank.pc if self._fresh else token_pc)
        self._unload()
        return state

    def lose(self) -> None:
        """The PE has lost power: the bank is gone, and with it the registers of every program."""
        self._pause_work()
        self.running = None
        self._unload()
        self._discard()

    def _unload(self) -> None:
        self.bank.unload()
        self._bank = self.pe = None

    def _discard(self) -> None:
        """Forget every program."""
        for frame in reversed(self._frames):
            frame.thread.close()
        self._frames.clear()

    def run(self, generation: int, lrs: tuple[int, ...], hcr: int, result: int | None) -> None:
        """ERET to the guest: it goes on until it leaves EL1 or waits."""
        bank = self.bank
        self.running = self.last_generation = generation
        bank.enter(lrs, hcr)
        if result is not None:
            bank.x[0] = result & self._mask
        if self._fresh:
            self._start()
        elif self._frames:
            self._complete_exit(self._frames[-1])
        self._advance()

    def kick(self, generation: int) -> None:
        """A physical interrupt takes the PE to EL2; stale kicks find another generation."""
        if self.running == generation:
            self._pause_work()
            self._exit(ExitReason.IRQ, ())

    def answer(self, tx: int, value: Any, error: str | None = None) -> bool:
        """A passed-through access has been answered; False if no frame of this vCPU waits for it.

        Outside EL1 the answer is kept for its frame.
        """
        for frame in self._frames:
            if frame.wait is Wait.ACCESS and frame.tx == tx:
                frame.wait, frame.value = Wait.NOTHING, value
                frame.error = None if error is None else GuestAbort(error)
                self._advance()
                return True
        return False

    def work_fired(self) -> None:
        """Compute time has passed; a timer that was cancelled while it fired finds nothing."""
        if self._work_until_ns is not None and self.now >= self._work_until_ns:
            self._work_until_ns = None
            self._frames[-1].wait = Wait.NOTHING
            self._advance()

    # -- awaited by programs

    def hvc(self, immediate: int, x0: int, x1: int = 0, x2: int = 0, x3: int = 0) -> Awaitable[int]:
        """HVC #immediate; gives x0 as Xen leaves it."""
        return self._call(ExitReason.HVC, immediate, (x0, x1, x2, x3, 0))

    def hypercall(self, number: Hypercall, *args: int) -> Awaitable[int]:
        """HVC #XEN_HYPERCALL with up to five arguments; gives x0 as a signed value."""
        x0, x1, x2, x3, x4 = (*args, 0, 0, 0, 0, 0)[:5]
        return self._hypercall(number, (x0, x1, x2, x3, x4))

    def smc(self, x0: int, x1: int = 0, x2: int = 0, x3: int = 0) -> Awaitable[int]:
        """SMC #0, which Xen traps; gives x0."""
        return self._call(ExitReason.SMC, 0, (x0, x1, x2, x3, 0))

    @types.coroutine
    def read(self, address: int, width: int = 4) -> Generator[None, Any, int]:
        """Read a device register: the virtual CPU interface, a passed-through device, or a trap."""
        if GICC_BASE <= address < GICC_BASE + GICV_SIZE:
            return self._gicv_read(address - GICC_BASE)
        node = self.domain.passed_through(address)
        if node is not None:
            tx = self.domain.next_tx()
            return int((yield from self._access(node, RegRead(tx, address, width), tx)))
        return int((yield from self._trap((address, width, 0, 0))))

    @types.coroutine
    def write(self, address: int, value: int, width: int = 4) -> Generator[None, Any, None]:
        """Write a device register and wait until the device has it."""
        if GICC_BASE <= address < GICC_BASE + GICV_SIZE:
            self.bank.gicv_write(address - GICC_BASE, value)
            yield
            return
        node = self.domain.passed_through(address)
        if node is not None:
            tx = self.domain.next_tx()
            yield from self._access(node, RegWrite(tx, address, value, width), tx)
        else:
            yield from self._trap((address, width, 1, value))

    @types.coroutine
    def swap_shared(self, address: int, value: int) -> Generator[None, Any, int]:
        """Exchange a word of a page that the domain shares with Xen or domain 0."""
        node = self._shared(address)
        tx = self.domain.next_tx()
        body = Atomic(tx, AtomicOp.SWAP, address, value)
        return int((yield from self._access(node, body, tx)))

    @types.coroutine
    def fifo_read(self) -> Generator[None, Any, bytes]:
        """Empty the receive FIFO of the domain's serial port."""
        node, address = self._tty()
        tx = self.domain.next_tx()
        return bytes((yield from self._access(node, FifoRead(tx, address), tx)))

    @types.coroutine
    def wfi(self) -> Generator[None, Any, None]:
        """Wait for an interrupt: none if a virtual one is pending, masked or not; else an exit."""
        if not self.bank.interface.signalled():
            self._frames[-1].wait = Wait.ENTRY
            self._exit(ExitReason.WFI, ())
        yield

    @types.coroutine
    def work(self, duration_ns: int) -> Generator[None, Any, None]:
        """Compute for this long; time outside EL1 and in IRQ handlers does not count."""
        frame = self._frames[-1]
        frame.wait, frame.remaining_ns = Wait.WORK, duration_ns
        yield

    @types.coroutine
    def irq_enable(self) -> Generator[None, Any, None]:
        """Clear PSTATE.I; a pending virtual IRQ is taken before the next instruction."""
        self.bank.irq_masked = False
        yield

    @types.coroutine
    def irq_disable(self) -> Generator[None, Any, None]:
        """Set PSTATE.I."""
        self.bank.irq_masked = True
        return
        yield

    # -- immediate

    def fifo_write(self, data: bytes) -> None:
        """Send bytes to the domain's serial port without waiting."""
        node, address = self._tty()
        self.domain.emit(Send(node, FifoWrite(address, data)))

    def load_word(self, address: int) -> int:
        """Read a word of guest RAM."""
        return self.domain.ram.get(address, 0)

    def store_word(self, address: int, value: int) -> None:
        """Write a word of guest RAM."""
        self.domain.ram[address] = value & MASK_64

    def fetch_add(self, address: int, delta: int) -> int:
        """Add to a word of guest RAM; gives the value before."""
        before = self.load_word(address)
        self.store_word(address, before + delta)
        return before

    def mrs(self, name: str) -> int:
        """Read an EL1 system register."""
        return self.bank.sysreg(name)

    def msr(self, name: str, value: int) -> None:
        """Write an EL1 system register."""
        self.bank.set_sysreg(name, value)

    def count(self) -> int:
        """CNTVCT_EL0, in nanoseconds."""
        return self.bank.count(self.now)

    def timer_ctl(self) -> int:
        """CNTV_CTL_EL0 with ISTATUS."""
        return self.bank.timer_ctl(self.now)

    def set_timer(self, ctl: int, cval: int = 0) -> None:
        """Write CNTV_CVAL_EL0 and CNTV_CTL_EL0."""
        self.bank.arm(ctl, cval, self.now)

    def address(self, name: str) -> int:
        """Guest-physical address of a symbol of the guest's kernel."""
        return self.domain.image.address(name)

    def trace(self, event: TraceBody) -> None:
        """Put a state trace into the turn."""
        self.domain.emit(Trace(event))

    # -- inside: leaving EL1

    def _exit(
        self, reason: ExitReason, args: tuple[int, ...], immediate: int = 0, number: int = 0
    ) -> None:
        generation, pe = self.running, self.pe
        assert generation is not None
        assert pe is not None
        self.running = None
        self.bank.leave()
        interface = self.bank.interface
        lrs, hcr = tuple(interface.lrs), interface.hcr
        body = VcpuExit(self.vcpu, generation, reason, args, lrs, immediate, number, hcr)
        self.domain.emit(Send(pe, body))

    @types.coroutine
    def _call(
        self, reason: ExitReason, immediate: int, args: Args, number: int | None = None
    ) -> Generator[None, Any, int]:
        registers = tuple(arg & self._mask for arg in args)
        self.bank.x[: len(registers)] = registers
        register = HYPERCALL_REGISTER[self.domain.spec.arch]
        if number is not None:
            self.bank.x[register] = number
        self._frames[-1].wait = Wait.ENTRY
        self._exit(reason, registers, immediate, self.bank.x[register])
        return int((yield))

    async def _hypercall(self, number: Hypercall, args: Args) -> int:
        return from_register(await self._call(ExitReason.HVC, XEN_HYPERCALL, args, number))

    def _trap(self, args: tuple[int, int, int, int]) -> Generator[None, Any, Any]:
        """A stage 2 abort; the target of every trapped load is x0."""
        self._frames[-1].wait = Wait.ENTRY
        self._exit(ExitReason.DATA_ABORT, args)
        return (yield)

    def _access(self, node: NodeId, body: Body, tx: int) -> Generator[None, Any, Any]:
        frame = self._frames[-1]
        frame.wait, frame.tx = Wait.ACCESS, tx
        self.domain.emit(Send(node, body))
        return (yield)

    def _shared(self, address: int) -> NodeId:
        node = self.domain.passed_through(address)
        assert node is not None, f"{address:#x} is not shared"
        return node

    def _tty(self) -> tuple[NodeId, int]:
        address = self.domain.tty + PL011.DR.offset
        return self._shared(address), address

    def _gicv_read(self, offset: int) -> int:
        value = self.bank.gicv_read(offset)
        if offset == GICC.IAR.offset and IAR.INTID.get(value) < SPECIAL_INTIDS:
            self.trace(GuestIrq(self.domain.spec.id, self.vcpu, IAR.INTID.get(value)))
        return value

    # -- inside: entering and running

    def _start(self) -> None:
        """A fresh program at the entry address, with the registers of the state."""
        bank, domain = self.bank, self.domain
        self._fresh = False
        name = domain.image.at(bank.pc)
        sysregs = [bank.sysreg(f"{name}_EL1") for name in ("SCTLR", "TTBR0", "TTBR1", "TCR")]
        x = tuple(bank.x)
        self.trace(GuestStarted(domain.spec.id, self.vcpu, bank.pc, x, bank.pstate, *sysregs))
        if name is None:
            self._halt(f"no code at {bank.pc:#x}")
            return
        program = self.links[name](self, bank.x[0])
        self._frames.append(_Frame(program, masked=True))

    def _complete_exit(self, frame: _Frame) -> None:
        """The entry ends what the topmost program left EL1 for."""
        if frame.wait is Wait.ENTRY:
            frame.wait, frame.value = Wait.NOTHING, self.bank.x[0]

    def _advance(self) -> None:
        """Run programs until the guest leaves EL1 or its topmost program waits."""
        while self.running is not None and self._frames:
            frame = self._frames[-1]
            if self._takes_irq(frame):
                self._take_irq()
            elif frame.wait is Wait.WORK:
                self._resume_work(frame)
                return
            elif frame.wait is Wait.NOTHING:
                self._step(frame)
            else:
                return

    def _takes_irq(self, frame: _Frame) -> bool:
        bank = self.bank
        if bank.irq_masked or frame.wait not in (Wait.NOTHING, Wait.WORK):
            return False
        return bank.interface.signalled()

    def _take_irq(self) -> None:
        """Push the program at the vector base; PSTATE.I is set and restored by its ERET."""
        self._pause_work()
        bank = self.bank
        vector = bank.sysreg("VBAR_EL1")
        name = self.domain.image.at(vector)
        if name is None:
            self._halt(f"no exception vectors at {vector:#x}")
            return
        self._frames.append(_Frame(self.links[name](self), masked=False))
        bank.irq_masked = True

    def _step(self, frame: _Frame) -> None:
        """Run the topmost program to its next await."""
        value, frame.value = frame.value, None
        error, frame.error = frame.error, None
        try:
            if error is not None:
                frame.thread.throw(error)
            else:
                frame.thread.send(value)
        except StopIteration:
            self._frames.pop()
            self.bank.irq_masked = frame.masked
            if not self._frames:
                self._halt("the kernel has returned")
        except GuestAbort as abort:
            self._halt(f"external abort: {abort}")

    def _halt(self, detail: str) -> None:
        """The guest executes nothing more: it spins in EL1 until it is kicked."""
        self._discard()
        self.trace(GuestWork(self.domain.spec.id, self.vcpu, 0, False, f"halted: {detail}"))

    def _resume_work(self, frame: _Frame) -> None:
        if self._work_until_ns is None:
            self._work_until_ns = until = self.now + frame.remaining_ns
            self.domain.emit(SetTimer(f"work.{self.vcpu}", until, until))

    def _pause_work(self) -> None:
        """Stop the clock of a `work`, keeping what is left of it."""
        if self._work_until_ns is not None:
            self._frames[-1].remaining_ns = max(0, self._work_until_ns - self.now)
            self._work_until_ns = None
            self.domain.emit(CancelTimer(f"work.{self.vcpu}"))
