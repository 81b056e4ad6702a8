"""The node of one bare PE: powers the PE object up and down and hands it what arrives."""

from collections.abc import Mapping, Sequence

from proto.board import Board
from proto.ids import GICD_NODE, OPERATOR, BoardNs, CpuIndex, el3_node, pe_node
from proto.image import Image, Program
from proto.messages import (
    BareAccess,
    BareArrived,
    BareCall,
    BareMask,
    BarePower,
    BareTimer,
    Barrier,
    Eret,
    IrqOutput,
    Rail,
    Reply,
    SmcReturn,
    SysregRead,
)
from proto.node import ProtocolError
from proto.platform import XEN_TEXT, GiccPower
from proto.traces import PeEntered, PePower
from proto.turn import Effect, Envelope, Send, Trace
from proto.vectors import entry_address
from services.bare import program
from services.bare.pe import BarePe

ENTRY_SYMBOL = program.bare_entry.__name__


class BarePeNode:
    """Node `pe<N>` of a board without Xen.

    The program stands at `$entry` and where the firmware's cold boot goes; at any other address
    there is no code. `relinked` replaces symbols of the program.
    """

    def __init__(
        self, board: Board, cpu: CpuIndex, relinked: Mapping[str, Program] | None = None
    ) -> None:
        self.id = pe_node(cpu)
        self._board = board
        self._cpu = cpu
        self._image = Image("services.bare", XEN_TEXT, ENTRY_SYMBOL, relinked)
        self._entries = (XEN_TEXT, entry_address(board.platform))
        self._pe: BarePe | None = None
        self._last_tx = 0
        self._irq_line = False

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The board has power, this PE has not."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """Rail and interrupt wire always; everything else only with power."""
        body = envelope.body
        if isinstance(body, IrqOutput):
            self._irq_line = body.level
        if isinstance(body, Rail):
            return self._power_up(body) if body.on else self._power_down(now, body)
        pe = self._pe
        if pe is None:
            return ()
        pe.begin(now)
        self._dispatch(pe, envelope)
        return pe.end()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A timer of the PE; one that was set before the power was cut finds nobody."""
        pe = self._pe
        if pe is None:
            return ()
        pe.begin(now)
        if not pe.timer_fired(timer):
            raise ProtocolError(f"{self.id} has no timer {timer}")
        return pe.end()

    def _dispatch(self, pe: BarePe, envelope: Envelope) -> None:
        body = envelope.body
        if pe.answer(body):
            return
        match body:
            case IrqOutput(level):
                pe.set_irq_line(level)
            case SmcReturn(tx, results):
                pe.complete(tx, results)
            case Eret(entry, x0):
                self._enter(pe, entry, x0)
            case SysregRead(tx, "ISR_EL1"):
                pe.emit(Send(envelope.id.src, Reply(tx, int(pe.irq_line))))
            case Barrier(tx):
                pe.complete_for(envelope.id.src, tx)
            case BareCall() | BareAccess() | BareMask() | BareTimer():
                pe.ordered(body)
            case _:
                raise ProtocolError(f"{self.id} cannot take {body} from {envelope.id.src}")

    def _enter(self, pe: BarePe, entry: int, x0: int) -> None:
        """The PE comes out of EL3; only x0 has a meaning (DEN 0022, Initial core configuration)."""
        pe.registers[0] = x0
        pe.trace(PeEntered(ENTRY_SYMBOL if entry in self._entries else hex(entry), x0))
        pe.emit(Send(OPERATOR, BareArrived(entry, tuple(pe.registers))))
        if entry in self._entries:
            pe.boot(self._image.links[ENTRY_SYMBOL](pe))
        else:
            pe.halt(f"instruction abort: no code at {entry:#x}")

    def _power_up(self, rail: Rail) -> Sequence[Effect]:
        if self._pe is not None:
            raise ProtocolError(f"{self.id} is powered up twice")
        self._pe = BarePe(self._board, self._cpu, self._image, self._last_tx, self._irq_line)
        return [
            Trace(PePower(True, rail.reason.name)),
            Send(OPERATOR, BarePower(True)),
            *self._pass_on(rail),
        ]

    def _power_down(self, now: BoardNs, rail: Rail) -> Sequence[Effect]:
        pe, self._pe = self._pe, None
        if pe is None:
            raise ProtocolError(f"{self.id} is powered down twice")
        self._last_tx = pe.last_tx
        pe.begin(now)
        pe.trace(PePower(False))
        pe.power_lost()
        pe.emit(Send(OPERATOR, BarePower(False)))
        return [*pe.end(), *self._pass_on(rail)]

    def _pass_on(self, rail: Rail) -> list[Effect]:
        """To what shares the rail."""
        shared = [el3_node(self._cpu)]
        if self._board.platform.gicc_power is GiccPower.PE:
            shared.append(GICD_NODE)
        return [Send(node, rail) for node in shared]
