"""The generic timer of one CPU (xen/arch/arm/time.c)."""

from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.softirq import Softirq, raise_softirq

CNTHCTL_EL1PCTEN = 1 << 0
"""Guests may read the physical counter; their physical timer is trapped."""


@symbol
async def init_timers(pe: Pe) -> None:
    """Silence the EL2 timer, whose state is UNKNOWN after reset (init_timer_interrupt)."""
    pe.set_cnthp(0, 0)
    pe.set_register("CNTHCTL_EL2", CNTHCTL_EL1PCTEN)


@symbol
async def time_suspend(pe: Pe) -> int:
    """Disable the hypervisor timer: it must not wake the host (S8)."""
    pe.set_cnthp(0, 0)
    return 0


@symbol
async def time_resume(pe: Pe) -> None:
    """Let the timer softirq find what expired meanwhile and arm the hardware again (R3)."""
    await raise_softirq(pe, Softirq.TIMER)
