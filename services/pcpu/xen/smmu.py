"""The driver of the SMMUv1 and v2 (xen/drivers/passthrough/arm/smmu.c): no suspend callbacks."""

from proto.devices import SMMU
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.iommu import IOMMU_VA


@symbol
async def arm_smmu_setup(pe: Pe) -> None:
    """Clear old faults, then translate and report faults (arm_smmu_device_reset)."""
    await pe.write(IOMMU_VA + SMMU.GFSR.offset, SMMU.GFSR_ICF)
    await pe.write(IOMMU_VA + SMMU.CR0.offset, SMMU.CR0_GFIE)


@symbol
async def arm_smmu_global_fault(pe: Pe) -> None:
    """Clear the fault."""
    await pe.write(IOMMU_VA + SMMU.GFSR.offset, SMMU.GFSR_ICF)
