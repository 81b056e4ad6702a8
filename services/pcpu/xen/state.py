"""`system_state` (xen/common/kernel.c)."""

from enum import IntEnum

from proto import traces
from proto.image import symbol
from services.pcpu.pe import Pe


class SystemState(IntEnum):
    """Values of `system_state` (xen/include/xen/kernel.h)."""

    BOOT = 0
    ACTIVE = 1
    SUSPEND = 2
    RESUME = 3


@symbol
async def set_system_state(pe: Pe, state: SystemState) -> None:
    """Store `system_state`."""
    await pe.store(pe.xen.system.system_state, state)
    pe.trace(traces.SystemState(state.name.lower()))
