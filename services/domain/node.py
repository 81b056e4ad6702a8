"""The node of one domain's EL1: its memory, its software, the banks of its loaded vCPUs.

A vCPU is `VcpuLoad`ed into a PE, entered by `VcpuRun`, left by exactly one `VcpuExit` per entry,
and `VcpuPut` back; or its bank dies with the PE (`BankLost`). Guest RAM and what the domain's
programs wait for stay here. An interrupted program is named by a token in `pc` that is good for
one load: saved state that is older than the program is refused.
"""

from collections.abc import Sequence

from proto.board import Board
from proto.el1 import is_token, token
from proto.ids import BoardNs, DomainId, NodeId, cpu_of, domain_node
from proto.image import Image
from proto.messages import (
    Abort,
    BankLost,
    BankRead,
    BankWrite,
    FifoData,
    GuestLoad,
    GuestStore,
    Replies,
    Reply,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    VcpuState,
)
from proto.node import ProtocolError
from proto.platform import (
    DEVICE_SIZE,
    RTC_BASE,
    SHARED_INFO,
    SHARED_SIZE,
    TTY_BASE,
    XENSTORE,
)
from proto.traces import Unpredictable
from proto.turn import Effect, Envelope, Send, Trace
from services.domain.bank import VcpuBank, check_shape
from services.domain.guest_cpu import Domain, GuestCpu
from services.domain.programs import guest_image

HARDWARE_DOMAIN = 0


def _pages(board: Board, domain: int, tty: int) -> tuple[int, ...]:
    """Pages that stage 2 maps besides RAM, as addresses.

    A domain has its own serial port, shared-info page and store page; the hardware domain also the
    RTC and, because the store runs there, everybody's store page.
    """
    own = (tty, SHARED_INFO + domain * SHARED_SIZE)
    if domain != HARDWARE_DOMAIN:
        return (*own, XENSTORE + domain * SHARED_SIZE)
    stores = (XENSTORE + spec.id * SHARED_SIZE for spec in board.scenario.domains)
    return (*own, RTC_BASE, *stores)


class DomainNode:
    """Node `dom<N>`; `image` is its kernel, by default that of the program in its description.

    Raises ValueError for a domain the scenario does not have.
    """

    def __init__(self, board: Board, domain_id: DomainId, image: Image | None = None) -> None:
        specs = {spec.id: spec for spec in board.scenario.domains}
        if domain_id not in specs:
            raise ValueError(f"the scenario has no domain {domain_id}")
        spec = specs[domain_id]
        self.id = domain_node(domain_id)
        self._board = board
        self._effects: list[Effect] = []
        self._tx = 0
        self._tokens = 0
        tty = TTY_BASE + domain_id * DEVICE_SIZE
        self._pages = _pages(board, domain_id, tty)
        self._domain = Domain(
            spec=spec,
            image=image or guest_image(spec.program),
            ram={},
            tty=tty,
            passed_through=self._passed_through,
            emit=self._emit,
            next_tx=self._next_tx,
            names={other.id: other.title for other in board.scenario.domains},
            xl_resume=board.profile.xl_resume,
        )
        self._cpus = tuple(GuestCpu(self._domain, vcpu) for vcpu in range(spec.vcpus))
        self._resumable: dict[int, int] = {}
        """vCPU to the token of its interrupted program, while it is not loaded."""

    # -- the node contract

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The domain waits for Xen to load its first vCPU."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Guest entry from a PE, or a passed-through device's answer."""
        src, body = envelope.id.src, envelope.body
        match body:
            case VcpuLoad():
                self._load(src, self._cpu(now, body.vcpu), body)
            case VcpuRun():
                self._run(src, self._cpu(now, body.vcpu), body)
            case VcpuKick():
                self._kick(self._cpu(now, body.vcpu), body)
            case VcpuPut():
                self._put(src, self._cpu(now, body.vcpu), body)
            case BankRead():
                cpu = self._stopped(src, self._cpu(now, body.vcpu))
                self._emit(Send(src, Reply(body.tx, cpu.bank.read(body.register, now))))
            case BankWrite():
                cpu = self._stopped(src, self._cpu(now, body.vcpu))
                cpu.bank.write(body.register, body.value, now)
                self._emit(Send(src, Reply(body.tx)))
            case GuestLoad(tx, addresses):
                values = tuple(self._domain.ram.get(address, 0) for address in addresses)
                self._emit(Send(src, Replies(tx, values)))
            case GuestStore(tx, addresses, values):
                self._domain.ram.update(zip(addresses, values, strict=True))
                self._emit(Send(src, Reply(tx)))
            case BankLost():
                self._lose(src, self._cpu(now, body.vcpu))
            case Reply(tx, value) | FifoData(tx, value):
                self._answer(now, tx, value)
            case Abort(tx, reason):
                self._answer(now, tx, 0, reason)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {src}")
        return self._take_effects()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A virtual timer's comparator, or the end of a guest's compute time."""
        kind, _, number = timer.partition(".")
        cpu = self._cpu(now, int(number))
        if kind == "work":
            cpu.work_fired()
        elif kind == "cntv":
            if cpu.is_loaded:
                cpu.bank.expired(now)
        else:
            raise ProtocolError(f"{self.id} has no timer {timer}")
        return self._take_effects()

    # -- guest entry and exit

    def _load(self, src: NodeId, cpu: GuestCpu, body: VcpuLoad) -> None:
        if cpu.is_loaded:
            # Software's fault, not the emulation's: two PEs believe that they run one vCPU.
            reason = f"{self._name(cpu)} is loaded by {src}, but {cpu.pe} holds it"
            self._emit(Send(src, Abort(body.tx, reason)))
            return
        platform = self._board.platform
        check_shape(body.state, platform.list_registers)
        resumable = self._resumable.get(cpu.vcpu)
        if is_token(body.state.pc) and body.state.pc != resumable:
            reason = f"the saved state of {self._name(cpu)} was corrupted: it is not the latest"
            self._emit(Send(src, Abort(body.tx, reason)))
            return
        self._resumable.pop(cpu.vcpu, None)
        bank = VcpuBank(
            body.state,
            cpu_of(src),
            f"cntv.{cpu.vcpu}",
            platform.latencies.timer,
            self._emit,
        )
        for intid in bank.interface.unmatched():
            what = f"{self._name(cpu)} is loaded with INTID {intid} active and GICH_APR without it"
            self._emit(Trace(Unpredictable(what, "IHI 0048B, GICH_APR; GICH_LRn")))
        cpu.load(bank, src)
        self._emit(Send(src, Reply(body.tx)))

    def _run(self, src: NodeId, cpu: GuestCpu, body: VcpuRun) -> None:
        self._stopped(src, cpu)
        if body.generation <= cpu.last_generation:
            raise ProtocolError(
                f"{self._name(cpu)} is entered with generation {body.generation}, "
                f"not after {cpu.last_generation}"
            )
        if len(body.lrs) != self._board.platform.list_registers:
            raise ProtocolError(f"{self._name(cpu)} is entered with {len(body.lrs)} LRs")
        cpu.run(body.generation, body.lrs, body.hcr, body.result)

    def _kick(self, cpu: GuestCpu, body: VcpuKick) -> None:
        """A kick of an entry that is over is stale by rule; one of a future entry cannot be."""
        if body.generation > cpu.last_generation:
            raise ProtocolError(f"{self._name(cpu)} is kicked before entry {body.generation}")
        cpu.kick(body.generation)

    def _put(self, src: NodeId, cpu: GuestCpu, body: VcpuPut) -> None:
        self._stopped(src, cpu)
        self._tokens += 1
        state = cpu.put(token(self._tokens))
        if is_token(state.pc):
            self._resumable[cpu.vcpu] = state.pc
        self._emit(Send(src, VcpuState(body.tx, state)))

    def _lose(self, src: NodeId, cpu: GuestCpu) -> None:
        """Power is cut. If the load was refused or the put is done, there is nothing to lose."""
        if not cpu.is_loaded:
            return
        if cpu.pe != src:
            raise ProtocolError(f"{src} lost {self._name(cpu)}, but {cpu.pe} holds it")
        cpu.lose()

    def _stopped(self, src: NodeId, cpu: GuestCpu) -> GuestCpu:
        """The vCPU, which this PE must hold and which must be outside EL1."""
        if cpu.pe != src:
            raise ProtocolError(f"{self._name(cpu)} is not loaded into {src}, but {cpu.pe}")
        if cpu.running is not None:
            raise ProtocolError(f"{self._name(cpu)} has not left EL1")
        return cpu

    # -- passed-through devices

    def _passed_through(self, address: int) -> NodeId | None:
        """What is behind stage 2: devices, and pages in `dram`."""
        for page in self._pages:
            if page <= address < page + DEVICE_SIZE:
                return self._board.memory_map.node_at(address)
        return None

    def _answer(self, now: BoardNs, tx: int, value: object, error: str | None = None) -> None:
        """Give a device's answer to who waits for it; a program that is gone leaves none."""
        for cpu in self._cpus:
            cpu.now = now
            if cpu.answer(tx, value, error):
                return

    # -- inside

    def _cpu(self, now: BoardNs, vcpu: int) -> GuestCpu:
        if not 0 <= vcpu < len(self._cpus):
            raise ProtocolError(f"{self.id} has no vCPU {vcpu}")
        cpu = self._cpus[vcpu]
        cpu.now = now
        return cpu

    def _name(self, cpu: GuestCpu) -> str:
        return f"{self.id} vCPU {cpu.vcpu}"

    def _next_tx(self) -> int:
        self._tx += 1
        return self._tx

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _take_effects(self) -> Sequence[Effect]:
        effects, self._effects = self._effects, []
        return effects
