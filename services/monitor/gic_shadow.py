"""The GIC's configuration, rebuilt from the register writes that `gicd` received.

Active bits come from the GIC's own traces. What a write does follows IHI 0048B, Distributor
register map, by the same register tables that the GIC and Xen use.
"""

from functools import lru_cache

from proto.gic import GICC, GICD, PRIORITY_MASK, SGI_COUNT, SPI_FIRST, SecureCTLR
from proto.messages import RegWrite
from proto.platform import GICC_BASE, GICD_BASE, Platform
from proto.registers import Access, PerIntid, RegisterMap
from proto.traces import IntState

SHARED = -1
"""Bank of the SPIs, which all PEs share."""

_CPU_INTERFACE = GICC_BASE - GICD_BASE
_NS_BPR_MIN = 3
_NS_HALF = 0x80
"""Priorities from here on are the Non-secure world's, and are kept shifted into this half."""

CONFIGURATION = (
    GICD.IGROUPR,
    GICD.ISENABLER,
    GICD.ICENABLER,
    GICD.IPRIORITYR,
    GICD.ITARGETSR,
    GICD.ICFGR,
)
"""The rows whose state is configuration."""

GICD_MAP = RegisterMap(GICD)

_WORD = 0xFFFF_FFFF
_BYTES = 0x0101_0101
_CONFIGURED = frozenset(row.name for row in CONFIGURATION)
_FIXED_FOR_SGIS = frozenset({GICD.ICFGR.name, GICD.ISENABLER.name, GICD.ICENABLER.name})
_FIELD = {GICD.IPRIORITYR.name: PRIORITY_MASK, GICD.ICFGR.name: 0b10}
"""Bits of a field that exist, where that is not all of them."""

Snapshot = dict[tuple[str, int, int], int]
"""Register name, first INTID (or -1 for a word register) and bits of an INTID's field to the word;
zeros are left out."""


class GicShadow:
    """What distributor and CPU interfaces are configured to, and which INTIDs are active.

    Fields are kept as the 32-bit words that registers show them in: a run writes thousands of words
    and asks for few fields.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._fields: dict[tuple[str, int, int], int] = {}
        """By name of the state, bank and first INTID."""
        self._words: dict[tuple[str, int], int] = {}
        self._existing: dict[tuple[str, int], int] = {}
        """Bits that exist, by register name and first INTID of the word."""
        self._on = True

    def power(self, on: bool, lost: bool) -> None:
        """The block's power has been switched; without retention everything is back at reset."""
        self._on = on
        if not on and lost:
            self._fields.clear()
            self._words.clear()

    def interface_lost(self, cpu: int) -> None:
        """A CPU interface that shares its PE's power domain is back at reset."""
        for name in (GICC.CTLR.name, GICC.PMR.name, GICC.BPR.name):
            self._words.pop((name, cpu), None)

    def interrupt(self, event: IntState) -> None:
        """The GIC says whether an interrupt is active."""
        first, bit = event.intid & ~31, 1 << event.intid % 32
        key = ("active", self._bank(event.cpu, event.intid), first)
        word = self._fields.get(key, 0)
        self._fields[key] = word | bit if event.active else word & ~bit

    def write(self, cpu: int, body: RegWrite) -> None:
        """A register write by a PE has reached the GIC."""
        offset = body.address - GICD_BASE
        if not self._on:
            return
        if offset >= _CPU_INTERFACE:
            self._write_interface(cpu, offset - _CPU_INTERFACE, body)
            return
        if GICD.CTLR.covers(offset):
            self._words[GICD.CTLR.name, SHARED] = _group1(body)
            return
        row = GICD_MAP.at(offset)
        if isinstance(row, PerIntid) and row.name in _CONFIGURED:
            self._write_fields(row, cpu, offset, body)

    def targets(self, intid: int) -> int:
        """ITARGETSR byte of an SPI; the only PE of a board is every SPI's target (IHI 0048B)."""
        if self._platform.pes == 1:
            return 1
        return self._fields.get(("targets", SHARED, intid & ~3), 0) >> intid % 4 * 8 & 0xFF

    def enabled(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is enabled; a private one for this CPU."""
        return bool(self._bits("enabled", cpu, intid & ~31) >> intid % 32 & 1)

    def active(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is active; a private one on this CPU."""
        return bool(self._bits("active", cpu, intid & ~31) >> intid % 32 & 1)

    def enabled_spis(self) -> list[int]:
        """SPIs that are enabled, in ascending order."""
        return [
            intid
            for intid in range(SPI_FIRST, self._platform.intids)
            if self.enabled(SHARED, intid)
        ]

    def snapshot(self, cpu: int) -> Snapshot:
        """Configuration and active bits that a PE sees: the SPIs and its own bank."""
        seen: Snapshot = {}
        for (field, bank, first), word in self._fields.items():
            if word and bank in (SHARED, cpu):
                name, bits = _NAMES[field]
                seen[name, first, bits] = word
        for (name, bank), value in self._words.items():
            if value and bank in (SHARED, cpu):
                seen[name, -1, 32] = value
        return seen

    def private_snapshot(self, cpu: int) -> Snapshot:
        """What a PE sets up for itself: enables and priorities of its own bank, its interface."""
        seen: Snapshot = {}
        for field in ("enabled", "priority"):
            name, bits = _NAMES[field]
            for first in range(0, SPI_FIRST, 32 // bits):
                if word := self._fields.get((field, cpu, first), 0):
                    seen[name, first, bits] = word
        for name in (GICC.CTLR.name, GICC.PMR.name):
            if value := self._words.get((name, cpu), 0):
                seen[name, -1, 32] = value
        return seen

    def _write_fields(self, row: PerIntid, cpu: int, offset: int, body: RegWrite) -> None:
        """A write of a word, or of one byte of it."""
        first = row.first_intid(offset & ~3)
        lane = (offset & 3) * 8
        value = body.value << lane
        if row is GICD.IPRIORITYR:
            value = _kept_word(value, body.secure)
        reach = (1 << body.width * 8) - 1 << lane & self._implemented(row, first)
        reach &= self._writable(row, cpu, first, body.secure)
        key = (row.of, self._bank(cpu, first), first)
        word = self._fields.get(key, 0)
        if row.access is Access.W1S:
            word |= value & reach
        elif row.access is Access.W1C:
            word &= ~(value & reach)
        else:
            word = word & ~reach | value & reach
        self._fields[key] = word

    def _writable(self, row: PerIntid, cpu: int, first: int, secure: bool) -> int:
        """Group 0 is RAZ/WI to Non-secure software; some banked fields are read-only to all."""
        if row is GICD.IGROUPR:
            return _WORD if secure else 0
        if row is GICD.ITARGETSR and (first < SPI_FIRST or self._platform.pes == 1):
            return 0
        writable = _WORD if secure else self._of_group1(row, cpu, first)
        if first < SGI_COUNT and row.name in _FIXED_FOR_SGIS:
            return writable & ~((1 << SGI_COUNT * row.bits) - 1)
        return writable

    def _of_group1(self, row: PerIntid, cpu: int, first: int) -> int:
        """The fields in a word of a row whose interrupts are in Group 1."""
        groups = self._bits("group", cpu, first & ~31) >> first % 32
        return spread(groups & (1 << row.per_word()) - 1, row.bits)

    def _bits(self, field: str, cpu: int, first: int) -> int:
        return self._fields.get((field, self._bank(cpu, first), first), 0)

    def _implemented(self, row: PerIntid, first: int) -> int:
        """Bits of a word that exist."""
        mask = self._existing.get((row.name, first))
        if mask is None:
            mask = self._existing[row.name, first] = self._work_out(row, first)
        return mask

    def _work_out(self, row: PerIntid, first: int) -> int:
        there = max(min(self._platform.intids - first, row.per_word()), 0)
        if row is GICD.ITARGETSR:
            field = (1 << self._platform.pes) - 1
        else:
            field = _FIELD.get(row.name, (1 << row.bits) - 1)
        return spread((1 << there) - 1, row.bits) & field * (_WORD // ((1 << row.bits) - 1))

    def _write_interface(self, cpu: int, offset: int, body: RegWrite) -> None:
        if GICC.CTLR.covers(offset):
            eoimode = SecureCTLR.EOIMODE_NS if body.secure else GICC.CTLR_EOIMODE
            ends_later = GICC.CTLR_EOIMODE if body.value & eoimode else 0
            self._words[GICC.CTLR.name, cpu] = _group1(body) | ends_later
        elif GICC.PMR.covers(offset):
            held = self._words.get((GICC.PMR.name, cpu), 0)
            if body.secure or held & _NS_HALF:
                self._words[GICC.PMR.name, cpu] = _kept(body.value & 0xFF, body.secure)
        elif GICC.BPR.covers(offset) and not body.secure:
            # Counted from the least value that five priority bits allow, which is also the reset's.
            self._words[GICC.BPR.name, cpu] = max((body.value & 7) - _NS_BPR_MIN, 0)

    @staticmethod
    def _bank(cpu: int, intid: int) -> int:
        return cpu if intid < SPI_FIRST else SHARED


def _kept(priority: int, secure: bool) -> int:
    """A written priority as the GIC keeps it (IHI 0048B, Software views of interrupt priority)."""
    return (priority if secure else _NS_HALF | priority >> 1) & PRIORITY_MASK


def _group1(body: RegWrite) -> int:
    """Enable of Group 1 in either CTLR: Non-secure software sees it as bit 0."""
    return int(bool(body.value & (SecureCTLR.ENABLE_GRP1 if body.secure else GICC.CTLR_ENABLE)))


@lru_cache(maxsize=4096)
def spread(flags: int, bits: int) -> int:
    """A word whose field of so many bits is all ones for each bit that is set."""
    field = (1 << bits) - 1
    return sum(field << at * bits for at in range(32 // bits) if flags >> at & 1)


def _kept_word(word: int, secure: bool) -> int:
    """Four priorities as the GIC keeps them; a word in an eighth of the time of its bytes."""
    if not secure:
        word = word >> 1 & 0x7F7F_7F7F | _NS_HALF * _BYTES
    return word & PRIORITY_MASK * _BYTES


def differences(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """By register name, what each differing INTID held before and holds after."""
    found: dict[str, list[str]] = {}
    for key in sorted(before.keys() | after.keys()):
        was, is_now = before.get(key, 0), after.get(key, 0)
        if was == is_now:
            continue
        name, first, bits = key
        field = (1 << bits) - 1
        for at in range(32 // bits):
            old, new = was >> at * bits & field, is_now >> at * bits & field
            if old != new:
                where = f"INTID {first + at}: " if first >= 0 else ""
                found.setdefault(name, []).append(f"{where}{old:#x} before, {new:#x} after")
    return found


_NAMES = {row.of: (row.name, row.bits) for row in reversed(CONFIGURATION)}
_NAMES["active"] = (GICD.ISACTIVER.name, GICD.ISACTIVER.bits)
"""Name of the register that shows a field, and the field's bits."""
