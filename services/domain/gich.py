"""GICH: the registers by which EL2 sees and drives the virtual interface of the loaded vCPU.

Source: IHI 0048B, GICH register descriptions. Five priority bits, all of which preempt.
"""

from proto.gic import GICH, HCR, LR, MISR, VMCR, VTR
from proto.registers import Access, RegisterMap, Word
from services.domain.interface import VirtualInterface

PRIORITY_BITS = 5
WORD_MASK = 0xFFFF_FFFF
HCR_WRITABLE = HCR.EOI_COUNT.mask | 0xFF
VMCR_WRITABLE = (
    VMCR.CONTROL.mask
    | VMCR.EOI_MODE.mask
    | VMCR.ALIASED_BINARY_POINT.mask
    | VMCR.BINARY_POINT.mask
    | VMCR.PRIORITY_MASK.mask
)
LR_RESERVED = 0b111 << 20

GROUP_REASONS = (
    (HCR.VGRP0EIE, VMCR.ENABLE_GRP0, True, MISR.VGRP0E),
    (HCR.VGRP0DIE, VMCR.ENABLE_GRP0, False, MISR.VGRP0D),
    (HCR.VGRP1EIE, VMCR.ENABLE_GRP1, True, MISR.VGRP1E),
    (HCR.VGRP1DIE, VMCR.ENABLE_GRP1, False, MISR.VGRP1D),
)
"""What asks for a reason, the guest's enable that it looks at, at which value, the reason."""

GICH_MAP = RegisterMap(GICH)
GICH_REGISTERS = {row.name: row for row in GICH_MAP.rows if isinstance(row, Word)}
"""Registers by name, as EL2 reads and writes them."""


def eisr(interface: VirtualInterface) -> int:
    """List registers, as a mask, whose interrupt has ended and asked to be told (LR.EOI)."""
    return sum(
        1 << index
        for index, lr in enumerate(interface.lrs)
        if not lr & (LR.STATE.mask | LR.HW) and lr & LR.EOI
    )


def elrsr(interface: VirtualInterface) -> int:
    """List registers, as a mask, that are free."""
    return sum(
        1 << index
        for index, lr in enumerate(interface.lrs)
        if not lr & LR.STATE.mask and (lr & LR.HW or not lr & LR.EOI)
    )


def misr(interface: VirtualInterface) -> int:
    """Reasons of the maintenance interrupt, as they stand (not looking at HCR.En)."""
    hcr, states = interface.hcr, [LR.STATE.get(lr) for lr in interface.lrs]
    reasons = MISR.EOI if eisr(interface) else 0
    if hcr & HCR.UIE and sum(state != 0 for state in states) <= 1:
        reasons |= MISR.U
    if hcr & HCR.LRENPIE and HCR.EOI_COUNT.get(hcr):
        reasons |= MISR.LRENP
    if hcr & HCR.NPIE and LR.PENDING not in states:
        reasons |= MISR.NP
    for asked, enable, level, reason in GROUP_REASONS:
        if hcr & asked and bool(interface.vmcr & enable) is level:
            reasons |= reason
    return reasons


def maintenance(interface: VirtualInterface) -> bool:
    """Level of the maintenance interrupt: HCR.En and any reason."""
    return bool(interface.hcr & HCR.EN and misr(interface))


def vtr(interface: VirtualInterface) -> int:
    """GICH_VTR: how many list registers, preemption and priority bits there are."""
    return (
        VTR.LIST_REGS.put(len(interface.lrs) - 1)
        | VTR.PRE_BITS.put(PRIORITY_BITS - 1)
        | VTR.PRI_BITS.put(PRIORITY_BITS - 1)
    )


def read(interface: VirtualInterface, offset: int) -> int:
    """EL2 reads a register; holes and list registers that do not exist are zero."""
    match offset:
        case GICH.HCR.offset:
            return interface.hcr
        case GICH.VTR.offset:
            return vtr(interface)
        case GICH.VMCR.offset:
            return interface.vmcr
        case GICH.MISR.offset:
            return misr(interface)
        case GICH.EISR0.offset | GICH.EISR1.offset:
            return eisr(interface) >> (offset - GICH.EISR0.offset) * 8 & WORD_MASK
        case GICH.ELRSR0.offset | GICH.ELRSR1.offset:
            return elrsr(interface) >> (offset - GICH.ELRSR0.offset) * 8 & WORD_MASK
        case GICH.APR.offset:
            return interface.apr
    index = _list_register(interface, offset)
    return 0 if index is None else interface.lrs[index]


def write(interface: VirtualInterface, offset: int, value: int) -> None:
    """EL2 writes a register; read-only ones and holes ignore it."""
    match offset:
        case GICH.HCR.offset:
            interface.hcr = value & HCR_WRITABLE
        case GICH.VMCR.offset:
            interface.vmcr = value & VMCR_WRITABLE
        case GICH.APR.offset:
            interface.apr = value & WORD_MASK
        case _:
            index = _list_register(interface, offset)
            if index is not None:
                interface.lrs[index] = value & WORD_MASK & ~LR_RESERVED


def writable(name: str) -> bool:
    """Whether EL2 may write the register of this name."""
    return GICH_REGISTERS[name].access is Access.RW


def _list_register(interface: VirtualInterface, offset: int) -> int | None:
    index = (offset - GICH.LR0.offset) // 4
    return index if offset % 4 == 0 and 0 <= index < len(interface.lrs) else None
