"""A processor with a store buffer: the weak memory model.

Of what the architecture allows (DDI 0487, B2.3) the model has: a store, or a posted write to a
device, becomes visible later than the program's next accesses, and stores to different places in
any order. Loads are carried out in program order, and a load sees the PE's own stores. So what is
found is a store that stays behind (store buffering, message passing with the writer's barrier
missing, a flag that overtakes its data, a doorbell that overtakes memory, a store that dies with
the PE); what is not found is a barrier that is missing between two loads (SMP_RMB, a control
dependency that orders nothing), between a load and a later store, and anything of EL3 or of guests.

=========================  ==================================================================
Access                     What it waits for
=========================  ==================================================================
load, burst of loads       nothing; what is in the buffer is forwarded
store                      nothing; leaves in its own time
posted device write        nothing; behind earlier posted writes to the same device
store behind `smp_wmb`     leaves when all stores before the barrier have
device access              what was posted to that device before; what `smp_wmb` puts before it
atomic                     all stores (LDADDAL, CASAL, or a helper with smp_mb on both sides)
relaxed atomic             stores to its cell; what `smp_wmb` puts before it (LDXR, STXR alone)
WFE on a cell              sees what is stored there while it is in the buffer
`smp_mb` (DMB ISH)         all stores are visible; posted writes have left
`barrier` (DSB SY)         as `smp_mb`, and posted writes have reached their devices
`clean` (DC CVAC)          as `smp_mb`: Xen's helpers have a DSB on either side
MMU off                    everything is Device-nGnRnE: nothing is buffered
SMC, ERET, exception, WFI  nothing: these synchronise the context, not memory
DSB of EL3                 as `barrier`: it is the same PE
power cut                  what has not left is lost
=========================  ==================================================================
"""

import types
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any

from proto.cells import CELL_BYTES, Cell
from proto.ids import DRAM, NodeId
from proto.machine import Processor, nothing
from proto.messages import AtomicOp, Attributes, Barrier, RegWrite, Reply, Store, StoreBurst
from proto.platform import Range
from proto.store_buffer import Entry, StoreBuffer
from proto.traces import StoreBuffered, StoresLost
from proto.turn import CancelTimer, Send, SetTimer

LINE = 8
"""Cells of a cache line. So many neighbours in one burst are a copied structure: they merge."""

HURRY = 10
"""How many times faster the slowest entry leaves when something waits for it."""

Ahead = Callable[[], Sequence[Entry]]
"""What is still ahead of an access."""


def pieces(addresses: Sequence[int], values: Sequence[int]) -> list[dict[int, int]]:
    """What of a burst becomes visible together: runs of a whole line; everything else alone."""
    runs: list[dict[int, int]] = []
    for address, value in zip(addresses, values, strict=True):
        if runs and len(runs[-1]) < LINE and address - CELL_BYTES in runs[-1]:
            runs[-1][address] = value
        else:
            runs.append({address: value})
    whole: list[dict[int, int]] = []
    for run in runs:
        if len(run) == LINE:
            whole.append(run)
        else:
            whole += [{address: value} for address, value in run.items()]
    return whole


class StoreBuffering(Processor):
    """Mixed into a processor, in front of it: its stores go through a buffer.

    How long an entry stays is a choice of the world; when something waits for it, it is less long.
    """

    def set_up_buffer(self, stay: Range) -> None:
        """Begin with an empty buffer, whose entries stay so many nanoseconds."""
        self._stay = stay
        self._buffer = StoreBuffer()
        self._ahead: Ahead | None = None
        self._ahead_tx = 0
        self._observers: list[tuple[NodeId, int]] = []

    @property
    def is_buffering(self) -> bool:
        """Whether stores are to Normal memory at all."""
        raise NotImplementedError

    # -- awaited by programs

    def load(self, cell: Cell, attributes: Attributes = Attributes.NORMAL_WB) -> Awaitable[int]:
        """Read one cell, from the buffer if it is in there."""
        value = self._buffer.forward(self.translate(cell))
        return super().load(cell, attributes) if value is None else _step(value)

    async def load_burst(self, cells: Sequence[Cell]) -> tuple[int, ...]:
        """Read several cells at one point of the memory order; those in the buffer as they are."""
        forward = self._buffer.forward
        own = [forward(self.translate(cell)) for cell in cells]
        values = await super().load_burst(cells)
        return tuple(
            value if mine is None else mine for value, mine in zip(values, own, strict=True)
        )

    def store(
        self, cell: Cell, value: int, attributes: Attributes = Attributes.NORMAL_WB
    ) -> Awaitable[int]:
        """Write one cell, some time from now on."""
        if not self.is_buffering:
            return super().store(cell, value, attributes)
        self._enter({self.translate(cell): value})
        return _step()

    def store_burst(self, cells: Sequence[Cell], values: Sequence[int]) -> Awaitable[int]:
        """Write several cells, each some time from now on; a whole line at one point."""
        if not self.is_buffering:
            return super().store_burst(cells, values)
        self._enter_pieces(cells, values)
        return _step()

    def publish(self, cells: Sequence[Cell], values: Sequence[int]) -> Awaitable[int]:
        """Write several cells, an `smp_wmb` before the last: who sees it sees the others."""
        if not self.is_buffering:
            return super().publish(cells, values)
        self._enter_pieces(cells[:-1], values[:-1])
        self._buffer.fence()
        self._enter_pieces(cells[-1:], values[-1:])
        return _step()

    async def atomic(
        self, operation: AtomicOp, cell: Cell, operand: int, relaxed: bool = False
    ) -> int:
        """Read-modify-write one cell; gives the value before."""
        await self._before_cell(cell, relaxed)
        return await super().atomic(operation, cell, operand, relaxed)

    async def compare_and_swap(self, cell: Cell, expected: int, desired: int) -> int:
        """Write `desired` if the cell holds `expected`; gives the value before."""
        await self._before_cell(cell)
        return await super().compare_and_swap(cell, expected, desired)

    async def clean(self, *cells: Cell) -> int:
        """Clean cells to the point of coherency, a DSB on either side."""
        await self.smp_mb()
        return await super().clean(*cells)

    @types.coroutine
    def wfe(self, cell: Cell, seen: int) -> Generator[int, Any, int]:
        """As of any processor; what this one has stored there is seen until it leaves."""
        own = self._buffer.forward(self.translate(cell))
        if own is not None:
            if own != seen:
                return (yield from _step(own))
            yield from self._until_left(cell)
        return (yield from super().wfe(cell, seen))

    @types.coroutine
    def wfe_until(self, cell: Cell, seen: int, deadline_ns: int) -> Generator[int, Any, int | None]:
        """As `wfe`, but gives None when the deadline passes first."""
        own = self._buffer.forward(self.translate(cell))
        if own is not None:
            if own != seen:
                return (yield from _step(own))
            yield from self._until_left(cell)
        return (yield from super().wfe_until(cell, seen, deadline_ns))

    async def read(self, address: int, width: int = 4) -> int:
        """Read a device register."""
        await self._before_device(address)
        return await super().read(address, width)

    async def write(self, address: int, value: int, width: int = 4) -> int:
        """Write a device register and wait for the acknowledgement (Device-nGnRnE)."""
        await self._before_device(address)
        return await super().write(address, value, width)

    def post(self, address: int, value: int, width: int = 4) -> None:
        """Write a device register some time from now on (Device-nGnRE); `barrier` completes it."""
        if not self.is_buffering:
            super().post(address, value, width)
            return
        physical = self.translate(address)
        device = self._device(physical)
        self._posted[device] = None
        body = RegWrite(0, physical, value, width, posted=True)
        self._keep(self._buffer.post(self._next_tx(), device, body))

    async def barrier(self) -> None:
        """DSB: every store is visible, every posted write has reached its device."""
        await self.smp_mb()
        await super().barrier()

    def smp_wmb(self) -> Awaitable[int]:
        """DMB ISHST: what is stored from here on becomes visible behind what was stored before."""
        self._buffer.fence()
        return nothing()

    def smp_mb(self) -> Awaitable[int]:
        """DMB ISH: every store is visible, every posted write has left, before the next access."""
        return self._until(self._buffer.everything)

    def dsb_ishst(self) -> Awaitable[int]:
        """DSB ISHST: every store is visible; posted writes have left."""
        return self._until(self._buffer.everything)

    # -- driven by the node

    def complete_for(self, node: NodeId, tx: int) -> None:
        """A DSB at a higher exception level of the same PE, which waits for the reply."""
        self._observers.append((node, tx))
        self._hurry(self._buffer.inside)
        self._leave()

    def complete(self, tx: int, value: Any = 0) -> None:
        """A transaction is answered: that of a store, or one that a program waits for."""
        if self._buffer.landed(tx):
            self._leave()
        else:
            super().complete(tx, value)

    def refuse(self, tx: int, reason: str) -> None:
        """A transaction has ended in an external abort; that of a store is an SError by now."""
        if self._buffer.landed(tx):
            self.halt(f"SError: {reason}")
        else:
            super().refuse(tx, reason)

    def timer_fired(self, timer: str) -> bool:
        """A timer of this processor's own; False if the name is not one of them."""
        if not timer.startswith("drain."):
            return super().timer_fired(timer)
        self._buffer.expire(int(timer[6:]))
        self._leave()
        return True

    def lose_stores(self) -> None:
        """Power is cut: what has not left does not come back."""
        lost = [address for entry in self._buffer.inside for address in entry.addresses]
        if lost:
            self.trace(StoresLost(tuple(lost)))

    # -- inside

    def _enter(self, words: Mapping[int, int]) -> None:
        self._keep(self._buffer.enter(self._next_tx(), words))

    def _enter_pieces(self, cells: Sequence[Cell], values: Sequence[int]) -> None:
        for words in pieces([self.translate(cell) for cell in cells], values):
            self._enter(words)

    def _keep(self, entry: Entry) -> None:
        (low, high), timer = self._stay, f"drain.{entry.number}"
        self.trace(StoreBuffered(timer, entry.addresses, entry.values))
        self.emit(SetTimer(timer, self.now + low, self.now + high))

    @types.coroutine
    def _before_cell(self, cell: Cell, relaxed: bool = False) -> Generator[int, Any, None]:
        """What is ahead of an access that reads and writes a cell in place."""
        buffer, address = self._buffer, self.translate(cell)
        yield from self._until(
            (lambda: buffer.before_cell(address)) if relaxed else buffer.everything
        )

    @types.coroutine
    def _before_device(self, address: int) -> Generator[int, Any, None]:
        """What is ahead of an access to a device."""
        buffer, device = self._buffer, self._device(self.translate(address))
        yield from self._until(lambda: buffer.before_device(device))

    @types.coroutine
    def _until_left(self, cell: Cell) -> Generator[int, Any, None]:
        """Look at a cell again and again, at what the PE itself has stored there."""
        buffer, address = self._buffer, self.translate(cell)
        yield from self._wait(lambda: buffer.stores_to(address))

    @types.coroutine
    def _until(self, ahead: Ahead) -> Generator[int, Any, int]:
        """Wait until nothing is ahead any more, in a hurry."""
        entries = ahead()
        if entries:
            self._hurry(entries)
            yield from self._wait(ahead)
        return 0

    @types.coroutine
    def _wait(self, ahead: Ahead) -> Generator[int, Any, None]:
        if ahead():
            self._ahead, self._ahead_tx = ahead, self._next_tx()
            yield self._ahead_tx

    def _hurry(self, entries: Sequence[Entry]) -> None:
        """Somebody waits: a lone entry leaves at once, several in any order, but soon."""
        staying = [entry for entry in entries if not entry.due]
        if len(staying) == 1:
            self.emit(CancelTimer(f"drain.{staying[0].number}"))
            staying[0].due = True
            self._send()
            return
        latest = self.now + self._stay[1] // HURRY
        for entry in staying:
            self.emit(SetTimer(f"drain.{entry.number}", self.now, latest))

    def _leave(self) -> None:
        """Something has come to pass: send what may leave, let go on who waits."""
        self._send()
        if self._ahead is not None and not self._ahead():
            self._ahead = None
            super().complete(self._ahead_tx)
        if self._observers and not self._buffer.everything():
            self._complete_devices()

    def _send(self) -> None:
        """Send what may leave; stores are acknowledged, posted writes are not."""
        for entry in self._buffer.leave():
            if entry.device is not None and entry.body is not None:
                self.emit(Send(entry.device, entry.body))
                continue
            tx = self._next_tx()
            self._buffer.sent(tx, entry)
            if len(entry.words) == 1:
                self.emit(Send(DRAM, Store(tx, entry.addresses[0], entry.values[0])))
            else:
                self.emit(Send(DRAM, StoreBurst(tx, entry.addresses, entry.values)))

    def _complete_devices(self) -> None:
        """The rest of a DSB at a higher exception level: posted writes reach their devices."""
        posted, self._posted = self._posted, {}
        for device in posted:
            tx = self._next_tx()
            self._buffer.sent(tx, Entry(tx, self._buffer.epoch, {}, device, due=True))
            self.emit(Send(device, Barrier(tx)))
        if not posted:
            self._effects += [Send(node, Reply(tx)) for node, tx in self._observers]
            self._observers.clear()


@types.coroutine
def _step(value: int = 0) -> Generator[int, Any, int]:
    """The program goes on at once; an IRQ may be taken before it does."""
    yield 0
    return value
