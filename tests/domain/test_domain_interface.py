"""GICV over list registers: acknowledging, priorities, groups, deactivation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.gic import GICC, IDLE_PRIORITY, LR, SPURIOUS
from services.domain.interface import GROUP1_UNACKNOWLEDGED, VirtualInterface

BOTH_GROUPS = 0b111
EOI_MODE = GICC.CTLR_EOIMODE


def lr(intid: int, priority: int = 0xA0, state: int = LR.PENDING, extra: int = 0) -> int:
    """A list register of Group 0."""
    return LR.VIRTUAL_ID.put(intid) | LR.PRIORITY.put(priority >> 3) | LR.STATE.put(state) | extra


def interface(*lrs: int, control: int = BOTH_GROUPS, mask: int = 0xF0) -> VirtualInterface:
    """An enabled interface with these list registers."""
    made = VirtualInterface(lrs, 0, 0)
    made.write(GICC.PMR.offset, mask)
    made.write(GICC.CTLR.offset, control)
    return made


def acknowledge(interface_: VirtualInterface) -> int:
    """Read GICV_IAR."""
    return interface_.read(GICC.IAR.offset)


def end(interface_: VirtualInterface, iar: int) -> None:
    """Write GICV_EOIR."""
    interface_.write(GICC.EOIR.offset, iar)


def states(interface_: VirtualInterface) -> list[int]:
    """State of each list register."""
    return [LR.STATE.get(word) for word in interface_.lrs]


def test_acknowledging_makes_active_and_ending_makes_inactive() -> None:
    """IAR takes a pending interrupt to active, EOIR with EOImode 0 to inactive."""
    gicv = interface(lr(27))

    assert gicv.signalled()
    assert acknowledge(gicv) == 27
    assert states(gicv) == [LR.ACTIVE]
    assert gicv.read(GICC.RPR.offset) == 0xA0

    end(gicv, 27)

    assert states(gicv) == [0]
    assert gicv.read(GICC.RPR.offset) == IDLE_PRIORITY


@pytest.mark.parametrize(
    ("control", "mask"), [(0, 0xF0), (0b010, 0xF0), (BOTH_GROUPS, 0xA0), (BOTH_GROUPS, 0)]
)
def test_nothing_is_signalled_behind_a_closed_door(control: int, mask: int) -> None:
    """A disabled interface or group, or a priority mask at or above the priority, hides it."""
    gicv = interface(lr(27), control=control, mask=mask)

    assert not gicv.signalled()
    assert acknowledge(gicv) == SPURIOUS
    assert states(gicv) == [LR.PENDING]


def test_group_1_needs_its_own_enable_and_ackctl() -> None:
    """A Group 1 interrupt is due with EnableGrp1; IAR hides its number while AckCtl is 0."""
    assert not interface(lr(27, extra=LR.GROUP1), control=0b001).signalled()

    hidden = interface(lr(27, extra=LR.GROUP1), control=0b011)

    assert hidden.signalled()
    assert acknowledge(hidden) == GROUP1_UNACKNOWLEDGED
    assert states(hidden) == [LR.PENDING]
    assert acknowledge(interface(lr(27, extra=LR.GROUP1))) == 27


def test_the_most_urgent_comes_first_and_the_lowest_number_breaks_ties() -> None:
    """A lower priority value wins, then a lower INTID."""
    gicv = interface(lr(40, 0xA0), lr(34, 0x80), lr(33, 0xA0))
    order = []
    for _ in range(3):
        iar = acknowledge(gicv)
        order.append(iar)
        end(gicv, iar)

    assert order == [34, 33, 40]


def test_an_active_interrupt_is_preempted_by_a_more_urgent_one_only() -> None:
    """While one is active, an equal priority waits and a higher one nests."""
    gicv = interface(lr(40, 0xA0), lr(41, 0xA0), lr(42, 0x80))
    gicv.lrs[2] = 0
    assert acknowledge(gicv) == 40
    assert not gicv.signalled()

    gicv.lrs[2] = lr(42, 0x80)

    assert acknowledge(gicv) == 42
    end(gicv, 42)
    assert not gicv.signalled()
    end(gicv, 40)
    assert acknowledge(gicv) == 41


def test_the_binary_point_takes_low_priority_bits_out_of_preemption() -> None:
    """With BPR 7 nothing preempts anything."""
    gicv = interface(lr(40, 0xA0), lr(42, 0x80))
    gicv.write(GICC.BPR.offset, 7)
    assert acknowledge(gicv) == 42
    gicv.lrs[1] = lr(42, 0x08)

    assert gicv.read(GICC.BPR.offset) == 7
    assert not gicv.signalled()


def test_active_and_pending_becomes_pending_again() -> None:
    """An interrupt that came again while active is due again after its end."""
    gicv = interface(lr(27))
    assert acknowledge(gicv) == 27
    gicv.lrs[0] |= LR.STATE.put(LR.PENDING)
    assert not gicv.signalled()

    end(gicv, 27)

    assert states(gicv) == [LR.PENDING]
    assert acknowledge(gicv) == 27


def test_the_end_of_a_hardware_interrupt_deactivates_the_physical_one() -> None:
    """HW=1 passes the deactivation on, by physical INTID, once."""
    gicv = interface(lr(40, extra=LR.HW | LR.PHYSICAL_ID.put(77)))
    end(gicv, acknowledge(gicv))

    assert gicv.take_deactivated() == (77,)
    assert gicv.take_deactivated() == ()


def test_with_eoi_mode_1_only_dir_deactivates() -> None:
    """EOIR drops the priority, DIR deactivates; DIR with EOImode 0 does nothing."""
    gicv = interface(lr(40, extra=LR.HW | LR.PHYSICAL_ID.put(40)), control=BOTH_GROUPS | EOI_MODE)
    end(gicv, acknowledge(gicv))

    assert states(gicv) == [LR.ACTIVE]
    assert gicv.read(GICC.RPR.offset) == IDLE_PRIORITY
    gicv.write(GICC.DIR.offset, 40)
    assert states(gicv) == [0]
    assert gicv.take_deactivated() == (40,)

    plain = interface(lr(40, state=LR.ACTIVE))
    plain.write(GICC.DIR.offset, 40)
    assert states(plain) == [LR.ACTIVE]


def test_an_sgi_shows_its_source() -> None:
    """IAR and HPPIR carry the CPUID field of a software interrupt."""
    gicv = interface(lr(3, extra=LR.CPUID.put(2)))

    assert gicv.read(GICC.HPPIR.offset) == 2 << 10 | 3
    assert acknowledge(gicv) == 2 << 10 | 3
    assert gicv.read(GICC.HPPIR.offset) == SPURIOUS


def test_the_end_of_nothing_changes_nothing() -> None:
    """A spurious number, or one in no list register, deactivates nothing."""
    gicv = interface(lr(40, state=LR.ACTIVE))
    end(gicv, SPURIOUS)
    end(gicv, 41)

    assert states(gicv) == [LR.ACTIVE]
    assert gicv.read(0x300) == 0


def test_the_registers_are_the_fields_of_vmcr() -> None:
    """What the guest writes to CTLR, PMR and BPR is kept in VMCR, where Xen saves it."""
    gicv = interface(control=BOTH_GROUPS | EOI_MODE, mask=0xF8)
    again = VirtualInterface((), gicv.vmcr, 0b100)

    assert again.read(GICC.CTLR.offset) == BOTH_GROUPS | EOI_MODE
    assert again.read(GICC.PMR.offset) == 0xF8
    assert again.read(GICC.APR.offset) == 0b100
    again.write(GICC.APR.offset, 0)
    assert again.read(GICC.APR.offset) == 0


def test_the_aliased_registers_take_group_1_alone() -> None:
    """AIAR and AHPPIR show Group 1 whatever AckCtl says, and nothing while Group 0 is due."""
    gicv = interface(lr(40, 0xA0, extra=LR.GROUP1), lr(41, 0x80), control=0b011)
    assert gicv.read(GICC.AIAR.offset) == gicv.read(GICC.AHPPIR.offset) == SPURIOUS

    end(gicv, acknowledge(gicv))
    assert gicv.read(GICC.HPPIR.offset) == GROUP1_UNACKNOWLEDGED
    assert gicv.read(GICC.AHPPIR.offset) == 40
    assert gicv.read(GICC.AIAR.offset) == 40
    gicv.write(GICC.AEOIR.offset, 40)
    assert states(gicv) == [0, 0]


def test_each_group_has_its_binary_point() -> None:
    """ABPR [7:n] splits Group 1, BPR [7:n+1] Group 0 and, with CBPR, both; both have a minimum."""
    gicv = interface(lr(40, 0x80, extra=LR.GROUP1))
    gicv.write(GICC.BPR.offset, 0)
    gicv.write(GICC.ABPR.offset, 0)
    assert (gicv.read(GICC.BPR.offset), gicv.read(GICC.ABPR.offset)) == (2, 3)

    gicv.write(GICC.ABPR.offset, 6)
    gicv.apr = 1 << (0xB0 >> 3)
    assert not gicv.apr & 1 << (0x80 >> 3)
    assert gicv.signalled()
    gicv.write(GICC.ABPR.offset, 7)
    gicv.lrs[0] = lr(40, 0x98, extra=LR.GROUP1)
    gicv.apr = 1 << (0x80 >> 3)
    assert not gicv.signalled()

    gicv.lrs[0] = lr(40, 0x40, extra=LR.GROUP1)
    assert gicv.signalled()
    gicv.write(GICC.CTLR.offset, BOTH_GROUPS | 1 << 4)
    gicv.write(GICC.BPR.offset, 7)
    gicv.apr = 1 << 0
    assert not gicv.signalled()


def test_group_0_with_fiqen_is_no_irq() -> None:
    """It would be a virtual FIQ; Group 1 stays an IRQ."""
    assert not interface(lr(40), control=BOTH_GROUPS | 1 << 3).signalled()
    assert interface(lr(40, extra=LR.GROUP1), control=BOTH_GROUPS | 1 << 3).signalled()


@given(
    st.lists(
        st.tuples(st.integers(0, 1019), st.integers(0, 29)),
        max_size=6,
        unique_by=lambda pair: pair[0],
    )
)
def test_every_pending_interrupt_is_delivered_once_in_order_of_urgency(
    due: list[tuple[int, int]],
) -> None:
    """Acknowledging and ending until nothing is due gives each once, the most urgent first."""
    gicv = interface(*(lr(intid, priority << 3) for intid, priority in due))
    order = []
    while gicv.signalled():
        iar = acknowledge(gicv)
        order.append(iar)
        end(gicv, iar)

    assert order == [intid for intid, _ in sorted(due, key=lambda pair: (pair[1], pair[0]))]
    assert not any(states(gicv))
    assert gicv.apr == 0


@pytest.mark.parametrize(
    ("control", "apr", "unmatched"),
    [(BOTH_GROUPS, 0, [40]), (BOTH_GROUPS | EOI_MODE, 0, []), (BOTH_GROUPS, 1 << 20, [])],
)
def test_an_active_interrupt_goes_with_an_active_priority(
    control: int, apr: int, unmatched: list[int]
) -> None:
    """Unless EOImode lets the guest drop the one before it ends the other."""
    made = interface(lr(40, state=LR.ACTIVE), lr(41), control=control)
    made.apr = apr

    assert made.unmatched() == unmatched
