"""The console ring in memory (xen/drivers/char/console.c, conring).

Eight characters a cell, the first in the lowest byte. Positions count all characters since boot, so
that a position's place in the ring is its remainder. Writers hold the console lock.
"""

from proto.cells import CELL_BYTES, Cell
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import CONRING_SIZE


def ring_cells(pe: Pe, begin: int, end: int) -> tuple[Cell, ...]:
    """The cells that hold the characters from one position up to another."""
    ring = pe.xen.console.ring
    return tuple(ring[at % len(ring)] for at in range(begin // CELL_BYTES, -(-end // CELL_BYTES)))


@symbol
async def conring_puts(pe: Pe, text: bytes) -> None:
    """Append characters; when the ring is full the oldest ones are overwritten."""
    console = pe.xen.console
    text = text[-CONRING_SIZE:]
    begin = await pe.load(console.conringp)
    head = b""
    if begin % CELL_BYTES:
        cell = await pe.load(ring_cells(pe, begin, begin + 1)[0])
        head = cell.to_bytes(CELL_BYTES, "little")[: begin % CELL_BYTES]
    whole = head + text
    whole += bytes(-len(whole) % CELL_BYTES)
    values = [
        int.from_bytes(whole[at : at + CELL_BYTES], "little")
        for at in range(0, len(whole), CELL_BYTES)
    ]
    end = begin + len(text)
    await pe.store_burst((*ring_cells(pe, begin, end), console.conringp), (*values, end))


@symbol
async def conring_gets(pe: Pe, begin: int, end: int) -> bytes:
    """The characters from one position up to another, which the ring must still hold."""
    if begin == end:
        return b""
    words = await pe.load_burst(ring_cells(pe, begin, end))
    whole = b"".join(word.to_bytes(CELL_BYTES, "little") for word in words)
    first = begin % CELL_BYTES
    return whole[first : first + end - begin]


def oldest(end: int) -> int:
    """The first position that the ring still holds; a cell that is being reused is not."""
    return max(0, -(-(end - CONRING_SIZE) // CELL_BYTES) * CELL_BYTES)


@symbol
async def read_console_ring(pe: Pe, index: int, count: int) -> tuple[bytes, int]:
    """At most `count` characters from position `index` on, and the position behind them.

    Characters that the ring no longer holds are left out (XEN_SYSCTL_readconsole).
    """
    end = await pe.load(pe.xen.console.conringp)
    begin = min(max(index, oldest(end)), end)
    end = min(end, begin + count)
    return await conring_gets(pe, begin, end), end
