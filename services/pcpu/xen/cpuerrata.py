"""Workarounds for errata of the cores (xen/arch/arm/cpuerrata.c)."""

from proto.image import symbol
from services.pcpu.pe import ERRATA_REGISTER, Pe

CPUACTLR_WORKAROUND = 1 << 22
"""The chicken bit of this board's cores."""


@symbol
async def check_local_cpu_errata(pe: Pe) -> None:
    """Apply the workarounds on this CPU; they live in a register of the core."""
    pe.set_register(ERRATA_REGISTER, CPUACTLR_WORKAROUND)


@symbol
async def reapply_boot_cpu_errata(pe: Pe) -> None:
    """The boot CPU has lost them in the sleep, and does not come up as secondaries do (R0)."""
    await check_local_cpu_errata(pe)


@symbol
async def reapply_boot_cpu_errata_skipped(pe: Pe) -> None:
    """Before the v10 of the series (2026-05) nobody thinks of it."""
    return
