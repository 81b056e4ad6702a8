"""A guest that ignores everything: it computes, enables no interrupt and asks nobody anything."""

from proto.image import symbol
from proto.units import MS
from services.domain.guest_cpu import GuestCpu

SPIN_NS = 1 * MS
"""Compute time between two looks at nothing."""


@symbol
async def ignorant_start(cpu: GuestCpu, x0: int) -> None:
    """Boot and resume entry; never ends and never waits."""
    while True:
        await cpu.work(SPIN_NS)
