"""MEM_PROTECT*: the setting, the range, the scrub at a cold reset."""

import pytest
from firmware_bench import BOOT, Bench, script

from proto.platform import DRAM_BASE, DRAM_SIZE
from proto.psci import Psci, PsciError

DENIED = PsciError.DENIED
SECRET = DRAM_BASE + 0x400
CHECK = Psci.MEM_PROTECT_CHECK_RANGE
CHECK_32 = Psci.MEM_PROTECT_CHECK_RANGE_32


def test_gives_the_setting_before():
    """Off at first; any value but 0 switches it on."""
    calls = [(Psci.MEM_PROTECT, value) for value in (1, 2, 0, 0)]
    assert Bench({BOOT: script(*calls)}).run().pes[0].codes == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("function", "base", "length", "expected"),
    [
        (CHECK, DRAM_BASE, DRAM_SIZE, 0),
        (CHECK, DRAM_BASE, 1, 0),
        (CHECK, DRAM_BASE + DRAM_SIZE - 1, 1, 0),
        (CHECK, DRAM_BASE, DRAM_SIZE + 1, DENIED),
        (CHECK, DRAM_BASE - 1, 2, DENIED),
        (CHECK, DRAM_BASE, 0, DENIED),
        (CHECK, DRAM_BASE, (1 << 64) - DRAM_BASE, DENIED),
        (CHECK, DRAM_BASE, (1 << 64) - 1, DENIED),
        (CHECK_32, 0xFF_0000_0000 | DRAM_BASE, 0xFF_0000_1000, 0),
        (CHECK_32, 0xFFFF_FFFF, 2, DENIED),
    ],
)
def test_check_range(function, base, length, expected):
    """A range counts if all of it is Non-secure RAM; an empty one and one that wraps do not."""
    assert Bench({BOOT: script((function, base, length))}).run().pes[0].codes == [expected]


def test_adjoining_ranges_are_one():
    """What lies in two ranges that touch is covered; a hole is not."""
    ram = ((DRAM_BASE, 0x1000), (DRAM_BASE + 0x1000, 0x100_0000), (DRAM_BASE + 0x200_0000, 0x1000))
    calls = [(CHECK, DRAM_BASE, 0x2000), (CHECK, DRAM_BASE, 0x200_1000)]
    assert Bench({BOOT: script(*calls)}, ram=ram).run().pes[0].codes == [0, DENIED]


@pytest.mark.parametrize(
    ("setting", "reset", "left", "then"),
    [
        (0, (Psci.SYSTEM_RESET,), 7, 0),
        (1, (Psci.SYSTEM_RESET,), 0, 0),
        (1, (Psci.SYSTEM_RESET2, 0, 0), 7, 0),
    ],
)
def test_what_a_reset_leaves(setting, reset, left, then):
    """A cold reset scrubs if it was asked to, a warm one never does; both take the setting back."""
    boots = []

    def boot(pe):
        boots.append(pe.now)
        if len(boots) == 1:
            yield Psci.MEM_PROTECT, setting
            yield reset
        yield Psci.MEM_PROTECT, 0

    bench = Bench({BOOT: boot})
    bench.dram.cells[SECRET] = 7
    bench.run()

    assert bench.dram.cells[SECRET] == left
    assert bench.pes[0].codes == [0, then]
