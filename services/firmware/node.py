"""The node `el3.pe<N>`: the EL3 context of one PE."""

from collections.abc import Mapping, Sequence

from proto.board import Board
from proto.ids import SCP, BoardNs, CpuIndex, NodeId, el3_node
from proto.image import Image, Program
from proto.messages import Abort, BlockPowered, FifoData, PointRelease, Rail, Replies, Reply, Smc
from proto.node import ProtocolError
from proto.patch import FIRMWARE
from proto.platform import FIRMWARE_TEXT
from proto.turn import Effect, Envelope, Send
from services.firmware.bl31 import bl31_entrypoint, smc_handler64
from services.firmware.context import El3Context
from services.firmware.memory import FirmwareMemory

ANSWERS = (Reply, Replies, Abort, FifoData, PointRelease)


class El3:
    """The EL3 context of one PE, which exists while the PE has power.

    `pe<N>` passes its rail on. `Smc` is answered by `SmcReturn`, or never if the call powers the PE
    down. Answers to a context that has lost its power find no taker; every other message that
    comes without power, or an SMC while firmware still runs, is a `ProtocolError`. `relinked`
    replaces symbols of the firmware image.
    """

    def __init__(
        self, board: Board, cpu: int, relinked: Mapping[str, Program] | None = None
    ) -> None:
        self.id: NodeId = el3_node(cpu)
        patched = {**board.relinked(FIRMWARE), **(relinked or {})}
        self.image = Image(FIRMWARE, FIRMWARE_TEXT, "bl31_entrypoint", patched)
        self.memory = FirmwareMemory(board.platform)
        self._board = board
        self._cpu = CpuIndex(cpu)
        self._context: El3Context | None = None
        self._last_tx = 0

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Nothing happens before the rail is on."""
        return ()

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """The rail, an SMC, or the answer to a transaction."""
        body = envelope.body
        if isinstance(body, Rail):
            return self._power_up(now, body) if body.on else self._power_down(body)
        context = self._context
        if context is None:
            if isinstance(body, ANSWERS):
                return ()
            raise ProtocolError(f"{self.id} has no power: {body} from {envelope.id.src}")
        context.begin(now)
        if isinstance(body, Smc):
            if context.busy or context.halted is not None:
                raise ProtocolError(f"{self.id}: {body} while firmware still runs")
            context.interrupt_with(smc_handler64(context, body))
        elif not context.answer(body):
            raise ProtocolError(f"{self.id} cannot take {body} from {envelope.id.src}")
        return context.end()

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """A timer of the context; one set before a power cut has nobody to wake."""
        context = self._context
        if context is None:
            return ()
        context.begin(now)
        if not context.timer_fired(timer):
            raise ProtocolError(f"{self.id} set no timer {timer}")
        return context.end()

    def _power_up(self, now: BoardNs, rail: Rail) -> Sequence[Effect]:
        """A fresh context starts at the reset vector."""
        if self._context is not None:
            raise ProtocolError(f"{self.id} has power already")
        self._context = context = El3Context(
            self._board, self._cpu, self.image, self.memory, self._last_tx
        )
        context.begin(now)
        context.boot(bl31_entrypoint(context, rail.reason))
        return context.end()

    def _power_down(self, rail: Rail) -> Sequence[Effect]:
        """Everything the context held is gone; only its transaction numbers go on."""
        if self._context is None:
            raise ProtocolError(f"{self.id} has no power to lose")
        self._context.discard()
        self._last_tx = self._context.last_tx
        self._context = None
        return (Send(SCP, BlockPowered(self.id, False)),) if rail.report else ()
