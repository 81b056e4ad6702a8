"""Call vectors: the driver of a board without software, and the program on its bare PEs."""

from typing import ClassVar

from proto.messages.base import Message


class BarePower(Message, frozen=True):
    """A bare PE's rail has been switched: everything the PE held is gone when it is off."""

    on: bool
    link: ClassVar[str] = "bus"


class BareArrived(Message, frozen=True):
    """A bare PE has come out of EL3 at a physical address, with these x0 to x30."""

    entry: int
    registers: tuple[int, ...]
    link: ClassVar[str] = "bus"


class BareHalted(Message, frozen=True):
    """A bare PE executes nothing more: it has taken an abort."""

    reason: str
    link: ClassVar[str] = "bus"


class BareReady(Message, frozen=True):
    """A bare PE waits for an order; `values` are the results of the last one.

    After a `BareCall` they are x0 to x30, after a read `BareAccess` the value. `abort` says why an
    access was refused.
    """

    tx: int
    values: tuple[int, ...] = ()
    abort: str = ""
    link: ClassVar[str] = "bus"


class BareCall(Message, frozen=True):
    """An order: SMC with these x0 to x30, by a caller as `Smc` describes it."""

    tx: int
    registers: tuple[int, ...]
    secure: bool = False
    aarch32: bool = False
    link: ClassVar[str] = "bus"


class BareAccess(Message, frozen=True):
    """An order: read `width` bytes at a physical address, or write `value` there."""

    tx: int
    address: int
    width: int
    value: int | None = None
    link: ClassVar[str] = "bus"


class BareMask(Message, frozen=True):
    """An order: set or clear DAIF.I."""

    tx: int
    masked: bool
    link: ClassVar[str] = "bus"


class BareTimer(Message, frozen=True):
    """An order: let a comparator of this PE, named by its PPI, fire after a time."""

    tx: int
    intid: int
    after_ns: int
    link: ClassVar[str] = "bus"


class BareTaken(Message, frozen=True):
    """A bare PE has acknowledged an interrupt; answered by `Reply` once its device is silent."""

    tx: int
    intid: int
    source: int
    link: ClassVar[str] = "bus"
