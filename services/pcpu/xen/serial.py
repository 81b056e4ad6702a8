"""The serial port that Xen's console is on, and the table of drivers (xen/drivers/char/serial.c).

What waits to be sent lies in the console ring between `txbufc` and `conringp`: the ring is the
transmit buffer too. Whoever moves bytes to the port holds the console lock.
"""

from dataclasses import dataclass

from proto.devices import PL011, SCIF
from proto.image import symbol
from proto.messages import FifoWrite
from proto.platform import UART_BASE, UART_SPI, ConsoleDriver
from proto.turn import Send
from proto.units import US
from services.pcpu.pe import Pe
from services.pcpu.xen.conring import conring_gets, oldest
from services.pcpu.xen.gic_v2 import gic_route_irq
from services.pcpu.xen.memory import ioremap
from services.pcpu.xen.spinlock import spin_lock_irqsave, spin_unlock_irqrestore

UART_VA = ioremap(UART_BASE)

SYNC_POLL_NS = 100 * US
"""How long a CPU that waits for the port leaves it alone between two looks."""


@dataclass(frozen=True, slots=True)
class UartDriver:
    """`struct uart_driver`: symbols of callbacks; a driver need not have the last two."""

    transmit: int
    """Address of the transmit register."""
    init_preirq: str
    init_postirq: str
    interrupt: str
    tx_ready: str
    """How many bytes the port takes now."""
    start_tx: str
    """Have the port interrupt when it can take more."""
    stop_tx: str
    suspend: str = ""
    resume: str = ""


UART_DRIVERS: dict[ConsoleDriver, UartDriver] = {
    ConsoleDriver.SCIF: UartDriver(
        UART_VA + SCIF.SCFTDR.offset,
        "scif_uart_init_preirq",
        "scif_uart_init_postirq",
        "scif_uart_interrupt",
        "scif_uart_tx_ready",
        "scif_uart_start_tx",
        "scif_uart_stop_tx",
        "scif_uart_suspend",
        "scif_uart_resume",
    ),
    ConsoleDriver.PL011: UartDriver(
        UART_VA + PL011.DR.offset,
        "pl011_init_preirq",
        "pl011_init_postirq",
        "pl011_interrupt",
        "pl011_tx_ready",
        "pl011_start_tx",
        "pl011_stop_tx",
    ),
}
"""The platform's serial port to its driver. Upstream the PL011's has no suspend callbacks."""


def uart_driver(pe: Pe) -> UartDriver:
    """The driver of this board's console."""
    return UART_DRIVERS[pe.board.platform.console]


def serial_suspend_supported(pe: Pe) -> bool:
    """Whether the console's driver has both suspend callbacks."""
    driver = uart_driver(pe)
    return bool(driver.suspend and driver.resume)


@symbol
async def serial_init(pe: Pe) -> None:
    """Set the port up and take its interrupt (serial_init_preirq, serial_init_postirq)."""
    driver = uart_driver(pe)
    await pe.links[driver.init_preirq](pe)
    await gic_route_irq(pe, UART_SPI, pe.cpu)
    await pe.links[driver.init_postirq](pe)


@symbol
async def serial_flush(pe: Pe) -> None:
    """Let out what waits: everything in synchronous mode, otherwise what the port takes now.

    The rest goes out by the transmit interrupt. While the port is suspended everything waits.
    """
    driver = uart_driver(pe)
    serial_up, sync = await pe.load_burst((pe.xen.console.serial_up, pe.xen.console.sync))
    while serial_up and await serial_transmit(pe):
        if not sync:
            await pe.links[driver.start_tx](pe)
            return
        await pe.delay(SYNC_POLL_NS)


@symbol
async def serial_wait_empty(pe: Pe) -> None:
    """Wait until the port has sent what it holds, unless it is suspended."""
    if await pe.load(pe.xen.console.serial_up):
        while not await pe.links[uart_driver(pe).tx_ready](pe):
            await pe.delay(SYNC_POLL_NS)


@symbol
async def serial_transmit(pe: Pe) -> int:
    """Move what the port takes from the ring into it; gives how much still waits.

    What was overwritten before it could be sent is left out.
    """
    console = pe.xen.console
    waiting, end = await pe.load_burst((console.txbufc, console.conringp))
    begin = max(waiting, oldest(end))
    if begin == end:
        return 0
    driver = uart_driver(pe)
    ready: int = await pe.links[driver.tx_ready](pe)
    following = min(end, begin + ready)
    if following > begin:
        text = await conring_gets(pe, begin, following)
        address = pe.translate(driver.transmit)
        device = pe.memory_map.node_at(address)
        assert device is not None
        pe.emit(Send(device, FifoWrite(address, text)))
        await pe.store(console.txbufc, following)
    return end - following


@symbol
async def serial_tx_interrupt(pe: Pe) -> None:
    """The port can take more: give it more, or stop its interrupt when there is no more."""
    masked = await spin_lock_irqsave(pe, pe.xen.console.lock)
    serial_up = await pe.load(pe.xen.console.serial_up)
    if not serial_up or not await serial_transmit(pe):
        await pe.links[uart_driver(pe).stop_tx](pe)
    await spin_unlock_irqrestore(pe, pe.xen.console.lock, masked)


@symbol
async def uart_interrupt(pe: Pe) -> None:
    """The port's interrupt goes to its driver."""
    await pe.links[uart_driver(pe).interrupt](pe)


@symbol
async def serial_suspend(pe: Pe) -> None:
    """Let the driver suspend its port, if it can; otherwise nobody saves its registers."""
    driver = uart_driver(pe)
    if driver.suspend:
        await pe.links[driver.suspend](pe)


@symbol
async def serial_resume(pe: Pe) -> None:
    """Let the driver set its port up again, if it can."""
    driver = uart_driver(pe)
    if driver.resume:
        await pe.links[driver.resume](pe)
