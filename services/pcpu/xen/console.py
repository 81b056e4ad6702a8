"""Xen's console: the ring, and what lets it out to the serial port (xen/drivers/char/console.c)."""

from proto.image import symbol
from proto.traces import ConsoleSync
from services.pcpu.pe import Pe
from services.pcpu.xen.conring import conring_puts
from services.pcpu.xen.serial import (
    serial_flush,
    serial_init,
    serial_resume,
    serial_suspend,
    serial_wait_empty,
)
from services.pcpu.xen.spinlock import FREE, spin_lock_irqsave, spin_unlock_irqrestore


@symbol
async def printk(pe: Pe, text: str) -> None:
    """Print a line: into the ring always, and out to the port unless that is suspended."""
    masked = await spin_lock_irqsave(pe, pe.xen.console.lock)
    await conring_puts(pe, f"(XEN) {text}\n".encode())
    await serial_flush(pe)
    await spin_unlock_irqrestore(pe, pe.xen.console.lock, masked)


@symbol
async def console_init(pe: Pe) -> None:
    """Set the port up; what was printed before comes out now."""
    await serial_init(pe)
    await console_let_out(pe)


@symbol
async def console_let_out(pe: Pe) -> None:
    """The port takes output from here on, what waits in the ring first."""
    await pe.store(pe.xen.console.serial_up, 1)
    await console_flush(pe)


@symbol
async def console_flush(pe: Pe) -> None:
    """Let out what waits, under the lock."""
    masked = await spin_lock_irqsave(pe, pe.xen.console.lock)
    await serial_flush(pe)
    await spin_unlock_irqrestore(pe, pe.xen.console.lock, masked)


@symbol
async def console_start_sync(pe: Pe) -> int:
    """Print synchronously from now on, and let out what waits; nests (S4)."""
    before = await pe.fetch_add(pe.xen.console.sync, 1)
    pe.trace(ConsoleSync(before + 1))
    if not before:
        await console_flush(pe)
    return 0


@symbol
async def console_end_sync(pe: Pe) -> None:
    """Take one level of synchronous printing back (R6)."""
    before = await pe.fetch_add(pe.xen.console.sync, -1)
    pe.trace(ConsoleSync(before - 1))


@symbol
async def console_force_unlock(pe: Pe) -> None:
    """The machine is about to end: whoever has the lock, let out what waits and see it leave."""
    console = pe.xen.console
    await pe.store_burst((console.lock, console.sync), (FREE, 1))
    await serial_flush(pe)
    await serial_wait_empty(pe)


@symbol
async def console_suspend(pe: Pe) -> int:
    """Keep output in the ring from here on; the port's registers may be lost (S6)."""
    await pe.store(pe.xen.console.serial_up, 0)
    await serial_suspend(pe)
    return 0


@symbol
async def console_resume(pe: Pe) -> None:
    """Set the port up again and let out what was printed meanwhile (R4).

    Xen keeps that in the ring only; here it also comes out, so that nothing said is missed.
    """
    await serial_resume(pe)
    await console_let_out(pe)
