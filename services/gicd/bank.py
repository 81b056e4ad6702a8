"""The state of 32 interrupts: what one 32-bit word of the distributor's bit arrays covers."""

from collections.abc import Iterator

from proto.gic import SGI_COUNT
from proto.traces import IntState

WORD_INTIDS = 32
WORD_MASK = 0xFFFF_FFFF
SGI_BITS = (1 << SGI_COUNT) - 1
SHARED = -1
"""The `cpu` of a bank of SPIs."""


class Bank:
    """Interrupts `first` to `first + 31`: SGIs and PPIs of one PE, or SPIs.

    Bit fields are words, bit N standing for INTID `first + N`. `line` is the level of the input
    wires, which is not state of the block and survives its loss of power. SGIs are always enabled,
    as GIC-400 has it (GICD_ISENABLER0 bits [15:0] read as one and ignore writes).
    """

    def __init__(self, first: int, cpu: int, targets: int) -> None:
        self.first = first
        self.cpu = cpu
        self.line = 0
        self._reset_targets = targets
        self._shown_pending = self._shown_active = 0
        self.reset()

    def reset(self) -> None:
        """Reset values: Group 0, disabled, inactive, level, priority 0."""
        private = self.cpu != SHARED
        self.fixed = SGI_BITS if private else 0
        self.group = 0
        self.enabled = self.fixed
        self.latch = 0
        self.active = 0
        self.edge = self.fixed
        self.priority = [0] * WORD_INTIDS
        self.targets = [self._reset_targets] * WORD_INTIDS
        self.sources = [0] * SGI_COUNT if private else []

    @property
    def pending(self) -> int:
        """Latched, or asserted by a level-sensitive wire."""
        return self.latch | self.line & ~self.edge

    @property
    def ready(self) -> int:
        """Interrupts the distributor may forward: pending, enabled and not active."""
        return self.pending & self.enabled & ~self.active

    @property
    def unbacked(self) -> int:
        """Latched interrupts that no level line would assert again after a loss of power."""
        return self.latch & ~(self.line & ~self.edge)

    def target_of(self, bits: int) -> int:
        """The PEs, as a mask, that any of these interrupts targets."""
        if self.cpu != SHARED:
            return 1 << self.cpu
        mask = 0
        for bit in positions(bits):
            mask |= self.targets[bit]
        return mask

    def set_sources(self, sgi: int, sources: int) -> None:
        """Which PEs have this SGI pending here; the latch follows."""
        self.sources[sgi] = sources
        self.latch = self.latch & ~(1 << sgi) | (1 << sgi if sources else 0)

    def changes(self) -> list[IntState]:
        """One event for each interrupt whose pending or active state is not as last reported."""
        pending, active = self.pending, self.active
        changed = pending ^ self._shown_pending | active ^ self._shown_active
        if not changed:
            return []
        self._shown_pending, self._shown_active = pending, active
        return [
            IntState(self.first + bit, self.cpu, bool(pending >> bit & 1), bool(active >> bit & 1))
            for bit in positions(changed)
        ]


def positions(bits: int) -> Iterator[int]:
    """Numbers of the bits that are set, in ascending order."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
