"""One GICv2 CPU interface: what is signalled to a PE, acknowledge, priority drop, deactivation.

Source: IHI 0048B, CPU interface register map; Interrupt prioritization; Interrupt signal bypass.
The running priority is what the active priorities registers say, one bit for each of the 32 group
priorities, so software that saves and restores them saves and restores it.

Priorities are kept in the Secure view; Non-secure accesses see the lower half of them
(`services/gicd/priority.py`). Group 0's group priority is [7:BPR+1], Group 1's [7:ABPR], where ABPR
is the Non-secure copy of BPR. GIC-400 keeps one active bit for an SGI, not one per source, and Xen
drops priorities without the CPUID field: so EOIR and DIR do not look at it.
"""

from proto.gic import (
    GICC,
    IAR,
    IDLE_PRIORITY,
    PPI_LEGACY_IRQ,
    PRIORITY_MASK,
    SPURIOUS,
    SecureCTLR,
)
from proto.registers import RegisterMap, Row
from proto.traces import Unpredictable
from services.gicd.bank import WORD_MASK, positions
from services.gicd.distributor import Candidate, Distributor
from services.gicd.priority import NS_HALF, NS_LEVELS, kept, shown_level

GICC_MAP = RegisterMap(GICC)

IIDR = 0x0202_143B
"""GICC_IIDR: product 2, architecture version 2, implementer Arm."""
GROUP1_PENDING = 1022
"""What a Secure read of IAR gives for a Group 1 interrupt unless AckCtl is set."""
SPECIAL_INTIDS = 1020
"""INTIDs from here on name no interrupt; EOIR and DIR ignore them."""
BPR_MIN = 2
"""With five priority bits the finest group priority is [7:3]."""
NS_BPR_MIN = 3
"""The same of the Non-secure copy, whose group priority is [7:BPR]."""
BPR_MAX = 7
LEVEL_SHIFT = 3
"""A priority's position in the active priorities register is priority >> 3."""

NS_BITS = (
    (GICC.CTLR_ENABLE, SecureCTLR.ENABLE_GRP1),
    (1 << 5, SecureCTLR.FIQ_BYP_DIS_GRP1),
    (1 << 6, SecureCTLR.IRQ_BYP_DIS_GRP1),
    (GICC.CTLR_EOIMODE, SecureCTLR.EOIMODE_NS),
)
"""Where each bit of the Non-secure view of GICC_CTLR lies in the Secure one."""


class CpuInterface:
    """The CPU interface of one PE, over the distributor that feeds it."""

    def __init__(self, cpu: int, distributor: Distributor) -> None:
        self._cpu = cpu
        self._distributor = distributor
        self.reset()

    def reset(self) -> None:
        """Reset values: nothing enabled, all priorities masked, nothing active, bypass on."""
        self._ctlr = 0
        self._pmr = 0
        self._bpr = [BPR_MIN, NS_BPR_MIN]
        self._apr = [0, 0]
        self._taken: list[Candidate] = []

    def irq(self) -> bool:
        """Level of nIRQCPU: an interrupt of sufficient priority, or the bypassed line."""
        return bool(self.signals())

    def signals(self) -> list[int]:
        """The INTID that raises nIRQCPU, if it is high; the legacy input counts as PPI 31.

        Group 0 with FIQEn makes nFIQCPU, which no PE of this board takes. With no group enabled
        that makes IRQs, and the bypass not disabled, the legacy input goes straight through.
        """
        grp0_is_irq = not self._ctlr & SecureCTLR.FIQ_EN
        makes_irqs = SecureCTLR.ENABLE_GRP1 | (SecureCTLR.ENABLE_GRP0 if grp0_is_irq else 0)
        if not self._ctlr & makes_irqs:
            bypass = not self._ctlr & SecureCTLR.IRQ_BYP_DIS_GRP1
            high = bypass and self._distributor.legacy_irq(self._cpu)
            return [PPI_LEGACY_IRQ] if high else []
        signalled = self._signalled()
        if signalled is None or not (signalled.group or grp0_is_irq):
            return []
        return [signalled.intid]

    def read(self, offset: int, secure: bool) -> int:
        """A register as the PE reads it; reading IAR acknowledges."""
        row = GICC_MAP.at(offset)
        if row is GICC.IAR:
            return self._acknowledge(secure)
        if row is GICC.CTLR:
            return self._ctlr if secure else self._ns_ctlr()
        if row is GICC.PMR:
            return self._pmr if secure else shown_level(self._pmr)
        if row is GICC.BPR:
            return self._bpr[0] if secure else self._ns_bpr()
        if row is GICC.RPR:
            return self._running() if secure else shown_level(self._running())
        if row is GICC.HPPIR:
            return self._hppir(secure)
        if row is GICC.APR:
            return self._apr[0] if secure else self._apr[1] >> NS_LEVELS
        if row is GICC.IIDR:
            return IIDR
        return self._read_alias(row) if secure else 0

    def write(self, offset: int, value: int, secure: bool) -> None:
        """A register write by the PE; holes and Secure-only registers ignore the others."""
        row = GICC_MAP.at(offset)
        if row is GICC.EOIR:
            self._end(value, secure, bool(self._ctlr & _eoimode(secure)))
        elif row is GICC.DIR:
            self._deactivate(value, secure)
        elif row is GICC.CTLR:
            self._write_ctlr(value, secure)
        elif row is GICC.PMR:
            self._write_pmr(value, secure)
        elif row is GICC.BPR and secure:
            self._bpr[0] = max(value & BPR_MAX, BPR_MIN)
        elif row is GICC.BPR:
            if not self._ctlr & SecureCTLR.CBPR:
                self._bpr[1] = max(value & BPR_MAX, NS_BPR_MIN)
        elif row is GICC.APR and secure:
            self._write_apr(0, value)
        elif row is GICC.APR:
            upper = self._apr[1] & (1 << NS_LEVELS) - 1
            self._write_apr(1, upper | value << NS_LEVELS)
        elif secure:
            self._write_alias(row, value)

    def _read_alias(self, row: Row | None) -> int:
        """Secure software's way to the Group 1 copies."""
        if row is GICC.ABPR:
            return self._bpr[1]
        if row is GICC.AIAR:
            return self._acknowledge(secure=False)
        if row is GICC.AHPPIR:
            return self._hppir(secure=False)
        return self._apr[1] if row is GICC.NSAPR else 0

    def _write_alias(self, row: Row | None, value: int) -> None:
        if row is GICC.ABPR:
            self._bpr[1] = max(value & BPR_MAX, NS_BPR_MIN)
        elif row is GICC.AEOIR:
            self._end(value, False, bool(self._ctlr & SecureCTLR.EOIMODE_S))
        elif row is GICC.NSAPR:
            self._write_apr(1, value)

    # -- control

    def _ns_ctlr(self) -> int:
        return sum(ns for ns, secure in NS_BITS if self._ctlr & secure)

    def _write_ctlr(self, value: int, secure: bool) -> None:
        if secure:
            self._ctlr = value & SecureCTLR.ALL
            return
        for ns_bit, bit in NS_BITS:
            self._ctlr = self._ctlr | bit if value & ns_bit else self._ctlr & ~bit

    def _write_pmr(self, value: int, secure: bool) -> None:
        """A mask that the Secure world keeps in the upper half is not the other's to change."""
        if secure:
            self._pmr = value & PRIORITY_MASK
        elif self._pmr & NS_HALF:
            self._pmr = kept(value & 0xFF)

    def _write_apr(self, group: int, value: int) -> None:
        self._apr[group] = value & WORD_MASK
        # What was acknowledged before is no longer what these bits stand for.
        self._taken.clear()

    # -- priorities

    def _ns_bpr(self) -> int:
        """Non-secure BPR: its own copy, or under CBPR the Secure one, a bit further up."""
        if self._ctlr & SecureCTLR.CBPR:
            return min(self._bpr[0] + 1, BPR_MAX)
        return self._bpr[1]

    def _group_priority(self, priority: int, group: int) -> int:
        separate = group and not self._ctlr & SecureCTLR.CBPR
        low = self._bpr[1] if separate else self._bpr[0] + 1
        return priority & 0xFF << low & 0xFF

    def _running(self) -> int:
        """Group priority of what the PE is handling, from the active priorities registers."""
        active = self._apr[0] | self._apr[1]
        return next(positions(active)) << LEVEL_SHIFT if active else IDLE_PRIORITY

    def _signalled(self) -> Candidate | None:
        """The candidate, if its group is enabled here and it beats PMR and running priority."""
        candidate = self._distributor.candidate(self._cpu)
        if candidate is None or candidate.priority >= self._pmr:
            return None
        enable = SecureCTLR.ENABLE_GRP1 if candidate.group else SecureCTLR.ENABLE_GRP0
        if not self._ctlr & enable:
            return None
        group_priority = self._group_priority(candidate.priority, candidate.group)
        return candidate if group_priority < self._running() else None

    # -- acknowledge, end, deactivate

    def _special(self, group: int, secure: bool) -> int | None:
        """What an access reads instead of an interrupt of a group that it may not have."""
        if not secure:
            return None if group == 1 else SPURIOUS
        return GROUP1_PENDING if group == 1 and not self._ctlr & SecureCTLR.ACK_CTL else None

    def _acknowledge(self, secure: bool) -> int:
        candidate = self._signalled()
        if candidate is None:
            return SPURIOUS
        if (special := self._special(candidate.group, secure)) is not None:
            return special
        group_priority = self._group_priority(candidate.priority, candidate.group)
        self._apr[candidate.group] |= 1 << (group_priority >> LEVEL_SHIFT)
        self._taken.append(candidate)
        source = self._distributor.acknowledge(self._cpu, candidate.intid)
        return IAR.INTID.put(candidate.intid) | IAR.CPUID.put(source)

    def _hppir(self, secure: bool) -> int:
        """The candidate, whatever PMR and the running priority say."""
        candidate = self._distributor.candidate(self._cpu)
        if candidate is None:
            return SPURIOUS
        if (special := self._special(candidate.group, secure)) is not None:
            return special
        sources = self._distributor.sgi_sources(self._cpu, candidate.intid)
        source = next(positions(sources), 0)
        return IAR.INTID.put(candidate.intid) | IAR.CPUID.put(source)

    def _end(self, value: int, secure: bool, split: bool) -> None:
        """EOIR: drop the running priority; deactivate too unless EOImode splits the two.

        `secure` is False for AEOIR as well: it has the Non-secure view's effect.
        """
        intid = IAR.INTID.get(value)
        if intid >= SPECIAL_INTIDS:
            return
        groups = (0, 1) if secure else (1,)
        if intid < self._distributor.intids and (
            not secure and not self._distributor.group_of(self._cpu, intid)
        ):
            return
        if intid >= self._distributor.intids or not any(self._apr[group] for group in groups):
            self._unpredictable(f"EOIR of INTID {intid}, which is not being handled", "GICC_EOIR")
            return
        self._check_order(intid, groups)
        self._drop_priority(groups)
        if not split:
            self._distributor.deactivate(self._cpu, intid)

    def _check_order(self, intid: int, groups: tuple[int, ...]) -> None:
        """What has been taken last has to be ended first."""
        last = next((one for one in reversed(self._taken) if one.group in groups), None)
        if last is None:
            return
        if last.intid != intid:
            what = f"EOIR of INTID {intid} while INTID {last.intid} is the last taken"
            self._unpredictable(what, "GICC_EOIR")
        # Out of order the hardware still drops the highest active priority.
        self._taken.remove(last)

    def _drop_priority(self, groups: tuple[int, ...]) -> None:
        active = 0
        for group in groups:
            active |= self._apr[group]
        lowest = active & -active
        for group in groups:
            self._apr[group] &= ~lowest

    def _deactivate(self, value: int, secure: bool) -> None:
        """DIR: deactivate an interrupt whose priority has been dropped before."""
        intid = IAR.INTID.get(value)
        if intid >= SPECIAL_INTIDS:
            return
        if not self._ctlr & _eoimode(secure):
            self._unpredictable(f"DIR of INTID {intid} with EOImode 0", "GICC_DIR")
            return
        if intid >= self._distributor.intids or not self._distributor.is_active(self._cpu, intid):
            self._unpredictable(f"DIR of INTID {intid}, which is not active", "GICC_DIR")
            return
        if secure or self._distributor.group_of(self._cpu, intid):
            self._distributor.deactivate(self._cpu, intid)

    def _unpredictable(self, what: str, register: str) -> None:
        self._distributor.events.append(
            Unpredictable(f"CPU interface {self._cpu}: {what}", f"IHI 0048B, {register}")
        )


def _eoimode(secure: bool) -> int:
    return SecureCTLR.EOIMODE_S if secure else SecureCTLR.EOIMODE_NS
