"""Drivers against the real devices: a GIC that hands out SPIs, and an operator who reads along."""

from collections.abc import Sequence

from msgspec.structs import replace
from xen_bench import Fake, FakeGic, board

from proto.board import Board
from proto.gic import GICC, SPURIOUS
from proto.ids import OPERATOR, BoardNs, pe_node
from proto.messages import IrqOutput, RegRead, Reply, SerialOutput, Wire
from proto.platform import GICC_BASE, ConsoleDriver, IommuDriver
from proto.turn import Effect, Envelope, Send


def fitted(
    cpus: int = 1,
    console: ConsoleDriver = ConsoleDriver.SCIF,
    iommu: IommuDriver = IommuDriver.IPMMU_VMSA,
    baud: int = 1_000_000,
    iommu_msi: bool = False,
    **relink: str,
) -> Board:
    """A board with these devices; by default a byte takes 10 us on its console."""
    plain = board(cpus, **relink)
    platform = replace(
        plain.platform, console=console, console_baud=baud, iommu=iommu, iommu_msi=iommu_msi
    )
    return replace(plain, platform=platform)


class SpiGic(FakeGic):
    """Delivers one level-sensitive SPI to the boot CPU until it is low; nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.high: int | None = None
        self.acknowledged = 0

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """The line, and the CPU interface's acknowledge register."""
        match envelope.body:
            case Wire(intid, level, -1):
                self.high = intid if level else None
                return [Send(pe_node(0), IrqOutput(level))]
            case RegRead(tx, address) if address == GICC_BASE + GICC.IAR.offset:
                intid = SPURIOUS if self.high is None else self.high
                self.acknowledged += intid != SPURIOUS
                return [Send(envelope.id.src, Reply(tx, intid))]
        return super().on_message(now, envelope)


class Reader(Fake):
    """The operator's terminal, with the board time of each line."""

    def __init__(self) -> None:
        super().__init__(OPERATOR)
        self.lines: list[str] = []
        self.times: list[int] = []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """A line."""
        assert isinstance(envelope.body, SerialOutput)
        self.lines.append(envelope.body.line)
        self.times.append(now)
        return []
