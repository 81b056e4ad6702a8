"""The driver of the SMMUv3 (xen/drivers/passthrough/arm/smmu-v3.c; suspend: series 2026-06)."""

from proto.devices import SMMUV3
from proto.hypercall import Errno
from proto.image import symbol
from proto.registers import Word
from proto.units import MS, US
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.iommu import IOMMU_VA
from services.pcpu.xen.psci import panic

STRTAB = 0x8080_0000
CMDQ = 0x8081_0000
EVENTQ = 0x8082_0000
"""Physical addresses of the stream table and the queues."""
STRTAB_CFG = 8
MSI_DOORBELL = 0xF905_0040
"""Where the event queue's MSI goes (GICv2m, V2M_MSI_SETSPI_NS)."""

SYNC_TIMEOUT_NS = 1_000 * MS
"""How long the driver waits for a CMD_SYNC (ARM_SMMU_CMDQ_SYNC_TIMEOUT_US)."""
SYNC_POLL_NS = 10 * US


@symbol
async def arm_smmu_v3_setup(pe: Pe) -> None:
    """Take the event queue's interrupt, then bring the device up; a failure is fatal at boot too.

    An MSI's address is written here and not by the reset.
    """
    if await smmu_read(pe, SMMUV3.IDR0) & SMMUV3.IDR0_MSI:
        await smmu_write(pe, SMMUV3.EVENTQ_IRQ_CFG0, MSI_DOORBELL)
    error = await arm_smmu_v3_device_reset(pe)
    if error:
        await panic(pe, f"SMMUv3 does not come up: {error}")


@symbol
async def smmu_read(pe: Pe, row: Word) -> int:
    """Read a register."""
    return await pe.read(IOMMU_VA + row.offset)


@symbol
async def smmu_write(pe: Pe, row: Word, value: int) -> None:
    """Write a register."""
    await pe.write(IOMMU_VA + row.offset, value)


@symbol
async def arm_smmu_v3_cmd_sync(pe: Pe) -> int:
    """Put CMD_SYNC into the command queue and wait until it has been consumed; -ETIMEDOUT."""
    produced = await smmu_read(pe, SMMUV3.CMDQ_PROD) + 1
    await smmu_write(pe, SMMUV3.CMDQ_PROD, produced)
    error = await pe.point("smmuv3.CMD_SYNC")
    if error:
        return error
    pause_ns, deadline_ns = SYNC_POLL_NS, pe.now + SYNC_TIMEOUT_NS
    while await smmu_read(pe, SMMUV3.CMDQ_CONS) != produced:
        if pe.now >= deadline_ns:
            await printk(pe, "SMMUv3: CMD_SYNC timeout")
            return -Errno.ETIMEDOUT
        await pe.delay(pause_ns)
        pause_ns *= 2
    return 0


@symbol
async def arm_smmu_v3_irq(pe: Pe) -> None:
    """Take the events out of the queue."""
    await smmu_write(pe, SMMUV3.EVENTQ_CONS, await smmu_read(pe, SMMUV3.EVENTQ_PROD))


@symbol
async def arm_smmu_v3_device_reset(pe: Pe) -> int:
    """Program the device from nothing: tables, command queue, event queue, interrupt, translation.

    Gives the error of the commands that clear its caches.
    """
    await smmu_write(pe, SMMUV3.CR0, 0)
    await smmu_write(pe, SMMUV3.IRQ_CTRL, 0)
    for row, value in (
        (SMMUV3.CR1, 0),
        (SMMUV3.CR2, 0),
        (SMMUV3.STRTAB_BASE, STRTAB),
        (SMMUV3.STRTAB_BASE_CFG, STRTAB_CFG),
        (SMMUV3.CMDQ_BASE, CMDQ),
        (SMMUV3.CMDQ_PROD, 0),
        (SMMUV3.CMDQ_CONS, 0),
        (SMMUV3.CR0, SMMUV3.CR0_CMDQEN),
    ):
        await smmu_write(pe, row, value)
    error = await arm_smmu_v3_cmd_sync(pe)
    if error:
        return error
    await smmu_write(pe, SMMUV3.EVENTQ_BASE, EVENTQ)
    await smmu_write(pe, SMMUV3.EVENTQ_PROD, 0)
    await smmu_write(pe, SMMUV3.EVENTQ_CONS, 0)
    queues = SMMUV3.CR0_CMDQEN | SMMUV3.CR0_EVENTQEN
    await smmu_write(pe, SMMUV3.CR0, queues)
    await smmu_write(pe, SMMUV3.IRQ_CTRL, SMMUV3.IRQ_CTRL_EVENTQ_IRQEN)
    await smmu_write(pe, SMMUV3.CR0, queues | SMMUV3.CR0_SMMUEN)
    return 0


@symbol
async def arm_smmu_v3_suspend(pe: Pe) -> int:
    """Abort all DMA, stop interrupts and queues, drain the command queue, switch off (S5).

    What fails is taken back by a reset of the device; if that fails too, DMA stays aborted.
    """
    await smmu_write(pe, SMMUV3.GBPA, SMMUV3.GBPA_UPDATE | SMMUV3.GBPA_ABORT)
    await smmu_write(pe, SMMUV3.IRQ_CTRL, 0)
    await smmu_write(pe, SMMUV3.CR0, SMMUV3.CR0_CMDQEN)
    error = await arm_smmu_v3_cmd_sync(pe)
    if not error:
        await smmu_write(pe, SMMUV3.CR0, 0)
        return 0
    failed = await arm_smmu_v3_device_reset(pe)
    if failed:
        await printk(pe, f"SMMUv3: reset for the rollback of suspend failed: {failed}")
    return error


@symbol
async def arm_smmu_v3_resume(pe: Pe) -> None:
    """Reset the device from nothing; DMA would stay aborted without a word, so failure is fatal."""
    error = await arm_smmu_v3_device_reset(pe)
    if error:
        await panic(pe, f"SMMUv3 resume failed: {error}")


@symbol
async def arm_smmu_v3_resume_regardless(pe: Pe) -> None:
    """Before v8 a failure was logged, and DMA stayed blocked."""
    error = await arm_smmu_v3_device_reset(pe)
    if error:
        await printk(pe, f"SMMUv3: failed to reset during resume: {error}")
