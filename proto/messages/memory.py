"""Memory: a PE, an EL3 context or a device to `dram`."""

from enum import IntEnum
from typing import ClassVar

from proto.messages.base import Message


class Attributes(IntEnum):
    """Memory attributes of an access (DDI 0487, Memory types and attributes)."""

    NORMAL_WB = 0
    NORMAL_NC = 1
    DEVICE_NGNRE = 2


class Load(Message, frozen=True):
    """Read one cell; answered by `Reply`."""

    tx: int
    address: int
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class LoadBurst(Message, frozen=True):
    """Read several cells at one point of the memory order; answered by `Replies`."""

    tx: int
    addresses: tuple[int, ...]
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class Store(Message, frozen=True):
    """Write one cell; answered by `Reply`."""

    tx: int
    address: int
    value: int
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class StoreBurst(Message, frozen=True):
    """Write several cells at one point of the memory order; answered by `Reply`."""

    tx: int
    addresses: tuple[int, ...]
    values: tuple[int, ...]
    attributes: int = Attributes.NORMAL_WB
    link: ClassVar[str] = "memory"


class AtomicOp(IntEnum):
    """Single-copy atomic read-modify-write operations (DDI 0487, Large System Extensions)."""

    ADD = 0
    SET = 1
    CLEAR = 2
    SWAP = 3


class Atomic(Message, frozen=True):
    """Read-modify-write of one cell; `Reply` carries the value before it."""

    tx: int
    op: AtomicOp
    address: int
    operand: int
    link: ClassVar[str] = "memory"


class CompareAndSwap(Message, frozen=True):
    """Write `desired` if the cell holds `expected`; `Reply` carries the value before it."""

    tx: int
    address: int
    expected: int
    desired: int
    link: ClassVar[str] = "memory"


class Watch(Message, frozen=True):
    """Ask for `Reply` with the value as soon as it is not `seen`: WFE on a monitored cell."""

    tx: int
    address: int
    seen: int
    link: ClassVar[str] = "memory"


class WatchCancel(Message, frozen=True):
    """Forget the `Watch` of this transaction; not answered."""

    tx: int
    link: ClassVar[str] = "memory"


class Clean(Message, frozen=True):
    """Clean cells to the point of coherency (DC CVAC); answered by `Reply`."""

    tx: int
    addresses: tuple[int, ...]
    link: ClassVar[str] = "memory"


class Barrier(Message, frozen=True):
    """Complete every posted write this sender made to this node (DSB); answered by `Reply`."""

    tx: int
    link: ClassVar[str] = "device"


class TlbInvalidate(Message, frozen=True):
    """A PE tells another to drop its cached EL2 translations (TLBI ALLE2IS); answered by `Reply`.

    The interconnect answers for a PE without power.
    """

    tx: int
    link: ClassVar[str] = "bus"


class Reply(Message, frozen=True):
    """The answer to a transaction."""

    tx: int
    value: int = 0
    link: ClassVar[str] = "reply"


class Replies(Message, frozen=True):
    """The answer to a burst."""

    tx: int
    values: tuple[int, ...]
    link: ClassVar[str] = "reply"


class Abort(Message, frozen=True):
    """The access was refused: the sender takes an external abort."""

    tx: int
    reason: str
    link: ClassVar[str] = "reply"
