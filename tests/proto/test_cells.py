"""Field tables give addresses."""

from typing import Annotated

from proto.cells import CELL_BYTES, Cell, Cells, Layout, Length, Record


class Pair(Record):
    """Two fields and an array."""

    first: Cell
    second: Cell
    row: Annotated[Cells, Length("n")]


def test_fields_are_consecutive_and_named() -> None:
    """Each field has its own cell, and the layout knows its name."""
    layout = Layout(0x1000)
    one = Pair(layout, "pair[0]", {"n": 2})
    two = Pair(layout, "pair[1]", {"n": 2})

    assert (one.first, one.second) == (0x1000, 0x1000 + CELL_BYTES)
    assert one.row == (0x1010, 0x1018)
    assert two.first == 0x1020
    assert layout.names[two.row[1]] == "pair[1].row[1]"
    assert layout.end == 0x1040
