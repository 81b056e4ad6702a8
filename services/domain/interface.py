"""GICV: the virtual CPU interface of one vCPU over its list registers.

Source: IHI 0048B, Virtual CPU interface register map and GICH register descriptions. It is the
CPU interface of a GICv2 whose pending interrupts are the list registers: reading IAR makes one
active, writing EOIR (and DIR with EOImode 1) deactivates it. Priorities have the upper 5 bits.
"""

from proto.gic import GICC, IAR, IDLE_PRIORITY, LR, SPURIOUS
from proto.registers import Bits

GROUP1_UNACKNOWLEDGED = 1022
"""What IAR reads while a Group 1 interrupt is due and AckCtl is 0."""

PRIORITY_SHIFT = 3
"""Unimplemented low bits of an 8-bit priority."""

BINARY_POINT_MIN = 2
"""With five priority bits a smaller binary point splits nothing off."""

IIDR = 0x0102143B
"""GICV_IIDR: a GICv2 of Arm (GIC-400)."""


class VMCR:
    """Fields of GICH_VMCR; bits 4:0 and 9 stand where they stand in GICV_CTLR."""

    CONTROL = Bits(4, 0)
    EOI_MODE = Bits(9, 9)
    ALIASED_BINARY_POINT = Bits(20, 18)
    BINARY_POINT = Bits(23, 21)
    PRIORITY_MASK = Bits(31, 27)


CTLR_GROUP0 = 1 << 0
CTLR_GROUP1 = 1 << 1
CTLR_ACK_CTL = 1 << 2
CTLR_CBPR = 1 << 4


class VirtualInterface:
    """List registers, VMCR and APR of one vCPU.

    `take_deactivated` gives the physical INTIDs that the guest has deactivated through list
    registers with HW=1.
    """

    def __init__(self, lrs: tuple[int, ...], vmcr: int, apr: int) -> None:
        self.lrs = list(lrs)
        self.vmcr = vmcr
        self.apr = apr
        self._deactivated: list[int] = []

    # -- the guest's side

    def signalled(self) -> bool:
        """Whether the virtual IRQ line is high."""
        return self._due() is not None

    def read(self, offset: int) -> int:
        """Read a GICV register; what is not implemented reads as zero."""
        match offset:
            case GICC.CTLR.offset:
                return VMCR.CONTROL.get(self.vmcr) | self.vmcr & VMCR.EOI_MODE.mask
            case GICC.PMR.offset:
                return VMCR.PRIORITY_MASK.get(self.vmcr) << PRIORITY_SHIFT
            case GICC.BPR.offset:
                return max(VMCR.BINARY_POINT.get(self.vmcr), BINARY_POINT_MIN)
            case GICC.IAR.offset:
                return self._acknowledge()
            case GICC.RPR.offset:
                return self._running_priority()
            case GICC.HPPIR.offset:
                return self._highest_pending()
            case GICC.APR.offset:
                return self.apr
            case GICC.IIDR.offset:
                return IIDR
        return 0

    def write(self, offset: int, value: int) -> None:
        """Write a GICV register; what is not implemented ignores it."""
        match offset:
            case GICC.CTLR.offset:
                mask = VMCR.CONTROL.mask | VMCR.EOI_MODE.mask
                self.vmcr = self.vmcr & ~mask | value & mask
            case GICC.PMR.offset:
                self._set(VMCR.PRIORITY_MASK, (value & 0xFF) >> PRIORITY_SHIFT)
            case GICC.BPR.offset:
                self._set(VMCR.BINARY_POINT, value & 0b111)
            case GICC.EOIR.offset:
                self._end_of_interrupt(IAR.INTID.get(value))
            case GICC.APR.offset:
                self.apr = value & 0xFFFF_FFFF
            case GICC.DIR.offset:
                if self.vmcr & VMCR.EOI_MODE.mask:
                    self._deactivate(IAR.INTID.get(value))

    def take_deactivated(self) -> tuple[int, ...]:
        """Physical interrupts deactivated since the last call, in order."""
        taken, self._deactivated = tuple(self._deactivated), []
        return taken

    # -- inside

    def _set(self, field: Bits, value: int) -> None:
        self.vmcr = self.vmcr & ~field.mask | field.put(value)

    def _candidate(self) -> int | None:
        """The list register with the most urgent pending interrupt of an enabled group."""
        best: tuple[int, int] | None = None
        chosen: int | None = None
        for index, lr in enumerate(self.lrs):
            group = CTLR_GROUP1 if lr & LR.GROUP1 else CTLR_GROUP0
            if LR.STATE.get(lr) != LR.PENDING or not self.vmcr & group:
                continue
            rank = (LR.PRIORITY.get(lr), LR.VIRTUAL_ID.get(lr))
            if best is None or rank < best:
                best, chosen = rank, index
        return chosen

    def _due(self) -> int | None:
        """The candidate, if its priority passes the mask and preempts what is active."""
        index = self._candidate()
        if index is None:
            return None
        lr = self.lrs[index]
        priority = LR.PRIORITY.get(lr) << PRIORITY_SHIFT
        if priority >= VMCR.PRIORITY_MASK.get(self.vmcr) << PRIORITY_SHIFT:
            return None
        return index if self._group_priority(lr) < self._running_priority() else None

    def _group_priority(self, lr: int) -> int:
        """The part of a priority that decides preemption (IHI 0048B, GICC_BPR, GICC_ABPR)."""
        low = max(VMCR.BINARY_POINT.get(self.vmcr), BINARY_POINT_MIN) + 1
        if lr & LR.GROUP1 and not self.vmcr & CTLR_CBPR:
            low = max(VMCR.ALIASED_BINARY_POINT.get(self.vmcr), BINARY_POINT_MIN + 1)
        return LR.PRIORITY.get(lr) << PRIORITY_SHIFT & 0xFF << low

    def _running_priority(self) -> int:
        if not self.apr:
            return IDLE_PRIORITY
        return (self.apr & -self.apr).bit_length() - 1 << PRIORITY_SHIFT

    def _highest_pending(self) -> int:
        index = self._candidate()
        return SPURIOUS if index is None else self._identifier(index)

    def _identifier(self, index: int) -> int:
        """What IAR and HPPIR show of a list register: INTID, and the source CPU of an SGI."""
        lr = self.lrs[index]
        if lr & LR.GROUP1 and not self.vmcr & CTLR_ACK_CTL:
            return GROUP1_UNACKNOWLEDGED
        source = 0 if lr & LR.HW else LR.CPUID.get(lr)
        return IAR.INTID.put(LR.VIRTUAL_ID.get(lr)) | IAR.CPUID.put(source)

    def _acknowledge(self) -> int:
        index = self._due()
        if index is None:
            return SPURIOUS
        identifier = self._identifier(index)
        if identifier != GROUP1_UNACKNOWLEDGED:
            lr = self.lrs[index]
            self.apr |= 1 << (self._group_priority(lr) >> PRIORITY_SHIFT)
            self.lrs[index] = lr & ~LR.STATE.mask | LR.STATE.put(LR.ACTIVE)
        return identifier

    def _end_of_interrupt(self, intid: int) -> None:
        if intid >= GROUP1_UNACKNOWLEDGED:
            return
        self.apr &= self.apr - 1 if self.apr else 0
        if not self.vmcr & VMCR.EOI_MODE.mask:
            self._deactivate(intid)

    def _deactivate(self, intid: int) -> None:
        """Active becomes inactive, active and pending becomes pending; HW=1 reaches the GIC."""
        for index, lr in enumerate(self.lrs):
            if LR.VIRTUAL_ID.get(lr) == intid and LR.STATE.get(lr) & LR.ACTIVE:
                self.lrs[index] = lr & ~LR.STATE.put(LR.ACTIVE)
                if lr & LR.HW:
                    self._deactivated.append(LR.PHYSICAL_ID.get(lr))
                return
