"""Spinlocks in secure SRAM: compare-and-swap and WFE (TF-A lib/locks/exclusive/spinlock.S)."""

from proto.cells import Cell
from proto.image import symbol
from services.firmware.context import El3Context

FREE = 0


@symbol
async def spin_lock(el3: El3Context, lock: Cell) -> None:
    """Take a lock; the cell then holds the owner's CPU index plus one."""
    while (holder := await el3.compare_and_swap(lock, FREE, el3.cpu + 1)) != FREE:
        await el3.wfe(lock, holder)


@symbol
async def spin_unlock(el3: El3Context, lock: Cell) -> None:
    """Give a lock back."""
    await el3.store(lock, FREE)
