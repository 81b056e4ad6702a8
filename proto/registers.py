"""Register maps as tables: offset, bits per interrupt, access kind, what the bits stand for.

A row names a register as its document does. Generic code finds the row for an offset and works out
which interrupts a word or byte of it covers.
"""

from dataclasses import dataclass, field
from enum import Enum


class Access(Enum):
    """Access kinds of a register (IHI 0048B, register summaries)."""

    RO = "RO"
    WO = "WO"
    RW = "RW"
    W1S = "W1S"
    """Reads the state; a written 1 sets the bit."""
    W1C = "W1C"
    """Reads the state; a written 1 clears the bit."""


@dataclass(frozen=True, slots=True)
class Bits:
    """A bit field [high:low] of a register."""

    high: int
    low: int
    mask: int = field(init=False)
    """The field's bits in place."""

    def __post_init__(self) -> None:
        mask = ((1 << (self.high - self.low + 1)) - 1) << self.low
        object.__setattr__(self, "mask", mask)

    def get(self, word: int) -> int:
        """The field's value in a register word."""
        return (word & self.mask) >> self.low

    def put(self, value: int) -> int:
        """A register word with only this field set; the value must fit."""
        word = value << self.low
        assert word & ~self.mask == 0, f"{value} does not fit in bits [{self.high}:{self.low}]"
        return word


@dataclass(frozen=True, slots=True)
class Word:
    """A single 32-bit register at an offset."""

    name: str
    offset: int
    access: Access

    def covers(self, offset: int) -> bool:
        """Whether the offset lies inside the register."""
        return self.offset <= offset < self.offset + 4


@dataclass(frozen=True, slots=True)
class PerIntid:
    """An array of fields, `bits` wide, one for each INTID of 0-1019, from an offset.

    `count` says for how many INTIDs the array has room: 16 where only SGIs have a field.
    """

    name: str
    offset: int
    bits: int
    access: Access
    of: str
    count: int = 1024

    def covers(self, offset: int) -> bool:
        """Whether the offset lies inside the array."""
        return self.offset <= offset < self.offset + self.count * self.bits // 8

    def word(self, first_intid: int) -> int:
        """Offset of the 32-bit word that holds this INTID's field."""
        return self.offset + first_intid * self.bits // 32 * 4

    def byte(self, intid: int) -> int:
        """Offset of the byte that holds this INTID's field."""
        return self.offset + intid * self.bits // 8

    def first_intid(self, offset: int) -> int:
        """The lowest INTID whose field lies in the word or byte at this offset."""
        return (offset - self.offset) * 8 // self.bits

    def per_word(self) -> int:
        """How many INTIDs a 32-bit word holds."""
        return 32 // self.bits


Row = Word | PerIntid
"""A row of a register table."""


class RegisterMap:
    """Finds the row of a table for an offset. A table is a class whose attributes are its rows."""

    def __init__(self, table: type) -> None:
        self.rows: tuple[Row, ...] = tuple(
            sorted(
                (row for row in vars(table).values() if isinstance(row, Word | PerIntid)),
                key=lambda row: row.offset,
            )
        )
        self._at: dict[int, Row] = {}
        for row in self.rows:
            size = 4 if isinstance(row, Word) else row.count * row.bits // 8
            for offset in range(row.offset, row.offset + size, 4):
                assert offset not in self._at, f"{row.name} overlaps {self._at[offset].name}"
                self._at[offset] = row

    def at(self, offset: int) -> Row | None:
        """The register that an access to this byte offset reaches, or None in a hole."""
        return self._at.get(offset & ~3)
