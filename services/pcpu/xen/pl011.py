"""The driver of the PL011 (xen/drivers/char/pl011.c), which has no suspend callbacks."""

from proto.devices import PL011
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.serial import UART_VA, serial_tx_interrupt

RUNNING = PL011.CR_UARTEN | PL011.CR_TXE | PL011.CR_RXE
ALL_INTERRUPTS = 0x7FF


@symbol
async def pl011_init_preirq(pe: Pe) -> None:
    """Enable both halves, with all interrupts masked and cleared."""
    await pe.write(UART_VA + PL011.CR.offset, RUNNING)
    await pe.write(UART_VA + PL011.IMSC.offset, 0)
    await pe.write(UART_VA + PL011.ICR.offset, ALL_INTERRUPTS)


@symbol
async def pl011_init_postirq(pe: Pe) -> None:
    """Let the receive interrupt through."""
    await pe.write(UART_VA + PL011.IMSC.offset, PL011.INT_RX)


@symbol
async def pl011_start_tx(pe: Pe) -> None:
    """Interrupt when the transmit FIFO has run empty."""
    await pe.write(UART_VA + PL011.IMSC.offset, PL011.INT_RX | PL011.INT_TX)


@symbol
async def pl011_stop_tx(pe: Pe) -> None:
    """No more transmit interrupts."""
    await pe.write(UART_VA + PL011.IMSC.offset, PL011.INT_RX)


@symbol
async def pl011_tx_ready(pe: Pe) -> int:
    """A whole FIFO once it is empty."""
    flags = await pe.read(UART_VA + PL011.FR.offset)
    return PL011.FIFO_SIZE if flags & PL011.FR_TXFE else 0


@symbol
async def pl011_interrupt(pe: Pe) -> None:
    """Serve the port until nothing is raised; Xen has no console commands, so input is dropped."""
    while status := await pe.read(UART_VA + PL011.MIS.offset):
        await pe.write(UART_VA + PL011.ICR.offset, status & ~PL011.INT_RX)
        if status & PL011.INT_RX:
            await pe.read(UART_VA + PL011.DR.offset)
        if status & PL011.INT_TX:
            await serial_tx_interrupt(pe)
