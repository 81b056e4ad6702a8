"""The IOMMU: registers that are lost or kept, a fault that is an edge."""

import pytest
from device_bench import Bench, board

from proto.devices import IOMMU
from proto.messages import RaiseLine
from proto.platform import IOMMU_BASE, IOMMU_SPI
from proto.traces import InterruptLost
from services.devices.iommu import Iommu


def configured(power_model: str = "all-lost") -> Bench:
    """An IOMMU with a context table, translating."""
    bench = Bench(Iommu(board(power_model)), IOMMU_BASE)
    bench.write(IOMMU.CBASE_LO, 0x8040_0000)
    bench.write(IOMMU.CBASE_HI, 0x1)
    bench.write(IOMMU.CR, 0xFFFF_FFFF)
    return bench


def registers(bench: Bench) -> tuple[int, ...]:
    return tuple(bench.read(row) for row in (IOMMU.CR, IOMMU.CBASE_LO, IOMMU.CBASE_HI, IOMMU.FSR))


def test_registers_hold_what_is_written() -> None:
    """Control has one bit, the table base two words."""
    assert registers(configured()) == (IOMMU.CR_ENABLE, 0x8040_0000, 1, 0)


@pytest.mark.parametrize(
    ("power_model", "after"),
    [
        ("all-lost", (0, 0, 0, 0)),
        ("gic-retained", (0, 0, 0, 0)),
        ("all-retained", (IOMMU.CR_ENABLE, 0x8040_0000, 1, IOMMU.FSR_FAULT)),
    ],
)
def test_power_models(power_model: str, after: tuple[int, ...]) -> None:
    """What Xen finds after the block was off."""
    bench = configured(power_model)
    bench.send(RaiseLine())
    bench.power(False)
    bench.power(True)

    assert registers(bench) == after


def test_a_fault_is_one_pulse() -> None:
    """The status stays until it is written; the line does not, and wakes nobody."""
    bench = configured()
    bench.send(RaiseLine())
    bench.send(RaiseLine())

    assert bench.wires == [(IOMMU_SPI, True), (IOMMU_SPI, False)] * 2
    assert bench.events() == [(True, 1), (False, 1), (True, 2), (False, 2)]
    assert bench.wakes == []

    bench.write(IOMMU.FSR, IOMMU.FSR_FAULT)
    assert bench.read(IOMMU.FSR) == 0


def test_a_fault_without_power_is_lost() -> None:
    """There is nobody to notice it."""
    bench = configured()
    bench.power(False)
    bench.send(RaiseLine())

    assert bench.wires == []
    assert bench.traces == [InterruptLost(IOMMU_SPI, "iommu")]
