"""The distributor: register semantics, banking, security, trigger types, SGIs."""

import pytest
from gicd_bench import ALL, EDGE, Bench, states

from proto.gic import GICD, SGIR
from proto.registers import PerIntid
from proto.traces import IntState, Unpredictable

SPI, OTHER = 34, 40


@pytest.fixture
def bench() -> Bench:
    return Bench().open()


def test_identification(bench: Bench) -> None:
    """TYPER says how many INTIDs and PEs there are and that there are two worlds."""
    assert bench.read(0, GICD.TYPER) == (96 // 32 - 1) | (4 - 1) << 5 | 1 << 10
    assert bench.read(0, GICD.ICPIDR2) >> 4 & 0xF == 2
    assert bench.read(0, GICD.IIDR) & 0xFFF == 0x43B

    bench.write(0, GICD.TYPER, 0)
    assert bench.read(0, GICD.TYPER) != 0


def test_reset_values() -> None:
    """After reset everything is Group 0, disabled, level, inactive; SGIs are always enabled."""
    bench = Bench()

    assert bench.read(0, GICD.CTLR, secure=True) == 0
    for first, enabled, config in ((0, 0xFFFF, 0xAAAA_AAAA), (32, 0, 0), (64, 0, 0)):
        assert bench.read(1, GICD.IGROUPR, first, secure=True) == 0
        assert bench.read(1, GICD.ISENABLER, first, secure=True) == enabled
        assert bench.read(1, GICD.ISPENDR, first, secure=True) == 0
        assert bench.read(1, GICD.ISACTIVER, first, secure=True) == 0
        assert bench.read(1, GICD.ICFGR, first, secure=True) == config
        assert bench.read(1, GICD.IPRIORITYR, first, secure=True) == 0


@pytest.mark.parametrize(
    ("set_row", "clear_row"),
    [
        (GICD.ISENABLER, GICD.ICENABLER),
        (GICD.ISPENDR, GICD.ICPENDR),
        (GICD.ISACTIVER, GICD.ICACTIVER),
    ],
)
def test_set_and_clear_registers(bench: Bench, set_row: PerIntid, clear_row: PerIntid) -> None:
    """A written one acts, a zero does nothing, and both registers read the state."""
    bench.write(0, set_row, 0b1010, 32)
    bench.write(0, set_row, 0b0100, 32)
    bench.write(0, clear_row, 0b0010, 32)

    assert bench.read(0, set_row, 32) == bench.read(0, clear_row, 32) == 0b1100
    assert bench.read(0, set_row, 64) == 0


def test_sgi_enables_are_fixed(bench: Bench) -> None:
    """As in GIC-400, SGIs cannot be disabled."""
    bench.write(0, GICD.ICENABLER, ALL)

    assert bench.read(0, GICD.ISENABLER) == 0xFFFF


def test_word_zero_is_banked(bench: Bench) -> None:
    """SGI and PPI state is each PE's own."""
    bench.write(1, GICD.ISENABLER, 1 << 27)
    bench.write(2, GICD.IPRIORITYR, 0x40, 27, width=1)

    assert [bench.bit(GICD.ISENABLER, 27, cpu) for cpu in range(4)] == [False, True, False, False]
    assert [bench.read(cpu, GICD.IPRIORITYR, 27, width=1) for cpu in (1, 2)] == [0xA0, 0x40]


def test_priorities_have_five_bits(bench: Bench) -> None:
    """The lower three bits read as zero; bytes and words reach the same fields."""
    bench.write(0, GICD.IPRIORITYR, 0xFF_8F_07_47, 36, secure=True)

    assert bench.read(0, GICD.IPRIORITYR, 36, secure=True) == 0xF8_88_00_40
    assert bench.read(0, GICD.IPRIORITYR, 38, width=1, secure=True) == 0x88


def test_the_non_secure_world_sees_the_lower_half_of_the_priorities(bench: Bench) -> None:
    """Four bits of its own, kept shifted right with bit 7 set."""
    bench.write(0, GICD.IPRIORITYR, 0xFF_8F_07_47, 36)

    assert bench.read(0, GICD.IPRIORITYR, 36) == 0xF0_80_00_40
    assert bench.read(0, GICD.IPRIORITYR, 36, secure=True) == 0xF8_C0_80_A0

    bench.write(0, GICD.IPRIORITYR, 0x48, 36, width=1, secure=True)
    assert bench.read(0, GICD.IPRIORITYR, 36, width=1) == 0x90


def test_targets_of_private_interrupts_read_the_readers_own_bit(bench: Bench) -> None:
    """The first 32 bytes tell a PE who it is, and cannot be written."""
    bench.write(2, GICD.ITARGETSR, ALL, 28)

    assert bench.read(2, GICD.ITARGETSR, 0) == 0x04040404
    assert bench.read(2, GICD.ITARGETSR, 28) == 0x04040404
    assert bench.read(3, GICD.ITARGETSR, 31, width=1) == 0x08


def test_targets_that_do_not_exist_are_not_written(bench: Bench) -> None:
    """Bits of absent PEs stay zero."""
    bench.target(SPI, 0xFF)

    assert bench.read(0, GICD.ITARGETSR, SPI, width=1) == 0x0F


def test_a_single_pe_has_no_targets() -> None:
    """On one PE the array is RAZ/WI and every SPI goes to it."""
    bench = Bench(pes=1).open()
    bench.enable(SPI)
    bench.wire(SPI, True)

    assert bench.read(0, GICD.ITARGETSR, 0) == bench.read(0, GICD.ITARGETSR, SPI) == 0
    assert bench.irq == [True]


def test_configuration_has_one_writable_bit(bench: Bench) -> None:
    """Edge or level; the lower bit of a field is reserved, SGIs are always edge."""
    bench.write(0, GICD.ICFGR, ALL, 48)
    bench.write(0, GICD.ICFGR, 0, 0)
    bench.write(1, GICD.ICFGR, EDGE << (27 - 16) * 2, 16)

    assert bench.read(0, GICD.ICFGR, 48) == bench.read(0, GICD.ICFGR, 0) == 0xAAAA_AAAA
    assert bench.read(1, GICD.ICFGR, 16) == EDGE << 22
    assert bench.read(0, GICD.ICFGR, 16) == 0


def test_changing_the_configuration_of_an_enabled_interrupt_is_unpredictable(bench: Bench) -> None:
    """Only a different value counts, and only of an enabled interrupt."""
    bench.enable(SPI)
    bench.traces.clear()
    bench.write(0, GICD.ICFGR, 0, SPI)
    bench.write(0, GICD.ICFGR, EDGE << (OTHER - 32) * 2, OTHER)
    assert bench.take_traces(Unpredictable) == []

    bench.write(0, GICD.ICFGR, ALL, SPI)

    (trace,) = bench.take_traces(Unpredictable)
    assert isinstance(trace, Unpredictable)
    assert f"INTID {SPI}" in trace.what
    assert trace.clause == "IHI 0048B, GICD_ICFGRn"


@pytest.mark.parametrize("row", [GICD.ISENABLER, GICD.IPRIORITYR, GICD.ITARGETSR, GICD.ICFGR])
def test_beyond_the_implemented_intids_nothing_sticks(bench: Bench, row: PerIntid) -> None:
    """RAZ/WI from INTID 96 on."""
    bench.write(0, row, ALL, 96)

    assert bench.read(0, row, 96) == 0


# -- security


def test_group_0_is_hidden_from_the_non_secure_world(bench: Bench) -> None:
    """Reads give zero and writes do nothing until firmware hands the interrupt over."""
    bench.write(0, GICD.IGROUPR, ALL & ~(1 << SPI % 32), SPI, secure=True)
    for row, value in (
        (GICD.ISENABLER, ALL),
        (GICD.ISPENDR, ALL),
        (GICD.ISACTIVER, ALL),
        (GICD.ICFGR, ALL),
        (GICD.IPRIORITYR, 0xF0F0F0F0),
        (GICD.ITARGETSR, 0x02020202),
    ):
        bench.write(0, row, value, SPI)

    for row in (GICD.ISENABLER, GICD.ISPENDR, GICD.ISACTIVER):
        assert not bench.bit(row, SPI, secure=True)
        assert bench.bit(row, SPI + 1)
    assert bench.read(0, GICD.ICFGR, SPI) == 0xAAAA_AAAA & ~(EDGE << 4)
    assert bench.read(0, GICD.IPRIORITYR, SPI, width=1) == 0
    assert bench.read(0, GICD.IPRIORITYR, SPI, width=1, secure=True) == 0xD0
    assert bench.read(0, GICD.ITARGETSR, SPI, width=1, secure=True) == 0x01


def test_groups_belong_to_the_secure_world(bench: Bench) -> None:
    """IGROUPR is RAZ/WI to Non-secure software."""
    bench.write(0, GICD.IGROUPR, 0, 32)

    assert bench.read(0, GICD.IGROUPR, 32) == 0
    assert bench.read(0, GICD.IGROUPR, 32, secure=True) == ALL


def test_two_views_of_the_distributor_control() -> None:
    """Non-secure bit 0 is the Secure bit 1; each world leaves the other's enable alone."""
    bench = Bench()
    bench.write(0, GICD.CTLR, GICD.CTLR_ENABLE_GRP0, secure=True)
    bench.write(0, GICD.CTLR, GICD.CTLR_ENABLE)

    assert bench.read(0, GICD.CTLR) == 0b01
    assert bench.read(0, GICD.CTLR, secure=True) == 0b11

    bench.write(0, GICD.CTLR, 0)
    assert bench.read(0, GICD.CTLR, secure=True) == 0b01
    assert bench.read(0, GICD.CTLR) == 0


# -- wires


def test_a_level_interrupt_follows_its_wire(bench: Bench) -> None:
    """Pending while the line is high, and no longer."""
    bench.wire(SPI, True)
    assert bench.state(SPI) == "pending"

    bench.wire(SPI, False)
    assert bench.state(SPI) == "inactive"


def test_an_edge_is_latched(bench: Bench) -> None:
    """A pulse stays pending; ICPENDR forgets it."""
    bench.set_edge(SPI)
    bench.pulse(SPI)
    assert bench.state(SPI) == "pending"

    bench.write(0, GICD.ICPENDR, 1 << SPI % 32, SPI)
    assert bench.state(SPI) == "inactive"


def test_a_high_wire_is_one_edge(bench: Bench) -> None:
    """A level told twice is no second edge."""
    bench.set_edge(SPI)
    bench.wire(SPI, True)
    bench.write(0, GICD.ICPENDR, 1 << SPI % 32, SPI)
    bench.wire(SPI, True)

    assert bench.state(SPI) == "inactive"


def test_clear_pending_does_not_lower_the_wire(bench: Bench) -> None:
    """ICPENDR clears only the latch of a level interrupt."""
    bench.write(0, GICD.ISPENDR, 1 << SPI % 32, SPI)
    bench.wire(SPI, True)
    bench.write(0, GICD.ICPENDR, 1 << SPI % 32, SPI)
    assert bench.state(SPI) == "pending"

    bench.wire(SPI, False)
    assert bench.state(SPI) == "inactive"


def test_set_pending_outlives_the_wire(bench: Bench) -> None:
    """The ISPENDR latch keeps a level interrupt pending when the line falls."""
    bench.wire(SPI, True)
    bench.write(0, GICD.ISPENDR, 1 << SPI % 32, SPI)
    bench.wire(SPI, False)

    assert bench.state(SPI) == "pending"


def test_a_disabled_interrupt_becomes_pending_but_is_not_forwarded(bench: Bench) -> None:
    """Enabling it later forwards what is pending."""
    bench.wire(SPI, True)
    assert not bench.irq[0]

    bench.enable(SPI)
    assert bench.irq[0]

    bench.write(0, GICD.ICENABLER, 1 << SPI % 32, SPI)
    assert not bench.irq[0]
    assert bench.state(SPI) == "pending"


def test_a_ppi_goes_to_its_own_pe(bench: Bench) -> None:
    """The wire names the PE; the others see nothing."""
    for cpu in range(4):
        bench.enable(27, cpu=cpu)
    bench.wire(27, True, cpu=2)

    assert bench.irq == [False, False, True, False]
    assert bench.state(27, cpu=2) == "pending"
    assert bench.state(27, cpu=1) == "inactive"


def test_targets_route_an_spi(bench: Bench) -> None:
    """Every target is signalled; retargeting moves the signal."""
    bench.enable(SPI)
    bench.target(SPI, 0b0110)
    bench.wire(SPI, True)
    assert bench.irq == [False, True, True, False]

    bench.target(SPI, 0b1000)
    assert bench.irq == [False, False, False, True]


def test_distributor_off_forwards_nothing(bench: Bench) -> None:
    """Group 1 is forwarded only while GICD_CTLR says so; pending stays."""
    bench.enable(SPI)
    bench.wire(SPI, True)
    bench.write(0, GICD.CTLR, 0)
    assert not bench.irq[0]

    bench.write(0, GICD.CTLR, GICD.CTLR_ENABLE)
    assert bench.irq[0]


def test_state_changes_are_traced_once(bench: Bench) -> None:
    """IntState names the PE of a private interrupt and -1 for an SPI."""
    bench.wire(SPI, True)
    bench.wire(SPI, True)
    bench.wire(27, True, cpu=3)
    bench.sgi(0, 5, 0b0010)

    assert states(bench.take_traces(IntState)) == [
        (SPI, -1, True, False),
        (27, 3, True, False),
        (5, 1, True, False),
    ]


# -- SGIs


@pytest.mark.parametrize(
    ("filter_", "targets", "reached"),
    [
        (SGIR.TO_LIST, 0b1010, [1, 3]),
        (SGIR.TO_LIST, 0xF0, []),
        (SGIR.TO_OTHERS, 0b1111, [0, 2, 3]),
        (SGIR.TO_SELF, 0b1101, [1]),
    ],
)
def test_sgi_target_filters(bench: Bench, filter_: int, targets: int, reached: list[int]) -> None:
    """List, all but self, self: PE 1 sends, absent PEs are ignored."""
    bench.sgi(1, 3, targets, filter_)

    assert [cpu for cpu in range(4) if bench.irq[cpu]] == reached


def test_the_reserved_filter_sends_nothing(bench: Bench) -> None:
    """Filter 0b11 is reserved."""
    bench.sgi(0, 3, 0xF, 3)

    assert bench.irq == [False] * 4
    assert len(bench.take_traces(Unpredictable)) == 1


def test_an_sgi_is_pending_once_per_source(bench: Bench) -> None:
    """SPENDSGIR shows who sent it, two sends of one source are one."""
    for source in (2, 0, 2):
        bench.sgi(source, 3, 0b0010)

    assert bench.read(1, GICD.SPENDSGIR, 3, width=1) == 0b0101
    assert bench.read(0, GICD.SPENDSGIR, 3, width=1) == 0
    assert bench.bit(GICD.ISPENDR, 3, cpu=1)

    bench.write(1, GICD.CPENDSGIR, 0b0100 << 24, 0)
    assert bench.read(1, GICD.CPENDSGIR, 0) == 0b0001 << 24

    bench.write(1, GICD.SPENDSGIR, 0b11_1000, 3, width=1)
    assert bench.read(1, GICD.SPENDSGIR, 3, width=1) == 0b1001


def test_sgi_pending_bits_are_read_only(bench: Bench) -> None:
    """ISPENDR and ICPENDR show SGIs and do not change them."""
    bench.write(1, GICD.ISPENDR, 0xFFFF)
    assert bench.read(1, GICD.ISPENDR) == 0

    bench.sgi(0, 3, 0b0010)
    bench.write(1, GICD.ICPENDR, ALL)
    assert bench.read(1, GICD.ISPENDR) == 1 << 3


def test_a_non_secure_sgi_stops_at_a_group_0_target(bench: Bench) -> None:
    """A PE whose firmware has not handed its SGIs over is not reached; the others are."""
    bench.write(2, GICD.IGROUPR, 0, secure=True)
    bench.sgi(0, 3, 0b0110)

    assert bench.irq == [False, True, False, False]
    assert bench.read(2, GICD.SPENDSGIR, 3, width=1, secure=True) == 0


@pytest.mark.parametrize(("nsatt", "reached"), [(0, [False, True]), (1, [True, False])])
def test_a_secure_sgi_names_the_group_that_it_means(
    bench: Bench, nsatt: int, reached: list[bool]
) -> None:
    """NSATT 0 reaches PEs on which the SGI is in Group 0, NSATT 1 those where it is in Group 1."""
    bench.write(1, GICD.IGROUPR, ALL & ~(1 << 4), secure=True)
    word = SGIR.TARGETS.put(0b0011) | SGIR.NSATT.put(nsatt) | SGIR.INTID.put(4)
    bench.write(2, GICD.SGIR, word, secure=True)

    assert [bench.bit(GICD.ISPENDR, 4, cpu, secure=True) for cpu in (0, 1)] == reached
