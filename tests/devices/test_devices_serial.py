"""Serial ports: output by lines, receive FIFO, interrupt line, break, loss of power."""

import pytest
from device_bench import Bench, board

from proto.devices import PL011
from proto.messages import Abort, FifoData, FifoRead, FifoWrite, RaiseLine, SerialInput
from proto.platform import DEVICE_SIZE, TTY_BASE, TTY_SPI, UART_BASE, UART_SPI
from proto.traces import InterruptLost, Unpredictable
from services.devices.tty import Tty
from services.devices.uart import Uart

ENABLED = PL011.CR_UARTEN | PL011.CR_TXE | PL011.CR_RXE
SPI = TTY_SPI + 1


@pytest.fixture
def tty() -> Bench:
    """Domain 1's port, receive interrupt enabled."""
    bench = Bench(Tty(board(), 1), TTY_BASE + DEVICE_SIZE)
    bench.write(PL011.IMSC, PL011.INT_RX)
    return bench


def uart(power_model: str = "all-lost") -> Bench:
    """Xen's port, enabled."""
    bench = Bench(Uart(board(power_model)), UART_BASE)
    bench.write(PL011.CR, ENABLED)
    return bench


def output(bench: Bench, data: bytes) -> None:
    """A burst to the data register."""
    assert bench.send(FifoWrite(bench.at(PL011.DR), data), "pe0") is None


# -- output


def test_output_is_told_by_complete_lines(tty: Bench) -> None:
    """Parts are kept until their newline; carriage returns are not shown."""
    output(tty, b"one\r\ntwo\nth")
    assert tty.lines == ["one", "two"]

    output(tty, b"ree\n")
    tty.write(PL011.DR, ord("4"))
    tty.write(PL011.DR, ord("\n"))
    assert tty.lines[2:] == ["three", "4"]


def test_output_of_a_disabled_port_is_dropped() -> None:
    """Reset leaves Xen's console disabled, and so does a loss of power."""
    bench = Bench(Uart(board()), UART_BASE)
    output(bench, b"early\n")
    bench.write(PL011.CR, ENABLED & ~PL011.CR_TXE)
    output(bench, b"no transmitter\n")
    bench.write(PL011.CR, ENABLED)
    output(bench, b"now\n")

    bench.power(False)
    output(bench, b"off\n")
    bench.power(True)
    output(bench, b"reset\n")
    assert bench.lines == ["now"]


def test_a_retained_port_goes_on() -> None:
    """Control and masks survive; what was printed before is still on the terminal."""
    bench = uart("all-retained")
    bench.write(PL011.IMSC, PL011.INT_RX)
    output(bench, b"before ")
    bench.power(False)
    bench.power(True)
    output(bench, b"and after\n")

    assert bench.lines == ["before and after"]
    assert (bench.read(PL011.CR), bench.read(PL011.IMSC)) == (ENABLED, PL011.INT_RX)


def test_a_burst_goes_to_the_data_register_only(tty: Bench) -> None:
    """Elsewhere it is lost and reported, or aborts."""
    assert tty.send(FifoWrite(tty.at(PL011.CR), b"x\n"), "dom1") is None
    assert isinstance(tty.send(FifoRead(1, tty.at(PL011.CR)), "dom1"), Abort)
    assert tty.lines == []
    assert isinstance(tty.traces[0], Unpredictable)


# -- input


def test_input_raises_the_line_until_it_is_read(tty: Bench) -> None:
    """Level-sensitive, to the GIC and as a wake line, counted by assertions."""
    tty.send(SerialInput("hello"))
    tty.send(SerialInput("again"))
    assert tty.wires == tty.wakes == [(SPI, True)]

    answer = tty.send(FifoRead(5, tty.at(PL011.DR)), "dom1")
    assert answer == FifoData(5, b"hello\nagain\n")
    assert tty.wires == tty.wakes == [(SPI, True), (SPI, False)]

    tty.send(SerialInput("x"))
    assert tty.events() == [(True, 1), (False, 1), (True, 2)]


def test_bytes_can_be_read_one_by_one(tty: Bench) -> None:
    """FR tells when the FIFO is empty; an empty FIFO reads zero."""
    tty.send(SerialInput("a"))
    assert tty.read(PL011.FR) == PL011.FR_TXFE
    assert [tty.read(PL011.DR) for _ in range(3)] == [ord("a"), ord("\n"), 0]
    assert tty.read(PL011.FR) == PL011.FR_TXFE | PL011.FR_RXFE
    assert tty.wires == [(SPI, True), (SPI, False)]


def test_the_mask_gates_the_receive_interrupt(tty: Bench) -> None:
    """RIS shows it, MIS and the line do not, until IMSC lets it through; ICR does not clear it."""
    tty.write(PL011.IMSC, 0)
    tty.send(SerialInput("x"))
    assert (tty.read(PL011.RIS), tty.read(PL011.MIS)) == (PL011.INT_RX, 0)
    assert tty.wires == []

    tty.write(PL011.IMSC, PL011.INT_RX)
    tty.write(PL011.ICR, PL011.INT_RX)
    assert tty.read(PL011.MIS) == PL011.INT_RX
    assert tty.wires == [(SPI, True)]


def test_a_disabled_port_hears_nothing() -> None:
    """Xen's console, before the driver and without power; the FIFO does not survive."""
    bench = Bench(Uart(board()), UART_BASE)
    bench.send(SerialInput("early"))
    bench.write(PL011.CR, ENABLED)
    bench.write(PL011.IMSC, PL011.INT_RX)
    assert bench.read(PL011.RIS) == 0

    bench.send(SerialInput("heard"))
    bench.power(False)
    bench.send(SerialInput("off"))
    bench.power(True)
    assert bench.read(PL011.RIS) == 0
    assert bench.wires == [(UART_SPI, True), (UART_SPI, False)]
    assert bench.wakes == []


# -- the operator's button


def test_a_break_drives_the_line_until_it_is_cleared(tty: Bench) -> None:
    """Whatever the mask says; pressing twice is one assertion."""
    tty.write(PL011.IMSC, 0)
    tty.send(RaiseLine())
    tty.send(RaiseLine())
    assert tty.wires == tty.wakes == [(SPI, True)]
    assert tty.read(PL011.RIS) == tty.read(PL011.MIS) == PL011.INT_BREAK

    tty.write(PL011.ICR, PL011.INT_RX)
    assert tty.read(PL011.RIS) == PL011.INT_BREAK
    tty.write(PL011.ICR, PL011.INT_BREAK)
    assert tty.wires == [(SPI, True), (SPI, False)]


def test_a_break_without_power_is_lost() -> None:
    """The console's own line is not in the always-on domain."""
    bench = uart()
    bench.power(False)
    bench.send(RaiseLine())

    assert bench.wires == []
    assert bench.traces == [InterruptLost(UART_SPI, "uart")]
