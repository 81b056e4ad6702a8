"""Interleavings that the verdict counts, on hand-made journals."""

import pytest
from hand_made import SYSTEM_SUSPEND, Script, board
from msgspec.structs import replace

from proto.gic import GICD
from proto.ids import GICD_NODE
from proto.messages import RegWrite
from proto.platform import GICD_BASE, RTC_SPI
from proto.scenario import DomainSpec, Role
from proto.traces import (
    DomainShutdown,
    LineEvent,
    Online,
    PauseCount,
    PePower,
    VpsciCall,
    VpsciResult,
    Watchdog,
)


def booted() -> Script:
    script = Script()
    script.boot()
    return script


def is_reached(script: Script, name: str) -> bool:
    return script.judged().sometimes[name]


@pytest.mark.parametrize(
    ("label", "reached"), [("S9", False), ("S13", True)], ids=["before S9", "before S13"]
)
def test_interrupt_between_gic_suspend_and_power_down(label: str, reached: bool) -> None:
    """The CPU interface is closed, and the wake mask is not programmed."""
    script = booted()
    script.fall_asleep(until=label)
    script.trace("rtc", LineEvent(RTC_SPI, True, 1))

    assert is_reached(script, "interrupt_between_gic_suspend_and_power_down") is reached


@pytest.mark.parametrize("power", [True, False])
def test_late_abandon(power: bool) -> None:
    """Firmware has accepted, and Xen is back without having lost its power."""
    script = booted()
    script.fall_asleep()
    script.decide()
    if power:
        script.trace("pe0", PePower(False))
    script.phases("R1")

    assert is_reached(script, "late_abandon") is not power


@pytest.mark.parametrize("order", ["before", "after"])
def test_resume_before_result(order: str) -> None:
    """`xl resume` finds a domain that has shut down and not attached its context."""
    script = booted()
    script.trace("pe0", VpsciCall(1, 0, SYSTEM_SUSPEND, (0, 0, 0)))
    script.trace("pe0", DomainShutdown(1, "complete", "suspend"))
    if order == "after":
        script.trace("pe0", VpsciResult(1, 0, SYSTEM_SUSPEND, 0))
    script.trace("pe1", PauseCount(1, 1))

    assert is_reached(script, "resume_before_result") is (order == "before")


@pytest.mark.parametrize("control", [True, False])
def test_two_control_domains_at_once(control: bool) -> None:
    """Both are inside SYSTEM_SUSPEND."""
    of = board()
    both = (DomainSpec(id=0, role=Role.HARDWARE), DomainSpec(id=1, control=control))
    script = Script(replace(of, scenario=replace(of.scenario, domains=both)))
    script.boot()
    script.trace("pe0", VpsciCall(0, 0, SYSTEM_SUSPEND, (0, 0, 0)))
    script.trace("pe1", VpsciCall(1, 0, SYSTEM_SUSPEND, (0, 0, 0)))

    assert is_reached(script, "two_control_domains_at_once") is control


@pytest.mark.parametrize(("online", "reached"), [(True, False), (False, True)])
def test_wake_targets_offline_cpu(online: bool, reached: bool) -> None:
    """A line rises for an interrupt that only a CPU takes which is gone."""
    script = booted()
    offset = GICD.ITARGETSR.word(RTC_SPI)
    body = RegWrite(1, GICD_BASE + offset, 0b10 << RTC_SPI % 4 * 8, secure=True)
    script.message("el3.pe0", str(GICD_NODE), body)
    script.fall_asleep(until="S4")
    if online:
        script.trace("pe1", Online(1, True))
    script.trace("rtc", LineEvent(RTC_SPI, True, 1))

    assert is_reached(script, "wake_targets_offline_cpu") is reached


@pytest.mark.parametrize(("event", "reached"), [("fired", True), ("spared", True), ("set", False)])
def test_watchdog_expires_while_frozen(event: str, reached: bool) -> None:
    """Its time is over while its domain cannot pat it."""
    script = booted()
    script.fall_asleep(until="S4")
    script.trace("pe0", Watchdog(1, 1, event, 0))

    assert is_reached(script, "watchdog_expires_while_frozen") is reached
