"""The processor that firmware programs hold in their hands: one PE at EL3."""

from collections.abc import Awaitable, Callable

from proto.board import Board
from proto.ids import SCP, CpuIndex, NodeId, el3_node, pe_node
from proto.image import Image
from proto.machine import Halt, Processor
from proto.messages import Barrier, Body, Eret, RegRead, RegWrite, SysregRead
from proto.platform import MemoryModel
from proto.traces import PeHalted
from proto.turn import Send
from services.firmware.memory import FirmwareMemory

FINAL_WFI = "WFI with power-down requested"


class El3Context(Processor):
    """A PE at EL3: MMU identity-mapped, interrupts masked, every device access Secure.

    `memory` says where the shared cells lie; it holds addresses, never values.
    """

    def __init__(
        self, board: Board, cpu: CpuIndex, image: Image, memory: FirmwareMemory, first_tx: int
    ) -> None:
        super().__init__(
            el3_node(cpu), image, board.memory_map, board.platform.bus_timeout_ns, first_tx
        )
        self.cpu = cpu
        self.pe: NodeId = pe_node(cpu)
        self.platform = board.platform
        self.memory = memory
        self.points = board.points

    @property
    def busy(self) -> bool:
        """Whether a program has not come to its end yet."""
        return bool(self._frames)

    # -- awaited by programs

    def read(self, address: int, width: int = 4) -> Awaitable[int]:
        """Read a device register by a Secure access."""
        device = self._device(address)
        return self.transact(device, lambda tx: RegRead(tx, address, width, secure=True))

    def write(self, address: int, value: int, width: int = 4) -> Awaitable[int]:
        """Write a device register by a Secure access and wait for the acknowledgement."""
        device = self._device(address)
        return self.transact(device, lambda tx: RegWrite(tx, address, value, width, secure=True))

    def sysreg(self, register: str) -> Awaitable[int]:
        """Read a system register of this PE, by name."""
        return self.transact(self.pe, lambda tx: SysregRead(tx, register))

    def wait_for_power(self, make: Callable[[int], Body]) -> Awaitable[int]:
        """A WFI that the power controller ends, however long it takes, or cuts."""
        tx = self._next_tx()
        return self._open_transact(SCP, make(tx), tx)

    async def flush(self) -> None:
        """Clean caches, which ends with a DSB: what this PE stored at EL2 is visible behind it."""
        if self.platform.memory_model is MemoryModel.WEAK:
            await self.transact(self.pe, Barrier)

    # -- immediate

    def post(self, address: int, value: int, width: int = 4) -> None:
        """Write a device register by a Secure access without waiting; `barrier` completes it."""
        device = self._device(address)
        self._posted[device] = None
        self.send(device, RegWrite(0, address, value, width, posted=True, secure=True))

    def send(self, destination: NodeId, body: Body) -> None:
        """Send a message that is not answered."""
        self.emit(Send(destination, body))

    def eret(self, entry: int, x0: int) -> None:
        """Leave EL3 for the first time since reset, towards a physical entry address."""
        self.send(self.pe, Eret(entry, x0))

    # -- inside

    def on_halt(self, message: str) -> None:
        """A panic is reported; the WFI that ends a power-down is no news."""
        if message != FINAL_WFI:
            self.trace(PeHalted(f"EL3 panic: {message}"))


class Panic(Halt):
    """Firmware has found its own state impossible (TF-A `panic()`)."""
