"""GICv2 register maps and bit fields, shared by the GIC that implements and the Xen that drives it.

Source: IHI 0048B, Distributor register map, CPU interface register map, GICH register map.
Offsets are from the base of each frame.
"""

from proto.registers import Access, Bits, PerIntid, Word

SGI_COUNT = 16
PPI_FIRST = 16
SPI_FIRST = 32
SPURIOUS = 1023
IDLE_PRIORITY = 0xFF

PPI_MAINTENANCE = 25
PPI_HYP_TIMER = 26
PPI_VIRT_TIMER = 27
PPI_PHYS_TIMER = 30
PPI_LEGACY_IRQ = 31
"""The legacy nIRQ input of a PE, which a CPU interface with bypass passes straight on."""

PRIORITY_MASK = 0xF8
"""Implemented bits of a priority: the upper five, 32 levels, as in GIC-400."""


class GICD:
    """Distributor registers."""

    CTLR = Word("GICD_CTLR", 0x000, Access.RW)
    TYPER = Word("GICD_TYPER", 0x004, Access.RO)
    IIDR = Word("GICD_IIDR", 0x008, Access.RO)
    IGROUPR = PerIntid("GICD_IGROUPR", 0x080, 1, Access.RW, "group")
    ISENABLER = PerIntid("GICD_ISENABLER", 0x100, 1, Access.W1S, "enabled")
    ICENABLER = PerIntid("GICD_ICENABLER", 0x180, 1, Access.W1C, "enabled")
    ISPENDR = PerIntid("GICD_ISPENDR", 0x200, 1, Access.W1S, "pending")
    ICPENDR = PerIntid("GICD_ICPENDR", 0x280, 1, Access.W1C, "pending")
    ISACTIVER = PerIntid("GICD_ISACTIVER", 0x300, 1, Access.W1S, "active")
    ICACTIVER = PerIntid("GICD_ICACTIVER", 0x380, 1, Access.W1C, "active")
    IPRIORITYR = PerIntid("GICD_IPRIORITYR", 0x400, 8, Access.RW, "priority")
    ITARGETSR = PerIntid("GICD_ITARGETSR", 0x800, 8, Access.RW, "targets")
    ICFGR = PerIntid("GICD_ICFGR", 0xC00, 2, Access.RW, "config")
    SGIR = Word("GICD_SGIR", 0xF00, Access.WO)
    CPENDSGIR = PerIntid("GICD_CPENDSGIR", 0xF10, 8, Access.W1C, "sgi_sources", 16)
    SPENDSGIR = PerIntid("GICD_SPENDSGIR", 0xF20, 8, Access.W1S, "sgi_sources", 16)
    ICPIDR2 = Word("GICD_ICPIDR2", 0xFE8, Access.RO)

    CTLR_ENABLE = 1 << 0
    """Enable as Non-secure software sees it: forwarding of Group 1."""
    CTLR_ENABLE_GRP0 = 1 << 0
    CTLR_ENABLE_GRP1 = 1 << 1
    """Enables in the Secure view."""


class SGIR:
    """Fields of GICD_SGIR."""

    TARGET_FILTER = Bits(25, 24)
    TARGETS = Bits(23, 16)
    NSATT = Bits(15, 15)
    INTID = Bits(3, 0)
    TO_LIST = 0
    TO_OTHERS = 1
    TO_SELF = 2


class GICC:
    """CPU interface registers."""

    CTLR = Word("GICC_CTLR", 0x0000, Access.RW)
    PMR = Word("GICC_PMR", 0x0004, Access.RW)
    BPR = Word("GICC_BPR", 0x0008, Access.RW)
    IAR = Word("GICC_IAR", 0x000C, Access.RO)
    EOIR = Word("GICC_EOIR", 0x0010, Access.WO)
    RPR = Word("GICC_RPR", 0x0014, Access.RO)
    HPPIR = Word("GICC_HPPIR", 0x0018, Access.RO)
    ABPR = Word("GICC_ABPR", 0x001C, Access.RW)
    AIAR = Word("GICC_AIAR", 0x0020, Access.RO)
    AEOIR = Word("GICC_AEOIR", 0x0024, Access.WO)
    AHPPIR = Word("GICC_AHPPIR", 0x0028, Access.RO)
    APR = Word("GICC_APR0", 0x00D0, Access.RW)
    NSAPR = Word("GICC_NSAPR0", 0x00E0, Access.RW)
    IIDR = Word("GICC_IIDR", 0x00FC, Access.RO)
    DIR = Word("GICC_DIR", 0x1000, Access.WO)

    CTLR_ENABLE = 1 << 0
    CTLR_BYPASS_DISABLE = 0b11 << 5
    """FIQBypDisGrp1 and IRQBypDisGrp1 in the Non-secure view."""
    CTLR_EOIMODE = 1 << 9
    """EOImodeNS: EOIR drops the priority only, DIR deactivates."""


class SecureCTLR:
    """Bits of GICC_CTLR in the Secure view."""

    ENABLE_GRP0 = 1 << 0
    ENABLE_GRP1 = 1 << 1
    ACK_CTL = 1 << 2
    FIQ_EN = 1 << 3
    CBPR = 1 << 4
    FIQ_BYP_DIS_GRP0 = 1 << 5
    IRQ_BYP_DIS_GRP0 = 1 << 6
    FIQ_BYP_DIS_GRP1 = 1 << 7
    IRQ_BYP_DIS_GRP1 = 1 << 8
    EOIMODE_S = 1 << 9
    EOIMODE_NS = 1 << 10
    ALL = (1 << 11) - 1


class GICH:
    """Virtual interface control registers: what EL2 sees of the vCPU that is loaded."""

    HCR = Word("GICH_HCR", 0x000, Access.RW)
    VTR = Word("GICH_VTR", 0x004, Access.RO)
    VMCR = Word("GICH_VMCR", 0x008, Access.RW)
    MISR = Word("GICH_MISR", 0x010, Access.RO)
    EISR0 = Word("GICH_EISR0", 0x020, Access.RO)
    EISR1 = Word("GICH_EISR1", 0x024, Access.RO)
    ELRSR0 = Word("GICH_ELRSR0", 0x030, Access.RO)
    ELRSR1 = Word("GICH_ELRSR1", 0x034, Access.RO)
    APR = Word("GICH_APR", 0x0F0, Access.RW)
    LR0 = Word("GICH_LR0", 0x100, Access.RW)


class HCR:
    """Fields of GICH_HCR."""

    EN = 1 << 0
    UIE = 1 << 1
    LRENPIE = 1 << 2
    NPIE = 1 << 3
    VGRP0EIE = 1 << 4
    VGRP0DIE = 1 << 5
    VGRP1EIE = 1 << 6
    VGRP1DIE = 1 << 7
    EOI_COUNT = Bits(31, 27)


class MISR:
    """Bits of GICH_MISR: the reasons of the maintenance interrupt."""

    EOI = 1 << 0
    U = 1 << 1
    LRENP = 1 << 2
    NP = 1 << 3
    VGRP0E = 1 << 4
    VGRP0D = 1 << 5
    VGRP1E = 1 << 6
    VGRP1D = 1 << 7


class VTR:
    """Fields of GICH_VTR."""

    LIST_REGS = Bits(5, 0)
    PRE_BITS = Bits(28, 26)
    PRI_BITS = Bits(31, 29)


class VMCR:
    """Fields of GICH_VMCR; bits 4:0 and 9 stand where they stand in GICV_CTLR."""

    CONTROL = Bits(4, 0)
    ENABLE_GRP0 = 1 << 0
    ENABLE_GRP1 = 1 << 1
    ACK_CTL = 1 << 2
    FIQ_EN = 1 << 3
    CBPR = 1 << 4
    EOI_MODE = Bits(9, 9)
    ALIASED_BINARY_POINT = Bits(20, 18)
    BINARY_POINT = Bits(23, 21)
    PRIORITY_MASK = Bits(31, 27)


class IAR:
    """Fields of GICC_IAR, EOIR and DIR."""

    INTID = Bits(9, 0)
    CPUID = Bits(12, 10)


class LR:
    """Fields of GICH_LRn."""

    VIRTUAL_ID = Bits(9, 0)
    PHYSICAL_ID = Bits(19, 10)
    EOI = 1 << 19
    CPUID = Bits(12, 10)
    PRIORITY = Bits(27, 23)
    STATE = Bits(29, 28)
    GROUP1 = 1 << 30
    HW = 1 << 31
    PENDING = 1
    ACTIVE = 2
