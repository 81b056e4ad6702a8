"""The GIC's state machine, priorities and list registers, on hand-made journals."""

import msgspec
import pytest
from hand_made import Script, board, texts

from proto.gic import GICC, GICD, LR
from proto.messages import (
    BlockPower,
    ExitReason,
    IrqOutput,
    PointReached,
    PointRelease,
    RegRead,
    RegWrite,
    VcpuExit,
    VcpuRun,
    VirtualDeactivate,
    Wire,
)
from proto.platform import GICC_BASE, GICD_BASE
from proto.traces import IntState, PeHalted, PePower
from proto.turn import Trace
from proto.units import S

SPI = 34


def booted() -> Script:
    """Both PEs up; CPU0 has enabled the interrupt and targeted it at itself."""
    script = Script()
    script.boot()
    writes = (
        (GICD.ISENABLER.word(SPI), 1 << SPI % 32),
        (GICD.ITARGETSR.word(SPI), 1 << SPI % 4 * 8),
    )
    for offset, value in writes:
        body = RegWrite(1, GICD_BASE + offset, value, secure=True)
        script.message("el3.pe0", "gicd", body)
    return script


def change(
    script: Script, body: object, pending: bool, active: bool, src: str = "pe0", intid: int = SPI
) -> int:
    """Something reaches the GIC and changes the interrupt; gives the position."""
    state = IntState(intid, -1 if intid >= 32 else int(src[-1]), pending, active)
    return script.message(src, "gicd", body, Trace(state))


def rise(script: Script) -> int:
    """The line rises."""
    return change(script, Wire(SPI, True), True, False, "rtc")


def take(script: Script, cpu: int = 0, intid: int = SPI) -> int:
    """A PE reads IAR."""
    body = RegRead(1, GICC_BASE + GICC.IAR.offset)
    return change(script, body, False, True, f"pe{cpu}", intid)


def end(script: Script, cpu: int = 0, intid: int = SPI) -> int:
    """A PE writes EOIR, which drops the priority."""
    body = RegWrite(1, GICC_BASE + GICC.EOIR.offset, intid)
    return script.message(f"pe{cpu}", "gicd", body)


def found(script: Script, name: str) -> list[str]:
    """What a property says at the end."""
    script.end()
    return texts(script.judged(), name)


def test_an_interrupt_that_goes_its_way_violates_nothing() -> None:
    """Pending, active, ended, deactivated by a guest."""
    script = booted()
    rise(script)
    take(script)
    end(script)
    change(script, VirtualDeactivate(0, SPI), False, False, "dom0")
    script.end()

    verdict = script.judged()

    assert verdict.properties["gic"] == "pass"
    assert verdict.properties["gic_prio"] == "pass"


def test_an_acknowledge_of_what_is_not_pending_is_a_violation() -> None:
    """Nobody had raised it."""
    script = booted()
    take(script)

    assert found(script, "gic") == ["INTID 34 was acknowledged by CPU0, but was not pending"]


def test_an_acknowledge_by_another_pe_is_a_violation() -> None:
    """It targets CPU0."""
    script = booted()
    rise(script)
    take(script, cpu=1)

    assert found(script, "gic") == ["INTID 34 was acknowledged by CPU1, but was not for it"]


def test_the_only_pe_is_the_target_of_every_spi() -> None:
    """Its GICD_ITARGETSR is RAZ/WI, and nobody has to write it."""
    of = board()
    one = msgspec.structs.replace(of.platform, clusters=(1,))
    script = Script(msgspec.structs.replace(of, platform=one))
    enable = RegWrite(1, GICD_BASE + GICD.ISENABLER.word(SPI), 1 << SPI % 32, secure=True)
    script.message("el3.pe0", "gicd", enable)
    rise(script)
    take(script)

    assert not found(script, "gic")


def test_an_acknowledge_of_a_disabled_interrupt_is_a_violation() -> None:
    """It may be pending, but must not be forwarded."""
    script = booted()
    offset = GICD.ICENABLER.word(SPI)
    script.message("el3.pe0", "gicd", RegWrite(1, GICD_BASE + offset, 1 << SPI % 32, secure=True))
    rise(script)
    take(script)

    assert found(script, "gic") == ["INTID 34 was acknowledged by CPU0, but was not enabled"]


@pytest.mark.parametrize(
    ("offset", "pending", "active", "text"),
    [
        (GICD.ICPENDR.word(SPI), True, False, "INTID 34 became pending by GICD_ICPENDR"),
        (GICD.ISPENDR.word(SPI), False, True, "INTID 34 became active by GICD_ISPENDR"),
        (GICD.ISPENDR.word(SPI), True, False, ""),
        (GICD.ISACTIVER.word(SPI), False, True, ""),
    ],
)
def test_a_change_comes_from_what_may_cause_it(
    offset: int, pending: bool, active: bool, text: str
) -> None:
    """A write of one row does not set another row's state."""
    script = booted()
    change(script, RegWrite(1, GICD_BASE + offset, 4), pending, active)

    assert found(script, "gic") == ([text] if text else [])


def test_an_active_bit_that_just_goes_is_a_violation() -> None:
    """Nothing had ended it; but the block's power may take everything."""
    script = booted()
    rise(script)
    take(script)
    script.trace("gicd", IntState(SPI, -1, False, False))
    assert found(script, "gic") == ["INTID 34 became no longer active by nothing"]

    cut = booted()
    rise(cut)
    take(cut)
    end(cut)
    change(cut, BlockPower(False), False, False, "scp")
    assert found(cut, "gic") == []


def test_an_end_out_of_order_is_a_violation() -> None:
    """The last acknowledged is ended first."""
    script = booted()
    rise(script)
    take(script)
    script.trace("gicd", IntState(1, 0, True, False))
    inner = take(script, intid=1)
    outer = end(script)
    script.end()

    verdict = script.judged()

    assert texts(verdict, "gic_prio") == [
        "CPU0 ended INTID 34, but had acknowledged INTID 1 last",
    ]
    finding = next(one for one in verdict.findings if one.property == "gic_prio")
    assert finding.positions == (inner, outer)


def test_a_sleep_with_an_active_priority_is_a_violation() -> None:
    """Xen looks for it at S9 and refuses; the priority is gone with the power."""
    script = booted()
    script.fall_asleep()
    rise(script)
    take(script)
    script.decide()

    assert found(script, "gic_prio") == ["CPU0 suspended the system without having ended INTID 34"]


def test_power_lost_with_an_active_priority_is_a_violation() -> None:
    """A PE in CPU_OFF has nothing left to end."""
    script = booted()
    rise(script)
    take(script)
    script.trace("pe0", PePower(False))

    assert found(script, "gic_prio") == ["CPU0 lost its power without having ended INTID 34"]


@pytest.mark.parametrize(("value", "violated"), [(0x10, True), (0, False)])
def test_an_active_priority_out_of_nothing_is_a_violation(value: int, violated: bool) -> None:
    """One that was saved and is replayed blocks all later interrupts."""
    script = booted()
    script.message("pe0", "gicd", RegWrite(1, GICC_BASE + GICC.APR.offset, value))

    assert bool(found(script, "gic_prio")) is violated


# -- nIRQ


def signal(script: Script, level: bool, cpu: int = 1) -> int:
    """nIRQ of a PE changes."""
    return script.message("gicd", f"pe{cpu}", IrqOutput(level))


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(("time_ns", "late"), [(S // 2, False), (2 * S, True)])
def test_an_interrupt_that_nobody_takes_is_a_violation(
    time_ns: int, late: bool, ends: bool
) -> None:
    """Whether it is taken too late or never."""
    script = booted()
    signal(script, True)
    script.now += time_ns
    if ends:
        signal(script, False)

    assert bool(found(script, "irq_taken")) is late


def test_a_pe_that_cannot_take_interrupts_owes_nothing() -> None:
    """It has no power, it has halted, or the bench holds it."""
    off = booted()
    signal(off, True)
    off.trace("pe1", PePower(False))
    off.now += 2 * S
    off.trace("pe1", PePower(True))
    signal(off, False)
    assert found(off, "irq_taken") == []

    halted = booted()
    signal(halted, True)
    halted.trace("pe1", PeHalted("BUG"))
    halted.now += 2 * S
    assert found(halted, "irq_taken") == []

    held = booted()
    held.send("pe1", "operator", PointReached(1, "S7"))
    signal(held, True)
    held.now += 2 * S
    held.message("operator", "pe1", PointRelease(1))
    signal(held, False)
    assert found(held, "irq_taken") == []


# -- list registers


def pending(intid: int, physical: int | None = None, cpuid: int = 0) -> int:
    """A list register with a pending interrupt."""
    word = LR.VIRTUAL_ID.put(intid) | LR.STATE.put(LR.PENDING) | LR.CPUID.put(cpuid)
    return word if physical is None else word | LR.HW | LR.PHYSICAL_ID.put(physical)


def run(script: Script, *lrs: int, vcpu: int = 0) -> int:
    """PE 0 enters a vCPU of domain 1."""
    return script.message("pe0", "dom1", VcpuRun(vcpu, 1, (*lrs, 0, 0, 0, 0)[:4]))


def leave(script: Script, *lrs: int, vcpu: int = 0) -> None:
    """It comes back."""
    body = VcpuExit(vcpu, 1, ExitReason.IRQ, (), (*lrs, 0, 0, 0, 0)[:4])
    script.message("dom1", "pe0", body)


def test_list_registers_as_they_should_be() -> None:
    """A hardware one stands for an active interrupt; an SGI may come from two vCPUs."""
    script = booted()
    rise(script)
    take(script)
    run(script, pending(SPI, SPI), pending(3, cpuid=0), pending(3, cpuid=1), pending(40))
    leave(script, 0, 0, 0, pending(40))
    leave(script)
    run(script, pending(40), vcpu=1)
    script.end()

    assert script.judged().properties["lrs"] == "pass"


def test_an_interrupt_in_two_list_registers_is_a_violation() -> None:
    """UNPREDICTABLE for the hardware."""
    script = booted()
    run(script, pending(40), pending(40))

    assert found(script, "lrs") == [
        "domain 1 vCPU 0 was entered with INTID 40 in two list registers"
    ]


def test_an_spi_in_list_registers_of_two_vcpus_is_a_violation() -> None:
    """It would be delivered twice."""
    script = booted()
    run(script, pending(40))
    leave(script, pending(40))
    run(script, pending(40), vcpu=1)

    assert found(script, "lrs") == [
        "domain 1: INTID 40 is in list registers of vCPU 0 and of vCPU 1"
    ]


def test_a_hardware_list_register_of_an_inactive_interrupt_is_a_violation() -> None:
    """The guest's deactivation would hit nothing: its active bit was dropped."""
    script = booted()
    run(script, pending(SPI, SPI))

    assert found(script, "lrs") == [
        "domain 1 vCPU 0 was entered with INTID 34 in a list register that stands for INTID 34, "
        "which is not active"
    ]
