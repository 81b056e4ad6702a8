"""Spinlocks: compare-and-swap, and WFE while somebody else has it (xen/common/spinlock.c)."""

from proto.cells import Cell
from proto.image import symbol
from services.pcpu.pe import Pe

FREE = 0


@symbol
async def spin_lock(pe: Pe, lock: Cell) -> None:
    """Take a lock; the cell holds the owner's CPU index plus one."""
    owner = pe.cpu + 1
    while (seen := await pe.compare_and_swap(lock, FREE, owner)) != FREE:
        await pe.wfe(lock, seen)


@symbol
async def spin_lock_irqsave(pe: Pe, lock: Cell) -> bool:
    """Mask IRQs, then take a lock that interrupt handlers take too; gives the mask to restore."""
    masked = pe.irq_masked
    await pe.irq_disable()
    await spin_lock(pe, lock)
    return masked


@symbol
async def spin_unlock_irqrestore(pe: Pe, lock: Cell, masked: bool) -> None:
    """Release such a lock, then restore the mask."""
    await spin_unlock(pe, lock)
    await pe.irq_restore(masked)


@symbol
async def spin_trylock(pe: Pe, lock: Cell) -> bool:
    """Take a lock if it is free."""
    return await pe.compare_and_swap(lock, FREE, pe.cpu + 1) == FREE


@symbol
async def spin_unlock(pe: Pe, lock: Cell) -> None:
    """Release a lock: arch_lock_release_barrier, the store, arch_lock_signal."""
    await pe.smp_mb()
    await pe.store(lock, FREE)
    await pe.dsb_ishst()
