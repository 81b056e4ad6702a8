"""A fake Xen, PEs and devices around one domain node: answers its exits in virtual time."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from proto.board import Board
from proto.devices import PL011, RTC
from proto.el1 import reset_state
from proto.gic import GICD, LR, PPI_VIRT_TIMER
from proto.hypercall import WORD, XEN_HYPERCALL, Hypercall
from proto.ids import DomainId, Incarnation, NodeId, pe_node
from proto.image import Image
from proto.messages import (
    Atomic,
    AtomicOp,
    BankRead,
    BankWrite,
    Body,
    El1State,
    ExitReason,
    FifoData,
    FifoRead,
    FifoWrite,
    GuestLoad,
    GuestStore,
    RegRead,
    RegWrite,
    Reply,
    VcpuExit,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    VcpuState,
    VirtualDeactivate,
    Wire,
)
from proto.platform import GICD_BASE, GUEST_TEXT, RTC_BASE, RTC_SPI, TTY_SPI, Platform
from proto.psci import Affinity, Psci, PsciError, to_register
from proto.scenario import DomainSpec, Profile, Role, Scenario
from proto.timer import ENABLE, IMASK
from proto.traces import TraceBody
from proto.turn import CancelTimer, Effect, Envelope, MessageId, Send, SetTimer
from proto.units import S
from services.domain.node import DomainNode

PRIORITY = 0xA0 >> 3
LRS = 4

BY_OPERATION = (Hypercall.SCHED_OP, Hypercall.EVENT_CHANNEL_OP)
"""Hypercalls whose first argument is the operation, and the second the structure."""

SMC64_OF = {
    Psci.CPU_ON_32: Psci.CPU_ON,
    Psci.AFFINITY_INFO_32: Psci.AFFINITY_INFO,
    Psci.SYSTEM_SUSPEND_32: Psci.SYSTEM_SUSPEND,
}
"""32-bit function id to the 64-bit one that does the same."""


def board(*domains: DomainSpec) -> Board:
    """A board with these domains; domain 0 is added if it is missing."""
    if all(spec.id for spec in domains):
        domains = (DomainSpec(id=0, role=Role.HARDWARE), *domains)
    profile = Profile(
        name="test",
        title="",
        suspend_steps=(),
        xl_resume=True,
    )
    scenario = Scenario(name="test", domains=domains, steps=())
    platform = Platform(name="test", clusters=(4,), list_registers=LRS)
    return Board(scenario=scenario, platform=platform, profile=profile, code="")


def pending_lr(intid: int, physical: int | None = None) -> int:
    """A list register with a pending interrupt, as Xen writes it."""
    word = LR.VIRTUAL_ID.put(intid) | LR.PRIORITY.put(PRIORITY) | LR.GROUP1
    word |= LR.STATE.put(LR.PENDING)
    return word if physical is None else word | LR.HW | LR.PHYSICAL_ID.put(physical)


class HypercallMade(NamedTuple):
    """A hypercall: its number, its operation if that is an argument, its structure's words."""

    number: Hypercall
    operation: int | None
    words: tuple[int, ...]


class Wires:
    """A domain node with nothing around it: what is sent to it, and what comes of that."""

    def __init__(
        self, spec: DomainSpec, image: Image | None = None, others: Sequence[DomainSpec] = ()
    ) -> None:
        self.spec = spec
        self.node = DomainNode(board(spec, *others), DomainId(spec.id), image)
        self.now = 0
        self.timers: dict[str, int] = {}
        self.sent: list[tuple[NodeId, Body]] = []
        self.traces: list[TraceBody] = []
        self._seq = 0

    def send(self, src: NodeId, body: Body) -> list[Body]:
        """Deliver a message; gives the bodies sent in answer."""
        self._seq += 1
        envelope = Envelope(MessageId(src, Incarnation(1), self._seq), self.node.id, None, body)
        return self._perform(self.node.on_message(self.now, envelope))

    def fire(self, timer: str) -> list[Body]:
        """Let a set timer fire, at its time."""
        self.now = max(self.now, self.timers.pop(timer))
        return self._perform(self.node.on_timer(self.now, timer))

    def _perform(self, effects: Sequence[Effect]) -> list[Body]:
        bodies: list[Body] = []
        for effect in effects:
            match effect:
                case Send(dst, body):
                    self.sent.append((dst, body))
                    bodies.append(body)
                case SetTimer(timer, earliest, latest):
                    assert self.now <= earliest <= latest
                    self.timers[timer] = latest
                case CancelTimer(timer):
                    self.timers.pop(timer, None)
                case _:
                    self.traces.append(effect.event)
        return bodies

    def traced(self, kind: type) -> list:
        """All traces of this kind."""
        return [event for event in self.traces if isinstance(event, kind)]


@dataclass
class Vcpu:
    """What the fake Xen knows of a vCPU."""

    state: El1State
    loaded: bool = False
    running: bool = False
    down: bool = True
    blocked: bool = False
    parked: bool = False
    """In SYSTEM_SUSPEND: nothing unblocks it but the test."""
    result: int | None = None
    lrs: tuple[int, ...] = (0,) * LRS
    pending: list[int] = field(default_factory=list)
    timer_line: bool = False


class FakeXen(Wires):
    """Runs the guest: vCPU n on PE n, PSCI, a little vGIC, a serial port and an RTC."""

    def __init__(
        self, spec: DomainSpec, image: Image | None = None, others: Sequence[DomainSpec] = ()
    ) -> None:
        super().__init__(spec, image, others)
        fresh = reset_state(GUEST_TEXT, 0, LRS, 0, spec.arch)
        self.vcpus = [Vcpu(fresh) for _ in range(spec.vcpus)]
        self.vcpus[0].down = False
        self.lines: list[str] = []
        """What the guest has printed, but for its prompts."""
        self.statuses: list[int] = []
        """Exit statuses that its prompts have shown."""
        self.calls: list[tuple[int, ...]] = []
        self.hypercalls: list[HypercallMade] = []
        self.serve: Callable[[HypercallMade], int] = lambda call: 0
        """Gives a hypercall's answer."""
        self.shared: dict[int, int] = {}
        """Words of the pages that the domain shares with Xen and domain 0."""
        self.gicd_writes: list[tuple[int, int]] = []
        self.deactivated: list[int] = []
        self.suspend_answer: int | None = None
        """What SYSTEM_SUSPEND returns; None parks the vCPU."""
        self.cpu_on_answer = 0
        self.kicks = False
        """Kick every entry that does not exit by itself, once."""
        self.exits: list[VcpuExit] = []
        self.rtc_alarm: int | None = None
        self._rtc = {RTC.ALARM_LO.offset: 0, RTC.ALARM_HI.offset: 0, RTC.STATUS.offset: 0}
        self._received = bytearray()
        self._output = b""
        self._generation = 0
        self._generations: dict[int, int] = {}
        self._kick_next = True
        self._tx = 0
        self._inbox: deque[tuple[NodeId, Body]] = deque()

    # -- what tests do

    def run(self, until: Callable[[], bool], limit_ns: int = 60 * S) -> None:
        """Run until something holds; fails if it does not within the limit."""
        end = self.now + limit_ns
        while not until():
            if not self._step():
                assert self.timers, "nothing can happen any more"
                timer = min(self.timers, key=lambda name: (self.timers[name], name))
                assert self.timers[timer] <= end, f"not within the limit; console: {self.lines}"
                self.fire(timer)

    def boot(self) -> None:
        """Run until the guest says that it is up."""
        self.run(lambda: any(line.startswith(f"dom{self.spec.id}: up") for line in self.lines))

    def type(self, line: str) -> None:
        """Type a line on the serial port."""
        self._received += line.encode() + b"\n"
        self.inject(0, TTY_SPI + self.spec.id)

    def run_line(self, line: str, until: str) -> None:
        """Type a line and run until the console prints a line that contains a text."""
        seen = len(self.lines)
        self.type(line)
        self.run(lambda: any(until in text for text in self.lines[seen:]))

    def inject(self, vcpu: int, intid: int) -> None:
        """Make a virtual interrupt pending and wake its vCPU."""
        if intid not in self.vcpus[vcpu].pending:
            self.vcpus[vcpu].pending.append(intid)
        self.vcpus[vcpu].blocked = False
        if self.vcpus[vcpu].running:
            self._send(vcpu, VcpuKick(vcpu, self.generation_of(vcpu)))

    def store(self, address: int, *words: int) -> None:
        """Write words into guest memory, as Xen answers a hypercall."""
        addresses = tuple(address + WORD * index for index in range(len(words)))
        self._send(0, GuestStore(self._next_tx(), addresses, words))

    def resume_at_entry(self, entry: int, context_id: int) -> None:
        """End a parked SYSTEM_SUSPEND with a start at the resume entry."""
        vcpu = self.vcpus[0]
        assert vcpu.parked
        self._put(0)
        vcpu.state = reset_state(entry, context_id, LRS, vcpu.state.cntvoff, self.spec.arch)
        vcpu.lrs = (0,) * LRS
        vcpu.parked = False
        vcpu.result = None

    def generation_of(self, vcpu: int) -> int:
        """Generation of the vCPU's latest entry."""
        return self._generations[vcpu]

    # -- inside

    def _step(self) -> bool:
        """One piece of Xen's work; False if there is none before time passes."""
        if self._inbox:
            self._receive(*self._inbox.popleft())
            return True
        for number, vcpu in enumerate(self.vcpus):
            if vcpu.running or vcpu.down or vcpu.parked:
                continue
            if vcpu.timer_line and vcpu.loaded:
                self._vtimer_interrupt(number)
                return True
            if vcpu.blocked:
                continue
            self._enter(number)
            return True
        return False

    def _send(self, vcpu: int, body: Body) -> None:
        self.send(pe_node(vcpu), body)

    def _perform(self, effects: Sequence[Effect]) -> list[Body]:
        count = len(self.sent)
        bodies = super()._perform(effects)
        self._inbox.extend(self.sent[count:])
        return bodies

    def _next_tx(self) -> int:
        self._tx += 1
        return self._tx

    def _enter(self, number: int) -> None:
        vcpu = self.vcpus[number]
        if not vcpu.loaded:
            self._send(number, VcpuLoad(self._next_tx(), number, self._generation, vcpu.state))
            vcpu.loaded, vcpu.lrs = True, vcpu.state.lrs
        lrs = list(vcpu.lrs)
        for index, lr in enumerate(lrs):
            if not LR.STATE.get(lr) and vcpu.pending:
                intid = vcpu.pending.pop(0)
                lrs[index] = pending_lr(intid, intid if intid >= 32 else None)
        self._generation += 1
        self._generations[number] = self._generation
        result, vcpu.result = vcpu.result, None
        vcpu.running = True
        self._send(number, VcpuRun(number, self._generation, tuple(lrs), result))
        self._kick_next = not self._kick_next
        if self.kicks and self._kick_next:
            self._send(number, VcpuKick(number, self._generation))

    def _put(self, number: int) -> None:
        vcpu = self.vcpus[number]
        if vcpu.loaded:
            self._send(number, VcpuPut(self._next_tx(), number, self._generation))
            vcpu.loaded = False
            states = [body.state for _, body in self.sent if isinstance(body, VcpuState)]
            vcpu.state = states[-1]

    def _vtimer_interrupt(self, number: int) -> None:
        self._send(number, BankRead(self._next_tx(), number, "CNTV_CTL"))
        self._send(number, BankWrite(self._next_tx(), number, "CNTV_CTL", ENABLE | IMASK))
        self.inject(number, PPI_VIRT_TIMER)

    def _receive(self, dst: NodeId, body: Body) -> None:
        match body:
            case VcpuExit():
                self._exited(body)
            case Wire(27, level, cpu):
                vcpu = self.vcpus[cpu]
                vcpu.timer_line = level
                if level and vcpu.running:
                    self._send(cpu, VcpuKick(cpu, self.generation_of(cpu)))
            case VirtualDeactivate(_, intid):
                self.deactivated.append(intid)
                if intid == TTY_SPI + self.spec.id and self._received:
                    self.inject(0, intid)
            case RegRead() | RegWrite() | FifoRead() | FifoWrite():
                self._device(dst, body)
            case Atomic(tx, AtomicOp.SWAP, address, value):
                before, self.shared[address] = self.shared.get(address, 0), value
                self.send(dst, Reply(tx, before))

    def _printed(self, line: str) -> None:
        prompt = re.fullmatch(r"dom\d+ \[(\d+)\]#", line)
        if prompt is None:
            self.lines.append(line)
        else:
            self.statuses.append(int(prompt[1]))

    def _exited(self, exit_: VcpuExit) -> None:
        vcpu = self.vcpus[exit_.vcpu]
        assert vcpu.running
        assert exit_.generation == self.generation_of(exit_.vcpu)
        self.exits.append(exit_)
        vcpu.running, vcpu.lrs = False, exit_.lrs
        match exit_.reason:
            case ExitReason.WFI:
                vcpu.blocked = not vcpu.pending
            case ExitReason.HVC if exit_.immediate == 0:
                self._psci(exit_.vcpu, exit_.args)
            case ExitReason.HVC:
                assert exit_.immediate == XEN_HYPERCALL
                operation = exit_.args[0] if exit_.number in BY_OPERATION else None
                words = self._structure(exit_.vcpu, exit_.args[0 if operation is None else 1])
                call = HypercallMade(Hypercall(exit_.number), operation, words)
                self.hypercalls.append(call)
                vcpu.result = to_register(self.serve(call))
            case ExitReason.DATA_ABORT:
                self._trap(exit_)

    def _structure(self, vcpu: int, address: int) -> tuple[int, ...]:
        """The first words of a structure in guest memory."""
        addresses = tuple(address + WORD * index for index in range(3))
        self._send(vcpu, GuestLoad(self._next_tx(), addresses))
        return self.sent[-1][1].values

    def _trap(self, exit_: VcpuExit) -> None:
        address, _, is_write, value = exit_.args
        offset = address - GICD_BASE
        assert 0 <= offset < 0x1000, f"{address:#x} is trapped"
        assert is_write
        self.gicd_writes.append((offset, value))
        if GICD.SGIR.covers(offset):
            for number, vcpu in enumerate(self.vcpus):
                if number != exit_.vcpu and not vcpu.down:
                    self.inject(number, value & 0xF)

    def _psci(self, caller: int, args: tuple[int, ...]) -> None:
        function, x1, x2, x3, _ = args
        vcpu = self.vcpus[caller]
        self.calls.append(args[:4])
        match SMC64_OF.get(function, function):
            case Psci.FEATURES:
                missing = self.suspend_answer == PsciError.NOT_SUPPORTED
                vcpu.result = to_register(PsciError.NOT_SUPPORTED) if missing else 0
            case Psci.CPU_ON:
                vcpu.result = to_register(self.cpu_on_answer)
                if not self.cpu_on_answer:
                    target = self.vcpus[x1]
                    target.state = reset_state(x2, x3, LRS, 0, self.spec.arch)
                    target.down = target.blocked = False
                    target.pending.clear()
            case Psci.CPU_OFF:
                vcpu.down = True
                self._put(caller)
            case Psci.AFFINITY_INFO:
                vcpu.result = Affinity.OFF if self.vcpus[x1].down else Affinity.ON
            case Psci.SYSTEM_SUSPEND if self.suspend_answer is None:
                vcpu.parked = True
            case Psci.SYSTEM_SUSPEND:
                vcpu.result = to_register(self.suspend_answer)
            case Psci.SYSTEM_OFF:
                vcpu.down = True
            case _:
                vcpu.result = to_register(PsciError.NOT_SUPPORTED)

    def _device(self, dst: NodeId, body: RegRead | RegWrite | FifoRead | FifoWrite) -> None:
        match body:
            case FifoWrite(_, data):
                *lines, self._output = (self._output + data).split(b"\n")
                for line in lines:
                    self._printed(line.decode())
            case FifoRead(tx, _):
                data, self._received = bytes(self._received), bytearray()
                self.send(dst, FifoData(tx, data))
            case RegRead(tx, address):
                self.send(dst, Reply(tx, self._register(dst, address)))
            case RegWrite(tx, address, value):
                if dst == "rtc":
                    self._write_rtc(address - RTC_BASE, value)
                self.send(dst, Reply(tx))

    def _register(self, dst: NodeId, address: int) -> int:
        if dst != "rtc":
            at_ris = address & 0xFFF == PL011.RIS.offset
            return PL011.INT_RX if at_ris and self._received else 0
        match address - RTC_BASE:
            case RTC.COUNT_LO.offset:
                return self.now & 0xFFFF_FFFF
            case RTC.COUNT_HI.offset:
                return self.now >> 32
        return self._rtc.get(address - RTC_BASE, 0)

    def _write_rtc(self, offset: int, value: int) -> None:
        if offset == RTC.STATUS.offset:
            self._rtc[offset] &= ~value
        elif offset == RTC.CTRL.offset:
            self.rtc_alarm = self._rtc[RTC.ALARM_HI.offset] << 32 | self._rtc[RTC.ALARM_LO.offset]
        else:
            self._rtc[offset] = value

    def ring_rtc(self) -> None:
        """The RTC's alarm fires."""
        self._rtc[RTC.STATUS.offset] = RTC.STATUS_ALARM
        self.inject(0, RTC_SPI)
