"""The driver of the SCIF (xen/drivers/char/scif-uart.c; suspend: its patch in the series)."""

from proto.devices import SCIF
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.serial import SYNC_POLL_NS, UART_VA, serial_tx_interrupt

ERRORS = SCIF.SCFSR_BRK | SCIF.SCFSR_ER
RECEIVED = SCIF.SCFSR_RDF | SCIF.SCFSR_DR
ALL_FLAGS = 0xFFFF
IRQ_FLAGS = SCIF.SCSCR_RIE | SCIF.SCSCR_REIE
"""Interrupts that stay enabled; that of the transmitter comes and goes with what waits."""
TRIGGERS = SCIF.SCFCR_RTRG.put(3) | SCIF.SCFCR_TTRG.put(3)
"""The transmit FIFO asks for more when it is empty."""


@symbol
async def scif_uart_disable(pe: Pe) -> None:
    """Wait until the last bit has left, then switch both halves and all interrupts off."""
    while not await pe.read(UART_VA + SCIF.SCFSR.offset) & SCIF.SCFSR_TEND:
        await pe.delay(SYNC_POLL_NS)
    await pe.write(UART_VA + SCIF.SCSCR.offset, 0)
    await pe.write(UART_VA + SCIF.SCFCR.offset, SCIF.SCFCR_RFRST | SCIF.SCFCR_TFRST)


@symbol
async def scif_uart_init_preirq(pe: Pe) -> None:
    """Start from a quiet port, clear its errors, set the triggers, enable both halves."""
    await scif_uart_disable(pe)
    await pe.write(UART_VA + SCIF.SCFSR.offset, 0)
    await pe.write(UART_VA + SCIF.SCLSR.offset, 0)
    await pe.write(UART_VA + SCIF.SCFCR.offset, TRIGGERS)
    await pe.write(UART_VA + SCIF.SCSCR.offset, SCIF.SCSCR_TE | SCIF.SCSCR_RE)


@symbol
async def scif_uart_init_postirq(pe: Pe) -> None:
    """Enable the interrupts of receiver and errors."""
    await scif_uart_control(pe, set_bits=IRQ_FLAGS)


@symbol
async def scif_uart_control(pe: Pe, set_bits: int = 0, clear_bits: int = 0) -> None:
    """Change bits of SCSCR."""
    control = await pe.read(UART_VA + SCIF.SCSCR.offset)
    await pe.write(UART_VA + SCIF.SCSCR.offset, control & ~clear_bits | set_bits)


@symbol
async def scif_uart_start_tx(pe: Pe) -> None:
    """Interrupt when the transmit FIFO has run empty."""
    await scif_uart_control(pe, set_bits=SCIF.SCSCR_TIE)


@symbol
async def scif_uart_stop_tx(pe: Pe) -> None:
    """No more transmit interrupts."""
    await scif_uart_control(pe, clear_bits=SCIF.SCSCR_TIE)


@symbol
async def scif_uart_tx_ready(pe: Pe) -> int:
    """The room in the transmit FIFO, once it has fallen to its trigger level."""
    if not await pe.read(UART_VA + SCIF.SCFSR.offset) & SCIF.SCFSR_TDFE:
        return 0
    return SCIF.FIFO_SIZE - (await pe.read(UART_VA + SCIF.SCFDR.offset) >> 8)


@symbol
async def scif_uart_status(pe: Pe) -> int:
    """What the interrupt is for: TDFE only counts while its interrupt is enabled."""
    control = await pe.read(UART_VA + SCIF.SCSCR.offset)
    status = await pe.read(UART_VA + SCIF.SCFSR.offset) & ~SCIF.SCFSR_TEND
    return status if control & SCIF.SCSCR_TIE else status & ~SCIF.SCFSR_TDFE


@symbol
async def scif_uart_interrupt(pe: Pe) -> None:
    """Serve the port until nothing is left; Xen has no console commands, so input is dropped."""
    while status := await scif_uart_status(pe):
        if status & SCIF.SCFSR_TDFE:
            await serial_tx_interrupt(pe)
        if status & RECEIVED:
            await pe.read(UART_VA + SCIF.SCFRDR.offset)
        if status & ERRORS:
            await pe.write(UART_VA + SCIF.SCFSR.offset, ALL_FLAGS & ~ERRORS)


@symbol
async def scif_uart_suspend(pe: Pe) -> None:
    """Stop sending and switch the port off; what it holds leaves first."""
    await scif_uart_stop_tx(pe)
    await scif_uart_disable(pe)


@symbol
async def scif_uart_resume(pe: Pe) -> None:
    """Set the port up as at boot: firmware may have used it, or it has lost its power."""
    await scif_uart_init_preirq(pe)
    await scif_uart_init_postirq(pe)
