"""The bench: an operator with a keyboard per console, buttons on the devices and armed points."""

from typing import ClassVar

from proto.messages.base import Message


class SerialInput(Message, frozen=True):
    """The operator types a line on a serial port."""

    line: str
    link: ClassVar[str] = "operator"


class SerialOutput(Message, frozen=True):
    """A serial port has sent a line to the operator's terminal."""

    line: str
    link: ClassVar[str] = "operator"


class RtcAlarm(Message, frozen=True):
    """The operator sets the RTC's alarm this far ahead, as `rtcwake` would."""

    after_ns: int
    link: ClassVar[str] = "operator"


class RaiseLine(Message, frozen=True):
    """The operator drives a device's interrupt line; an edge device pulses it."""

    link: ClassVar[str] = "operator"


class PowerLed(Message, frozen=True):
    """The board's power LED shows the operator what `scp` does: sleeping, waking, on or off."""

    state: str
    link: ClassVar[str] = "operator"


class PointReached(Message, frozen=True):
    """A node stands at an armed point and waits for `PointRelease`."""

    tx: int
    point: str
    link: ClassVar[str] = "operator"


class PointRelease(Message, frozen=True):
    """Go on from the armed point; `answer` may carry an injected return code."""

    tx: int
    answer: int = 0
    link: ClassVar[str] = "operator"
