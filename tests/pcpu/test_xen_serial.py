"""The table of serial drivers, and what each tells the policy about suspend."""

import pytest
from driver_bench import Reader, SpiGic, fitted
from xen_bench import Bench

from proto.devices import SCIF
from proto.gic import GICD
from proto.messages import FifoWrite
from proto.platform import GICD_BASE, UART_SPI, ConsoleDriver
from proto.turn import Send
from services.devices.uart import uart
from services.pcpu.node import xen_image
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.memory import CONRING_SIZE
from services.pcpu.xen.scif_uart import scif_uart_suspend
from services.pcpu.xen.serial import (
    UART_DRIVERS,
    UART_VA,
    serial_init,
    serial_suspend_supported,
    serial_tx_interrupt,
)


@pytest.mark.parametrize("console", list(ConsoleDriver))
def test_every_callback_is_a_symbol(console: ConsoleDriver) -> None:
    """So a profile can relink it."""
    driver = UART_DRIVERS[console]
    names = {getattr(driver, field) for field in driver.__slots__ if field != "transmit"}

    assert names - {""} <= xen_image().links.keys()


@pytest.mark.parametrize(("console", "can"), [("scif", True), ("pl011", False)])
def test_which_drivers_can_suspend(console: str, can: bool) -> None:
    """Upstream the PL011's has no callbacks."""
    said: list[bool] = []

    async def program(pe: Pe) -> None:
        said.append(serial_suspend_supported(pe))

    Bench(program, of=fitted(console=ConsoleDriver(console)))

    assert said == [can]


def test_the_port_s_interrupt_goes_to_the_cpu_that_sets_it_up() -> None:
    """As a level, enabled."""

    async def program(pe: Pe) -> None:
        await serial_init(pe)

    bench = Bench(program)

    log = [(kind, address) for _, kind, address, _ in bench.gic.log]
    assert ("write", GICD_BASE + GICD.ISENABLER.word(UART_SPI)) in log
    assert ("write", GICD_BASE + GICD.ITARGETSR.byte(UART_SPI)) in log


def test_what_was_overwritten_before_it_left_is_left_out() -> None:
    """A burst of output that is longer than the ring loses its oldest part, not its order."""
    board = fitted()
    reader = Reader()

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.console.serial_up, 0)
        for number in range(100):
            await printk(pe, f"line {number:03} {'z' * 60}")
        await serial_init(pe)
        await pe.store(pe.xen.console.serial_up, 1)
        await pe.irq_enable()
        await printk(pe, "end")
        await pe.delay(100_000_000)

    Bench(program, of=board, instead=(uart(board), SpiGic(), reader))

    whole = [line for line in reader.lines if line.startswith("(XEN) line ")]
    numbers = [int(line.split()[2]) for line in whole]
    assert numbers == list(range(numbers[0], 100))
    assert CONRING_SIZE - 200 < len("\n".join(whole)) < CONRING_SIZE
    assert reader.lines[-1] == "(XEN) end"


def test_a_transmit_interrupt_without_output_is_stopped() -> None:
    """Nobody waits; TIE is cleared, and nothing is written."""
    board = fitted()
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await serial_init(pe)
        await pe.write(UART_VA + SCIF.SCSCR.offset, 0xFF)
        await serial_tx_interrupt(pe)
        seen.append(await pe.read(UART_VA + SCIF.SCSCR.offset) & SCIF.SCSCR_TIE)

    bench = Bench(program, of=board, instead=(uart(board), SpiGic(), Reader()))

    assert seen == [0]
    sent = [effect for turn in bench.turns for effect in turn.effects if isinstance(effect, Send)]
    assert not [effect for effect in sent if isinstance(effect.body, FifoWrite)]


def test_suspend_of_the_scif_waits_for_the_last_bit() -> None:
    """Then both halves, all interrupts and the FIFOs are off."""
    board = fitted()
    port, reader = uart(board), Reader()
    after: list[int] = []

    async def program(pe: Pe) -> None:
        await serial_init(pe)
        await printk(pe, "a line on its way")
        await scif_uart_suspend(pe)
        after.append(len(reader.lines))
        after.append(await pe.read(UART_VA + SCIF.SCSCR.offset))

    Bench(program, of=board, instead=(port, SpiGic(), reader))

    assert reader.lines == ["(XEN) a line on its way"]
    assert after[1] == 0
    assert not port.can_transmit()
