"""The power controller and single PEs: sleep, wake, freeze, hold, and what comes too late."""

import pytest
from firmware_bench import LATENCIES
from test_firmware_scp import Driver

from proto.ids import el3_node
from proto.messages import (
    BlockPower,
    BlockPowered,
    CpuFreeze,
    CpuSleep,
    PowerHold,
    PowerOff,
    PowerOn,
    PowerQuery,
    Rail,
    Reply,
    ResetReason,
    SystemReset,
    WakeEnable,
    WakeLine,
    WakeRequests,
)
from proto.node import ProtocolError
from proto.psci import HwState
from proto.turn import CancelTimer, Send, SetTimer
from services.firmware.rails import HW_STATES, PeState

WAKE_1 = WakeLine(40, True, 1)
ENOUGH = Send("gicd", WakeRequests(1, WakeEnable.NONE))
COLD_UP = Rail(True, ResetReason.POWER_ON_REQUEST)


def with_pe_1():
    """A controller with PE 0 and PE 1 on."""
    driver = Driver()
    driver.give(PowerOn(1, 1))
    driver.fire("up.pe1")
    return driver


def dead(driver, *cpus):
    """EL3 of these PEs reports that its power is gone; gives the effects of the last report."""
    for cpu in cpus:
        effects = driver.give(BlockPowered(el3_node(cpu), False), el3_node(cpu))
    return effects


def hw_state(driver, cpu=1):
    """What the controller says of a rail."""
    [answer] = driver.give(PowerQuery(9, cpu))
    return answer.body.value


def test_standby_ends_with_nirqcpu():
    """The open CPU interface decides, the WFI is answered, the GIC is told that it is enough."""
    driver = with_pe_1()

    assert driver.give(CpuSleep(7, 1, False), "el3.pe1") == [
        Send("gicd", WakeRequests(1, WakeEnable.INTERFACE))
    ]
    assert hw_state(driver) == HwState.STANDBY
    assert driver.give(WAKE_1, "gicd") == [ENOUGH, Send("el3.pe1", Reply(7))]
    assert hw_state(driver) == HwState.ON


def test_power_down_and_wake():
    """The wakeup output brings the rail back; the reset reason says so."""
    driver = with_pe_1()
    asked = driver.give(CpuSleep(7, 1, True), "el3.pe1")
    assert asked == [Send("gicd", WakeRequests(1, WakeEnable.WAKEUP))]
    assert driver.fire("cut.pe1") == [Send("pe1", Rail(False))]
    assert hw_state(driver) == HwState.OFF
    assert driver.give(WAKE_1, "gicd") == [ENOUGH]
    assert driver.effects[-1] == SetTimer("up.pe1", *LATENCIES.power_up)
    assert driver.fire("up.pe1") == [Send("pe1", Rail(True, ResetReason.WAKE))]


def test_a_wake_up_before_the_cut_cancels_it():
    """The PE goes on behind its WFI, and nothing is cut."""
    driver = with_pe_1()
    driver.give(CpuSleep(7, 1, True), "el3.pe1")

    assert driver.give(WAKE_1, "gicd") == [ENOUGH, Send("el3.pe1", Reply(7))]
    assert CancelTimer("cut.pe1") in driver.effects
    assert hw_state(driver) == HwState.ON


@pytest.mark.parametrize("line", [WAKE_1, WakeLine(40, False, 1), WakeLine(40, True, 2)])
def test_requests_for_others_are_nothing(line):
    """A PE that runs or is off, and a line that falls, move no rail."""
    driver = with_pe_1()
    assert driver.give(line, "gicd") == []
    assert hw_state(driver, 2) == HwState.OFF


def test_power_on_does_not_wake_a_suspended_pe():
    """It is ON to firmware, so nobody may ask; the controller refuses."""
    driver = with_pe_1()
    driver.give(CpuSleep(7, 1, True), "el3.pe1")
    driver.fire("cut.pe1")
    assert driver.give(PowerOn(3, 1)) == [Send("el3.pe0", Reply(3, 1))]


@pytest.mark.parametrize("early", [False, True])
def test_a_frozen_pe_is_reset_by_power_on(early):
    """Whether the request comes before or after the WFI, the rail falls, then rises."""
    driver = with_pe_1()
    messages = [CpuFreeze(1), PowerOn(3, 1)]
    out = [e for body in (messages[::-1] if early else messages) for e in driver.give(body)]

    assert Send("pe1", Rail(False)) in out
    assert Send("el3.pe0", Reply(3, 0)) in out
    assert driver.fire("up.pe1") == [Send("pe1", COLD_UP)]


@pytest.mark.parametrize("release_first", [False, True])
def test_hold(release_first):
    """A held PE comes up when it is released, or when its rail is up, whatever is later."""
    driver = Driver()
    driver.give(PowerHold(1, True), "operator")
    driver.give(PowerOn(1, 1))
    if release_first:
        assert driver.give(PowerHold(1, False), "operator") == []
        assert driver.fire("up.pe1") == [Send("pe1", COLD_UP)]
    else:
        assert driver.fire("up.pe1") == []
        assert driver.give(PowerHold(1, False), "operator") == [Send("pe1", COLD_UP)]


def test_reset_while_pes_sleep():
    """Every rail that is on falls, every wake request is taken back, only PE 0 comes again."""
    driver = with_pe_1()
    driver.give(CpuSleep(7, 1, False), "el3.pe1")
    out = driver.give(SystemReset())

    assert [e for e in out if e.dst == "pe0" or e.dst == "pe1"] == [
        Send("pe0", Rail(False, report=True)),
        Send("pe1", Rail(False, report=True)),
    ]
    assert out.index(ENOUGH) < out.index(Send("gicd", BlockPower(False, True)))
    assert driver.give(WAKE_1, "gicd") == []
    dead(driver, 0, 1)
    driver.blocks(False)
    assert driver.blocks(True)[0] == Send("pe0", Rail(True, ResetReason.COLD))


def test_what_was_sent_before_a_reset_is_too_late():
    """Until its power is gone a PE asks for nothing any more; after the boot PE 0 is heard."""
    driver = with_pe_1()
    driver.give(SystemReset())

    assert driver.give(PowerOff(1), "el3.pe1") == []
    assert driver.give(PowerOn(5, 2), "el3.pe1") == []
    dead(driver, 0, 1)
    driver.blocks(False)
    driver.blocks(True)
    assert driver.give(PowerOn(6, 1)) == [Send("el3.pe0", Reply(6, 0))]


def test_a_reset_waits_until_every_pe_has_lost_its_power():
    """A PE that has not seen its power go could still write to what the boot sets up."""
    driver = with_pe_1()
    driver.give(SystemReset())
    dead(driver, 0)
    assert driver.blocks(False) == []
    assert dead(driver, 1) == [Send(block, BlockPower(True)) for block in ("gicd", "uart", "iommu")]


def test_a_second_sleep_is_a_fault():
    """A PE that is off already cannot execute WFI."""
    driver = Driver()
    with pytest.raises(ProtocolError):
        driver.give(CpuSleep(7, 1, True), "el3.pe1")


def test_every_state_has_a_truth():
    """NODE_HW_STATE knows every state of a rail."""
    assert set(HW_STATES) == set(PeState)
