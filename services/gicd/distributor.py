"""The GICv2 distributor: register accesses and wires in, candidates for the CPU interfaces out.

Source: IHI 0048B, Interrupt Handling and Prioritization (state machine), Distributor register map.
Choices where the architecture leaves one: 32 priority levels and SGIs always enabled, as in
GIC-400; PPIs have a programmable ICFGR; of equal priorities the lowest INTID goes first.

Security: a Group 0 interrupt is RAZ/WI to Non-secure accesses, and priorities have two views
(`services/gicd/priority.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

from proto.gic import GICD, PPI_LEGACY_IRQ, PRIORITY_MASK, SGI_COUNT, SGIR, SPI_FIRST
from proto.registers import Access, PerIntid, RegisterMap
from proto.traces import InterruptLost, TraceBody, Unpredictable
from services.gicd.bank import SHARED, WORD_INTIDS, WORD_MASK, Bank, positions
from services.gicd.priority import kept_word, shown_word

GICD_MAP = RegisterMap(GICD)

IIDR = 0x0200_143B
"""GICD_IIDR: product 2, implementer Arm."""
ICPIDR2 = 0x2B
"""ArchRev 2 (GICv2) above the JEDEC fields."""
TYPER_SECURITY = 1 << 10
CTLR_BITS = GICD.CTLR_ENABLE_GRP0 | GICD.CTLR_ENABLE_GRP1
ICFGR_EDGE = 0b10


class Candidate(NamedTuple):
    """The interrupt that the distributor forwards to a CPU interface; group is 0 or 1."""

    priority: int
    intid: int
    group: int


class Distributor:
    """State and registers of the distributor for `pes` PEs and `intids` interrupts.

    Callers take `dirty`, the mask of PEs whose candidate may have changed, and `events`, the
    traces, by `take()` after each act.
    """

    def __init__(self, pes: int, intids: int) -> None:
        self.pes = pes
        self.intids = intids
        self._all = (1 << pes) - 1
        only_target = 1 if pes == 1 else 0
        self._private = [Bank(0, cpu, 0) for cpu in range(pes)]
        self._shared = [
            Bank(first, SHARED, only_target) for first in range(SPI_FIRST, intids, WORD_INTIDS)
        ]
        self._seen_by = [(self._private[cpu], *self._shared) for cpu in range(pes)]
        self._ctlr = 0
        self._dirty = 0
        self.events: list[TraceBody] = []
        self._readers: dict[str, Callable[[Bank, int, int, int], int]] = {
            "group": lambda bank, low, count, cpu: bank.group,
            "enabled": lambda bank, low, count, cpu: bank.enabled,
            "pending": lambda bank, low, count, cpu: bank.pending,
            "active": lambda bank, low, count, cpu: bank.active,
            "priority": lambda bank, low, count, cpu: _join(bank.priority, low, count, 8),
            "targets": self._read_targets,
            "config": self._read_config,
            "sgi_sources": lambda bank, low, count, cpu: _join(bank.sources, low, count, 8),
        }
        self._writers: dict[str, Callable[[Bank, PerIntid, int, int, int], None]] = {
            "group": self._write_group,
            "enabled": self._write_enabled,
            "pending": self._write_pending,
            "active": self._write_active,
            "priority": self._write_priority,
            "targets": self._write_targets,
            "config": self._write_config,
            "sgi_sources": self._write_sgi_sources,
        }

    def lose_power(self) -> None:
        """Back to reset values; what was latched and no level line backs is reported as lost."""
        self._ctlr = 0
        for bank in (*self._private, *self._shared):
            self.events += [
                InterruptLost(bank.first + bit, "gicd") for bit in positions(bank.unbacked)
            ]
            bank.reset()
        self.show_all()

    def show_all(self) -> None:
        """Report every change of an interrupt's state and have all outputs looked at."""
        for bank in (*self._private, *self._shared):
            self.events += bank.changes()
        self._dirty = self._all

    def take(self) -> tuple[int, list[TraceBody]]:
        """The PEs whose candidate may have changed and the events, since the last call."""
        taken = self._dirty, self.events
        self._dirty, self.events = 0, []
        return taken

    def touch(self, cpu: int) -> None:
        """The CPU interface of this PE has been accessed: its output may differ."""
        self._dirty |= 1 << cpu

    def bank(self, cpu: int, intid: int) -> Bank:
        """The bank in which a PE sees an interrupt."""
        if intid < SPI_FIRST:
            return self._private[cpu]
        return self._shared[intid // WORD_INTIDS - 1]

    # -- registers

    def read(self, cpu: int, offset: int, width: int, secure: bool) -> int:
        """A register as this PE reads it; holes and INTIDs beyond the implemented ones are zero."""
        row = GICD_MAP.at(offset)
        if isinstance(row, PerIntid):
            first = row.first_intid(offset)
            if first >= self.intids:
                return 0
            bank, count = self.bank(cpu, first), width * 8 // row.bits
            value = self._readers[row.of](bank, first % WORD_INTIDS, count, cpu)
            if row is GICD.IPRIORITYR and not secure:
                value = shown_word(value, count)
            return value & self._visible(bank, row, first % WORD_INTIDS, count, secure)
        if row is GICD.CTLR:
            return self._ctlr if secure else self._ctlr >> 1
        if row is GICD.TYPER:
            return self.intids // 32 - 1 | self.pes - 1 << 5 | TYPER_SECURITY
        return {GICD.IIDR: IIDR, GICD.ICPIDR2: ICPIDR2}.get(row, 0) if row is not None else 0

    def write(self, cpu: int, offset: int, width: int, value: int, secure: bool) -> None:
        """A register write by this PE; holes and what the PE may not see ignore it."""
        row = GICD_MAP.at(offset)
        if isinstance(row, PerIntid):
            first = row.first_intid(offset)
            if first >= self.intids:
                return
            bank, count = self.bank(cpu, first), width * 8 // row.bits
            low, ready = first % WORD_INTIDS, bank.ready
            mask = self._visible(bank, row, low, count, secure)
            if row is GICD.IPRIORITYR and not secure:
                value = kept_word(value, count)
            self._writers[row.of](bank, row, low, value, mask)
            touched = (1 << count) - 1 << low
            self._settle(bank, (ready | bank.ready) & touched)
        elif row is GICD.CTLR:
            keep = 0 if secure else self._ctlr & GICD.CTLR_ENABLE_GRP0
            self._ctlr = (value if secure else value << 1) & CTLR_BITS | keep
            self._dirty = self._all
        elif row is GICD.SGIR:
            self._generate_sgi(cpu, value, secure)

    def _visible(self, bank: Bank, row: PerIntid, low: int, count: int, secure: bool) -> int:
        """Bits of a register word that the access may see: Group 0 is hidden from Non-secure."""
        full = (1 << count * row.bits) - 1
        if secure:
            return full
        if row is GICD.IGROUPR:
            return 0
        if row.bits == 1:
            return bank.group
        field = (1 << row.bits) - 1
        mask = 0
        for index in range(count):
            if bank.group >> low + index & 1:
                mask |= field << index * row.bits
        return mask

    def _settle(self, bank: Bank, affected: int) -> None:
        """After an act on a bank: whose candidate may differ, whose state has changed."""
        if affected:
            self._dirty |= bank.target_of(affected)
        self.events += bank.changes()

    def _read_targets(self, bank: Bank, low: int, count: int, cpu: int) -> int:
        if self.pes == 1:
            return 0
        if bank.cpu != SHARED:
            return _join([1 << cpu] * WORD_INTIDS, low, count, 8)
        return _join(bank.targets, low, count, 8)

    def _read_config(self, bank: Bank, low: int, count: int, cpu: int) -> int:
        fields = [ICFGR_EDGE if bank.edge >> low + index & 1 else 0 for index in range(count)]
        return _join(fields, 0, count, 2)

    def _write_group(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        bank.group = bank.group & ~mask | value & mask

    def _write_enabled(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        bits = value & mask & ~bank.fixed
        bank.enabled = bank.enabled | bits if row.access is Access.W1S else bank.enabled & ~bits

    def _write_pending(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        # SGIs are made pending by GICD_SGIR and GICD_SPENDSGIR alone.
        bits = value & mask & ~bank.fixed
        bank.latch = bank.latch | bits if row.access is Access.W1S else bank.latch & ~bits

    def _write_active(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        bits = value & mask
        bank.active = bank.active | bits if row.access is Access.W1S else bank.active & ~bits

    def _write_priority(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        for index, field in _fields(mask, 8):
            bank.priority[low + index] = value >> index * 8 & field & PRIORITY_MASK

    def _write_targets(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        if bank.cpu != SHARED or self.pes == 1:
            return
        for index, field in _fields(mask, 8):
            position = low + index
            if bank.ready >> position & 1:
                self._dirty |= bank.targets[position]
            bank.targets[position] = value >> index * 8 & field & self._all

    def _write_config(self, bank: Bank, row: PerIntid, low: int, value: int, mask: int) -> None:
        wanted = 0
        for index, _ in _fields(mask, 2):
            wanted |= (value >> index * 2 + 1 & 1) << low + index
        writable = sum(1 << low + index for index, _ in _fields(mask, 2)) & ~bank.fixed
        changed = (bank.edge ^ wanted) & writable
        for bit in positions(changed & bank.enabled):
            self.events.append(
                Unpredictable(
                    f"ICFGR of INTID {bank.first + bit} changed while enabled",
                    "IHI 0048B, GICD_ICFGRn",
                )
            )
        bank.edge ^= changed

    def _write_sgi_sources(
        self, bank: Bank, row: PerIntid, low: int, value: int, mask: int
    ) -> None:
        for index, field in _fields(mask, 8):
            bits, sources = value >> index * 8 & field & self._all, bank.sources[low + index]
            setting = row.access is Access.W1S
            bank.set_sources(low + index, sources | bits if setting else sources & ~bits)

    def _generate_sgi(self, cpu: int, value: int, secure: bool) -> None:
        """GICD_SGIR: reaches the PEs on which the SGI is in the group that is meant.

        A Non-secure write means Group 1, a Secure one what NSATT says.
        """
        intid = SGIR.INTID.get(value)
        others = self._all & ~(1 << cpu)
        targets = {
            SGIR.TO_LIST: SGIR.TARGETS.get(value) & self._all,
            SGIR.TO_OTHERS: others,
            SGIR.TO_SELF: 1 << cpu,
        }.get(SGIR.TARGET_FILTER.get(value))
        if targets is None:
            self.events.append(
                Unpredictable("reserved TargetListFilter 0b11", "IHI 0048B, GICD_SGIR")
            )
            return
        group = SGIR.NSATT.get(value) if secure else 1
        for target in positions(targets):
            bank = self._private[target]
            if bank.group >> intid & 1 == group:
                bank.set_sources(intid, bank.sources[intid] | 1 << cpu)
                self._settle(bank, 1 << intid)

    # -- wires

    def set_line(self, cpu: int, intid: int, level: bool) -> None:
        """An input wire has this level; a rising edge is latched if the interrupt is edge."""
        bank = self.bank(cpu, intid)
        bit, ready = 1 << intid % WORD_INTIDS, bank.ready
        if level and not bank.line & bit:
            bank.latch |= bit & bank.edge
        bank.line = bank.line | bit if level else bank.line & ~bit
        self._settle(bank, (ready ^ bank.ready) & bit)
        if intid == PPI_LEGACY_IRQ:
            self.touch(cpu)

    def hold_line(self, cpu: int, intid: int, level: bool) -> None:
        """An input wire changes while the block has neither power nor state."""
        bank, bit = self.bank(cpu, intid), 1 << intid % WORD_INTIDS
        bank.line = bank.line | bit if level else bank.line & ~bit

    def legacy_irq(self, cpu: int) -> bool:
        """Level of a PE's legacy interrupt input."""
        return bool(self._private[cpu].line >> PPI_LEGACY_IRQ & 1)

    # -- CPU interfaces

    def group_of(self, cpu: int, intid: int) -> int:
        """Group of an interrupt."""
        return self.bank(cpu, intid).group >> intid % WORD_INTIDS & 1

    def sgi_sources(self, cpu: int, intid: int) -> int:
        """PEs, as a mask, that have this SGI pending here; zero for any other interrupt."""
        return self._private[cpu].sources[intid] if intid < SGI_COUNT else 0

    def is_active(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is active (also active and pending)."""
        return bool(self.bank(cpu, intid).active >> intid % WORD_INTIDS & 1)

    def candidate(self, cpu: int) -> Candidate | None:
        """The highest-priority interrupt of an enabled group that may go to this PE."""
        best = 0x100
        found: tuple[Bank, int] | None = None
        for bank in self._seen_by[cpu]:
            ready = self._forwarded(bank)
            if not ready:
                continue
            for bit in positions(ready):
                priority = bank.priority[bit]
                if priority < best and (bank.cpu != SHARED or bank.targets[bit] >> cpu & 1):
                    best, found = priority, (bank, bit)
        if found is None:
            return None
        bank, bit = found
        return Candidate(best, bank.first + bit, bank.group >> bit & 1)

    def wake_requests(self, pes: int) -> list[int]:
        """INTIDs that are pending, enabled, in an enabled group and target any of these PEs.

        `pes` is a mask. Neither PMR nor GICC_CTLR count (DDI 0471B, wakeup outputs).
        """
        requests: set[int] = set()
        for bank in (*self._private, *self._shared):
            for bit in positions(self._forwarded(bank)):
                if bank.target_of(1 << bit) & pes:
                    requests.add(bank.first + bit)
        return sorted(requests)

    def acknowledge(self, cpu: int, intid: int) -> int:
        """The interrupt becomes active; gives the source PE of an SGI, else 0.

        Of an SGI that several PEs have sent, the lowest source goes first, the others stay pending.
        """
        bank, bit, source = self.bank(cpu, intid), intid % WORD_INTIDS, 0
        if intid < SGI_COUNT:
            sources = bank.sources[intid]
            source = next(positions(sources))
            bank.set_sources(intid, sources & sources - 1)
        else:
            bank.latch &= ~(1 << bit)
        bank.active |= 1 << bit
        self._settle(bank, 1 << bit)
        return source

    def deactivate(self, cpu: int, intid: int) -> None:
        """The interrupt is no longer active; if it is pending it may be taken again."""
        bank, bit = self.bank(cpu, intid), 1 << intid % WORD_INTIDS
        bank.active &= ~bit
        self._settle(bank, bit)

    def _forwarded(self, bank: Bank) -> int:
        ready = bank.ready
        if not self._ctlr & GICD.CTLR_ENABLE_GRP0:
            ready &= bank.group
        if not self._ctlr & GICD.CTLR_ENABLE_GRP1:
            ready &= ~bank.group & WORD_MASK
        return ready


def _join(fields: list[int], low: int, count: int, bits: int) -> int:
    """A register word of `count` fields from `fields[low]`."""
    word = 0
    for index in range(count):
        word |= fields[low + index] << index * bits
    return word


def _fields(mask: int, bits: int) -> list[tuple[int, int]]:
    """Numbers of the fields that a mask lets through, each with its own mask."""
    field = (1 << bits) - 1
    return [
        (index, field)
        for index in range(mask.bit_length() // bits + 1)
        if mask >> index * bits & field
    ]
