"""The RTC: counting, the alarm of software and of the operator, the line."""

import pytest
from device_bench import Bench, board

from proto.devices import RTC
from proto.ids import BoardNs
from proto.messages import RaiseLine, RtcAlarm
from proto.node import ProtocolError
from proto.platform import RTC_BASE, RTC_SPI
from services.devices.rtc import Rtc

NOW = 5 << 32 | 0x1234
HIGH, LOW = (RTC_SPI, True), (RTC_SPI, False)


@pytest.fixture
def rtc() -> Bench:
    bench = Bench(Rtc(board()), RTC_BASE)
    bench.now = NOW
    return bench


def set_alarm(rtc: Bench, at_ns: int) -> None:
    """What a driver does."""
    rtc.write(RTC.ALARM_HI, at_ns >> 32)
    rtc.write(RTC.ALARM_LO, at_ns & 0xFFFF_FFFF)
    rtc.write(RTC.CTRL, RTC.CTRL_ENABLE)


def test_the_count_is_board_time_and_read_in_two_halves(rtc: Bench) -> None:
    """The high half is latched by the read of the low one."""
    low = rtc.read(RTC.COUNT_LO)
    rtc.now += 7 << 32
    assert rtc.read(RTC.COUNT_HI) << 32 | low == NOW


def test_the_alarm_fires_once(rtc: Bench) -> None:
    """The line is high until STATUS is cleared; the alarm disables itself."""
    set_alarm(rtc, NOW + 1000)
    assert rtc.timers == {"alarm": NOW + 1000}
    assert (rtc.read(RTC.ALARM_HI), rtc.read(RTC.CTRL)) == (5, RTC.CTRL_ENABLE)

    rtc.fire("alarm")
    assert rtc.wires == rtc.wakes == [HIGH]
    assert (rtc.read(RTC.STATUS), rtc.read(RTC.CTRL)) == (RTC.STATUS_ALARM, 0)
    assert rtc.read(RTC.ALARM_LO) == (NOW + 1000) & 0xFFFF_FFFF

    rtc.write(RTC.STATUS, 0)
    assert rtc.wires == [HIGH]
    rtc.write(RTC.STATUS, RTC.STATUS_ALARM)
    assert rtc.wires == rtc.wakes == [HIGH, LOW]
    assert rtc.events() == [(True, 1), (False, 1)]


def test_an_alarm_in_the_past_fires_at_once(rtc: Bench) -> None:
    """As a comparator would."""
    set_alarm(rtc, NOW - 1)

    assert rtc.wires == [HIGH]
    assert rtc.timers == {}


def test_disabling_and_moving_the_alarm(rtc: Bench) -> None:
    """A new compare value while enabled moves it; CTRL 0 forgets it."""
    set_alarm(rtc, NOW + 1000)
    rtc.write(RTC.ALARM_LO, (NOW + 2000) & 0xFFFF_FFFF)
    assert rtc.timers == {"alarm": NOW + 2000}

    rtc.write(RTC.CTRL, 0)
    assert rtc.timers == {}
    with pytest.raises(ProtocolError):
        rtc.device.on_timer(BoardNs(NOW), "alarm")


def test_the_operator_sets_and_fires_the_alarm(rtc: Bench) -> None:
    """RtcAlarm is relative and replaces what software set; RaiseLine does not wait."""
    set_alarm(rtc, NOW + 1000)
    rtc.send(RtcAlarm(500))
    assert rtc.timers == {"alarm": NOW + 500}

    rtc.send(RaiseLine())
    rtc.send(RaiseLine())
    assert rtc.wires == [HIGH]

    rtc.fire("alarm")
    assert rtc.wires == [HIGH]
