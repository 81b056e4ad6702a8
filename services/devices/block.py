"""What all devices share: the register frame, the interrupt line, the answers of the bus."""

from collections.abc import Callable, Sequence
from typing import Any

from proto.ids import GICD_NODE, SCP, BoardNs, NodeId
from proto.messages import (
    Abort,
    Barrier,
    BlockPower,
    BlockPowered,
    RegRead,
    RegWrite,
    Reply,
    WakeLine,
    Wire,
)
from proto.node import ProtocolError
from proto.platform import DEVICE_SIZE, Retention
from proto.registers import Access, RegisterMap, Word
from proto.traces import LineEvent, TraceBody, Unpredictable
from proto.turn import Effect, Envelope, Send, Trace

MASK_32 = 0xFFFF_FFFF


class Device:
    """Base of the device nodes.

    `table` is the device's register table; a subclass gives in `readers` and `writers` what each of
    its registers does. `retention` is None in the always-on domain, where the device also has a
    wake line of its own into `scp`. Refused accesses are answered with `Abort`: no power, a hole in
    the table, the wrong direction, misaligned. A posted write that is refused has no answer and is
    traced as `Unpredictable`.
    """

    def __init__(
        self, node: NodeId, base: int, table: type, intid: int, retention: Retention | None
    ) -> None:
        self.id = node
        self.now = BoardNs(0)
        self.on = True
        self.retention = retention
        self.line = False
        self._base = base
        self._map = RegisterMap(table)
        self.intid = intid
        self._assertions = 0
        self._effects: list[Effect] = []
        self.readers: dict[Word, Callable[[], int]] = {}
        self.writers: dict[Word, Callable[[int], None]] = {}
        self.handlers: dict[type, Callable[[NodeId, Any], None]] = {
            RegRead: self._read,
            RegWrite: self._write,
            Barrier: self._barrier,
        }
        if retention is not None:
            self.handlers[BlockPower] = self._block_power

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The device has power from the start, at reset values."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A register access, the operator's hand, or the device's power."""
        handler = self.handlers.get(type(envelope.body))
        if handler is None:
            raise ProtocolError(f"{self.id} cannot take {envelope.body} from {envelope.id.src}")
        self.now = now
        self.begin()
        handler(envelope.id.src, envelope.body)
        return self.end()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """Most devices set no timers."""
        raise ProtocolError(f"{self.id} set no timer {timer}")

    def reset(self) -> None:
        """Reset values of the device's registers; told when power was lost."""

    # -- for subclasses

    def begin(self) -> None:
        """The turn begins; a device with something of its own under way catches up."""

    def end(self) -> Sequence[Effect]:
        """The turn ends: all its effects."""
        effects, self._effects = self._effects, []
        return effects

    def emit(self, effect: Effect) -> None:
        """Add an effect to the turn."""
        self._effects.append(effect)

    def trace(self, event: TraceBody) -> None:
        """Put a state trace into the turn."""
        self._effects.append(Trace(event))

    def drive(self, level: bool) -> None:
        """The interrupt line has this level now; only a change is told."""
        if level == self.line:
            return
        self.line = level
        self._assertions += level
        self.trace(LineEvent(self.intid, level, self._assertions))
        self.emit(Send(GICD_NODE, Wire(self.intid, level)))
        if self.retention is None:
            self.emit(Send(SCP, WakeLine(self.intid, level)))

    def refusal(self, address: int, width: int, is_write: bool) -> str:
        """Why an access aborts, or nothing."""
        if not self.on:
            return f"{self.id} has no power"
        row = self.row_at(address)
        if width not in (1, 4) or address & 3 or row is None:
            return f"{self.id} has no register for {width} bytes at {address:#x}"
        if row.access is (Access.RO if is_write else Access.WO):
            return f"{row.name} is {row.access.value}"
        return ""

    def row_at(self, address: int) -> Word | None:
        """The register at an address of the device's frame."""
        if not self._base <= address < self._base + DEVICE_SIZE:
            return None
        row = self._map.at(address - self._base)
        return row if isinstance(row, Word) else None

    # -- the bus

    def _read(self, src: NodeId, body: RegRead) -> None:
        row = self.row_at(body.address)
        if reason := self.refusal(body.address, body.width, is_write=False):
            self.emit(Send(src, Abort(body.tx, reason)))
            return
        assert row is not None
        self.emit(Send(src, Reply(body.tx, self.readers[row]())))

    def _write(self, src: NodeId, body: RegWrite) -> None:
        row = self.row_at(body.address)
        reason = self.refusal(body.address, body.width, is_write=True)
        if reason and body.posted:
            what = f"{src}: posted write is lost: {reason}"
            self.trace(Unpredictable(what, "DDI 0487, SError interrupt"))
            return
        if reason:
            self.emit(Send(src, Abort(body.tx, reason)))
            return
        assert row is not None
        if not body.posted:
            self.emit(Send(src, Reply(body.tx)))
        self.writers[row](body.value & MASK_32)

    def _barrier(self, src: NodeId, body: Barrier) -> None:
        self.emit(Send(src, Reply(body.tx)))

    def _block_power(self, src: NodeId, body: BlockPower) -> None:
        if body.on is self.on:
            raise ProtocolError(f"{src}: {self.id} is {'on' if body.on else 'off'} already")
        self.on = body.on
        if not body.on and self.retention is Retention.LOST:
            self.reset()
        self.emit(Send(SCP, BlockPowered(self.id, body.on)))
