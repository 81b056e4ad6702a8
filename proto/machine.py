"""A processor that runs programs: exception stack, one outstanding transaction, timers, IRQs.

Programs are coroutines over the processor; there is no event loop but the node's own handlers. Each
`await` is one bus transaction or one architectural event. An IRQ is taken between transactions, or
inside `wfi`, `wfe` and `delay`, if it is not masked; the handler is pushed on the exception stack
and its end is the ERET. Losing power throws the stack away.
"""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proto.cells import Cell
from proto.ids import DRAM, OPERATOR, NodeId
from proto.image import Image, Program
from proto.messages import (
    Abort,
    Atomic,
    AtomicOp,
    Attributes,
    Barrier,
    Body,
    Clean,
    CompareAndSwap,
    FifoData,
    Load,
    LoadBurst,
    PointReached,
    PointRelease,
    RegRead,
    RegWrite,
    Replies,
    Reply,
    Store,
    StoreBurst,
    Watch,
    WatchCancel,
)
from proto.platform import MemoryMap, Range
from proto.traces import TraceBody
from proto.turn import CancelTimer, Effect, Send, SetTimer, Trace


class ExternalAbort(Exception):
    """An access was refused, or not answered within the platform's limit."""


class Halt(Exception):
    """A program gives up its processor for good: panic, or a final WFI."""


Thread = Coroutine[int, Any, Any]


Translations = dict[int, int]
"""What has been translated so far: a look-up instead of a call for each address of a burst."""


@dataclass(slots=True)
class _Frame:
    """One level of the exception stack."""

    thread: Thread
    masked: bool
    """PSTATE.I to restore when the frame below goes on."""
    tx: int = 0
    """The transaction it waits for; 0 if it can go on."""
    open: bool = False
    """An IRQ may be taken while this frame's transaction is outstanding."""
    value: Any = None
    error: ExternalAbort | None = None


class Processor:
    """What EL2 and EL3 programs hold in their hands, and what a node drives.

    A node calls `begin`, then one of `boot`, `complete`, `refuse`, `set_irq_line`, `timer_fired`,
    and returns `end()`. `first_tx` continues the transaction numbers of the object before a power
    cycle, so that a late answer to that one finds no taker.
    """

    def __init__(
        self,
        node: NodeId,
        image: Image,
        memory_map: MemoryMap,
        bus_timeout_ns: int,
        first_tx: int = 0,
    ) -> None:
        self.node = node
        self.image = image
        self.memory_map = memory_map
        self.links: Mapping[str, Program] = image.links
        self.now = 0
        self.points: frozenset[str] = frozenset()
        self.irq_masked = True
        self.irq_line = False
        self.halted: str | None = None
        self._bus_timeout_ns = bus_timeout_ns
        self._effects: list[Effect] = []
        self._frames: list[_Frame] = []
        self._tx = first_tx
        self._wfi_tx = 0
        self._bus_tx = 0
        self._bus_since_ns = 0
        self._bus_timer = False
        self._posted: dict[NodeId, None] = {}
        self._translations: dict[Hashable, Translations] = {}
        self._tlb: Translations = {}
        self._devices: dict[int, NodeId] = {}
        """Who answers at the addresses that have been used; the map does not change."""

    # -- driven by the node

    def begin(self, now: int) -> None:
        """A turn of the node begins."""
        self.now = now

    def end(self) -> Sequence[Effect]:
        """The turn ends: all its effects."""
        effects, self._effects = self._effects, []
        return effects

    def boot(self, program: Thread) -> None:
        """Start the lowest frame of an empty exception stack."""
        assert not self._frames, f"{self.node} already runs"
        self._frames.append(_Frame(program, masked=True))
        self._run()

    def interrupt_with(self, program: Thread) -> None:
        """Push a synchronous exception's handler (an SMC taken to EL3)."""
        self._frames.append(_Frame(program, masked=self.irq_masked))
        self._run()

    def answer(self, body: Body) -> bool:
        """Complete the transaction that a reply answers; False if the body is not a reply."""
        if isinstance(body, Reply):
            self.complete(body.tx, body.value)
        elif isinstance(body, Replies):
            self.complete(body.tx, body.values)
        elif isinstance(body, Abort):
            self.refuse(body.tx, body.reason)
        elif isinstance(body, PointRelease):
            self.complete(body.tx, body.answer)
        elif isinstance(body, FifoData):
            self.complete(body.tx, body.data)
        else:
            return False
        return True

    def complete(self, tx: int, value: Any = 0) -> None:
        """A transaction is answered; one that nobody waits for is dropped by its number."""
        for frame in reversed(self._frames):
            if frame.tx == tx:
                frame.tx = 0
                frame.value = value
                self._run()
                return

    def refuse(self, tx: int, reason: str) -> None:
        """A transaction has ended in an external abort."""
        for frame in reversed(self._frames):
            if frame.tx == tx:
                frame.tx = 0
                frame.error = ExternalAbort(reason)
                self._run()
                return

    def set_irq_line(self, level: bool) -> None:
        """nIRQ changes; a high line ends WFI whether or not it is masked."""
        self.irq_line = level
        if level and self._wfi_tx:
            self.complete(self._wfi_tx)
        elif level:
            self._run()

    def complete_for(self, node: NodeId, tx: int) -> None:
        """A DSB at a higher exception level of the same PE: nothing waits to become visible."""
        self._effects.append(Send(node, Reply(tx)))

    def timer_fired(self, timer: str) -> bool:
        """A timer of this processor's own; False if the name is not one of them."""
        if timer == "bus":
            self._check_bus()
        elif timer.startswith("delay."):
            self.complete(int(timer[6:]))
        elif timer.startswith("until."):
            self.complete(int(timer[6:]), _EXPIRED)
        else:
            return False
        return True

    def discard(self) -> None:
        """Power is cut: every frame is gone, nothing in them survives; timers find nobody."""
        for frame in reversed(self._frames):
            frame.thread.close()
        self._frames.clear()

    @property
    def last_tx(self) -> int:
        """The highest transaction number used so far."""
        return self._tx

    # -- awaited by programs

    def load(self, cell: Cell, attributes: Attributes = Attributes.NORMAL_WB) -> Awaitable[int]:
        """Read one cell."""
        self._tx = tx = self._tx + 1
        return self._transact(DRAM, Load(tx, self._physical(cell), attributes), tx)

    def load_burst(self, cells: Sequence[Cell]) -> Awaitable[tuple[int, ...]]:
        """Read several cells at one point of the memory order."""
        self._tx = tx = self._tx + 1
        addresses = self._all_physical(cells)
        return self._transact(DRAM, LoadBurst(tx, addresses), tx)

    def store(
        self, cell: Cell, value: int, attributes: Attributes = Attributes.NORMAL_WB
    ) -> Awaitable[int]:
        """Write one cell."""
        self._tx = tx = self._tx + 1
        return self._transact(DRAM, Store(tx, self._physical(cell), value, attributes), tx)

    def store_burst(self, cells: Sequence[Cell], values: Sequence[int]) -> Awaitable[int]:
        """Write several cells at one point of the memory order."""
        assert len(cells) == len(values)
        self._tx = tx = self._tx + 1
        addresses = self._all_physical(cells)
        return self._transact(DRAM, StoreBurst(tx, addresses, tuple(values)), tx)

    def publish(self, cells: Sequence[Cell], values: Sequence[int]) -> Awaitable[int]:
        """Write several cells, an `smp_wmb` before the last: who sees it sees the others."""
        return self.store_burst(cells, values)

    def atomic(
        self, operation: AtomicOp, cell: Cell, operand: int, relaxed: bool = False
    ) -> Awaitable[int]:
        """Read-modify-write one cell; gives the value before. `relaxed` orders nothing else."""
        self._tx = tx = self._tx + 1
        return self._transact(DRAM, Atomic(tx, operation, self._physical(cell), operand), tx)

    def fetch_add(self, cell: Cell, delta: int, relaxed: bool = False) -> Awaitable[int]:
        """Add to a cell; gives the value before."""
        return self.atomic(AtomicOp.ADD, cell, delta, relaxed)

    def compare_and_swap(self, cell: Cell, expected: int, desired: int) -> Awaitable[int]:
        """Write `desired` if the cell holds `expected`; gives the value before."""
        self._tx = tx = self._tx + 1
        body = CompareAndSwap(tx, self._physical(cell), expected, desired)
        return self._transact(DRAM, body, tx)

    def clean(self, *cells: Cell) -> Awaitable[int]:
        """Clean cells to the point of coherency."""
        tx = self._next_tx()
        return self._transact(DRAM, Clean(tx, self._all_physical(cells)), tx)

    @types.coroutine
    def wfe(self, cell: Cell, seen: int) -> Generator[int, Any, int]:
        """Wait until a cell no longer holds `seen`; gives its value. IRQs may be taken inside."""
        tx = self._next_tx()
        self._effects.append(Send(DRAM, Watch(tx, self._physical(cell), seen)))
        self._frames[-1].open = True
        value: int = yield tx
        return value

    @types.coroutine
    def wfe_until(self, cell: Cell, seen: int, deadline_ns: int) -> Generator[int, Any, int | None]:
        """As `wfe`, but gives None when the deadline passes first."""
        tx = self._next_tx()
        timer = f"until.{tx}"
        self._effects.append(Send(DRAM, Watch(tx, self._physical(cell), seen)))
        self._effects.append(SetTimer(timer, deadline_ns, deadline_ns))
        self._frames[-1].open = True
        value = yield tx
        if value is _EXPIRED:
            self._effects.append(Send(DRAM, WatchCancel(tx)))
            return None
        self._effects.append(CancelTimer(timer))
        return int(value)

    @types.coroutine
    def delay(self, duration_ns: int, latest_ns: int | None = None) -> Generator[int, Any, None]:
        """Let board time pass: `duration_ns`, or any time up to `latest_ns`."""
        tx = self._next_tx()
        latest = self.now + (duration_ns if latest_ns is None else latest_ns)
        self._effects.append(SetTimer(f"delay.{tx}", self.now + duration_ns, latest))
        self._frames[-1].open = True
        yield tx

    def delay_range(self, duration: Range) -> Awaitable[None]:
        """Let a time inside a platform latency range pass."""
        return self.delay(duration[0], duration[1])

    @types.coroutine
    def wfi(self) -> Generator[int, Any, None]:
        """Wait for an interrupt; ends when the line is high, even if masked."""
        if self.irq_line:
            return
        self._wfi_tx = tx = self._next_tx()
        self._frames[-1].open = True
        yield tx
        self._wfi_tx = 0

    @types.coroutine
    def irq_enable(self) -> Generator[int, Any, None]:
        """Clear DAIF.I; a pending IRQ is taken before the next instruction."""
        self.irq_masked = False
        if self.irq_line:
            yield 0

    @types.coroutine
    def irq_disable(self) -> Generator[int, Any, None]:
        """Set DAIF.I."""
        self.irq_masked = True
        return
        yield

    @types.coroutine
    def irq_restore(self, masked: bool) -> Generator[int, Any, None]:
        """Set DAIF.I to what it was."""
        self.irq_masked = masked
        if self.irq_line:
            yield 0

    def read(self, address: int, width: int = 4) -> Awaitable[int]:
        """Read a device register."""
        self._tx = tx = self._tx + 1
        physical = self._physical(address)
        return self._transact(self._device(physical), RegRead(tx, physical, width), tx)

    def write(self, address: int, value: int, width: int = 4) -> Awaitable[int]:
        """Write a device register and wait for the acknowledgement (Device-nGnRnE)."""
        self._tx = tx = self._tx + 1
        physical = self._physical(address)
        return self._transact(self._device(physical), RegWrite(tx, physical, value, width), tx)

    def post(self, address: int, value: int, width: int = 4) -> None:
        """Write a device register without waiting (Device-nGnRE); `barrier` completes it."""
        physical = self._physical(address)
        device = self._device(physical)
        self._posted[device] = None
        self._effects.append(Send(device, RegWrite(0, physical, value, width, posted=True)))

    async def barrier(self) -> None:
        """DSB: every posted write has reached its device."""
        posted, self._posted = self._posted, {}
        for device in posted:
            tx = self._next_tx()
            await self._transact(device, Barrier(tx), tx)

    def smp_wmb(self) -> Awaitable[int]:
        """DMB ISHST: what is stored from here on becomes visible behind what was stored before."""
        return nothing()

    def smp_mb(self) -> Awaitable[int]:
        """DMB ISH: no access overtakes it."""
        return nothing()

    def dsb_ishst(self) -> Awaitable[int]:
        """DSB ISHST: every store is visible."""
        return nothing()

    def point(self, name: str) -> Awaitable[int]:
        """A rendezvous with the operator; costs nothing unless armed. Gives the injected answer."""
        if name not in self.points:
            return nothing()
        tx = self._next_tx()
        return self._open_transact(OPERATOR, PointReached(tx, name), tx)

    # -- immediate

    def trace(self, event: TraceBody) -> None:
        """Put a state trace into the turn."""
        self._effects.append(Trace(event))

    def emit(self, effect: Effect) -> None:
        """Add an effect of the node's own to the turn."""
        self._effects.append(effect)

    def translate(self, address: int) -> int:
        """Physical address of an access; a processor without an MMU takes it as it is.

        What it has given is kept: whoever changes the translation calls `translate_by`.
        """
        return address

    def translate_by(self, regime: Hashable) -> None:
        """Other translations hold from now on, the same each time that `regime` is the same."""
        self._tlb = self._translations.setdefault(regime, {})

    def transact(self, destination: NodeId, make: Callable[[int], Body]) -> Awaitable[Any]:
        """Send `make(tx)` to a node and wait for the answer."""
        tx = self._next_tx()
        return self._transact(destination, make(tx), tx)

    # -- inside

    def _next_tx(self) -> int:
        self._tx += 1
        return self._tx

    def _physical(self, address: int) -> int:
        physical = self._tlb.get(address)
        if physical is None:
            physical = self._tlb[address] = self.translate(address)
        return physical

    def _all_physical(self, addresses: Sequence[int]) -> tuple[int, ...]:
        try:
            return tuple(map(self._tlb.__getitem__, addresses))
        except KeyError:
            return tuple(map(self._physical, addresses))

    def _device(self, physical: int) -> NodeId:
        node = self._devices.get(physical)
        if node is None:
            node = self.memory_map.node_at(physical)
            if node is None:
                raise ExternalAbort(f"nothing answers at {physical:#x}")
            self._devices[physical] = node
        return node

    @types.coroutine
    def _transact(self, destination: NodeId, body: Body, tx: int) -> Generator[int, Any, Any]:
        self._effects.append(Send(destination, body))
        self._bus_tx, self._bus_since_ns = tx, self.now
        if not self._bus_timer:
            self._bus_timer = True
            self._arm_bus(self.now + self._bus_timeout_ns)
        value = yield tx
        self._bus_tx = 0
        return value

    @types.coroutine
    def _open_transact(self, destination: NodeId, body: Body, tx: int) -> Generator[int, Any, Any]:
        self._effects.append(Send(destination, body))
        return (yield tx)

    def _arm_bus(self, at_ns: int) -> None:
        self._effects.append(SetTimer("bus", at_ns, at_ns))

    def _check_bus(self) -> None:
        """The bus watchdog: armed at most once per limit, it looks at what is outstanding."""
        self._bus_timer = False
        if not self._bus_tx:
            return
        due_ns = self._bus_since_ns + self._bus_timeout_ns
        if self.now >= due_ns:
            self.refuse(self._bus_tx, f"no answer within {self._bus_timeout_ns} ns")
        else:
            self._bus_timer = True
            self._arm_bus(due_ns)

    def _run(self) -> None:
        """Run programs until the topmost frame waits for something."""
        frames = self._frames
        while frames:
            frame = frames[-1]
            if self.irq_line and not self.irq_masked and (frame.open or not frame.tx):
                frames.append(_Frame(self.irq_vector(), masked=False))
                self.irq_masked = True
                continue
            if frame.tx:
                return
            frame.open = False
            try:
                if frame.error is None:
                    tx = frame.thread.send(frame.value)
                else:
                    error, frame.error = frame.error, None
                    tx = frame.thread.throw(error)
            except StopIteration:
                frames.pop()
                self.irq_masked = frame.masked
                continue
            except (ExternalAbort, Halt) as stop:
                self.halt(str(stop))
                return
            if tx and not self.irq_line:
                frame.tx = tx
                return
            frame.tx, frame.value = tx, None

    def irq_vector(self) -> Thread:
        """The program at the IRQ vector."""
        raise NotImplementedError

    def on_halt(self, message: str) -> None:
        """Told once when the processor stops for good."""

    def halt(self, message: str) -> None:
        """Execute nothing more until power is cut."""
        self.discard()
        self.halted = message
        self.on_halt(message)


class _Expired:
    """What a wait gives when its deadline passed."""


_EXPIRED = _Expired()


@types.coroutine
def nothing() -> Generator[int, Any, int]:
    """What costs neither a message nor time."""
    return 0
    yield
