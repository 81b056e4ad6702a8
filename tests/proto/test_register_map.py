"""Register tables: finding the row for an offset."""

import pytest

from proto.devices import PL011
from proto.gic import GICC, GICD
from proto.registers import Access, PerIntid, RegisterMap, Word


@pytest.mark.parametrize("table", [GICD, GICC, PL011])
def test_every_byte_of_a_row_finds_the_row(table: type) -> None:
    """Lookup and `covers` agree, for the first and last byte and the one behind."""
    registers = RegisterMap(table)
    for row in registers.rows:
        size = 4 if isinstance(row, Word) else row.count * row.bits // 8
        assert registers.at(row.offset) is registers.at(row.offset + size - 1) is row
        assert row.covers(row.offset + size - 1)
        assert not row.covers(row.offset + size)
        assert registers.at(row.offset + size) is not row


def test_holes_hold_nothing() -> None:
    """An offset in no row is told from those that are."""
    assert RegisterMap(GICD).at(0x00C) is None


def test_arrays_for_sgis_end_after_sixteen() -> None:
    """CPENDSGIR and SPENDSGIR lie next to each other."""
    registers = RegisterMap(GICD)

    assert registers.at(0xF1F) is GICD.CPENDSGIR
    assert registers.at(0xF20) is GICD.SPENDSGIR
    assert registers.at(0xF30) is None


def test_overlapping_rows_are_refused() -> None:
    """Two registers cannot share an offset."""

    class Overlap:
        ARRAY = PerIntid("ARRAY", 0x100, 1, Access.RW, "x")
        WORD = Word("WORD", 0x17C, Access.RW)

    with pytest.raises(AssertionError, match="overlaps"):
        RegisterMap(Overlap)
