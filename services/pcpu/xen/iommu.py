"""The IOMMU and the table of its drivers (xen/drivers/passthrough/iommu.c)."""

from dataclasses import dataclass

from proto.hypercall import Errno
from proto.image import symbol
from proto.machine import ExternalAbort
from proto.platform import IOMMU_BASE, IOMMU_SPI, IommuDriver
from services.pcpu.pe import Pe
from services.pcpu.xen.gic_v2 import gic_route_irq
from services.pcpu.xen.memory import ioremap

IOMMU_VA = ioremap(IOMMU_BASE)


@dataclass(frozen=True, slots=True)
class IommuOps:
    """`struct iommu_ops`: symbols of callbacks; a driver need not have the last two."""

    setup: str
    fault_interrupt: str
    suspend: str = ""
    resume: str = ""


IOMMU_OPS: dict[IommuDriver, IommuOps] = {
    IommuDriver.IPMMU_VMSA: IommuOps("ipmmu_setup", "ipmmu_irq", "ipmmu_suspend", "ipmmu_resume"),
    IommuDriver.SMMUV3: IommuOps(
        "arm_smmu_v3_setup", "arm_smmu_v3_irq", "arm_smmu_v3_suspend", "arm_smmu_v3_resume"
    ),
    IommuDriver.SMMU: IommuOps("arm_smmu_setup", "arm_smmu_global_fault"),
}
"""The platform's IOMMU to its driver; a platform without one has none."""


def iommu_ops(pe: Pe) -> IommuOps | None:
    """The driver of this board's IOMMU (iommu_get_ops), or None: iommu_enabled is false."""
    return IOMMU_OPS.get(pe.board.platform.iommu)


def iommu_suspend_supported(pe: Pe) -> bool:
    """Whether the IOMMU's driver has both suspend callbacks, and the SMMUv3 does not use MSIs."""
    ops = iommu_ops(pe)
    if ops is None:
        return True
    platform = pe.board.platform
    uses_msis = platform.iommu is IommuDriver.SMMUV3 and platform.iommu_msi
    return bool(ops.suspend and ops.resume) and not uses_msis


@symbol
async def iommu_setup(pe: Pe) -> None:
    """Enable translation and take the fault interrupt, which is an edge."""
    ops = iommu_ops(pe)
    if ops is not None:
        await pe.links[ops.setup](pe)
        await gic_route_irq(pe, IOMMU_SPI, pe.cpu, edge=True)


@symbol
async def iommu_fault_interrupt(pe: Pe) -> None:
    """The fault interrupt goes to the driver."""
    ops = iommu_ops(pe)
    assert ops is not None, "an IOMMU interrupt without an IOMMU"
    await pe.links[ops.fault_interrupt](pe)


@symbol
async def iommu_suspend(pe: Pe) -> int:
    """Let the driver suspend its device (S5); -ENOSYS if it cannot."""
    ops = iommu_ops(pe)
    if ops is None:
        return 0
    if not ops.suspend:
        return -Errno.ENOSYS
    error: int = await pe.links[ops.suspend](pe)
    return error


@symbol
async def iommu_suspend_if_hooked(pe: Pe) -> int:
    """The 2025-03 series leaves the device of a driver without a hook to its fate."""
    ops = iommu_ops(pe)
    if ops is None or not ops.suspend:
        return 0
    error: int = await pe.links[ops.suspend](pe)
    return error


@symbol
async def iommu_suspend_unchecked(pe: Pe) -> int:
    """Xen before the series calls the hook without looking whether there is one."""
    ops = iommu_ops(pe)
    if ops is None:
        return 0
    if not ops.suspend:
        raise ExternalAbort("instruction abort at 0x0: the IOMMU driver has no suspend hook")
    error: int = await pe.links[ops.suspend](pe)
    return error


@symbol
async def iommu_resume(pe: Pe) -> None:
    """Let the driver set its device up again (R5)."""
    ops = iommu_ops(pe)
    if ops is not None and ops.resume:
        await pe.links[ops.resume](pe)
