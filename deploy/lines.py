"""Records of a journal as lines for people: addresses in hexadecimal, with what lies there."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final

import msgspec

from bus.journal import Journal, Record
from proto.board import Board
from proto.devices import CONSOLES, IOMMUS, PL011, RTC
from proto.gic import GICC, GICD
from proto.messages import Attributes, Body
from proto.platform import DEVICE_SIZE as FRAME_SIZE
from proto.platform import (
    GICC_BASE,
    GICD_BASE,
    IOMMU_BASE,
    RTC_BASE,
    TTY_BASE,
    UART_BASE,
)
from proto.registers import RegisterMap
from proto.scenario import domain_ids
from proto.turn import CancelTimer, Effect, Fired, MessageId, Received, Send, SetTimer, Trace, Turn
from services.firmware.memory import FirmwareMemory
from services.pcpu.xen.memory import XEN_VIRT_OFFSET, XenMemory

NAMED: Final = frozenset({"address", "addresses"})
"""Fields that are physical addresses of the bus."""

HEXADECIMAL: Final = NAMED | {"entry", "pc", "function", "args"}
"""Fields that are addresses or words made of bit fields."""

Frame = tuple[int, str, RegisterMap]
"""Base, name and registers of what a device shows on the bus."""


class Lines:
    """The lines of one journal; it knows what lies where on the journal's board.

    Cells have names only if this code made the journal: other code may lay them out otherwise.
    """

    def __init__(self, journal: Journal, own: bool) -> None:
        self._records = journal.records
        self._cells = cell_names(journal.header.board) if own else {}
        self._frames = _frames(journal.header.board)
        self._bodies: dict[MessageId, Body] = {}

    def __iter__(self) -> Iterator[str]:
        for position, record in enumerate(self._records):
            yield f"{position:6} {self._record(record)}"

    def _record(self, record: Record) -> str:
        if not isinstance(record, Turn):
            return f"{record.now_ns / 1e6:12.3f} ms hub {record.kind} {record.who}: {record.text}"
        reached = self._input(record)
        effects = "".join(f" | {self._effect(effect)}" for effect in record.effects)
        seq = record.first_seq
        for effect in record.effects:
            if isinstance(effect, Send):
                self._bodies[MessageId(record.node, record.incarnation, seq)] = effect.body
                seq += 1
        return f"{record.now / 1e6:12.3f} ms {record.node} < {reached}{effects}"

    def _input(self, turn: Turn) -> str:
        match turn.input:
            case Received(message):
                body = self._bodies.pop(message, None)
                shown = "a message that is not in the journal" if body is None else self.body(body)
                return f"{message.src} {shown}"
            case Fired(timer):
                return f"timer {timer}"
            case _:
                return "start"

    def _effect(self, effect: Effect) -> str:
        match effect:
            case Send(dst, body):
                return f"> {dst} {self.body(body)}"
            case SetTimer(timer, earliest_ns, latest_ns):
                return f"set timer {timer} {earliest_ns}-{latest_ns}"
            case CancelTimer(timer):
                return f"cancel timer {timer}"
            case Trace(event):
                return self.body(event)

    def body(self, body: msgspec.Struct) -> str:
        """Like a constructor call; a struct inside another is shown alike."""
        fields = (
            f"{name}={self._field(name, getattr(body, name))}" for name in body.__struct_fields__
        )
        return f"{type(body).__name__}({', '.join(fields)})"

    def _field(self, name: str, value: object) -> str:
        if isinstance(value, tuple):
            items = [self._field(name, item) for item in value]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        if isinstance(value, msgspec.Struct):
            return self.body(value)
        if isinstance(value, Enum):
            return value.name
        if name == "attributes" and isinstance(value, int):
            return Attributes(value).name
        if name in HEXADECIMAL and isinstance(value, int) and not isinstance(value, bool):
            there = self.there(value) if name in NAMED else ""
            return f"{value:#x} {there}".rstrip()
        return repr(value)

    def there(self, address: int) -> str:
        """The cell or the register at an address of the bus; nothing if it has no name."""
        if cell := self._cells.get(address):
            return f"<{cell}>"
        for base, name, registers in self._frames:
            offset = address - base
            if (register := registers.at(offset)) is not None:
                return f"<{name}+{offset:#x} {register.name}>"
            if 0 <= offset < FRAME_SIZE:
                return f"<{name}+{offset:#x}>"
        return ""


def cell_names(board: Board) -> Mapping[int, str]:
    """Physical address to name, of everything that Xen and the firmware keep in memory."""
    xen = {cell - XEN_VIRT_OFFSET: name for cell, name in XenMemory(board).names.items()}
    return xen | FirmwareMemory(board.platform).layout.names


def _frames(board: Board) -> tuple[Frame, ...]:
    serial = RegisterMap(PL011)
    return (
        (GICD_BASE, "gicd", RegisterMap(GICD)),
        (GICC_BASE, "gicc", RegisterMap(GICC)),
        (UART_BASE, "uart", RegisterMap(CONSOLES[board.platform.console])),
        (RTC_BASE, "rtc", RegisterMap(RTC)),
        (IOMMU_BASE, "iommu", RegisterMap(IOMMUS[board.platform.iommu])),
        *(
            (TTY_BASE + domain * FRAME_SIZE, f"tty{domain}", serial)
            for domain in domain_ids(board.scenario)
        ),
    )
