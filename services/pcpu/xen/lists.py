"""Lists in memory: an array of cells, each index plus one of a member in order, then zeros."""

from collections.abc import Sequence

from proto.cells import Cells
from services.pcpu.pe import Pe


def members(words: Sequence[int]) -> list[int]:
    """The members of a list whose cells hold these words."""
    return [word - 1 for word in words if word]


def list_words(cells: Cells, wanted: Sequence[int]) -> tuple[int, ...]:
    """What the cells of a list hold when these are its members."""
    words = tuple(member + 1 for member in wanted)
    return words + (0,) * (len(cells) - len(words))


async def store_list(pe: Pe, cells: Cells, wanted: Sequence[int]) -> None:
    """Make these the members of a list."""
    await pe.store_burst(cells, list_words(cells, wanted))
