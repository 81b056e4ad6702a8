"""I8 and I11, on hand-made journals; I7's half about vCPUs; what was lost."""

import pytest
from hand_made import Script, texts

from proto.el1 import reset_state
from proto.gic import GICD
from proto.ids import GICD_NODE
from proto.messages import RegWrite, VcpuLoad
from proto.platform import GICD_BASE
from proto.traces import (
    HeapUse,
    InterruptLost,
    IntState,
    Online,
    SystemPower,
    VcpuPlaced,
)


def booted() -> Script:
    script = Script()
    script.boot()
    return script


def enable(script: Script, intid: int, secure: bool = True) -> None:
    """CPU0 enables an interrupt and targets an SPI at itself."""
    writes = [(GICD.ISENABLER.word(intid), 1 << intid % 32)]
    if intid >= 32:
        writes.append((GICD.ITARGETSR.word(intid), 0x01 << intid % 4 * 8))
    for offset, value in writes:
        body = RegWrite(1, GICD_BASE + offset, value, secure=secure)
        script.message("el3.pe0", str(GICD_NODE), body)


@pytest.mark.parametrize(("intid", "found"), [(34, 0), (26, 1), (27, 1), (30, 1), (25, 0)])
def test_i8_a_timer_that_wakes_the_system_is_a_violation(intid: int, found: int) -> None:
    """Only the PPIs of the generic timer are, whoever's they are."""
    script = booted()
    script.fall_asleep()
    script.decide()
    script.trace("scp", SystemPower("sleeping"))
    at = script.trace("scp", SystemPower("waking", intid))
    script.trace("scp", SystemPower("on"))
    script.wake_up()
    script.end()

    verdict = script.judged()

    assert len(texts(verdict, "I8")) == found
    assert verdict.properties["I8"] == ("violated" if found else "pass")
    if found:
        finding = next(one for one in verdict.findings if one.property == "I8")
        assert finding.positions == (at,)


@pytest.mark.parametrize(
    ("waiting", "enabled", "found"),
    [
        ([(26, 0)], [26], True),
        ([(27, 0)], [27], True),
        # Something else was there too.
        ([(26, 0), (34, -1)], [26, 34], False),
        # Not this CPU's, or not enabled.
        ([(26, 1)], [26], False),
        ([(26, 0)], [], False),
        ([(34, -1)], [34], False),
    ],
)
def test_i8_a_timer_that_keeps_the_system_awake_is_a_violation(
    waiting: list[tuple[int, int]], enabled: list[int], found: bool
) -> None:
    """Firmware returns in place because of what is pending for the caller."""
    script = booted()
    for intid in enabled:
        enable(script, intid)
    script.fall_asleep()
    for intid, cpu in waiting:
        script.trace("gicd", IntState(intid, cpu, pending=True, active=False))
    script.decide("PENDING")
    script.wake_up()
    script.end()

    verdict = script.judged()

    assert bool(texts(verdict, "I8")) is found
    assert verdict.properties["I8"] == ("violated" if found else "pass")


def test_i8_a_timer_that_was_taken_before_is_nobodys_fault() -> None:
    """What has become active waits no more."""
    script = booted()
    enable(script, 26)
    script.fall_asleep()
    script.trace("gicd", IntState(26, 0, pending=True, active=False))
    script.trace("gicd", IntState(26, 0, pending=False, active=True))
    script.decide("PENDING")
    script.wake_up()
    script.end()

    assert script.judged().properties["I8"] == "pass"


def test_i8_is_not_reached_without_a_wake() -> None:
    """A board that never slept proves nothing."""
    script = booted()
    script.end()

    assert script.judged().properties["I8"] == "not reached"


@pytest.mark.parametrize(
    ("masked", "online", "found"),
    [(True, 4, True), (True, 1, False), (False, 4, False), (False, 1, False)],
)
def test_i11_the_heap_with_irqs_off(masked: bool, online: int, found: bool) -> None:
    """One CPU alone may, and any CPU with IRQs on."""
    script = booted()
    at = script.trace("pe1", HeapUse("xfree", "struct irqaction", masked, online))
    script.end()

    verdict = script.judged()

    assert verdict.properties["I11"] == ("violated" if found else "pass")
    assert [finding.positions for finding in verdict.findings] == ([(at,)] if found else [])


def test_i7_a_vcpu_left_on_an_offline_cpu_is_a_violation() -> None:
    """A CPU that does not come back takes nobody with it."""
    script = booted()
    script.trace("pe0", VcpuPlaced(1, 0, 1))
    script.fall_asleep()
    script.decide()
    script.sleep()
    script.wake_up(cpu1=False)
    script.end()

    assert "domain 1 vCPU 0 is placed on CPU1, which is offline" in texts(script.judged(), "I7")


def test_i7_a_vcpu_may_stay_with_a_cpu_that_comes_back() -> None:
    """During a suspend vCPUs are not moved off dying CPUs; targets of interrupts are the GIC's."""
    script = booted()
    script.trace("pe0", VcpuPlaced(1, 0, 1), VcpuPlaced(1, 0, 1, 41))
    script.cycle()
    script.end()

    assert script.judged().properties["I7"] == "pass"


def test_i7_a_cpu_goes_online_for_itself() -> None:
    """Whoever does it for another has taken that one's number."""
    script = booted()
    script.trace("pe1", Online(0, True))
    script.end()

    assert texts(script.judged(), "I7") == ["CPU0 was put online by pe1"]


@pytest.mark.parametrize("cpu", [0, 1])
def test_i7_a_vcpu_runs_where_it_is_placed(cpu: int) -> None:
    """Another CPU may load it only after it has been placed there."""
    script = booted()
    script.trace("pe0", VcpuPlaced(1, 0, 1))
    load = VcpuLoad(1, 0, 1, reset_state(0, 0, 4, 0))
    script.message(f"pe{cpu}", "dom1", load)
    script.end()

    wanted = [] if cpu == 1 else ["domain 1 vCPU 0 was loaded on CPU0, but placed on CPU1"]
    assert list(texts(script.judged(), "I7")) == wanted


def test_a_loss_is_named_by_block_and_position() -> None:
    """The verdict lists it, also an SGI's, which is no finding."""
    script = booted()
    script.fall_asleep()
    script.decide()
    spi = script.trace("gicd", InterruptLost(36, "gicd"), InterruptLost(1, "gicd"))
    fault = script.trace("iommu", InterruptLost(36, "iommu"))
    script.sleep()
    script.wake_up()
    script.end()

    verdict = script.judged()

    assert [(loss.intid, loss.block, loss.position) for loss in verdict.lost] == [
        (36, "gicd", spi),
        (1, "gicd", spi),
        (36, "iommu", fault),
    ]
    assert len(texts(verdict, "I5")) == 2
