"""The Secure side of the GIC: groups and Secure enables.

After reset every interrupt is in Group 0, which the Non-secure world can neither see nor take.
Firmware hands them over at each boot. Source: IHI 0048B, GICD_IGROUPRn, GICD_CTLR and GICC_CTLR
(Secure copies); TF-A drivers/arm/gic/v2/gicv2_main.c.
"""

from proto.gic import GICC, GICD
from proto.image import symbol
from proto.platform import GICC_BASE, GICD_BASE
from services.firmware.context import El3Context

GICD_CTLR_ENABLE_GRP0 = 1 << 0
GICD_CTLR_ENABLE_GRP1 = 1 << 1

GICC_CTLR_ENABLE_GRP0 = 1 << 0
GICC_CTLR_FIQ_EN = 1 << 3
GICC_CTLR_BYPASS_DISABLE = 0b1111 << 5
"""FIQBypDisGrp0, IRQBypDisGrp0, FIQBypDisGrp1, IRQBypDisGrp1."""

ALL_GROUP_1 = 0xFFFF_FFFF
ALL_PRIORITIES = 0xFF


@symbol
async def gicv2_distif_init(el3: El3Context) -> None:
    """Put every SPI into Group 1; forwarding of Group 1 stays as it was (TF-A same name)."""
    ctlr = await el3.read(GICD_BASE + GICD.CTLR.offset)
    enables = GICD_CTLR_ENABLE_GRP0 | GICD_CTLR_ENABLE_GRP1
    # Nothing is forwarded while interrupts change groups.
    el3.post(GICD_BASE + GICD.CTLR.offset, ctlr & ~enables)
    for first in range(32, el3.platform.intids, 32):
        el3.post(GICD_BASE + GICD.IGROUPR.word(first), ALL_GROUP_1)
    el3.post(GICD_BASE + GICD.CTLR.offset, ctlr | GICD_CTLR_ENABLE_GRP0)
    await el3.barrier()


@symbol
async def gicv2_pcpu_distif_init(el3: El3Context) -> None:
    """Put this PE's SGIs and PPIs into Group 1: IGROUPR0 is banked (TF-A same name)."""
    el3.post(GICD_BASE + GICD.IGROUPR.word(0), ALL_GROUP_1)
    await el3.barrier()


@symbol
async def gicv2_cpuif_enable(el3: El3Context) -> None:
    """Open this PE's CPU interface for Group 0 only; Group 1 is the Non-secure world's affair.

    A priority mask in the Secure half could not be changed from there, so it is opened wide.
    """
    el3.post(GICC_BASE + GICC.PMR.offset, ALL_PRIORITIES)
    ctlr = GICC_CTLR_ENABLE_GRP0 | GICC_CTLR_FIQ_EN | GICC_CTLR_BYPASS_DISABLE
    await el3.write(GICC_BASE + GICC.CTLR.offset, ctlr)


@symbol
async def gicv2_cpuif_disable(el3: El3Context) -> None:
    """Close this PE's CPU interface before its last WFI.

    The bypass has to be off as well, or legacy interrupt lines would still reach the PE.
    """
    await el3.write(GICC_BASE + GICC.CTLR.offset, GICC_CTLR_BYPASS_DISABLE)


@symbol
async def gicv2_cpuif_close(el3: El3Context) -> int:
    """Close this PE's CPU interface for a power-down that may be given up; gives GICC_CTLR."""
    before = await el3.read(GICC_BASE + GICC.CTLR.offset)
    await gicv2_cpuif_disable(el3)
    return before


@symbol
async def gicv2_cpuif_reopen(el3: El3Context, ctlr: int) -> None:
    """Open the CPU interface again as it was, with the Non-secure world's enable in it."""
    await el3.write(GICC_BASE + GICC.CTLR.offset, ctlr)
