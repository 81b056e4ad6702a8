"""The node `rtc`: the always-on clock and its alarm, a wake source."""

from collections.abc import Sequence

from proto.board import Board
from proto.devices import RTC
from proto.ids import BoardNs, NodeId
from proto.messages import RaiseLine, RtcAlarm
from proto.node import ProtocolError
from proto.platform import RTC_BASE, RTC_SPI
from proto.turn import CancelTimer, Effect, SetTimer
from services.devices.block import MASK_32, Device

TIMER = "alarm"


class Rtc(Device):
    """Counts nanoseconds of board time; `proto.devices.RTC` says how its registers behave.

    The operator's `RtcAlarm` sets and enables the alarm as software would, `RaiseLine` fires it.
    """

    def __init__(self, board: Board) -> None:
        super().__init__(NodeId("rtc"), RTC_BASE, RTC, RTC_SPI, None)
        self._latched_hi = 0
        self._alarm_ns = 0
        self._enabled = False
        self._status = 0
        self.readers = {
            RTC.COUNT_LO: self._read_count,
            RTC.COUNT_HI: lambda: self._latched_hi,
            RTC.ALARM_LO: lambda: self._alarm_ns & MASK_32,
            RTC.ALARM_HI: lambda: self._alarm_ns >> 32,
            RTC.CTRL: lambda: RTC.CTRL_ENABLE if self._enabled else 0,
            RTC.STATUS: lambda: self._status,
        }
        self.writers = {
            RTC.ALARM_LO: lambda value: self._set_alarm(self._alarm_ns & ~MASK_32 | value),
            RTC.ALARM_HI: lambda value: self._set_alarm(self._alarm_ns & MASK_32 | value << 32),
            RTC.CTRL: lambda value: self._enable(bool(value & RTC.CTRL_ENABLE)),
            RTC.STATUS: lambda value: self._set_status(self._status & ~value),
        }
        self.handlers |= {
            RtcAlarm: lambda src, body: self._arm_ahead(body.after_ns),
            RaiseLine: lambda src, body: self._set_status(RTC.STATUS_ALARM),
        }

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """The alarm's time has come."""
        if timer != TIMER or not self._enabled:
            raise ProtocolError(f"rtc set no timer {timer}")
        self.now = now
        self._fire()
        return self.end()

    def _read_count(self) -> int:
        self._latched_hi = self.now >> 32 & MASK_32
        return self.now & MASK_32

    def _arm_ahead(self, after_ns: int) -> None:
        self._alarm_ns = self.now + after_ns
        self._enable(True)

    def _set_alarm(self, alarm_ns: int) -> None:
        self._alarm_ns = alarm_ns
        if self._enabled:
            self._enable(True)

    def _enable(self, enabled: bool) -> None:
        """Arm for the alarm as it stands, or disarm; an alarm in the past fires at once."""
        if self._enabled:
            self.emit(CancelTimer(TIMER))
        self._enabled = enabled
        if not enabled:
            return
        if self._alarm_ns <= self.now:
            self._fire()
        else:
            self.emit(SetTimer(TIMER, self._alarm_ns, self._alarm_ns))

    def _fire(self) -> None:
        self._enabled = False
        self._set_status(RTC.STATUS_ALARM)

    def _set_status(self, status: int) -> None:
        self._status = status
        self.drive(bool(status))
