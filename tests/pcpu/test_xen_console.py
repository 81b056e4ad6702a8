"""The console ring, and how it gets out: asynchronously, synchronously, after a suspend."""

import pytest
from driver_bench import Reader, SpiGic, fitted
from xen_bench import Bench, board

from proto.devices import SCIF
from proto.platform import ConsoleDriver
from proto.traces import ConsoleSync
from proto.units import MS, US
from services.devices.port import Port
from services.devices.uart import uart
from services.pcpu.pe import Pe
from services.pcpu.xen.conring import read_console_ring
from services.pcpu.xen.console import (
    console_end_sync,
    console_force_unlock,
    console_init,
    console_resume,
    console_start_sync,
    console_suspend,
    printk,
)
from services.pcpu.xen.memory import CONRING_SIZE
from services.pcpu.xen.serial import UART_VA, serial_resume

LONG = "x" * 100
"""More than half a FIFO of the SCIF."""
CONSOLES = pytest.mark.parametrize("console", list(ConsoleDriver))


class Console:
    """A board's console under test: the real port and the terminal."""

    def __init__(self, console: ConsoleDriver = ConsoleDriver.SCIF, baud: int = 1_000_000) -> None:
        self.board = fitted(console=console, baud=baud)
        self.port: Port = uart(self.board)
        self.gic = SpiGic()
        self.reader = Reader()
        self.instead = (self.port, self.gic, self.reader)

    @property
    def lines(self) -> list[str]:
        """What the terminal shows."""
        return self.reader.lines


def printed(*texts: str) -> list[str]:
    """What printk makes of texts."""
    return [f"(XEN) {text}" for text in texts]


# -- the ring


def test_the_ring_gives_back_what_was_printed() -> None:
    """In pieces of any size, from where the reader left off."""
    read: list[bytes] = []

    async def program(pe: Pe) -> None:
        for length in range(20):
            await printk(pe, "y" * length)
        index = 0
        for count in (0, 1, 7, 8, 9, 100, CONRING_SIZE):
            text, index = await read_console_ring(pe, index, count)
            assert len(text) <= count
            read.append(text)
        read.append((await read_console_ring(pe, index, 5))[0])

    bench = Bench(program)

    assert b"".join(read).decode() == bench.uart.text
    assert [len(text) for text in read[:6]] == [0, 1, 7, 8, 9, 100]


def test_the_ring_forgets_the_oldest() -> None:
    """A reader that comes late gets what is left, and a position behind the end gets nothing."""
    read: list[tuple[bytes, int]] = []

    async def program(pe: Pe) -> None:
        for number in range(60):
            await printk(pe, f"{number} {LONG}")
        read.append(await read_console_ring(pe, 0, 2 * CONRING_SIZE))
        read.append(await read_console_ring(pe, 10**6, 10))

    bench = Bench(program)

    (text, end), (nothing, _) = read
    assert CONRING_SIZE - 8 < len(text) <= CONRING_SIZE
    assert bench.uart.text.encode().endswith(text)
    assert end == len(bench.uart.text)
    assert nothing == b""


@pytest.mark.parametrize("seed", range(6))
def test_lines_of_several_cpus_do_not_mix(seed: int) -> None:
    """Each line is printed under the console lock."""

    async def program(pe: Pe) -> None:
        for number in range(4):
            await printk(pe, f"{pe.cpu}.{number}")

    bench = Bench(*(program,) * 3, of=board(3), seed=seed)

    lines = bench.uart.text.splitlines()
    assert sorted(lines) == printed(*(f"{cpu}.{number}" for cpu in range(3) for number in range(4)))
    assert [line for line in lines if "1." in line] == printed("1.0", "1.1", "1.2", "1.3")


# -- the way out


@CONSOLES
def test_what_the_port_cannot_take_goes_out_by_interrupt(console: ConsoleDriver) -> None:
    """printk does not wait for it; nothing is lost, and the interrupt is stopped at the end."""
    setup = Console(console)
    took: list[int] = []

    async def program(pe: Pe) -> None:
        await console_init(pe)
        await pe.irq_enable()
        begin = pe.now
        for number in range(5):
            await printk(pe, f"{number} {LONG}")
        took.append(pe.now - begin)
        await pe.delay(20 * MS)

    bench = Bench(program, of=setup.board, instead=setup.instead)

    assert bench.halts == []
    assert setup.lines == printed(*(f"{number} {LONG}" for number in range(5)))
    assert took[0] < 1 * MS
    assert setup.gic.acknowledged > 0
    assert setup.gic.high is None


@CONSOLES
def test_synchronous_output_waits_for_the_port(console: ConsoleDriver) -> None:
    """What waited goes out first, with IRQs masked, at the speed of the line."""
    setup = Console(console)
    after: list[tuple[int, int]] = []

    async def program(pe: Pe) -> None:
        await console_init(pe)
        for number in range(5):
            await printk(pe, f"{number} {LONG}")
        await console_start_sync(pe)
        after.append((pe.now, len(setup.lines)))
        await printk(pe, "last")
        await console_end_sync(pe)

    bench = Bench(program, of=setup.board, instead=setup.instead)

    [(now_ns, shown)] = after
    assert now_ns > (5 * len(LONG) - 128) * 10 * US
    assert shown >= 3
    assert setup.lines[-1] == "(XEN) last"
    assert setup.gic.acknowledged == 0
    assert [event.depth for event in bench.traces(ConsoleSync)] == [1, 0]


def test_a_slow_port_holds_synchronous_output_up() -> None:
    """At 1200 baud a flush takes seconds with IRQs masked, long enough for a watchdog to expire."""
    setup = Console(baud=1200)
    took: list[int] = []

    async def program(pe: Pe) -> None:
        await console_init(pe)
        for number in range(4):
            await printk(pe, f"{number} {LONG}")
        begin = pe.now
        await console_start_sync(pe)
        took.append(pe.now - begin)

    Bench(program, of=setup.board, instead=setup.instead)

    assert took[0] > 2_000 * MS


def test_synchronous_mode_nests() -> None:
    """The depth is counted, and only the first level has something to flush."""

    async def program(pe: Pe) -> None:
        await console_start_sync(pe)
        await console_start_sync(pe)
        await console_end_sync(pe)
        await console_end_sync(pe)

    bench = Bench(program)

    assert [event.depth for event in bench.traces(ConsoleSync)] == [1, 2, 1, 0]


def test_what_is_printed_before_the_port_is_up_comes_out_later() -> None:
    """The ring holds it until console_init."""
    setup = Console()

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.console.serial_up, 0)
        await printk(pe, "early")
        assert not setup.port.transmitter.level
        await console_init(pe)

    Bench(program, of=setup.board, instead=setup.instead)

    assert setup.lines == printed("early")


# -- suspend and resume


@pytest.mark.parametrize("power_is_lost", [True, False])
def test_nothing_printed_while_suspended_is_lost(power_is_lost: bool) -> None:
    """What the port held leaves before it is switched off, the rest when it is set up again."""
    setup = Console()
    shown: list[int] = []

    async def program(pe: Pe) -> None:
        await console_init(pe)
        await pe.irq_enable()
        await printk(pe, "before")
        assert await console_suspend(pe) == 0
        await pe.delay(1 * MS)
        await printk(pe, "meanwhile")
        await pe.delay(1 * MS)
        shown.append(len(setup.lines))
        if power_is_lost:
            setup.port.reset()
        await console_resume(pe)
        await printk(pe, "after")
        await pe.delay(2 * MS)

    Bench(program, of=setup.board, instead=setup.instead)

    assert shown == [1]
    assert setup.lines == printed("before", "meanwhile", "after")


@CONSOLES
def test_without_the_drivers_resume_a_lost_port_is_silent(console: ConsoleDriver) -> None:
    """The PL011's driver has none, so this is what the series of 2025-03 does there."""
    setup = Console(console)

    async def nothing(pe: Pe) -> None:
        """No resume callback."""

    async def program(pe: Pe) -> None:
        await console_init(pe)
        await printk(pe, "before")
        await pe.delay(1 * MS)
        await console_suspend(pe)
        setup.port.reset()
        await console_resume(pe)
        await printk(pe, "after")
        await pe.delay(1 * MS)

    relinked = {"scif_uart_resume": nothing}
    bench = Bench(program, of=setup.board, instead=setup.instead, relinked=relinked)

    assert bench.halts == []
    assert setup.lines == printed("before")


def test_resuming_the_port_twice_is_harmless() -> None:
    """Firmware may have used it meanwhile; the driver starts from nothing."""
    setup = Console()

    async def program(pe: Pe) -> None:
        await console_init(pe)
        await console_suspend(pe)
        await console_resume(pe)
        await printk(pe, "one")
        await serial_resume(pe)
        await printk(pe, "two")

    Bench(program, of=setup.board, instead=setup.instead)

    assert setup.lines == printed("one", "two")


def test_last_words_leave_whoever_holds_the_lock() -> None:
    """A CPU that stopped inside printk does not keep a panic from being read."""
    setup = Console()
    ended: list[tuple[int, int]] = []

    async def program(pe: Pe) -> None:
        await console_init(pe)
        await pe.store(pe.xen.console.lock, 2)
        await console_force_unlock(pe)
        await printk(pe, "the end")
        await console_force_unlock(pe)
        ended.append((setup.port.transmitter.level, await pe.load(pe.xen.console.lock)))

    Bench(program, of=setup.board, instead=setup.instead)

    assert setup.lines == printed("the end")
    assert ended == [(0, 0)]


def test_input_on_xens_console_is_taken_and_dropped() -> None:
    """Xen has no console commands here; the interrupt must still end."""
    setup = Console()

    async def program(pe: Pe) -> None:
        await console_init(pe)
        await pe.irq_enable()
        setup.port.received += b"hello"
        await pe.read(UART_VA + SCIF.SCFSR.offset)
        await pe.delay(1 * MS)

    Bench(program, of=setup.board, instead=setup.instead)

    assert setup.port.received == b""
    assert setup.gic.high is None
