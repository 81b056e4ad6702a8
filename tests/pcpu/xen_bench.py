"""Runs a test's program in place of Xen's entry point, on real PEs over the sim world.

Memory is the real node; the GIC, firmware and domains are fakes that record. A program is an `async
def` over its PE and may call any symbol of Xen.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from proto.board import Board
from proto.devices import SCIF
from proto.ids import GICD_NODE, SCP, BoardNs, CpuIndex, NodeId, el3_node, pe_node
from proto.image import Program
from proto.messages import (
    Barrier,
    Eret,
    FifoWrite,
    GuestLoad,
    GuestStore,
    IrqOutput,
    Rail,
    RegRead,
    RegWrite,
    Replies,
    Reply,
    ResetReason,
    Smc,
    SmcReturn,
    TlbInvalidate,
    Wire,
)
from proto.platform import UART_BASE, XEN_TEXT, Platform
from proto.psci import to_register
from proto.scenario import DomainSpec, PointAction, Profile, Relink, Role, Scenario
from proto.traces import PeHalted
from proto.turn import Effect, Envelope, Send, Trace, Turn
from proto.units import S
from services.dram.node import Dram
from services.pcpu.node import PeNode
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import XenMemory
from services.pcpu.xen.mm import create_page_tables

PeProgram = Callable[[Pe], Coroutine[Any, Any, None]]

STEPS = (
    "system_state",
    "freeze_domains",
    "scheduler_disable",
    "disable_nonboot_cpus",
    "time_suspend",
    "local_irq_save",
    "gic_suspend",
    "console_suspend",
    "iommu_suspend",
    "set_init_ttbr",
    "identity_mapping",
    "prepare_resume_ctx",
    "system_suspend",
)


def board(
    cpus: int = 1,
    vcpus: Sequence[int] = (1,),
    suspend_steps: tuple[str, ...] = STEPS,
    **relink: str,
) -> Board:
    """A board with this many PEs, domains with these numbers of vCPUs, and symbols relinked."""
    domains = tuple(
        DomainSpec(id=number, vcpus=count, role=Role.GUEST if number else Role.HARDWARE)
        for number, count in enumerate(vcpus)
    )
    links = tuple(Relink(symbol=name, stand_in=other) for name, other in relink.items())
    return Board(
        scenario=Scenario(name="test", domains=domains, steps=()),
        platform=Platform(name="test", clusters=(cpus,)),
        profile=Profile(name="test", title="", suspend_steps=suspend_steps, relink=links),
        code="",
    )


class Fake:
    """A node that waits; subclasses answer."""

    def __init__(self, name: str) -> None:
        self.id = NodeId(name)

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Wait."""
        return []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Swallow."""
        return []

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Sets none."""
        raise AssertionError(timer)


class FakePe(Fake):
    """A PE that stays without power: the interconnect answers for its TLB."""

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """TLBI, or a wire."""
        body = envelope.body
        return [Send(envelope.id.src, Reply(body.tx))] if isinstance(body, TlbInvalidate) else []


class FakeScp(Fake):
    """Powers every PE up at the start."""

    def __init__(self, cpus: int) -> None:
        super().__init__(SCP)
        self.cpus = cpus

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """All rails on."""
        return [Send(pe_node(cpu), Rail(True, ResetReason.COLD)) for cpu in range(self.cpus)]


class FakeFirmware(Fake):
    """Enters its PE at Xen's entry, and answers each SMC with what the test gives."""

    def __init__(self, cpu: int, answers: Callable[[int, tuple[int, ...]], int]) -> None:
        super().__init__(el3_node(cpu))
        self.cpu = cpu
        self.answers = answers

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A reset or an SMC."""
        body = envelope.body
        if isinstance(body, Rail):
            return [Send(pe_node(self.cpu), Eret(XEN_TEXT, 0))]
        assert isinstance(body, Smc)
        x0 = to_register(self.answers(body.function, body.args))
        return [Send(pe_node(self.cpu), SmcReturn(body.tx, (x0, 0, 0, 0)))]


class FakeGic(Fake):
    """Remembers register writes and reads the last one back; raises no interrupt by itself."""

    def __init__(self) -> None:
        super().__init__(GICD_NODE)
        self.registers: dict[int, int] = {}
        self.log: list[tuple[str, str, int, int]] = []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """An access or a wire."""
        src = envelope.id.src
        match envelope.body:
            case RegRead(tx, address):
                value = self.registers.get(address, 0)
                self.log.append((src, "read", address, value))
                return [Send(src, Reply(tx, value))]
            case RegWrite(tx, address, value, _, posted):
                self.registers[address] = value
                self.log.append((src, "write", address, value))
                return [] if posted else [Send(src, Reply(tx))]
            case Barrier(tx):
                return [Send(src, Reply(tx))]
            case Wire(intid, level, cpu):
                self.log.append((src, "wire", intid, int(level)))
                return [Send(pe_node(cpu), IrqOutput(level))]
        raise AssertionError(envelope.body)


class FakeUart(Fake):
    """A SCIF that sends at once: keeps what is printed."""

    def __init__(self) -> None:
        super().__init__("uart")
        self.text = ""

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A line or a register access."""
        match envelope.body:
            case FifoWrite(_, data):
                self.text += data.decode()
                return []
            case RegRead(tx, address):
                idle = SCIF.SCFSR_TDFE | SCIF.SCFSR_TEND
                value = idle if address == UART_BASE + SCIF.SCFSR.offset else 0
                return [Send(envelope.id.src, Reply(tx, value))]
            case RegWrite(tx):
                return [Send(envelope.id.src, Reply(tx))]
        raise AssertionError(envelope.body)


class FakeDomain(Fake):
    """Guest memory, and nobody in it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ram: dict[int, int] = {}

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """copy_from_guest, copy_to_guest."""
        match envelope.body:
            case GuestLoad(tx, addresses):
                values = tuple(self.ram.get(address, 0) for address in addresses)
                return [Send(envelope.id.src, Replies(tx, values))]
            case GuestStore(tx, addresses, values):
                self.ram.update(zip(addresses, values, strict=True))
                return [Send(envelope.id.src, Reply(tx))]
        return []


class Bench:
    """Runs `programs`, one for each CPU, and keeps every turn.

    The nodes `instead` take the places of the bench's own.
    """

    def __init__(
        self,
        *programs: PeProgram,
        of: Board | None = None,
        seed: int = 0,
        smc: Callable[[int, tuple[int, ...]], int] = lambda function, args: 0,
        relinked: Mapping[str, Program] | None = None,
        points: tuple[PointAction, ...] = (),
        instead: Sequence[Any] = (),
    ) -> None:
        self.board = of or board(len(programs))
        self.memory = XenMemory(self.board)
        self.gic, self.uart = FakeGic(), FakeUart()
        self.turns: list[Turn] = []
        self.domains = {
            spec.id: FakeDomain(f"dom{spec.id}") for spec in self.board.scenario.domains
        }

        async def start(pe: Pe, x0: int) -> None:
            await pe.enable_mmu(await create_page_tables(pe))
            await pe.store(pe.xen.console.serial_up, 1)
            await programs[pe.cpu](pe)

        links = {**(relinked or {}), "start": start}
        nodes: list[Any] = [
            Dram(self.board),
            self.gic,
            self.uart,
            Fake("iommu"),
            FakeScp(len(programs)),
            *self.domains.values(),
        ]
        nodes += [FakePe(pe_node(cpu)) for cpu in self.board.platform.cpus[len(programs) :]]
        for cpu in range(len(programs)):
            nodes += [PeNode(self.board, CpuIndex(cpu), links), FakeFirmware(cpu, smc)]
        nodes += instead
        self.world = World(
            {node.id: node for node in nodes},
            self.board.platform.latencies,
            RandomStrategy(seed),
            self.turns.append,
        )
        self.world.run(20 * S)

    def traces(self, kind: type) -> list[Any]:
        """All traces of a class, in journal order."""
        return [
            effect.event
            for turn in self.turns
            for effect in turn.effects
            if isinstance(effect, Trace) and isinstance(effect.event, kind)
        ]

    @property
    def halts(self) -> list[str]:
        """What made PEs halt."""
        return [event.message for event in self.traces(PeHalted)]
