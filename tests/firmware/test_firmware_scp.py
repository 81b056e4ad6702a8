"""The power controller: rails, blocks, wake lines, switching off."""

import pytest
from firmware_bench import BOOT, ENTRY, LATENCIES, MS, Bench, board, script

from proto.ids import SCP, NodeId
from proto.messages import (
    BlockPower,
    BlockPowered,
    PowerLed,
    PowerOff,
    PowerOn,
    Rail,
    Reply,
    ResetReason,
    SystemPowerOff,
    SystemSleep,
    WakeLine,
)
from proto.node import ProtocolError
from proto.platform import RTC_SPI, UART_SPI
from proto.psci import Psci, mpidr
from proto.traces import SystemPower
from proto.turn import Envelope, MessageId, Send, SetTimer, Trace
from services.firmware.rails import PE_TRANSITIONS, PeState
from services.firmware.scp import BLOCKS, Scp

RESUME = ENTRY + 0x1000
SUSPEND = (Psci.SYSTEM_SUSPEND, RESUME, 0)


class Driver:
    """The controller alone, driven turn by turn."""

    def __init__(self):
        self.scp = Scp(board())
        self.effects = list(self.scp.on_start(0))
        self.led = []

    def give(self, body, src="el3.pe0"):
        """One message; gives the effects without the timers."""
        envelope = Envelope(MessageId(NodeId(src), 1, 0), SCP, None, body)
        return self._seen(self.scp.on_message(0, envelope))

    def fire(self, timer):
        """One timer; gives the effects without the timers."""
        return self._seen(self.scp.on_timer(0, timer))

    def blocks(self, on):
        """Every block reports; gives the effects of the last report."""
        for block in BLOCKS:
            effects = self.give(BlockPowered(block, on), block)
        return effects

    def _seen(self, effects):
        self.effects += effects
        self.led += [e.body.state for e in effects if is_led(e)]
        return [e for e in effects if isinstance(e, Send | Trace) and not is_led(e)]


def is_led(effect):
    """Whether an effect is for the operator's eyes."""
    return isinstance(effect, Send) and isinstance(effect.body, PowerLed)


def asleep():
    """A controller whose system is about to report its blocks off."""
    driver = Driver()
    driver.give(SystemSleep(0, (RTC_SPI,)))
    driver.fire("system")
    return driver


WAKING = [Trace(SystemPower("waking", RTC_SPI)), *(Send(b, BlockPower(True)) for b in BLOCKS)]


def test_start_releases_the_boot_pe():
    """Only pe0 gets power at the start, for a cold boot."""
    assert Driver().effects == [Send("pe0", Rail(True, ResetReason.COLD))]


def test_power_on_is_answered_at_once_and_done_later():
    """0 at once; the rail rises inside the platform's range; a second request is refused."""
    driver = Driver()

    assert driver.give(PowerOn(5, 1)) == [Send("el3.pe0", Reply(5, 0))]
    assert driver.give(PowerOn(6, 1)) == [Send("el3.pe0", Reply(6, 1))]
    assert [e for e in driver.effects if isinstance(e, SetTimer)] == [
        SetTimer("up.pe1", *LATENCIES.power_up)
    ]
    assert driver.fire("up.pe1") == [Send("pe1", Rail(True, ResetReason.POWER_ON_REQUEST))]


@pytest.mark.parametrize("order", ["before the last WFI", "before the cut"])
def test_a_request_never_cancels_a_cut(order):
    """Power-on asked for during a power-down: the cut finishes, then the PE is powered up."""
    driver = Driver()
    driver.give(PowerOn(1, 1))
    driver.fire("up.pe1")
    ask, go = PowerOn(2, 1), PowerOff(1)
    first, second = (ask, go) if order == "before the last WFI" else (go, ask)
    driver.give(first)
    driver.give(second)

    assert driver.give(PowerOn(3, 1)) == [Send("el3.pe0", Reply(3, 1))]
    assert driver.fire("cut.pe1") == [Send("pe1", Rail(False))]
    assert driver.fire("up.pe1") == [Send("pe1", Rail(True, ResetReason.POWER_ON_REQUEST))]


def test_every_state_is_reached_and_left():
    """The table has no dead ends and no state that nothing leads to."""
    states = set(PeState)

    assert {before for before, _ in PE_TRANSITIONS} == states
    assert set(PE_TRANSITIONS.values()) == states


def test_sleep_sequence():
    """The caller's rail, then the blocks, then sleeping; nothing is said before all are off."""
    driver = Driver()

    assert driver.give(SystemSleep(0, (RTC_SPI,))) == []
    assert driver.give(PowerOn(9, 1)) == [Send("el3.pe0", Reply(9, 1))]
    assert driver.fire("system") == [
        Send("pe0", Rail(False)),
        *(Send(block, BlockPower(False)) for block in BLOCKS),
    ]
    assert driver.give(BlockPowered(BLOCKS[0], False), BLOCKS[0]) == []
    assert driver.give(BlockPowered(BLOCKS[1], False), BLOCKS[1]) == []
    assert driver.give(BlockPowered(BLOCKS[2], False), BLOCKS[2]) == [
        Trace(SystemPower("sleeping"))
    ]


def test_wake_sequence():
    """A line of the mask ends the sleep: blocks first, then the PE, then the system is on."""
    driver = asleep()
    driver.blocks(False)

    assert driver.give(WakeLine(RTC_SPI, True), "rtc") == WAKING
    assert driver.give(WakeLine(RTC_SPI, False), "rtc") == []
    assert driver.blocks(True) == [
        Send("pe0", Rail(True, ResetReason.WAKE)),
        Trace(SystemPower("on")),
    ]
    assert driver.led == ["sleeping", "waking", "on"]
    assert driver.give(PowerOn(1, 1)) == [Send("el3.pe0", Reply(1, 0))]


@pytest.mark.parametrize("moment", ["before", "sequence", "blocks"])
def test_a_line_that_rose_earlier_wakes_at_once(moment):
    """A wake line is a level: high before or during the power-down, it ends the sleep."""
    driver = Driver()
    line = WakeLine(RTC_SPI, True)
    if moment == "before":
        driver.give(line, "rtc")
    driver.give(SystemSleep(0, (RTC_SPI,)))
    if moment == "sequence":
        driver.give(line, "rtc")
    driver.fire("system")
    if moment == "blocks":
        driver.give(line, "rtc")

    assert driver.blocks(False) == [Trace(SystemPower("sleeping")), *WAKING]


def test_a_line_that_fell_again_does_not_wake():
    """A level that is gone asks for nothing."""
    driver = asleep()
    driver.give(WakeLine(RTC_SPI, True), "rtc")
    driver.give(WakeLine(RTC_SPI, False), "rtc")

    assert driver.blocks(False) == [Trace(SystemPower("sleeping"))]


def test_lines_outside_the_mask_are_remembered_but_do_not_wake():
    """The mask of one sleep ignores a line; the next mask may count it."""
    driver = asleep()
    driver.give(WakeLine(UART_SPI, True), "uart")

    assert driver.blocks(False) == [Trace(SystemPower("sleeping"))]
    assert driver.give(WakeLine(UART_SPI, True), "uart") == []

    driver.give(WakeLine(RTC_SPI, True), "rtc")
    driver.blocks(True)
    driver.give(WakeLine(RTC_SPI, False), "rtc")
    driver.give(SystemSleep(0, (UART_SPI,)))
    driver.fire("system")
    assert driver.blocks(False)[1] == Trace(SystemPower("waking", UART_SPI))


def test_the_gic_wakes_whatever_the_mask_says():
    """A GIC that kept its state asks by itself; an old request does not end the next sleep."""
    driver = asleep()
    driver.blocks(False)

    assert driver.give(WakeLine(50, True), "gicd")[0] == Trace(SystemPower("waking", 50))

    driver.blocks(True)
    driver.give(SystemSleep(0, (RTC_SPI,)))
    driver.fire("system")
    assert driver.blocks(False) == [Trace(SystemPower("sleeping"))]


def test_system_off():
    """Every rail falls, every block goes off, and nothing comes back."""
    driver = Driver()
    driver.give(PowerOn(1, 1))
    driver.fire("up.pe1")
    driver.give(PowerOn(2, 2))

    assert driver.give(SystemPowerOff()) == [
        Send("pe0", Rail(False)),
        Send("pe1", Rail(False)),
        *(Send(block, BlockPower(False)) for block in BLOCKS),
    ]
    assert driver.blocks(False) == [Trace(SystemPower("off"))]
    assert driver.give(WakeLine(RTC_SPI, True), "rtc") == []
    assert driver.give(PowerOff(1), "el3.pe1") == []


@pytest.mark.parametrize(
    ("body", "src"),
    [
        (PowerOff(3), "el3.pe3"),
        (BlockPowered(BLOCKS[0], True), "gicd"),
        (Rail(True), "pe0"),
    ],
)
def test_what_cannot_be_stops_the_run(body, src):
    """A PE without power cannot ask to lose it, and reports nobody asked for are refused."""
    with pytest.raises(ProtocolError):
        Driver().give(body, src)


def test_second_sleep_stops_the_run():
    """Only one PE can be the last one."""
    driver = Driver()
    driver.give(SystemSleep(0, ()))
    with pytest.raises(ProtocolError, match="asks for system sleep"):
        driver.give(SystemSleep(0, ()))


def test_wake_during_power_down_over_many_seeds():
    """Wherever in the sequence the line rises, the PE resumes exactly once, through its entry."""
    at_once = 0
    for seed in range(300):
        wakes = {"rtc": [(5_000 + 400 * seed, RTC_SPI, True)]}
        bench = Bench({BOOT: script(SUSPEND)}, seed=seed, wakes=wakes).run()

        assert bench.pes[0].entered == [(BOOT, 0), (RESUME, 0)]
        assert [e.state for e in bench.traces(SystemPower)] == ["sleeping", "waking", "on"]
        assert all(block.on for block in bench.blocks)
        at_once += any(
            [e.event.state for e in turn.effects if isinstance(e, Trace)] == ["sleeping", "waking"]
            for turn in bench.turns
            if turn.node == "scp"
        )

    assert 20 < at_once < 280


def test_system_off_call_from_any_pe():
    """SYSTEM_OFF does not return and takes running PEs with it."""
    programs = {
        BOOT: script((Psci.CPU_ON, mpidr(1, 0), ENTRY, 0)),
        ENTRY: script(20_000, (Psci.SYSTEM_OFF,)),
    }
    bench = Bench(programs, wakes={"rtc": [(10 * MS, RTC_SPI, True)]}).run()

    assert bench.pes[2].codes == []
    assert not any(pe.on for pe in bench.pes)
    assert not any(block.on for block in bench.blocks)
    assert bench.traces(SystemPower) == [SystemPower("off")]
