"""GICV: the virtual CPU interface of one vCPU over its list registers.

Source: IHI 0048B, Virtual CPU interface register map and GICH register descriptions. It is the
CPU interface of a GICv2 whose pending interrupts are the list registers: reading IAR makes one
active, writing EOIR (and DIR with EOImode 1) deactivates it. Priorities have the upper 5 bits.

A guest has the Secure view: BPR is Group 0's binary point, ABPR is Group 1's, and IAR gives a
Group 1 interrupt only with AckCtl, while AIAR gives nothing else. Of Group 0 with FIQEn a virtual
FIQ would be made, which no guest of this board takes.
"""

from proto.gic import GICC, HCR, IAR, IDLE_PRIORITY, LR, SPURIOUS, VMCR
from proto.registers import Bits

GROUP1_UNACKNOWLEDGED = 1022
"""What IAR reads while a Group 1 interrupt is due and AckCtl is 0."""

SPECIAL_INTIDS = 1020
"""INTIDs from here on name no interrupt: EOIR and DIR ignore them."""

PRIORITY_SHIFT = 3
"""Unimplemented low bits of an 8-bit priority."""

BINARY_POINT_MIN = 2
"""With five priority bits a smaller binary point splits nothing off."""

ALIASED_BINARY_POINT_MIN = 3
"""The same of ABPR, which counts from the bit above."""

IIDR = 0x0102143B
"""GICV_IIDR: a GICv2 of Arm (GIC-400)."""

EOI_COUNT_MAX = 31

CONTROL = VMCR.CONTROL.mask | VMCR.EOI_MODE.mask
"""The bits of GICV_CTLR that VMCR holds."""


class VirtualInterface:
    """List registers, VMCR, APR and HCR of one vCPU.

    `take_deactivated` gives the physical INTIDs that the guest has deactivated through list
    registers with HW=1.
    """

    def __init__(self, lrs: tuple[int, ...], vmcr: int, apr: int, hcr: int = HCR.EN) -> None:
        self.lrs = list(lrs)
        self.vmcr = vmcr
        self.apr = apr
        self.hcr = hcr
        self._deactivated: list[int] = []

    # -- the guest's side

    def signalled(self) -> bool:
        """Whether the virtual IRQ line is high."""
        index = self._due()
        if index is None:
            return False
        return bool(self.lrs[index] & LR.GROUP1) or not self.vmcr & VMCR.FIQ_EN

    def read(self, offset: int) -> int:
        """Read a GICV register; what is not implemented reads as zero."""
        match offset:
            case GICC.CTLR.offset:
                return self.vmcr & CONTROL
            case GICC.PMR.offset:
                return VMCR.PRIORITY_MASK.get(self.vmcr) << PRIORITY_SHIFT
            case GICC.BPR.offset:
                return self._binary_point()
            case GICC.ABPR.offset:
                return self._aliased_binary_point()
            case GICC.IAR.offset:
                return self._acknowledge(aliased=False)
            case GICC.AIAR.offset:
                return self._acknowledge(aliased=True)
            case GICC.RPR.offset:
                return self._running_priority()
            case GICC.HPPIR.offset:
                return self._identifier(self._candidate(), aliased=False)
            case GICC.AHPPIR.offset:
                return self._identifier(self._candidate(), aliased=True)
            case GICC.APR.offset:
                return self.apr
            case GICC.IIDR.offset:
                return IIDR
        return 0

    def write(self, offset: int, value: int) -> None:
        """Write a GICV register; what is not implemented ignores it."""
        match offset:
            case GICC.CTLR.offset:
                self.vmcr = self.vmcr & ~CONTROL | value & CONTROL
            case GICC.PMR.offset:
                self._set(VMCR.PRIORITY_MASK, (value & 0xFF) >> PRIORITY_SHIFT)
            case GICC.BPR.offset:
                self._set(VMCR.BINARY_POINT, max(value & 0b111, BINARY_POINT_MIN))
            case GICC.ABPR.offset:
                self._set(VMCR.ALIASED_BINARY_POINT, max(value & 0b111, ALIASED_BINARY_POINT_MIN))
            case GICC.EOIR.offset | GICC.AEOIR.offset:
                self._end_of_interrupt(IAR.INTID.get(value))
            case GICC.APR.offset:
                self.apr = value & 0xFFFF_FFFF
            case GICC.DIR.offset:
                # IHI 0048B, GICC_DIR: UNPREDICTABLE with EOImode 0; here without effect.
                intid = IAR.INTID.get(value)
                split = self.vmcr & VMCR.EOI_MODE.mask and intid < SPECIAL_INTIDS
                if split and not self._deactivate(intid):
                    self._count_end()

    def take_deactivated(self) -> tuple[int, ...]:
        """Physical interrupts deactivated since the last call, in order."""
        taken, self._deactivated = tuple(self._deactivated), []
        return taken

    # -- the hypervisor's side

    def unmatched(self) -> list[int]:
        """INTIDs that are active without their priority being active, which no hardware expects.

        With EOImode 1 the guest may have dropped the priority before.
        """
        if self.vmcr & VMCR.EOI_MODE.mask:
            return []
        return [
            LR.VIRTUAL_ID.get(lr)
            for lr in self.lrs
            if LR.STATE.get(lr) & LR.ACTIVE
            and not self.apr >> (self._group_priority(lr) >> PRIORITY_SHIFT) & 1
        ]

    # -- inside

    def _set(self, field: Bits, value: int) -> None:
        self.vmcr = self.vmcr & ~field.mask | field.put(value)

    def _candidate(self) -> int | None:
        """The list register with the most urgent pending interrupt of an enabled group."""
        best: tuple[int, int] | None = None
        chosen: int | None = None
        if not self.hcr & HCR.EN:
            return None
        for index, lr in enumerate(self.lrs):
            group = VMCR.ENABLE_GRP1 if lr & LR.GROUP1 else VMCR.ENABLE_GRP0
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

    def _binary_point(self) -> int:
        """Group 0's; a value below the minimum counts as the minimum."""
        return max(VMCR.BINARY_POINT.get(self.vmcr), BINARY_POINT_MIN)

    def _aliased_binary_point(self) -> int:
        """Group 1's."""
        return max(VMCR.ALIASED_BINARY_POINT.get(self.vmcr), ALIASED_BINARY_POINT_MIN)

    def _group_priority(self, lr: int) -> int:
        """The part of a priority that decides preemption (IHI 0048B, GICC_BPR, GICC_ABPR)."""
        low = self._binary_point() + 1
        if lr & LR.GROUP1 and not self.vmcr & VMCR.CBPR:
            low = self._aliased_binary_point()
        return LR.PRIORITY.get(lr) << PRIORITY_SHIFT & 0xFF << low

    def _running_priority(self) -> int:
        if not self.apr:
            return IDLE_PRIORITY
        return (self.apr & -self.apr).bit_length() - 1 << PRIORITY_SHIFT

    def _identifier(self, index: int | None, aliased: bool) -> int:
        """What (A)IAR and (A)HPPIR show: INTID, and the source CPU of an SGI."""
        if index is None:
            return SPURIOUS
        lr = self.lrs[index]
        if not lr & LR.GROUP1:
            if aliased:
                return SPURIOUS
        elif not aliased and not self.vmcr & VMCR.ACK_CTL:
            return GROUP1_UNACKNOWLEDGED
        source = 0 if lr & LR.HW else LR.CPUID.get(lr)
        return IAR.INTID.put(LR.VIRTUAL_ID.get(lr)) | IAR.CPUID.put(source)

    def _acknowledge(self, aliased: bool) -> int:
        index = self._due()
        identifier = self._identifier(index, aliased)
        if index is not None and IAR.INTID.get(identifier) < SPECIAL_INTIDS:
            lr = self.lrs[index]
            self.apr |= 1 << (self._group_priority(lr) >> PRIORITY_SHIFT)
            self.lrs[index] = lr & ~LR.STATE.mask | LR.STATE.put(LR.ACTIVE)
        return identifier

    def _end_of_interrupt(self, intid: int) -> None:
        """Drop the priority; with EOImode 0 deactivate as well.

        An end that drops nothing is not counted if no list register has the interrupt either.
        """
        if intid >= SPECIAL_INTIDS:
            return
        dropped = bool(self.apr)
        self.apr &= self.apr - 1 if self.apr else 0
        if not self.vmcr & VMCR.EOI_MODE.mask and not self._deactivate(intid) and dropped:
            self._count_end()

    def _deactivate(self, intid: int) -> bool:
        """Active becomes inactive, active and pending becomes pending; HW=1 reaches the GIC.

        False if it is active in no list register.
        """
        for index, lr in enumerate(self.lrs):
            if LR.VIRTUAL_ID.get(lr) == intid and LR.STATE.get(lr) & LR.ACTIVE:
                self.lrs[index] = lr & ~LR.STATE.put(LR.ACTIVE)
                if lr & LR.HW:
                    self._deactivated.append(LR.PHYSICAL_ID.get(lr))
                return True
        return False

    def _count_end(self) -> None:
        """EOICount wraps at 31; EL2 has to deactivate what is in no list register."""
        count = HCR.EOI_COUNT.get(self.hcr) + 1 & EOI_COUNT_MAX
        self.hcr = self.hcr & ~HCR.EOI_COUNT.mask | HCR.EOI_COUNT.put(count)
