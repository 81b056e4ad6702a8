"""The node `iommu`: the device that the board's IOMMU driver is for."""

from collections.abc import Callable

from proto.board import Board
from proto.devices import ABSENT
from proto.ids import NodeId
from proto.messages import RaiseLine
from proto.platform import IommuDriver
from services.devices.iommu_base import Iommu
from services.devices.ipmmu import Ipmmu
from services.devices.smmu import Smmu
from services.devices.smmu_v3 import SmmuV3


class Absent(Iommu):
    """No IOMMU: an empty frame in the power domain where one would be."""

    def __init__(self, board: Board) -> None:
        super().__init__(board, ABSENT, {})
        self.handlers[RaiseLine] = self._no_fault

    def _no_fault(self, src: NodeId, body: RaiseLine) -> None:
        """The operator's button for a fault is not wired to anything."""


KINDS: dict[IommuDriver, Callable[[Board], Iommu]] = {
    IommuDriver.IPMMU_VMSA: Ipmmu,
    IommuDriver.SMMUV3: SmmuV3,
    IommuDriver.SMMU: Smmu,
    IommuDriver.NONE: Absent,
}


def iommu(board: Board) -> Iommu:
    """The IOMMU of a board."""
    return KINDS[board.platform.iommu](board)
