"""GICH: status registers, reasons of the maintenance interrupt, EOICount, the wire of PPI 25."""

import pytest
from domain_bench import LRS, Wires, board
from hypothesis import given
from hypothesis import strategies as st

from proto.el1 import reset_state
from proto.gic import GICC, GICH, HCR, LR, MISR, VMCR, VTR
from proto.ids import NodeId
from proto.messages import BankRead, BankWrite, Reply, VcpuExit, VcpuKick, VcpuLoad, VcpuRun, Wire
from proto.node import ProtocolError
from proto.platform import GUEST_TEXT
from proto.scenario import DomainSpec
from services.domain import gich
from services.domain.interface import VirtualInterface

PE = NodeId("pe1")
SPEC = DomainSpec(id=1, program="idle")


def lr(state: int, extra: int = 0, intid: int = 40) -> int:
    """A list register."""
    return LR.VIRTUAL_ID.put(intid) | LR.STATE.put(state) | extra


def interface(*lrs: int, hcr: int = 0, vmcr: int = 0, apr: int = 0) -> VirtualInterface:
    """A virtual interface that is on."""
    return VirtualInterface(lrs, vmcr, apr, HCR.EN | hcr)


def test_vtr_counts_list_registers_and_bits() -> None:
    """One less than there are, each."""
    word = gich.read(interface(0, 0, 0, 0), GICH.VTR.offset)

    assert VTR.LIST_REGS.get(word) == 3
    assert VTR.PRE_BITS.get(word) == VTR.PRI_BITS.get(word) == 4


@pytest.mark.parametrize(
    ("word", "free", "ended"),
    [
        (0, True, False),
        (lr(0, LR.EOI), False, True),
        (lr(0, LR.HW | LR.PHYSICAL_ID.put(1 << 9)), True, False),
        (lr(LR.PENDING), False, False),
        (lr(LR.ACTIVE, LR.EOI), False, False),
    ],
)
def test_free_and_ended_list_registers(word: int, free: bool, ended: bool) -> None:
    """ELRSR: inactive and HW or no EOI bit; EISR: inactive, HW=0 and the EOI bit."""
    made = interface(lr(LR.PENDING), word)

    assert gich.read(made, GICH.ELRSR0.offset) == free << 1
    assert gich.read(made, GICH.EISR0.offset) == ended << 1
    assert gich.read(made, GICH.MISR.offset) & MISR.EOI == (MISR.EOI if ended else 0)


def test_status_of_more_than_32_list_registers() -> None:
    """The second word has list registers 32 and up."""
    made = interface(*[lr(LR.PENDING)] * 33, lr(0, LR.EOI), 0)

    assert gich.read(made, GICH.EISR1.offset) == 0b010
    assert gich.read(made, GICH.ELRSR1.offset) == 0b100
    assert gich.read(made, GICH.ELRSR0.offset) == 0


@pytest.mark.parametrize(("valid", "underflow"), [(0, True), (1, True), (2, False)])
def test_underflow(valid: int, underflow: bool) -> None:
    """At most one list register is in use; an active one counts as in use."""
    states = [lr(LR.ACTIVE)] * valid + [0] * (4 - valid)

    assert bool(gich.misr(interface(*states, hcr=HCR.UIE)) & MISR.U) is underflow
    assert gich.misr(interface(*states)) == 0


def test_no_pending() -> None:
    """NP asks for a list register that is pending and not active as well."""
    assert gich.misr(interface(lr(LR.PENDING), hcr=HCR.NPIE)) == 0
    assert gich.misr(interface(lr(LR.PENDING | LR.ACTIVE), hcr=HCR.NPIE)) == MISR.NP


@pytest.mark.parametrize(
    ("asked", "vmcr", "reason"),
    [
        (HCR.VGRP0EIE, VMCR.ENABLE_GRP0, MISR.VGRP0E),
        (HCR.VGRP0DIE, VMCR.ENABLE_GRP1, MISR.VGRP0D),
        (HCR.VGRP1EIE, VMCR.ENABLE_GRP1, MISR.VGRP1E),
        (HCR.VGRP1DIE, VMCR.ENABLE_GRP0, MISR.VGRP1D),
    ],
)
def test_the_guests_group_enables(asked: int, vmcr: int, reason: int) -> None:
    """EL2 is told that the guest has switched a group on or off."""
    assert gich.misr(interface(hcr=asked, vmcr=vmcr)) == reason
    assert gich.misr(interface(hcr=asked, vmcr=vmcr ^ 0b11)) == 0


def test_ends_of_what_is_in_no_list_register_are_counted() -> None:
    """EOICount and LRENP: only an end that drops a priority; it wraps at 31."""
    made = interface(0, hcr=HCR.LRENPIE, apr=1 << 20)
    made.write(GICC.EOIR.offset, 50)
    assert HCR.EOI_COUNT.get(gich.read(made, GICH.HCR.offset)) == 1
    assert gich.misr(made) == MISR.LRENP

    made.write(GICC.EOIR.offset, 50)
    assert HCR.EOI_COUNT.get(made.hcr) == 1

    made.hcr |= HCR.EOI_COUNT.mask
    made.apr = 1
    made.write(GICC.EOIR.offset, 50)
    assert (HCR.EOI_COUNT.get(made.hcr), gich.misr(made)) == (0, 0)


def test_with_eoimode_1_the_deactivation_is_counted() -> None:
    """EOIR only drops, DIR of what is in no list register counts."""
    made = interface(0, vmcr=VMCR.EOI_MODE.mask, apr=1)
    made.write(GICC.EOIR.offset, 50)
    assert HCR.EOI_COUNT.get(made.hcr) == 0

    made.write(GICC.DIR.offset, 50)
    made.write(GICC.DIR.offset, 1023)
    assert HCR.EOI_COUNT.get(made.hcr) == 1


def test_a_disabled_virtual_interface_is_silent() -> None:
    """Without HCR.En neither a virtual interrupt nor a maintenance interrupt."""
    made = VirtualInterface((lr(LR.PENDING),), 0xF800_0001, 0, HCR.EN | HCR.VGRP0EIE)
    assert made.signalled()
    assert gich.maintenance(made)

    gich.write(made, GICH.HCR.offset, HCR.VGRP0EIE)
    assert not made.signalled()
    assert not gich.maintenance(made)
    assert gich.read(made, GICH.MISR.offset) == MISR.VGRP0E


@given(st.integers(0, 0x1FC).map(lambda offset: offset & ~3), st.integers(0, 2**32 - 1))
def test_registers_keep_their_implemented_bits(offset: int, value: int) -> None:
    """What is written reads back without reserved bits; read-only registers do not move."""
    made = interface(0, 0)
    implemented = {
        GICH.HCR.offset: 0xF800_00FF,
        GICH.VMCR.offset: 0xF8FC_021F,
        GICH.APR.offset: 0xFFFF_FFFF,
        GICH.LR0.offset: 0xFF8F_FFFF,
        GICH.LR0.offset + 4: 0xFF8F_FFFF,
    }.get(offset, 0)
    before = gich.read(made, offset)
    gich.write(made, offset, value)

    assert gich.read(made, offset) == (value & implemented if implemented else before)


# -- on the bus


def loaded() -> Wires:
    """A domain whose vCPU 0 is loaded into PE 1."""
    wires = Wires(SPEC)
    wires.send(PE, VcpuLoad(1, 0, 1, reset_state(GUEST_TEXT, 0, LRS, 0)))
    return wires


def maintenance(wires: Wires) -> list[bool]:
    """What the wire of PPI 25 of PE 1 has done."""
    return [
        body.level
        for dst, body in wires.sent
        if dst == "gicd" and isinstance(body, Wire) and (body.intid, body.cpu) == (25, 1)
    ]


def test_the_maintenance_wire_is_driven_inside_el1() -> None:
    """High while the guest runs with a reason, low again when it has left."""
    wires = loaded()
    lrs = (lr(LR.PENDING),) + (0,) * (LRS - 1)
    wires.send(PE, VcpuRun(0, 2, lrs, None, HCR.EN | HCR.UIE))
    assert maintenance(wires)[:1] == [True]

    wires.send(PE, VcpuKick(0, 2))
    assert maintenance(wires) == [True, False]
    exit_ = next(body for _, body in wires.sent if isinstance(body, VcpuExit))
    assert exit_.hcr & 0xFF == HCR.EN | HCR.UIE


def test_without_a_reason_there_is_no_maintenance() -> None:
    """As Xen enters a guest whose interrupts all fit."""
    wires = loaded()
    wires.send(PE, VcpuRun(0, 2, (0,) * LRS))

    assert maintenance(wires) == []


def test_el2_reads_and_writes_the_registers_by_name() -> None:
    """BankRead and BankWrite, as MRS and MSR; read-only ones are not written."""
    wires = loaded()
    wires.send(PE, BankWrite(5, 0, "GICH_APR", 0b100))
    wires.send(PE, BankRead(6, 0, "GICH_APR"))
    assert (PE, Reply(6, 0b100)) in wires.sent

    wires.send(PE, BankRead(7, 0, "GICH_ELRSR0"))
    assert (PE, Reply(7, (1 << board(SPEC).platform.list_registers) - 1)) in wires.sent
    with pytest.raises(ProtocolError):
        wires.send(PE, BankWrite(8, 0, "GICH_MISR", 0))
