"""The IOMMU drivers against the real devices: what is saved, in which order, and what fails."""

import pytest
from driver_bench import fitted
from xen_bench import Bench

from proto.board import Board
from proto.devices import IPMMU, SMMUV3
from proto.hypercall import Errno
from proto.platform import IommuDriver
from proto.traces import Unpredictable
from services.devices.iommu import iommu
from services.devices.iommu_base import Iommu
from services.devices.smmu_v3 import SmmuV3
from services.pcpu.node import xen_image
from services.pcpu.pe import Pe
from services.pcpu.xen.iommu import (
    IOMMU_OPS,
    iommu_fault_interrupt,
    iommu_resume,
    iommu_setup,
    iommu_suspend,
    iommu_suspend_if_hooked,
    iommu_suspend_supported,
)

IPMMU_VMSA, SMMUV3_DRIVER = IommuDriver.IPMMU_VMSA, IommuDriver.SMMUV3
SUSPENDABLE = pytest.mark.parametrize("driver", [IPMMU_VMSA, SMMUV3_DRIVER])


def run(device: Iommu, board: Board, *results: int, halts: int = 0) -> Bench:
    """Set up, suspend, lose power, resume; the program ends early if suspend fails."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await iommu_setup(pe)
        seen.append(await iommu_suspend(pe))
        if not seen[-1]:
            device.reset()
            await iommu_resume(pe)

    bench = Bench(program, of=board, instead=(device,))
    assert tuple(seen) == results
    assert len(bench.halts) == halts
    return bench


@pytest.mark.parametrize("driver", list(IOMMU_OPS))
def test_every_callback_is_a_symbol(driver: IommuDriver) -> None:
    """So a profile can relink it."""
    ops = IOMMU_OPS[driver]

    assert {getattr(ops, field) for field in ops.__slots__} - {""} <= xen_image().links.keys()


@pytest.mark.parametrize(
    ("driver", "msi", "can"),
    [
        (IPMMU_VMSA, False, True),
        (SMMUV3_DRIVER, False, True),
        (SMMUV3_DRIVER, True, False),
        (IommuDriver.SMMU, False, False),
        (IommuDriver.NONE, False, True),
    ],
)
def test_which_drivers_can_suspend(driver: IommuDriver, msi: bool, can: bool) -> None:
    """Both callbacks are needed, and an SMMUv3 that signals by MSIs cannot restore them."""
    said: list[bool] = []

    async def program(pe: Pe) -> None:
        said.append(iommu_suspend_supported(pe))

    Bench(program, of=fitted(iommu=driver, iommu_msi=msi))

    assert said == [can]


@SUSPENDABLE
def test_a_lost_iommu_is_as_before_after_resume(driver: IommuDriver) -> None:
    """It translates and reports faults, and nothing unpredictable was done on the way."""
    board = fitted(iommu=driver)
    fresh, device = iommu(board), iommu(board)

    async def setup_only(pe: Pe) -> None:
        await iommu_setup(pe)

    Bench(setup_only, of=board, instead=(fresh,))
    bench = run(device, board, 0)

    assert bench.traces(Unpredictable) == []
    assert device.reports_faults()
    assert device.registers == fresh.registers


@pytest.mark.parametrize("driver", [*IOMMU_OPS])
def test_the_fault_interrupt_clears_what_it_is_for(driver: IommuDriver) -> None:
    """The device's status is empty again, or its queue is."""
    board = fitted(iommu=driver)
    device = iommu(board)

    async def program(pe: Pe) -> None:
        await iommu_setup(pe)
        before = dict(device.registers)
        device.record_fault()
        produced = device.registers.get(SMMUV3.EVENTQ_PROD, 0)
        await iommu_fault_interrupt(pe)
        after = dict(device.registers)
        if produced:
            assert after[SMMUV3.EVENTQ_CONS] == produced
        else:
            assert after == before

    assert Bench(program, of=board, instead=(device,)).halts == []


# -- drivers without hooks, boards without an IOMMU


@pytest.mark.parametrize(
    ("driver", "error"), [(IommuDriver.SMMU, -Errno.ENOSYS), (IommuDriver.NONE, 0)]
)
def test_without_a_hook_suspend_fails_cleanly(driver: IommuDriver, error: int) -> None:
    """Without an IOMMU there is nothing to do."""
    board = fitted(iommu=driver)

    run(iommu(board), board, error)


def test_the_first_series_skips_a_missing_hook() -> None:
    """Then nobody restores the device, and it is off after a loss of power."""
    board = fitted(iommu=IommuDriver.SMMU, iommu_suspend="iommu_suspend_if_hooked")
    device = iommu(board)
    run(device, board, 0)

    assert not device.reports_faults()


def test_the_first_series_suspends_what_has_a_hook() -> None:
    """As every version does."""
    results: list[int] = []
    board = fitted()

    async def program(pe: Pe) -> None:
        await iommu_setup(pe)
        results.append(await iommu_suspend_if_hooked(pe))
        results.append(await pe.load(pe.xen.ipmmu.registers[3]))

    Bench(program, of=board, instead=(iommu(board),))

    assert results == [0, IPMMU.IMCTR_MMUEN | IPMMU.IMCTR_INTEN]


def test_a_missing_hook_that_is_called_is_an_abort() -> None:
    """What patch 01 of the series of 2025-03 prevents (iommu-hook-missing)."""
    board = fitted(iommu=IommuDriver.SMMU, iommu_suspend="iommu_suspend_unchecked")
    bench = run(iommu(board), board, halts=1)

    assert "no suspend hook" in bench.halts[0]


# -- IPMMU-VMSA


def test_micro_tlbs_before_their_root_are_unpredictable() -> None:
    """The order before v10 of the series (ipmmu-cache-before-root)."""
    board = fitted(ipmmu_resume="ipmmu_resume_cache_first")
    bench = run(iommu(board), board, 0)

    assert len(bench.traces(Unpredictable)) == 2


# -- SMMUv3


def test_smmu_v3_suspend_aborts_dma_and_switches_off() -> None:
    """Accesses are aborted, not passed through, from before the device is disabled."""
    board = fitted(iommu=SMMUV3_DRIVER)
    device = iommu(board)
    written: list[tuple[int, int]] = []

    async def program(pe: Pe) -> None:
        await iommu_setup(pe)
        assert await iommu_suspend(pe) == 0
        written.append((device.registers[SMMUV3.GBPA], device.registers[SMMUV3.CR0]))

    Bench(program, of=board, instead=(device,))

    assert written == [(SMMUV3.GBPA_ABORT, 0)]


def test_smmu_v3_that_does_not_drain_fails_its_suspend() -> None:
    """After a second; the rollback's reset fails too and is only logged."""
    board = fitted(iommu=SMMUV3_DRIVER)
    device = SmmuV3(board)
    results: list[int] = []
    took: list[int] = []

    async def program(pe: Pe) -> None:
        await iommu_setup(pe)
        device.consumes = False
        begin = pe.now
        results.append(await iommu_suspend(pe))
        took.append(pe.now - begin)

    bench = Bench(program, of=board, instead=(device,))

    assert results == [-Errno.ETIMEDOUT]
    assert 2_000_000_000 < took[0] < 5_000_000_000
    assert "SMMUv3: reset for the rollback of suspend failed: -110" in bench.uart.text
    assert bench.halts == []


def broken_at_resume(**relink: str) -> Bench:
    """A device whose command queue stands still after the sleep."""
    board = fitted(iommu=SMMUV3_DRIVER, **relink)
    device = SmmuV3(board)

    async def program(pe: Pe) -> None:
        await iommu_setup(pe)
        assert await iommu_suspend(pe) == 0
        device.reset()
        device.consumes = False
        await iommu_resume(pe)

    bench = Bench(program, of=board, instead=(device,))
    assert not device.reports_faults()
    return bench


def test_smmu_v3_that_does_not_come_back_is_fatal() -> None:
    """DMA would stay blocked without a word."""
    bench = broken_at_resume()

    assert "SMMUv3 resume failed: -110" in bench.halts[0]
    assert "Panic on CPU 0: SMMUv3 resume failed: -110" in bench.uart.text


def test_an_ignored_resume_error_leaves_dma_blocked() -> None:
    """What the series did before v8 (smmu-resume-error-ignored)."""
    bench = broken_at_resume(arm_smmu_v3_resume="arm_smmu_v3_resume_regardless")

    assert bench.halts == []
    assert "SMMUv3: failed to reset during resume: -110" in bench.uart.text


def test_smmu_v3_msis_are_not_restored() -> None:
    """The reset does not write the MSI's address: faults go unheard after a loss of power."""
    board = fitted(iommu=SMMUV3_DRIVER, iommu_msi=True)
    device = iommu(board)
    run(device, board, 0)

    assert device.has(SMMUV3.CR0, SMMUV3.CR0_SMMUEN)
    assert not device.reports_faults()
