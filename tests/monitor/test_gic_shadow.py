"""The GIC's shadow where there is one PE only."""

import pytest

from proto.gic import GICD
from proto.messages import RegWrite
from proto.platform import GICD_BASE, Platform
from services.monitor.gic_shadow import GicShadow


@pytest.mark.parametrize(("pes", "before", "after"), [(1, 0b1, 0b1), (2, 0b00, 0b10)])
def test_on_a_uniprocessor_every_spi_goes_to_its_pe(pes: int, before: int, after: int) -> None:
    """ITARGETSR is RAZ/WI there (IHI 0048B, GICD_ITARGETSRn)."""
    shadow = GicShadow(Platform(name="any", clusters=(pes,)))
    assert shadow.targets(40) == before

    shadow.write(0, RegWrite(0, GICD_BASE + GICD.IGROUPR.word(40), 0xFFFF_FFFF, 4, secure=True))
    shadow.write(0, RegWrite(0, GICD_BASE + GICD.ITARGETSR.word(40), 0b10, 4, secure=True))

    assert shadow.targets(40) == after
