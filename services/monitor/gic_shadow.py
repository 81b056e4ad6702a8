"""The GIC's configuration, rebuilt from the register writes that `gicd` received.

Active bits come from the GIC's own traces. What a write does follows IHI 0048B, Distributor
register map, by the same register tables that the GIC and Xen use.
"""

from proto.gic import GICC, GICD, PRIORITY_MASK, SGI_COUNT, SPI_FIRST, SecureCTLR
from proto.messages import RegWrite
from proto.platform import GICC_BASE, GICD_BASE, Platform
from proto.registers import Access, PerIntid
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

_NAMES = {
    "group": GICD.IGROUPR.name,
    "enabled": GICD.ISENABLER.name,
    "priority": GICD.IPRIORITYR.name,
    "targets": GICD.ITARGETSR.name,
    "config": GICD.ICFGR.name,
    "active": GICD.ISACTIVER.name,
}

Snapshot = dict[tuple[str, int], int]
"""Register name and INTID (or -1 for a word register) to value; zeros are left out."""


class GicShadow:
    """What distributor and CPU interfaces are configured to, and which INTIDs are active."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._fields: dict[tuple[str, int, int], int] = {}
        self._words: dict[tuple[str, int], int] = {}
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
        self._set("active", event.cpu, event.intid, int(event.active))

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
        for row in CONFIGURATION:
            if row.covers(offset):
                self._write_fields(row, cpu, offset, body)
                return

    def targets(self, intid: int) -> int:
        """ITARGETSR byte of an SPI."""
        return self._fields.get(("targets", SHARED, intid), 0)

    def enabled(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is enabled; a private one for this CPU."""
        return bool(self._fields.get(("enabled", self._bank(cpu, intid), intid)))

    def enabled_spis(self) -> list[int]:
        """SPIs that are enabled, in ascending order."""
        return sorted(
            intid
            for (field, bank, intid), value in self._fields.items()
            if field == "enabled" and bank == SHARED and value
        )

    def snapshot(self, cpu: int) -> Snapshot:
        """Configuration and active bits that a PE sees: the SPIs and its own bank."""
        seen: Snapshot = {}
        for (field, bank, intid), value in self._fields.items():
            if value and bank in (SHARED, cpu):
                seen[_NAMES[field], intid] = value
        for (name, bank), value in self._words.items():
            if value and bank in (SHARED, cpu):
                seen[name, -1] = value
        return seen

    def private_snapshot(self, cpu: int) -> Snapshot:
        """What a PE sets up for itself: enables and priorities of its own bank, its interface."""
        seen: Snapshot = {}
        for (field, bank, intid), value in self._fields.items():
            if value and bank == cpu and field in ("enabled", "priority"):
                seen[_NAMES[field], intid] = value
        for name in (GICC.CTLR.name, GICC.PMR.name):
            if value := self._words.get((name, cpu), 0):
                seen[name, -1] = value
        return seen

    def _write_fields(self, row: PerIntid, cpu: int, offset: int, body: RegWrite) -> None:
        first = row.first_intid(offset)
        mask = (1 << row.bits) - 1
        for index in range(body.width * 8 // row.bits):
            intid = first + index
            value = body.value >> index * row.bits & mask
            if row is GICD.IPRIORITYR:
                value = _kept(value, body.secure)
            if intid < self._platform.intids and self._writable(row, cpu, intid, body.secure):
                self._write_field(row, cpu, intid, value)

    def _writable(self, row: PerIntid, cpu: int, intid: int, secure: bool) -> bool:
        """Group 0 is RAZ/WI to Non-secure software; some banked fields are read-only to all."""
        if row is GICD.IGROUPR:
            return secure
        if row is GICD.ITARGETSR and (intid < SPI_FIRST or self._platform.pes == 1):
            return False
        if row in (GICD.ICFGR, GICD.ISENABLER, GICD.ICENABLER) and intid < SGI_COUNT:
            return False
        return secure or bool(self._fields.get(("group", self._bank(cpu, intid), intid)))

    def _write_field(self, row: PerIntid, cpu: int, intid: int, value: int) -> None:
        if row.access is Access.W1S:
            if value:
                self._set(row.of, cpu, intid, 1)
        elif row.access is Access.W1C:
            if value:
                self._set(row.of, cpu, intid, 0)
        else:
            self._set(row.of, cpu, intid, value & self._implemented(row))

    def _implemented(self, row: PerIntid) -> int:
        """Bits of a read-write field that exist."""
        if row is GICD.ITARGETSR:
            return (1 << self._platform.pes) - 1
        return {GICD.IPRIORITYR: PRIORITY_MASK, GICD.ICFGR: 0b10}.get(row, (1 << row.bits) - 1)

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

    def _set(self, field: str, cpu: int, intid: int, value: int) -> None:
        self._fields[field, self._bank(cpu, intid), intid] = value

    @staticmethod
    def _bank(cpu: int, intid: int) -> int:
        return cpu if intid < SPI_FIRST else SHARED


def _kept(priority: int, secure: bool) -> int:
    """A written priority as the GIC keeps it (IHI 0048B, Software views of interrupt priority)."""
    return (priority if secure else _NS_HALF | priority >> 1) & PRIORITY_MASK


def _group1(body: RegWrite) -> int:
    """Enable of Group 1 in either CTLR: Non-secure software sees it as bit 0."""
    return int(bool(body.value & (SecureCTLR.ENABLE_GRP1 if body.secure else GICC.CTLR_ENABLE)))


def differences(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """By register name, what each differing INTID held before and holds after."""
    found: dict[str, list[str]] = {}
    for key in sorted(before.keys() | after.keys()):
        was, is_now = before.get(key, 0), after.get(key, 0)
        if was != is_now:
            name, intid = key
            where = f"INTID {intid}: " if intid >= 0 else ""
            found.setdefault(name, []).append(f"{where}{was:#x} before, {is_now:#x} after")
    return found
