"""What gic_suspend leaves out: latches, groups and active priorities are nobody's to restore."""

import pytest
from xen_bench import Bench, board

from proto.gic import GICC, GICD, PRIORITY_MASK, SGIR, SPURIOUS, SecureCTLR
from proto.platform import GICC_BASE, GICD_BASE
from proto.registers import RegisterMap
from services.gicd.cpu_interface import CpuInterface
from services.gicd.distributor import Distributor
from services.pcpu.pe import Pe
from services.pcpu.xen.gic_v2 import gic_resume, gic_suspend
from services.pcpu.xen.memory import XEN_VIRT_OFFSET

SAVED = {
    "GICC_CTLR",
    "GICC_PMR",
    "GICC_BPR",
    "GICD_CTLR",
    "GICD_ISENABLER",
    "GICD_ISACTIVER",
    "GICD_IPRIORITYR",
    "GICD_ITARGETSR",
    "GICD_ICFGR",
}
LOOKED_AT = {"GICC_APR0"}
"""Not saved: a bit of it refuses the suspend."""


def name_of(address: int) -> str:
    """The register at a physical address."""
    frame, base = (GICC, GICC_BASE) if address >= GICC_BASE else (GICD, GICD_BASE)
    row = RegisterMap(frame).at(address - base)
    assert row is not None
    return row.name


@pytest.mark.parametrize("quiesce", ["gic_quiesce", "gic_quiesce_closed"])
def test_pending_bits_groups_and_active_priorities_are_not_saved(quiesce: str) -> None:
    """Level lines pend again by themselves; an edge that was latched in the GIC only is gone."""

    async def program(pe: Pe) -> None:
        assert not await gic_suspend(pe)

    log = Bench(program, of=board(1, gic_quiesce=quiesce)).gic.log

    assert {name_of(where) for _, kind, where, _ in log if kind == "read"} == SAVED | LOOKED_AT


def test_targets_of_private_interrupts_and_sgi_triggers_are_left_alone() -> None:
    """They are read-only: word 0 of GICD_ICFGR, and the first 32 bytes of GICD_ITARGETSR."""

    async def program(pe: Pe) -> None:
        assert not await gic_suspend(pe)

    log = Bench(program).gic.log
    touched = {where - GICD_BASE for _, _, where, _ in log}

    assert not touched & set(range(GICD.ITARGETSR.offset, GICD.ITARGETSR.offset + 32))
    assert GICD.ICFGR.offset not in touched


def test_interface_and_distributor_are_off_while_they_are_written() -> None:
    """The first two writes close both, the last ones open them again."""

    async def program(pe: Pe) -> None:
        await pe.write(GICC_BASE + GICC.CTLR.offset + XEN_VIRT_OFFSET, 0x201)
        await pe.write(GICD_BASE + GICD.CTLR.offset + XEN_VIRT_OFFSET, 1)
        assert not await gic_suspend(pe)
        await gic_resume(pe)

    log = Bench(program).gic.log
    writes = [(name_of(where), value) for _, kind, where, value in log if kind == "write"][2:]

    assert writes[:2] == [("GICC_CTLR", 0), ("GICD_CTLR", 0)]
    assert [name for name, _ in writes[-4:]] == ["GICD_CTLR", "GICC_PMR", "GICC_BPR", "GICC_CTLR"]
    assert (writes[-4][1], writes[-1][1]) == (1, 0x201)


def test_an_sgi_to_a_cpu_that_has_closed_its_interface_waits() -> None:
    """It stays pending there, and is taken once the interface is open again."""
    sender, target, sgi = 0, 1, 3
    distributor = Distributor(2, 96)
    interface = CpuInterface(target, distributor)
    distributor.write(target, GICD.IGROUPR.offset, 4, 1 << sgi, secure=True)
    distributor.write(0, GICD.CTLR.offset, 4, GICD.CTLR_ENABLE_GRP1, secure=True)
    interface.write(GICC.PMR.offset, PRIORITY_MASK, secure=True)
    interface.write(GICC.CTLR.offset, SecureCTLR.IRQ_BYP_DIS_GRP1, secure=True)

    word = SGIR.TARGETS.put(1 << target) | SGIR.INTID.put(sgi)
    distributor.write(sender, GICD.SGIR.offset, 4, word, secure=False)

    assert not interface.irq()
    assert interface.read(GICC.IAR.offset, secure=False) == SPURIOUS
    assert distributor.read(target, GICD.ISPENDR.offset, 4, secure=False) == 1 << sgi

    interface.write(GICC.CTLR.offset, GICC.CTLR_ENABLE, secure=False)

    assert interface.irq()
    assert interface.read(GICC.IAR.offset, secure=False) == sgi
