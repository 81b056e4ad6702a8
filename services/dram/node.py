"""The memory of the board: cells of normal DRAM and of secure SRAM, alive through every suspend.

Accesses are sequentially consistent: one turn is one point of the memory order, so a burst is
atomic. Memory attributes and cache maintenance are accepted and change nothing yet.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proto.board import Board
from proto.cells import CELL_BYTES
from proto.ids import DRAM, BoardNs, NodeId
from proto.messages import (
    Abort,
    Atomic,
    AtomicOp,
    Barrier,
    Clean,
    CompareAndSwap,
    Load,
    LoadBurst,
    MemoryScrub,
    Replies,
    Reply,
    Store,
    StoreBurst,
    Watch,
    WatchCancel,
)
from proto.node import ProtocolError
from proto.platform import DRAM_BASE, DRAM_SIZE, SRAM_BASE, SRAM_SIZE
from proto.turn import Effect, Envelope, Send

MASK = 0xFFFF_FFFF_FFFF_FFFF
DRAM_END = DRAM_BASE + DRAM_SIZE
SRAM_END = SRAM_BASE + SRAM_SIZE
MISALIGNED = CELL_BYTES - 1

OPERATIONS: dict[int, Callable[[int, int], int]] = {
    AtomicOp.ADD: lambda before, operand: before + operand,
    AtomicOp.SET: lambda before, operand: before | operand,
    AtomicOp.CLEAR: lambda before, operand: before & ~operand,
    AtomicOp.SWAP: lambda before, operand: operand,
}
"""What an atomic leaves in the cell (DDI 0487, LDADD, LDSET, LDCLR, SWP)."""

Watcher = tuple[NodeId, int]
"""Who watches, under which of its transactions."""


class _Cells(dict[int, int]):
    """Values by address; what has not been written reads as zero."""

    def __missing__(self, address: int) -> int:
        return 0


class Dram:
    """Node `dram`: 64-bit cells that read as zero until they are written.

    Secure SRAM answers to `el3.*` alone. An access to anything else, outside the memory or not
    aligned to a cell is answered with `Abort` and changes nothing.
    """

    def __init__(self, board: Board) -> None:
        self.id: NodeId = DRAM
        self._ram = board.platform.non_secure_ram
        self._cells = _Cells()
        self._open: set[int] = set()
        """Addresses that have been accessed and are open to everybody: nine of ten accesses need no
        further check."""
        self._watched: dict[int, dict[Watcher, int]] = {}
        self._watchers: dict[Watcher, int] = {}
        self._handlers: dict[type, Callable[[NodeId, Any], Sequence[Effect]]] = {
            Load: self._load,
            LoadBurst: self._load_burst,
            Store: self._store,
            StoreBurst: self._store_burst,
            Atomic: self._atomic,
            CompareAndSwap: self._compare_and_swap,
            Watch: self._watch,
            WatchCancel: self._watch_cancel,
            Clean: self._clean,
            MemoryScrub: self._scrub,
            Barrier: self._barrier,
        }

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Memory waits for its first access."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """One access, complete within this turn."""
        body = envelope.body
        handler = self._handlers.get(type(body))
        if handler is None:
            raise ProtocolError(f"dram cannot take {body} from {envelope.id.src}")
        return handler(envelope.id.src, body)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Memory sets no timers."""
        raise ProtocolError(f"dram set no timer {timer}")

    # -- accesses

    def _load(self, src: NodeId, body: Load) -> Sequence[Effect]:
        address = body.address
        if address not in self._open and not self._permitted(src, address):
            return self._refusal(src, body.tx, (address,))
        return (Send(src, Reply(body.tx, self._cells[address])),)

    def _load_burst(self, src: NodeId, body: LoadBurst) -> Sequence[Effect]:
        if not self._all_permitted(src, body.addresses):
            return self._refusal(src, body.tx, body.addresses)
        values = tuple(map(self._cells.__getitem__, body.addresses))
        return (Send(src, Replies(body.tx, values)),)

    def _store(self, src: NodeId, body: Store) -> Sequence[Effect]:
        address = body.address
        if address not in self._open and not self._permitted(src, address):
            return self._refusal(src, body.tx, (address,))
        self._cells[address] = body.value & MASK
        reply = Send(src, Reply(body.tx))
        return (reply, *self._notify(address)) if address in self._watched else (reply,)

    def _store_burst(self, src: NodeId, body: StoreBurst) -> Sequence[Effect]:
        if len(body.addresses) != len(body.values):
            raise ProtocolError(
                f"{src} stores {len(body.values)} values in {len(body.addresses)} cells"
            )
        if not self._all_permitted(src, body.addresses):
            return self._refusal(src, body.tx, body.addresses)
        self._cells.update(zip(body.addresses, map(MASK.__and__, body.values), strict=True))
        effects: list[Effect] = [Send(src, Reply(body.tx))]
        # After the whole burst: nobody may see a part of it.
        if not self._watched.keys().isdisjoint(body.addresses):
            for address in body.addresses:
                effects += self._notify(address)
        return effects

    def _atomic(self, src: NodeId, body: Atomic) -> Sequence[Effect]:
        address = body.address
        if address not in self._open and not self._permitted(src, address):
            return self._refusal(src, body.tx, (address,))
        before = self._cells[address]
        self._cells[address] = OPERATIONS[body.op](before, body.operand) & MASK
        reply = Send(src, Reply(body.tx, before))
        return (reply, *self._notify(address)) if address in self._watched else (reply,)

    def _compare_and_swap(self, src: NodeId, body: CompareAndSwap) -> Sequence[Effect]:
        address = body.address
        if address not in self._open and not self._permitted(src, address):
            return self._refusal(src, body.tx, (address,))
        before = self._cells[address]
        reply = Send(src, Reply(body.tx, before))
        if before != body.expected & MASK:
            return (reply,)
        self._cells[address] = body.desired & MASK
        return (reply, *self._notify(address)) if address in self._watched else (reply,)

    def _clean(self, src: NodeId, body: Clean) -> Sequence[Effect]:
        if not self._all_permitted(src, body.addresses):
            return self._refusal(src, body.tx, body.addresses)
        return (Send(src, Reply(body.tx)),)

    def _scrub(self, src: NodeId, body: MemoryScrub) -> Sequence[Effect]:
        if not src.startswith("el3."):
            raise ProtocolError(f"{src} scrubs memory, which is firmware's work")
        scrubbed = range(body.base, body.base + body.size)
        for address in [cell for cell in self._cells if cell in scrubbed]:
            self._cells[address] = 0
        return (Send(src, Reply(body.tx)),)

    def _barrier(self, src: NodeId, body: Barrier) -> Sequence[Effect]:
        return (Send(src, Reply(body.tx)),)

    # -- monitored cells

    def _watch(self, src: NodeId, body: Watch) -> Sequence[Effect]:
        address, seen = body.address, body.seen & MASK
        if not self._permitted(src, address):
            return self._refusal(src, body.tx, (address,))
        value = self._cells[address]
        if value != seen:
            return (Send(src, Reply(body.tx, value)),)
        watcher = (src, body.tx)
        if watcher in self._watchers:
            raise ProtocolError(f"{src} watches twice under transaction {body.tx}")
        self._watchers[watcher] = address
        self._watched.setdefault(address, {})[watcher] = seen
        return ()

    def _watch_cancel(self, src: NodeId, body: WatchCancel) -> Sequence[Effect]:
        address = self._watchers.get((src, body.tx))
        # The answer may have crossed the cancellation; then there is nothing to forget.
        if address is not None:
            self._forget((src, body.tx), address)
        return ()

    def _notify(self, address: int) -> list[Effect]:
        """Answer everybody who watches this cell and has not seen its value."""
        value = self._cells[address]
        watchers = self._watched.get(address, {})
        due = [watcher for watcher, seen in watchers.items() if seen != value]
        for watcher in due:
            self._forget(watcher, address)
        return [Send(src, Reply(tx, value)) for src, tx in due]

    def _forget(self, watcher: Watcher, address: int) -> None:
        del self._watchers[watcher]
        del self._watched[address][watcher]
        if not self._watched[address]:
            del self._watched[address]

    # -- who may reach what

    def _permitted(self, src: NodeId, address: int) -> bool:
        if address & MISALIGNED:
            return False
        if SRAM_BASE <= address < SRAM_END:
            return src.startswith("el3.")
        is_open = DRAM_BASE <= address < DRAM_END or any(
            base <= address < base + size for base, size in self._ram
        )
        if is_open:
            self._open.add(address)
        return is_open

    def _all_permitted(self, src: NodeId, addresses: Sequence[int]) -> bool:
        return self._open.issuperset(addresses) or all(
            self._permitted(src, address) for address in addresses
        )

    def _refusal(self, src: NodeId, tx: int, addresses: Iterable[int]) -> Sequence[Effect]:
        """The abort for the first address that this sender may not access."""
        address = next(address for address in addresses if not self._permitted(src, address))
        if address & MISALIGNED:
            reason = f"{address:#x} is not aligned to a cell"
        elif SRAM_BASE <= address < SRAM_END:
            reason = f"{address:#x} is secure SRAM, closed to {src}"
        else:
            reason = f"no memory at {address:#x}"
        return (Send(src, Abort(tx, reason)),)
