"""A guest that does nothing: it waits for interrupts with all of them masked."""

from proto.image import symbol
from services.domain.guest_cpu import GuestCpu


@symbol
async def idle_start(cpu: GuestCpu, x0: int) -> None:
    """Boot and resume entry; never ends, as a guest that has nothing to do never does."""
    while True:
        await cpu.wfi()
