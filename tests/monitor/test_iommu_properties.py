"""The IOMMU's property, on hand-made journals."""

import msgspec
import pytest
from hand_made import Script, board, texts

from proto.devices import IPMMU, SMMUV3
from proto.messages import BlockPower, RegWrite
from proto.platform import IOMMU_BASE, IommuDriver
from proto.registers import Word
from proto.traces import Phase


def write(script: Script, row: Word, value: int) -> None:
    """Xen programs the IOMMU."""
    script.message("pe0", "iommu", RegWrite(1, IOMMU_BASE + row.offset, value))


def slept(script: Script) -> None:
    """S5, and what the loss of power leaves to R5."""
    script.trace("pe0", Phase("S5", "iommu_suspend", "begin"))
    script.trace("pe0", Phase("S5", "iommu_suspend", "end"))
    script.message("scp", "iommu", BlockPower(False))
    script.message("scp", "iommu", BlockPower(True))
    script.trace("pe0", Phase("R5", "iommu_resume", "begin"))


def resumed(script: Script) -> list[str]:
    """What is found once R5 is over."""
    script.trace("pe0", Phase("R5", "iommu_resume", "end"))
    return texts(script.judged(), "iommu")


@pytest.mark.parametrize("restored", [True, False])
def test_a_setting_that_is_lost_in_the_sleep_is_a_violation(restored: bool) -> None:
    """And one that is written back is none, whatever is flushed with it."""
    script = Script()
    write(script, IPMMU.IMCTR, IPMMU.IMCTR_MMUEN | IPMMU.IMCTR_INTEN)
    slept(script)
    if restored:
        write(script, IPMMU.IMCTR, IPMMU.IMCTR_MMUEN | IPMMU.IMCTR_INTEN | IPMMU.IMCTR_FLUSH)

    found = resumed(script)

    assert bool(found) is not restored
    assert all("IMCTR0 is 0x0, it was 0x5" in text for text in found)


def test_a_block_that_keeps_its_state_needs_no_write() -> None:
    """The power model says who loses what."""
    script = Script(board(power_model="all-retained"))
    write(script, IPMMU.IMCTR, IPMMU.IMCTR_MMUEN)
    slept(script)

    assert not resumed(script)


def test_the_position_of_a_queue_is_no_setting() -> None:
    """A reset of the SMMUv3 starts its queues anew."""
    of = board()
    platform = msgspec.structs.replace(of.platform, iommu=IommuDriver.SMMUV3)
    script = Script(msgspec.structs.replace(of, platform=platform))
    for row, value in ((SMMUV3.CMDQ_PROD, 7), (SMMUV3.CR0, SMMUV3.CR0_SMMUEN)):
        write(script, row, value)
    slept(script)
    write(script, SMMUV3.CR0, SMMUV3.CR0_SMMUEN)

    assert not resumed(script)
