"""Xen's console on the serial port `uart` (xen/drivers/char/console.c, serial.c)."""

from proto.devices import PL011
from proto.image import symbol
from proto.messages import FifoWrite
from proto.platform import UART_BASE, UART_SPI
from proto.traces import ConsoleSync
from proto.turn import Send
from services.pcpu.pe import Pe
from services.pcpu.xen.gic_v2 import gic_route_irq
from services.pcpu.xen.memory import ioremap

UART_VA = ioremap(UART_BASE)
UART_RUNNING = PL011.CR_UARTEN | PL011.CR_TXE | PL011.CR_RXE


@symbol
async def printk(pe: Pe, text: str) -> None:
    """Print a line, unless the console is suspended."""
    if not await pe.load(pe.xen.system.console_suspended):
        address = pe.translate(UART_VA + PL011.DR.offset)
        device = pe.memory_map.node_at(address)
        assert device is not None
        pe.emit(Send(device, FifoWrite(address, f"(XEN) {text}\n".encode())))


@symbol
async def console_init(pe: Pe) -> None:
    """Set the port up and take its interrupt."""
    await uart_setup(pe)
    await gic_route_irq(pe, UART_SPI, pe.cpu)


@symbol
async def uart_setup(pe: Pe) -> None:
    """Enable transmitter, receiver and the receive interrupt."""
    await pe.write(UART_VA + PL011.CR.offset, UART_RUNNING)
    await pe.write(UART_VA + PL011.IMSC.offset, PL011.INT_RX)


@symbol
async def uart_interrupt(pe: Pe) -> None:
    """Empty the receive FIFO and clear what else is raised; Xen has no console commands."""
    while not await pe.read(UART_VA + PL011.FR.offset) & PL011.FR_RXFE:
        await pe.read(UART_VA + PL011.DR.offset)
    await pe.write(UART_VA + PL011.ICR.offset, PL011.INT_BREAK)


@symbol
async def console_start_sync(pe: Pe) -> int:
    """Print synchronously from now on; nests (S4)."""
    before = await pe.fetch_add(pe.xen.system.console_sync, 1)
    pe.trace(ConsoleSync(before + 1))
    return 0


@symbol
async def console_end_sync(pe: Pe) -> None:
    """Take one level of synchronous printing back (R6)."""
    before = await pe.fetch_add(pe.xen.system.console_sync, -1)
    pe.trace(ConsoleSync(before - 1))


@symbol
async def console_suspend(pe: Pe) -> int:
    """Quieten the port; its registers may be lost from here on (S6)."""
    await pe.store(pe.xen.system.console_suspended, 1)
    await pe.write(UART_VA + PL011.IMSC.offset, 0)
    return 0


@symbol
async def console_resume(pe: Pe) -> None:
    """Set the port up again (R4)."""
    await uart_setup(pe)
    await pe.store(pe.xen.system.console_suspended, 0)
