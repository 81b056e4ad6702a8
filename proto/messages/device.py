"""Device registers: a PE, an EL3 context or a domain (pass-through) to a device or `gicd`."""

from typing import ClassVar

from proto.messages.base import Message


class RegRead(Message, frozen=True):
    """Read a device register; `width` in bytes, 1 or 4; answered by `Reply` or `Abort`."""

    tx: int
    address: int
    width: int = 4
    secure: bool = False
    link: ClassVar[str] = "device"


class RegWrite(Message, frozen=True):
    """Write a device register; answered by `Reply`, or by nothing when `posted` (Device-nGnRE)."""

    tx: int
    address: int
    value: int
    width: int = 4
    posted: bool = False
    secure: bool = False
    link: ClassVar[str] = "device"


class FifoWrite(Message, frozen=True):
    """A burst of byte stores to a serial port's data register; posted, not answered."""

    address: int
    data: bytes
    link: ClassVar[str] = "device"


class FifoRead(Message, frozen=True):
    """A burst of byte loads that empties a serial port's receive FIFO; answered by `FifoData`."""

    tx: int
    address: int
    link: ClassVar[str] = "device"


class FifoData(Message, frozen=True):
    """The bytes a receive FIFO held, oldest first."""

    tx: int
    data: bytes
    link: ClassVar[str] = "reply"
