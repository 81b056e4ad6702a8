"""Serial ports: output by lines, receive FIFO, interrupt line, break, loss of power."""

import pytest
from device_bench import Bench, board
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.devices import PL011, SCIF
from proto.messages import Abort, FifoData, FifoRead, FifoWrite, RaiseLine, SerialInput
from proto.platform import (
    DEVICE_SIZE,
    TTY_BASE,
    TTY_SPI,
    UART_BASE,
    UART_SPI,
    ConsoleDriver,
)
from proto.registers import Word
from proto.traces import InterruptLost, Unpredictable
from services.devices.tty import Tty
from services.devices.uart import uart

ENABLED = PL011.CR_UARTEN | PL011.CR_TXE | PL011.CR_RXE
SPI = TTY_SPI + 1


@pytest.fixture
def tty() -> Bench:
    """Domain 1's port, receive interrupt enabled."""
    bench = Bench(Tty(board(), 1), TTY_BASE + DEVICE_SIZE)
    bench.write(PL011.IMSC, PL011.INT_RX)
    return bench


def port(power_model: str = "all-lost", enabled: bool = True) -> Bench:
    """Xen's port where it is a PL011."""
    bench = Bench(uart(board(power_model, console=ConsoleDriver.PL011)), UART_BASE)
    if enabled:
        bench.write(PL011.CR, ENABLED)
    return bench


def output(bench: Bench, data: bytes, register: Word = PL011.DR) -> None:
    """A burst to the data register."""
    assert bench.send(FifoWrite(bench.at(register), data), "pe0") is None


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
    bench = port(enabled=False)
    output(bench, b"early\n")
    bench.write(PL011.CR, ENABLED & ~PL011.CR_TXE)
    output(bench, b"no transmitter\n")
    bench.write(PL011.CR, ENABLED)
    output(bench, b"now\n")
    bench.run()

    bench.power(False)
    output(bench, b"off\n")
    bench.power(True)
    output(bench, b"reset\n")
    bench.run()
    assert bench.lines == ["now"]


def test_a_retained_port_goes_on() -> None:
    """Control and masks survive, and so does what has not left yet."""
    bench = port("all-retained")
    bench.write(PL011.IMSC, PL011.INT_RX)
    output(bench, b"before ")
    bench.power(False)
    bench.now += 1_000_000
    bench.power(True)
    output(bench, b"and on\n")
    bench.run()

    assert bench.lines == ["before and on"]
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
    bench = port(enabled=False)
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
    bench = port()
    bench.power(False)
    bench.send(RaiseLine())

    assert bench.wires == []
    assert bench.traces == [InterruptLost(UART_SPI, "uart")]


# -- the speed of the line


def test_output_takes_its_time() -> None:
    """A line appears when its last byte has left: 10 us each on this bench."""
    bench = port()
    output(bench, b"four\nand")
    assert bench.timers == {"transmit": 50_000}
    assert bench.read(PL011.FR) & (PL011.FR_TXFE | PL011.FR_TXFF) == 0

    bench.run()
    assert (bench.now, bench.lines) == (50_000, ["four"])
    bench.now = 80_000
    assert bench.read(PL011.FR) & PL011.FR_TXFE


def test_a_full_fifo_takes_no_more() -> None:
    """What does not fit is lost, as on silicon: a driver asks first."""
    bench = port()
    output(bench, b"0123456789abcdef\n")
    assert bench.read(PL011.FR) & PL011.FR_TXFF

    bench.now = 160_000
    output(bench, b"!\n")
    bench.run()
    assert bench.lines == ["0123456789abcdef!"]


def test_what_has_not_left_dies_with_the_port() -> None:
    """Bytes that have left are on the terminal."""
    bench = port()
    output(bench, b"gone\n")
    bench.now = 20_000
    bench.power(False)
    bench.power(True)
    bench.write(PL011.CR, ENABLED)
    output(bench, b"od\n")
    bench.run()

    assert bench.lines == ["good"]


def test_the_pl011_interrupts_when_it_has_run_empty() -> None:
    """Latched then; taken back by writing, or by ICR; gated by IMSC."""
    bench = port()
    output(bench, b"xy")
    bench.write(PL011.IMSC, PL011.INT_TX)
    assert bench.wires == []

    bench.run()
    assert (bench.now, bench.wires) == (20_000, [(UART_SPI, True)])
    output(bench, b"z")
    assert bench.wires == [(UART_SPI, True), (UART_SPI, False)]
    bench.run()
    bench.write(PL011.ICR, PL011.INT_TX)
    assert bench.wires == [(UART_SPI, True), (UART_SPI, False)] * 2


@settings(deadline=None, max_examples=50)
@given(
    chunks=st.lists(st.tuples(st.text("ab\n", max_size=40), st.integers(0, 500_000)), max_size=12)
)
def test_no_byte_is_lost_doubled_or_moved(chunks: list[tuple[str, int]]) -> None:
    """Whatever is written when, as long as there is room for it."""
    bench = scif()
    written = ""
    for text, pause_ns in chunks:
        if len(text) <= SCIF.FIFO_SIZE - (bench.read(SCIF.SCFDR) >> 8):
            output(bench, text.encode(), SCIF.SCFTDR)
            written += text
        until = bench.now + pause_ns
        while bench.timers and min(bench.timers.values()) <= until:
            bench.fire("transmit")
        bench.now = until
    bench.run()

    assert bench.lines == written.split("\n")[:-1]


# -- SCIF


def scif(power_model: str = "all-lost") -> Bench:
    """Xen's port where it is a SCIF, both halves enabled."""
    bench = Bench(uart(board(power_model)), UART_BASE)
    bench.write(SCIF.SCFCR, SCIF.SCFCR_TTRG.put(3))
    bench.write(SCIF.SCSCR, SCIF.SCSCR_TE | SCIF.SCSCR_RE)
    return bench


def test_scif_status_follows_its_fifos() -> None:
    """TDFE at the trigger level, TEND when the last byte has left, RDF with data."""
    bench = scif()
    assert bench.read(SCIF.SCFSR) == SCIF.SCFSR_TDFE | SCIF.SCFSR_TEND

    bench.write(SCIF.SCFTDR, ord("x"))
    output(bench, b"12345", SCIF.SCFTDR)
    assert (bench.read(SCIF.SCFSR), bench.read(SCIF.SCFDR)) == (0, 6 << 8)
    bench.write(SCIF.SCFCR, SCIF.SCFCR_TTRG.put(1))
    bench.now = 20_000
    assert bench.read(SCIF.SCFSR) == SCIF.SCFSR_TDFE

    bench.send(SerialInput("k"))
    assert bench.read(SCIF.SCFSR) & SCIF.SCFSR_RDF
    assert [bench.read(SCIF.SCFRDR) for _ in range(3)] == [ord("k"), ord("\n"), 0]


def test_scif_interrupts_are_levels_behind_their_enables() -> None:
    """Transmit by TIE, receive by RIE, a break by either of RIE and REIE."""
    bench = scif()
    both = SCIF.SCSCR_TE | SCIF.SCSCR_RE
    output(bench, b"ab", SCIF.SCFTDR)
    bench.write(SCIF.SCSCR, both | SCIF.SCSCR_TIE)
    assert bench.wires == []
    bench.run()
    assert (bench.now, bench.wires) == (20_000, [(UART_SPI, True)])

    bench.write(SCIF.SCSCR, both)
    bench.send(SerialInput("x"))
    bench.send(RaiseLine())
    assert bench.wires == [(UART_SPI, True), (UART_SPI, False)]
    bench.write(SCIF.SCSCR, both | SCIF.SCSCR_REIE)
    assert len(bench.wires) == 3
    bench.write(SCIF.SCFSR, 0xFFFF & ~SCIF.SCFSR_BRK)
    assert bench.wires[3:] == [(UART_SPI, False)]
    bench.write(SCIF.SCSCR, both | SCIF.SCSCR_RIE)
    assert bench.wires[4:] == [(UART_SPI, True)]


def test_scif_resets_its_fifos() -> None:
    """While SCFCR holds them in reset, nothing goes in or out."""
    bench = scif()
    output(bench, b"lost\n", SCIF.SCFTDR)
    bench.send(SerialInput("lost"))
    bench.write(SCIF.SCFCR, SCIF.SCFCR_TFRST | SCIF.SCFCR_RFRST)
    output(bench, b"lost\n", SCIF.SCFTDR)
    bench.send(SerialInput("lost"))
    bench.write(SCIF.SCFCR, 0)

    assert bench.read(SCIF.SCFDR) == 0
    output(bench, b"sent\n", SCIF.SCFTDR)
    bench.run()
    assert bench.lines == ["sent"]


def test_scif_registers_after_a_loss_of_power() -> None:
    """Both halves are off and hear nothing; retained, they go on."""
    lost, kept = scif(), scif("all-retained")
    for bench in (lost, kept):
        bench.power(False)
        bench.power(True)
        output(bench, b"after\n", SCIF.SCFTDR)
        bench.send(SerialInput("x"))
        bench.run()

    assert (lost.lines, lost.read(SCIF.SCSCR), lost.read(SCIF.SCFDR)) == ([], 0, 0)
    assert kept.lines == ["after"]
    assert kept.read(SCIF.SCFDR) == 2
