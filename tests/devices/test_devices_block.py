"""What all devices share: refusals, barriers, power, register tables without overlap."""

from collections.abc import Callable

import pytest
from device_bench import Bench, board

from proto.devices import CONSOLES, IOMMUS, PL011, RTC
from proto.ids import BoardNs
from proto.messages import Abort, Barrier, BlockPower, IrqOutput, RegRead, RegWrite, Reply
from proto.node import ProtocolError
from proto.platform import (
    DEVICE_SIZE,
    IOMMU_BASE,
    RTC_BASE,
    TTY_BASE,
    UART_BASE,
    ConsoleDriver,
    IommuDriver,
)
from proto.registers import Access, RegisterMap, Word
from proto.traces import Unpredictable
from services.devices.iommu import iommu
from services.devices.rtc import Rtc
from services.devices.tty import Tty
from services.devices.uart import uart

Kind = tuple[Callable[[], Bench], type]


def console(driver: ConsoleDriver) -> Kind:
    """Xen's console for a driver."""
    return lambda: Bench(uart(board(console=driver)), UART_BASE), CONSOLES[driver]


def remapper(driver: IommuDriver) -> Kind:
    """The IOMMU for a driver."""
    return lambda: Bench(iommu(board(iommu=driver)), IOMMU_BASE), IOMMUS[driver]


SWITCHED: dict[str, Kind] = {
    **{driver.value: console(driver) for driver in ConsoleDriver},
    **{driver.value: remapper(driver) for driver in IommuDriver},
}
ALWAYS_ON: dict[str, Kind] = {
    "tty": (lambda: Bench(Tty(board(), 2), TTY_BASE + 2 * DEVICE_SIZE), PL011),
    "rtc": (lambda: Bench(Rtc(board()), RTC_BASE), RTC),
}
DEVICES = SWITCHED | ALWAYS_ON
EMPTY = IommuDriver.NONE.value
"""Has no register."""


@pytest.fixture(params=sorted(DEVICES))
def device(request: pytest.FixtureRequest) -> tuple[Bench, type]:
    make, table = DEVICES[request.param]
    return make(), table


def test_every_register_of_the_table_answers(device: tuple[Bench, type]) -> None:
    """Reads and writes as its access kind says; the other direction aborts."""
    bench, table = device
    for row in RegisterMap(table).rows:
        assert isinstance(row, Word)
        read = bench.send(RegRead(1, bench.at(row)), "pe0")
        write = bench.send(RegWrite(2, bench.at(row), 0), "pe0")
        assert isinstance(read, Abort if row.access is Access.WO else Reply), row.name
        assert isinstance(write, Abort if row.access is Access.RO else Reply), row.name


@pytest.mark.parametrize(
    ("offset", "width"), [(-4, 4), (0xFF0, 4), (DEVICE_SIZE, 4), (2, 4), (0, 2)]
)
def test_other_accesses_abort(device: tuple[Bench, type], offset: int, width: int) -> None:
    """Holes, other frames, misaligned addresses, widths no register has."""
    bench, _ = device

    assert isinstance(bench.send(RegRead(1, bench.base + offset, width), "pe0"), Abort)
    assert isinstance(bench.send(RegWrite(1, bench.base + offset, 0, width), "pe0"), Abort)


def test_a_refused_posted_write_is_reported(device: tuple[Bench, type]) -> None:
    """It has no answer that could carry an abort."""
    bench, _ = device

    assert bench.send(RegWrite(0, bench.base + 0xFF0, 0, posted=True), "pe0") is None
    assert isinstance(bench.traces[0], Unpredictable)


def test_posted_writes_are_silent_and_barriers_are_answered(device: tuple[Bench, type]) -> None:
    """The first register that can be written takes it."""
    bench, table = device
    if not RegisterMap(table).rows:
        assert bench.send(Barrier(4), "pe0") == Reply(4)
        return
    row = next(row for row in RegisterMap(table).rows if row.access is not Access.RO)

    assert bench.send(RegWrite(0, bench.base + row.offset, 0, posted=True), "pe0") is None
    assert bench.send(Barrier(4), "pe0") == Reply(4)


def test_what_no_device_takes_stops_the_run(device: tuple[Bench, type]) -> None:
    """An interrupt output or a timer that was never set."""
    bench, _ = device

    assert list(bench.device.on_start(BoardNs(0))) == []
    with pytest.raises(ProtocolError):
        bench.send(IrqOutput(True))
    with pytest.raises(ProtocolError):
        bench.device.on_timer(BoardNs(0), "x")


@pytest.mark.parametrize("name", sorted(SWITCHED.keys() - {EMPTY}))
def test_without_power_accesses_abort(name: str) -> None:
    """Power is reported when it has changed; switching it twice is a defect of `scp`."""
    make, table = SWITCHED[name]
    bench = make()
    rows = (row for row in RegisterMap(table).rows if isinstance(row, Word))
    readable = next(row for row in rows if row.access is not Access.WO)
    bench.power(False)

    assert isinstance(bench.send(RegRead(1, bench.at(readable)), "pe0"), Abort)
    with pytest.raises(ProtocolError):
        bench.send(BlockPower(False), "scp")

    bench.power(True)
    assert isinstance(bench.send(RegRead(1, bench.at(readable)), "pe0"), Reply)


def test_the_empty_frame_has_power_too() -> None:
    """`scp` switches the block whether or not somebody lives there."""
    bench = SWITCHED[EMPTY][0]()
    bench.power(False)
    bench.power(True)

    assert isinstance(bench.send(RegRead(1, bench.base), "pe0"), Abort)


@pytest.mark.parametrize("name", sorted(ALWAYS_ON))
def test_always_on_devices_cannot_be_switched(name: str) -> None:
    """`scp` has no switch for the always-on domain."""
    with pytest.raises(ProtocolError):
        ALWAYS_ON[name][0]().send(BlockPower(False), "scp")
