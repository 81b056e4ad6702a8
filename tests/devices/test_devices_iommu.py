"""The IOMMUs: registers that are lost or kept, rules of their order, a fault that is an edge."""

import pytest
from device_bench import Bench, board

from proto.devices import IPMMU, SMMU, SMMUV3
from proto.messages import RaiseLine
from proto.platform import IOMMU_BASE, IOMMU_SPI, IommuDriver
from proto.registers import Word
from proto.traces import InterruptLost, Unpredictable
from services.devices.iommu import iommu
from services.devices.smmu_v3 import SmmuV3

PULSE = [(IOMMU_SPI, True), (IOMMU_SPI, False)]
LOST = InterruptLost(IOMMU_SPI, "iommu")
QUEUES = SMMUV3.CR0_CMDQEN | SMMUV3.CR0_EVENTQEN
CONTROL = IPMMU.IMCTR_MMUEN | IPMMU.IMCTR_INTEN

SETUP: dict[IommuDriver, tuple[tuple[Word, int], ...]] = {
    IommuDriver.IPMMU_VMSA: (
        (IPMMU.IMTTLBR, 0x8080_0000),
        (IPMMU.IMCTR, CONTROL | IPMMU.IMCTR_FLUSH),
        (IPMMU.IMUCTR0, IPMMU.IMUCTR_MMUEN | IPMMU.IMUCTR_FLUSH),
    ),
    IommuDriver.SMMUV3: (
        (SMMUV3.STRTAB_BASE, 0x8080_0000),
        (SMMUV3.CR0, QUEUES),
        (SMMUV3.IRQ_CTRL, SMMUV3.IRQ_CTRL_EVENTQ_IRQEN),
        (SMMUV3.CR0, QUEUES | SMMUV3.CR0_SMMUEN),
    ),
    IommuDriver.SMMU: ((SMMU.CR0, SMMU.CR0_GFIE),),
}
"""What a driver writes at least."""
DRIVERS = sorted(SETUP, key=lambda driver: driver.value)


def configured(
    driver: IommuDriver, power_model: str = "all-lost", iommu_msi: bool = False
) -> Bench:
    """A translating IOMMU."""
    bench = Bench(iommu(board(power_model, iommu=driver, iommu_msi=iommu_msi)), IOMMU_BASE)
    for row, value in SETUP[driver]:
        bench.write(row, value)
    return bench


def smmu_v3(consumes: bool = True) -> Bench:
    """An SMMUv3 after reset, perhaps a defective one."""
    return Bench(SmmuV3(board(iommu=IommuDriver.SMMUV3), consumes), IOMMU_BASE)


# -- all kinds


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_fault_is_one_pulse(driver: IommuDriver) -> None:
    """The line does not stay high, and wakes nobody."""
    bench = configured(driver)
    bench.send(RaiseLine())
    bench.send(RaiseLine())

    assert bench.wires == PULSE * 2
    assert bench.events() == [(True, 1), (False, 1), (True, 2), (False, 2)]
    assert bench.wakes == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_fault_without_power_is_lost(driver: IommuDriver) -> None:
    """There is nobody to notice it."""
    bench = configured(driver)
    bench.power(False)
    bench.send(RaiseLine())

    assert bench.wires == []
    assert bench.traces == [LOST]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lost_iommu_reports_no_fault_until_it_is_set_up(driver: IommuDriver) -> None:
    """Reset left it off; a retained one goes on as before."""
    lost = configured(driver)
    kept = configured(driver, "all-retained")
    for bench in (lost, kept):
        bench.power(False)
        bench.power(True)
        bench.send(RaiseLine())

    assert (lost.wires, lost.traces) == ([], [LOST])
    assert kept.wires == PULSE
    row, value = SETUP[driver][-1]
    assert lost.read(row) & value != kept.read(row) & value


def test_without_an_iommu_there_are_no_faults() -> None:
    """The button is not wired; no interrupt is lost that could not have been."""
    bench = Bench(iommu(board(iommu=IommuDriver.NONE)), IOMMU_BASE)
    bench.send(RaiseLine())

    assert (bench.wires, bench.traces) == ([], [])


# -- IPMMU-VMSA


def test_ipmmu_flush_reads_as_zero_and_status_is_cleared_by_ones() -> None:
    """Flush acts once; the fault status stays until software writes it."""
    bench = configured(IommuDriver.IPMMU_VMSA)
    bench.send(RaiseLine())
    assert bench.read(IPMMU.IMCTR) == CONTROL
    assert bench.read(IPMMU.IMUCTR0) == IPMMU.IMUCTR_MMUEN
    assert bench.read(IPMMU.IMSTR) == IPMMU.IMSTR_TF

    bench.write(IPMMU.IMSTR, IPMMU.IMSTR_TF)
    assert bench.read(IPMMU.IMSTR) == 0


def test_ipmmu_cache_before_root_is_unpredictable() -> None:
    """A micro-TLB must not be enabled before the context it sends accesses to."""
    bench = Bench(iommu(board()), IOMMU_BASE)
    bench.write(IPMMU.IMUCTR1, IPMMU.IMUCTR_MMUEN)
    bench.write(IPMMU.IMCTR, CONTROL)
    bench.write(IPMMU.IMUCTR0, IPMMU.IMUCTR_MMUEN)

    assert len(bench.traces) == 1
    assert isinstance(bench.traces[0], Unpredictable)
    assert "IMUCTR1" in bench.traces[0].what


# -- SMMUv3


def test_smmu_v3_consumes_commands_once_the_queue_is_on() -> None:
    """CONS follows PROD; a defective device's stands still."""
    bench, broken = smmu_v3(), smmu_v3(consumes=False)
    for device in (bench, broken):
        device.write(SMMUV3.CMDQ_PROD, 1)
        assert device.read(SMMUV3.CMDQ_CONS) == 0
        device.write(SMMUV3.CR0, SMMUV3.CR0_CMDQEN)
        device.write(SMMUV3.CMDQ_PROD, 2)

    assert bench.read(SMMUV3.CMDQ_CONS) == 2
    assert broken.read(SMMUV3.CMDQ_CONS) == 0
    assert bench.read(SMMUV3.CR0ACK) == SMMUV3.CR0_CMDQEN


def test_smmu_v3_guards_what_is_in_use() -> None:
    """Tables must not be exchanged under a translating SMMU."""
    bench = configured(IommuDriver.SMMUV3)
    bench.write(SMMUV3.STRTAB_BASE, 0x1000)

    assert bench.read(SMMUV3.STRTAB_BASE) == 0x8080_0000
    assert [type(trace) for trace in bench.traces] == [Unpredictable]


def test_smmu_v3_gbpa_needs_the_update_bit() -> None:
    """A write without it changes nothing; the bit itself reads as zero."""
    bench = smmu_v3()
    bench.write(SMMUV3.GBPA, SMMUV3.GBPA_ABORT)
    assert bench.read(SMMUV3.GBPA) == 0

    bench.write(SMMUV3.GBPA, SMMUV3.GBPA_ABORT | SMMUV3.GBPA_UPDATE)
    assert bench.read(SMMUV3.GBPA) == SMMUV3.GBPA_ABORT


def test_smmu_v3_records_events_without_their_interrupt() -> None:
    """The queue takes them, nobody is told."""
    bench = configured(IommuDriver.SMMUV3)
    bench.write(SMMUV3.IRQ_CTRL, 0)
    bench.send(RaiseLine())

    assert (bench.wires, bench.traces) == ([], [LOST])
    assert bench.read(SMMUV3.EVENTQ_PROD) == 1
    assert bench.read(SMMUV3.IRQ_CTRLACK) == 0


def test_smmu_v3_msi_needs_an_address() -> None:
    """Power loss takes it away, and the device's reset does not bring it back."""
    bench = configured(IommuDriver.SMMUV3, iommu_msi=True)
    assert bench.read(SMMUV3.IDR0) == SMMUV3.IDR0_MSI
    bench.send(RaiseLine())
    assert bench.wires == []

    bench.write(SMMUV3.EVENTQ_IRQ_CFG0, 0xF905_0040)
    bench.send(RaiseLine())
    assert bench.wires == PULSE


# -- SMMUv1 and v2


def test_smmu_bypass_reports_nothing() -> None:
    """Reset leaves it in bypass; the status records the fault all the same."""
    bench = Bench(iommu(board(iommu=IommuDriver.SMMU)), IOMMU_BASE)
    assert bench.read(SMMU.CR0) == SMMU.CR0_CLIENTPD
    bench.send(RaiseLine())
    assert bench.wires == []
    assert bench.read(SMMU.GFSR) == SMMU.GFSR_ICF

    bench.write(SMMU.GFSR, SMMU.GFSR_ICF)
    assert bench.read(SMMU.GFSR) == 0
