"""Typed cells: shared data laid out in memory by field tables.

A record is a class whose annotations are its fields, each one 64-bit cell (or an array of them).
An instance binds the fields to addresses, so `domain.pause_count` is the address of that cell and
nothing else: reading and writing it is a bus transaction.
"""

from typing import Annotated, ClassVar, NewType, get_args, get_origin, get_type_hints

Cell = NewType("Cell", int)
"""Address of one 64-bit cell."""

Cells = tuple[Cell, ...]
"""Addresses of an array of cells."""

CELL_BYTES = 8


class Length:
    """How many cells an array field has: a number, or the name of a size given at layout."""

    def __init__(self, size: int | str) -> None:
        self.size = size


class Record:
    """Base of field tables. `sizes` gives the lengths of arrays that depend on the platform."""

    _fields: ClassVar[dict[type, list[tuple[str, int | str | None]]]] = {}

    def __init__(self, layout: "Layout", name: str, sizes: dict[str, int] | None = None) -> None:
        for field, length in self._table():
            if length is None:
                setattr(self, field, layout.cell(f"{name}.{field}"))
                continue
            count = length if isinstance(length, int) else (sizes or {})[length]
            cells = tuple(layout.cell(f"{name}.{field}[{index}]") for index in range(count))
            setattr(self, field, cells)

    @classmethod
    def _table(cls) -> list[tuple[str, int | str | None]]:
        if cls not in cls._fields:
            table: list[tuple[str, int | str | None]] = []
            for field, hint in get_type_hints(cls, include_extras=True).items():
                if field.startswith("_") or get_origin(hint) is ClassVar:
                    continue
                if get_origin(hint) is Annotated:
                    table.append((field, get_args(hint)[1].size))
                else:
                    table.append((field, None))
            cls._fields[cls] = table
        return cls._fields[cls]


class Layout:
    """Hands out consecutive cells from `base` and remembers their names."""

    def __init__(self, base: int) -> None:
        self.base = base
        self._next = base
        self.names: dict[int, str] = {}

    def cell(self, name: str) -> Cell:
        """The next free cell."""
        cell = Cell(self._next)
        self.names[cell] = name
        self._next += CELL_BYTES
        return cell

    @property
    def end(self) -> int:
        """First address behind the cells handed out."""
        return self._next
