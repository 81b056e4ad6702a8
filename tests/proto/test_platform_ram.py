"""Non-secure RAM of a platform: what other blocks answer for is never part of it."""

import pytest

from proto.ids import DRAM, GICD_NODE, NodeId
from proto.platform import (
    DRAM_BASE,
    DRAM_SIZE,
    GICC_BASE,
    GICD_BASE,
    SRAM_BASE,
    SRAM_SIZE,
    UART_BASE,
    MemoryMap,
    MemoryRange,
    Platform,
)

HIGH = 0x8_8000_0000


def platform(*ram: MemoryRange) -> Platform:
    """A platform with these ranges."""
    return Platform(name="ram", clusters=(2,), ram=ram)


def test_by_default_all_of_dram() -> None:
    """One range, as it stands."""
    assert Platform(name="ram", clusters=(2,)).non_secure_ram == ((DRAM_BASE, DRAM_SIZE),)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ((SRAM_BASE, SRAM_SIZE), ()),
        ((SRAM_BASE - 16, 16), ((SRAM_BASE - 16, 16),)),
        ((SRAM_BASE - 16, 32), ((SRAM_BASE - 16, 16),)),
        ((SRAM_BASE + SRAM_SIZE - 16, 32), ((SRAM_BASE + SRAM_SIZE, 16),)),
        (
            (GICD_BASE - 0x1000, GICC_BASE - GICD_BASE + 0x1000),
            (
                (GICD_BASE - 0x1000, 0x1000),
                (GICD_BASE + 0x1000, GICC_BASE - GICD_BASE - 0x1000),
            ),
        ),
    ],
)
def test_other_blocks_leave_holes(given: MemoryRange, left: tuple[MemoryRange, ...]) -> None:
    """Before, behind and on both sides of a block."""
    assert platform(given).non_secure_ram == left


def test_ranges_stand_in_ascending_order() -> None:
    """Whatever the order in which they were written."""
    assert platform((HIGH, 8), (DRAM_BASE, 8)).non_secure_ram == ((DRAM_BASE, 8), (HIGH, 8))


def test_memory_answers_where_a_platform_has_more_of_it() -> None:
    """Devices and secure SRAM answer as ever, and beyond the range nothing does."""
    whole = platform((DRAM_BASE, 0x8000_0000), (HIGH, 0x1000))
    memory_map = MemoryMap((), whole.non_secure_ram)

    assert memory_map.node_at(DRAM_BASE + DRAM_SIZE) == DRAM
    assert memory_map.node_at(HIGH + 0xFF8) == DRAM
    assert memory_map.node_at(GICD_BASE) == GICD_NODE
    assert memory_map.node_at(UART_BASE) == NodeId("uart")
    assert memory_map.node_at(HIGH + 0x1000) is None
    assert MemoryMap(()).node_at(DRAM_BASE + DRAM_SIZE) is None
