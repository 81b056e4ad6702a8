"""The CPU interface: signalling, acknowledge, priority drop, deactivation, preemption."""

import pytest
from gicd_bench import Bench, states

from proto.gic import GICC, GICD, IAR, IDLE_PRIORITY, PPI_LEGACY_IRQ, SPURIOUS, SecureCTLR
from proto.traces import IntState, Unpredictable

SPI, URGENT = 34, 40


@pytest.fixture
def bench() -> Bench:
    bench = Bench().open()
    bench.enable(SPI, URGENT)
    bench.priority(URGENT, 0x50)
    bench.traces.clear()
    return bench


@pytest.fixture
def split() -> Bench:
    """As Xen drives it: EOImode 1."""
    bench = Bench().open(eoimode=1)
    bench.enable(SPI, URGENT)
    bench.priority(URGENT, 0x50)
    bench.traces.clear()
    return bench


def test_reset_values() -> None:
    """Nothing enabled, every priority masked, nothing running."""
    bench = Bench()

    assert bench.read(0, GICC.CTLR, secure=True) == 0
    assert bench.read(0, GICC.PMR) == 0
    assert bench.read(0, GICC.BPR, secure=True) == 2
    assert bench.read(0, GICC.BPR) == 3
    assert bench.read(0, GICC.RPR) == IDLE_PRIORITY
    assert bench.read(0, GICC.HPPIR) == bench.read(0, GICC.IAR) == SPURIOUS
    assert bench.read(0, GICC.IIDR) & 0xFFF == 0x43B


def test_acknowledge_and_end(bench: Bench) -> None:
    """pending, active, inactive; the output falls at the acknowledge and stays low."""
    bench.set_edge(SPI + 1)
    bench.enable(SPI + 1)
    bench.pulse(SPI + 1)
    assert bench.irq[0]

    assert bench.iar() == SPI + 1
    assert (bench.state(SPI + 1), bench.read(0, GICC.RPR)) == ("active", 0xA0)
    assert not bench.irq[0]

    bench.eoir(SPI + 1)
    assert (bench.state(SPI + 1), bench.read(0, GICC.RPR)) == ("inactive", IDLE_PRIORITY)
    assert bench.outputs == [(0, True), (0, False)]


def test_a_level_line_still_high_comes_again(bench: Bench) -> None:
    """Active and pending while it is handled; deactivation lets it through once more."""
    bench.wire(SPI, True)
    bench.iar()
    assert bench.state(SPI) == "active and pending"
    assert not bench.irq[0]

    bench.eoir(SPI)
    assert bench.irq[0]

    bench.wire(SPI, False)
    assert not bench.irq[0]
    assert bench.iar() == SPURIOUS


def test_acknowledge_clears_the_set_pending_latch(bench: Bench) -> None:
    """Software's own pending bit is used up by the acknowledge."""
    bench.write(0, GICD.ISPENDR, 1 << SPI % 32, SPI)
    bench.iar()

    assert bench.state(SPI) == "active"


def test_a_new_edge_while_active(bench: Bench) -> None:
    """An edge during handling is kept for after it."""
    bench.set_edge(SPI + 1)
    bench.enable(SPI + 1)
    bench.pulse(SPI + 1)
    bench.iar()
    bench.pulse(SPI + 1)
    assert bench.state(SPI + 1) == "active and pending"
    assert not bench.irq[0]

    bench.eoir(SPI + 1)
    assert bench.iar() == SPI + 1


def test_eoimode_1_splits_priority_drop_and_deactivation(split: Bench) -> None:
    """EOIR lowers the running priority, the interrupt stays active until DIR."""
    split.wire(SPI, True)
    split.iar()
    split.eoir(SPI)
    assert split.state(SPI) == "active and pending"
    assert split.read(0, GICC.RPR) == IDLE_PRIORITY
    assert not split.irq[0]

    split.wire(SPI, False)
    split.dir(SPI)
    assert split.state(SPI) == "inactive"
    assert split.take_traces(Unpredictable) == []


def test_another_interrupt_is_taken_between_drop_and_deactivation(split: Bench) -> None:
    """After the drop an interrupt of the same priority may be taken."""
    split.enable(SPI + 1)
    split.wire(SPI, True)
    split.wire(SPI + 1, True)
    assert split.iar() == SPI
    assert split.iar() == SPURIOUS

    split.eoir(SPI)
    assert split.iar() == SPI + 1


def test_a_guest_deactivates_the_physical_interrupt(split: Bench) -> None:
    """VirtualDeactivate does what DIR would; a level line comes again."""
    split.wire(SPI, True)
    split.iar()
    split.eoir(SPI)
    split.deactivate(2, SPI)

    assert split.state(SPI) == "pending"
    assert split.irq[0]


def test_the_most_urgent_comes_first(bench: Bench) -> None:
    """Lower value is more urgent; of equals the lowest INTID."""
    bench.enable(SPI + 1)
    for intid in (SPI + 1, SPI, URGENT):
        bench.wire(intid, True)

    taken = []
    for _ in range(3):
        taken.append(bench.iar())
        bench.eoir(taken[-1])
        bench.wire(taken[-1], False)
    assert taken == [URGENT, SPI, SPI + 1]


def test_preemption(bench: Bench) -> None:
    """Only a strictly more urgent group priority is signalled while another one is handled."""
    bench.enable(SPI + 1)
    bench.wire(SPI, True)
    bench.iar()
    bench.wire(SPI + 1, True)
    assert not bench.irq[0]

    bench.wire(URGENT, True)
    assert bench.irq[0]
    assert bench.iar() == URGENT
    assert bench.read(0, GICC.RPR) == 0x50
    assert bench.read(0, GICC.APR) == 1 << (0xA0 >> 4) | 1 << (0x50 >> 4)

    bench.eoir(URGENT)
    assert bench.read(0, GICC.RPR) == 0xA0


def test_the_binary_point_makes_groups_coarser(bench: Bench) -> None:
    """With BPR 7 no interrupt preempts another; the finest that a PE sees is BPR 3."""
    bench.write(0, GICC.BPR, 7)
    bench.wire(SPI, True)
    bench.iar()
    bench.wire(URGENT, True)
    assert not bench.irq[0]
    assert bench.read(0, GICC.RPR) == 0

    bench.write(0, GICC.BPR, 0)
    assert bench.read(0, GICC.BPR) == 3


def test_the_binary_point_decides_between_neighbours(bench: Bench) -> None:
    """0xA0 and 0xB0 are one group under BPR 4 and two under BPR 3."""
    bench.priority(URGENT, 0xA0)
    bench.priority(SPI, 0xB0)
    for bpr, preempts in ((4, False), (3, True)):
        bench.write(0, GICC.BPR, bpr)
        bench.wire(SPI, True)
        bench.iar()
        bench.wire(URGENT, True)
        assert bench.irq[0] is preempts

        for intid in (URGENT, SPI):
            bench.wire(intid, False)
        bench.eoir(SPI)


def test_the_priority_mask(bench: Bench) -> None:
    """Only priorities below PMR pass; HPPIR shows the masked one."""
    bench.wire(SPI, True)
    bench.write(0, GICC.PMR, 0xA0)
    assert bench.read(0, GICC.PMR) == 0xA0
    assert not bench.irq[0]
    assert bench.iar() == SPURIOUS
    assert bench.read(0, GICC.HPPIR) == SPI

    bench.write(0, GICC.PMR, 0xFF)
    assert bench.read(0, GICC.PMR) == 0xF0
    assert bench.irq[0]


def test_a_closed_interface_signals_nothing(bench: Bench) -> None:
    """What comes meanwhile stays pending; an acknowledge gives 1023."""
    bench.write(0, GICC.CTLR, GICC.CTLR_BYPASS_DISABLE)
    bench.wire(SPI, True)
    assert not bench.irq[0]
    assert bench.iar() == SPURIOUS

    bench.write(0, GICC.CTLR, GICC.CTLR_ENABLE)
    assert bench.irq[0]


@pytest.mark.parametrize(("ctlr", "passes"), [(0, True), (GICC.CTLR_BYPASS_DISABLE, False)])
def test_a_closed_interface_with_bypass_forwards_the_legacy_line(
    bench: Bench, ctlr: int, passes: bool
) -> None:
    """GICC_CTLR 0 selects the bypass, the bypass disable bits close that way too."""
    bench.write(1, GICC.CTLR, ctlr)
    bench.wire(PPI_LEGACY_IRQ, True, cpu=1)
    assert bench.irq[1] is passes

    bench.write(1, GICC.CTLR, ctlr | GICC.CTLR_ENABLE)
    assert not bench.irq[1]


def test_one_of_n(bench: Bench) -> None:
    """The first PE to acknowledge gets the SPI, the others read 1023 and lose the signal."""
    bench.target(SPI, 0b1111)
    bench.wire(SPI, True)
    assert bench.irq == [True] * 4

    assert bench.iar(2) == SPI
    assert bench.irq == [False] * 4
    assert [bench.iar(cpu) for cpu in (0, 1, 3)] == [SPURIOUS] * 3


def test_an_sgi_carries_its_source(bench: Bench) -> None:
    """One acknowledge per source, lowest source first, each after the one before."""
    for source in (3, 2):
        bench.sgi(source, 4, 0b0001)
    assert bench.read(0, GICC.HPPIR) == 4 | IAR.CPUID.put(2)

    first = bench.iar()
    assert (IAR.INTID.get(first), IAR.CPUID.get(first)) == (4, 2)
    assert bench.state(4) == "active and pending"
    assert not bench.irq[0]

    bench.eoir(first)
    assert bench.irq[0]
    assert IAR.CPUID.get(bench.iar()) == 3
    assert bench.state(4) == "active"


def test_eoir_and_dir_do_not_look_at_the_source(split: Bench) -> None:
    """Xen writes the INTID of an SGI alone, and GIC-400 takes it."""
    split.sgi(3, 4, 0b0001)
    split.iar()
    split.eoir(4)
    split.dir(4)

    assert split.state(4) == "inactive"
    assert split.take_traces(Unpredictable) == []


def test_spurious_ids_are_not_ended(bench: Bench) -> None:
    """EOIR and DIR of 1023 change nothing and are no mistake."""
    bench.wire(SPI, True)
    bench.iar()
    bench.eoir(SPURIOUS)
    bench.dir(SPURIOUS)

    assert bench.read(0, GICC.RPR) == 0xA0
    assert bench.take_traces(Unpredictable) == []


def test_ending_out_of_order_is_unpredictable(bench: Bench) -> None:
    """The last taken has to be ended first; the hardware drops the highest priority anyway."""
    bench.wire(SPI, True)
    bench.iar()
    bench.wire(URGENT, True)
    bench.iar()
    bench.traces.clear()

    bench.eoir(SPI)
    assert "last taken" in str(bench.take_traces(Unpredictable))
    assert bench.read(0, GICC.RPR) == 0xA0
    assert bench.state(URGENT) == "active and pending"


@pytest.mark.parametrize("intid", [SPI, 200])
def test_ending_what_is_not_handled_is_unpredictable(bench: Bench, intid: int) -> None:
    """An EOIR without an acknowledge has no effect."""
    bench.eoir(intid)

    assert len(bench.take_traces(Unpredictable, IntState)) == 1


def test_dir_with_eoimode_0_is_unpredictable(bench: Bench) -> None:
    """Deactivation of its own needs EOImode 1."""
    bench.wire(SPI, True)
    bench.iar()
    bench.dir(SPI)

    assert "EOImode 0" in str(bench.take_traces(Unpredictable))
    assert bench.state(SPI) == "active and pending"


def test_dir_of_an_inactive_interrupt_is_unpredictable(split: Bench) -> None:
    """There is nothing to deactivate."""
    split.dir(SPI)

    assert "not active" in str(split.take_traces(Unpredictable))


def test_traces_follow_the_life_of_an_interrupt(split: Bench) -> None:
    """Every change of pending or active, in order."""
    split.wire(SPI, True)
    split.iar()
    split.eoir(SPI)
    split.wire(SPI, False)
    split.dir(SPI)

    assert states(split.take_traces(IntState)) == [
        (SPI, -1, True, False),
        (SPI, -1, True, True),
        (SPI, -1, False, True),
        (SPI, -1, False, False),
    ]


def test_software_restores_active_state_and_priorities(bench: Bench) -> None:
    """APR gives the running priority back and ISACTIVER the active bit; then EOIR ends it."""
    bench.write(0, GICD.ISACTIVER, 1 << SPI % 32, SPI)
    bench.write(0, GICC.APR, 1 << (0xA0 >> 4))
    assert bench.read(0, GICC.RPR) == 0xA0

    bench.eoir(SPI)
    assert (bench.read(0, GICC.RPR), bench.state(SPI)) == (IDLE_PRIORITY, "inactive")
    assert bench.take_traces(Unpredictable) == []


# -- security


def test_two_views_of_the_interface_control() -> None:
    """The Non-secure view shows and writes the Group 1 bits of the Secure one."""
    bench = Bench()
    bench.write(0, GICC.CTLR, SecureCTLR.ENABLE_GRP0 | SecureCTLR.FIQ_EN, secure=True)
    bench.write(
        0, GICC.CTLR, GICC.CTLR_ENABLE | GICC.CTLR_BYPASS_DISABLE | GICC.CTLR_EOIMODE | 1 << 3
    )

    assert bench.read(0, GICC.CTLR, secure=True) == (
        SecureCTLR.ENABLE_GRP0
        | SecureCTLR.FIQ_EN
        | SecureCTLR.ENABLE_GRP1
        | SecureCTLR.FIQ_BYP_DIS_GRP1
        | SecureCTLR.IRQ_BYP_DIS_GRP1
        | SecureCTLR.EOIMODE_NS
    )
    assert bench.read(0, GICC.CTLR) == (
        GICC.CTLR_ENABLE | GICC.CTLR_BYPASS_DISABLE | GICC.CTLR_EOIMODE
    )


def secure_interrupt(bench: Bench) -> None:
    """URGENT belongs to Group 0, is an FIQ, and pends."""
    bench.write(0, GICD.IGROUPR, ~(1 << URGENT % 32) & 0xFFFF_FFFF, URGENT, secure=True)
    enables = SecureCTLR.ENABLE_GRP0 | SecureCTLR.ENABLE_GRP1
    bench.write(0, GICC.CTLR, enables | SecureCTLR.FIQ_EN, secure=True)
    bench.wire(URGENT, True)


def test_group_0_is_an_irq_without_fiqen(bench: Bench) -> None:
    """FIQEn decides which line Group 0 drives; Non-secure software still cannot take it."""
    secure_interrupt(bench)
    bench.write(0, GICC.CTLR, SecureCTLR.ENABLE_GRP0, secure=True)
    assert bench.irq[0]
    assert bench.iar() == SPURIOUS


def test_group_0_is_an_fiq_with_fiqen(bench: Bench) -> None:
    """No IRQ: it stays pending, out of sight of the Non-secure world."""
    secure_interrupt(bench)

    assert not bench.irq[0]
    assert bench.iar() == bench.read(0, GICC.HPPIR) == SPURIOUS
    assert bench.state(URGENT) == "pending"


def test_secure_software_takes_group_0(bench: Bench) -> None:
    """A Secure acknowledge and end; the Non-secure world cannot end it."""
    secure_interrupt(bench)
    assert bench.read(0, GICC.HPPIR, secure=True) == URGENT
    assert bench.read(0, GICC.IAR, secure=True) == URGENT
    assert bench.read(0, GICC.APR, secure=True) == 1 << (0xA8 >> 3)
    assert bench.read(0, GICC.APR) == 0

    bench.eoir(URGENT)
    assert bench.read(0, GICC.RPR, secure=True) == 0xA8

    bench.write(0, GICC.EOIR, URGENT, secure=True)
    assert bench.read(0, GICC.RPR) == IDLE_PRIORITY


def test_secure_software_sees_that_group_1_pends(bench: Bench) -> None:
    """1022 unless AckCtl; the aliased registers take it."""
    bench.wire(SPI, True)
    assert bench.read(0, GICC.IAR, secure=True) == 1022
    assert bench.read(0, GICC.HPPIR, secure=True) == 1022
    assert bench.read(0, GICC.AIAR) == 0
    assert bench.read(0, GICC.AHPPIR, secure=True) == SPI

    assert bench.read(0, GICC.AIAR, secure=True) == SPI
    assert bench.read(0, GICC.NSAPR, secure=True) == 1 << (0xD0 >> 3)

    bench.write(0, GICC.AEOIR, SPI, secure=True)
    assert bench.read(0, GICC.RPR) == IDLE_PRIORITY


def test_binary_points_of_two_groups() -> None:
    """BPR has a copy per world; under CBPR Group 1 uses the Secure one."""
    bench = Bench().open()
    bench.write(0, GICC.BPR, 5)
    bench.write(0, GICC.BPR, 3, secure=True)
    assert (bench.read(0, GICC.BPR), bench.read(0, GICC.ABPR, secure=True)) == (5, 5)

    bench.write(0, GICC.CTLR, SecureCTLR.CBPR, secure=True)
    bench.write(0, GICC.BPR, 7)
    assert bench.read(0, GICC.BPR) == 4

    bench.write(0, GICC.ABPR, 6, secure=True)
    bench.write(0, GICC.CTLR, 0, secure=True)
    assert bench.read(0, GICC.BPR) == 6


def test_the_mask_in_the_secure_half_is_out_of_reach(bench: Bench) -> None:
    """Below 0x80 the Non-secure world reads zero and cannot change it; above it sees the half."""
    bench.write(0, GICC.PMR, 0x78, secure=True)
    bench.write(0, GICC.PMR, 0xFF)
    assert bench.read(0, GICC.PMR, secure=True) == 0x78
    assert bench.read(0, GICC.PMR) == 0

    bench.write(0, GICC.PMR, 0xC8, secure=True)
    assert bench.read(0, GICC.PMR) == 0x90
    bench.write(0, GICC.PMR, 0x40)
    assert bench.read(0, GICC.PMR, secure=True) == 0xA0


def test_the_running_priority_of_the_secure_world_reads_as_zero(bench: Bench) -> None:
    """What runs in the upper half is only known to be more urgent than all of the lower."""
    secure_interrupt(bench)
    bench.write(0, GICD.IPRIORITYR, 0x40, URGENT, width=1, secure=True)
    bench.read(0, GICC.IAR, secure=True)

    assert bench.read(0, GICC.RPR, secure=True) == 0x40
    assert bench.read(0, GICC.RPR) == 0


def test_ending_group_1_leaves_the_priority_of_group_0(bench: Bench) -> None:
    """A Non-secure EOIR drops a priority of Group 1, though Group 0 preempted it."""
    bench.wire(SPI, True)
    assert bench.iar() == SPI
    secure_interrupt(bench)
    assert bench.read(0, GICC.IAR, secure=True) == URGENT
    bench.traces.clear()

    bench.eoir(SPI)
    assert bench.read(0, GICC.NSAPR, secure=True) == 0
    assert bench.read(0, GICC.APR, secure=True) == 1 << (0xA8 >> 3)
    assert bench.take_traces(Unpredictable) == []
