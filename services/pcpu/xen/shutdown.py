"""The end of the machine (xen/common/shutdown.c, xen/arch/arm/shutdown.c)."""

from proto.hypercall import ShutdownReason
from proto.ids import DomainId
from proto.image import symbol
from services.pcpu.pe import Pe
from services.pcpu.xen.console import printk
from services.pcpu.xen.psci import call_psci_system_off, call_psci_system_reset

HWDOM_ENDS = {
    ShutdownReason.POWEROFF: ("halted: halting machine", "machine_halt"),
    ShutdownReason.REBOOT: ("shutdown: rebooting machine", "machine_restart"),
    ShutdownReason.CRASH: ("crashed: 'noreboot' set - not rebooting.", "machine_halt"),
    ShutdownReason.WATCHDOG: ("shutdown: watchdog rebooting machine", "machine_restart"),
    ShutdownReason.SOFT_RESET: ("did unsupported soft reset, rebooting.", "machine_restart"),
}
"""Why the hardware domain ends: what is printed, and what happens to the machine."""


@symbol
async def hwdom_shutdown(pe: Pe, domain: DomainId, reason: ShutdownReason) -> None:
    """What the end of the hardware domain does to the machine; its suspend does nothing to it.

    Xen let the suspend pass in 1e3dc2f866 (2026-03).
    """
    if reason is not ShutdownReason.SUSPEND:
        words, ending = HWDOM_ENDS[reason]
        await printk(pe, f"Hardware Dom{domain} {words}")
        await pe.links[ending](pe)


@symbol
async def machine_halt(pe: Pe) -> None:
    """Switch the machine off."""
    await call_psci_system_off(pe)


@symbol
async def machine_restart(pe: Pe) -> None:
    """Boot the machine again."""
    await call_psci_system_reset(pe)
