"""Xen's calls to the PSCI firmware (xen/arch/arm/psci.c)."""

from proto.ids import CpuIndex
from proto.image import symbol
from proto.machine import Halt
from proto.psci import Affinity, Psci, PsciError, error_name
from proto.traces import PeHalted
from services.pcpu.pe import Pe
from services.pcpu.xen.console import console_force_unlock, printk


@symbol
async def psci_init(pe: Pe) -> None:
    """Find out which PSCI this firmware has; Xen needs 0.2 or later."""
    version = await pe.smc(Psci.VERSION)
    await printk(pe, f"Using PSCI v{version >> 16}.{version & 0xFFFF}")


@symbol
async def call_psci_cpu_on(pe: Pe, cpu: CpuIndex) -> int:
    """Start a CPU at init_secondary; gives the PSCI return code."""
    target = pe.board.platform.mpidrs[cpu]
    return await pe.smc(Psci.CPU_ON, target, pe.image.address("init_secondary"), 0)


@symbol
async def call_psci_cpu_off(pe: Pe) -> None:
    """Turn this CPU off; does not come back, not even if firmware refuses."""
    error = await pe.smc(Psci.CPU_OFF)
    refusal = f"PSCI cpu off failed for CPU{pe.cpu} err={error} ({error_name(error)})"
    await cpu_off_refused(pe, refusal)


@symbol
async def cpu_off_refused(pe: Pe, refusal: str) -> None:
    """Stand still, so that whoever took this CPU down finds it on and gives up."""
    await printk(pe, refusal)
    while True:
        await pe.wfi()
        # The interface is closed: nothing should end the sleep.
        assert not pe.irq_line, f"CPU{pe.cpu} is offline and was sent an interrupt"


@symbol
async def cpu_off_refused_panic(pe: Pe, refusal: str) -> None:
    """Published Xen panics (cd80acdadd)."""
    await panic(pe, refusal)


@symbol
async def psci_affinity_info(pe: Pe, cpu: CpuIndex) -> int:
    """AFFINITY_INFO of a CPU."""
    return await pe.smc(Psci.AFFINITY_INFO, pe.board.platform.mpidrs[cpu], 0)


@symbol
async def psci_cpu_is_off(pe: Pe, cpu: CpuIndex) -> bool:
    """Whether firmware says that a CPU is off."""
    return await psci_affinity_info(pe, cpu) == Affinity.OFF


@symbol
async def call_psci_system_suspend(pe: Pe) -> int:
    """Ask firmware to suspend the system to hyp_resume (S13); returns only if it did not sleep."""
    error = await pe.smc(Psci.SYSTEM_SUSPEND, pe.image.address("hyp_resume"), 0)
    if error == PsciError.SUCCESS:
        await printk(pe, "PSCI system suspend: an interrupt was pending, not suspended")
    else:
        await printk(pe, f"PSCI system suspend failed, err={error} ({error_name(error)})")
    return error


@symbol
async def call_psci_system_off(pe: Pe) -> None:
    """Switch the machine off; what was printed leaves first."""
    await console_force_unlock(pe)
    await pe.smc(Psci.SYSTEM_OFF)


@symbol
async def call_psci_system_reset(pe: Pe) -> None:
    """Boot the machine again; what was printed leaves first."""
    await console_force_unlock(pe)
    await pe.smc(Psci.SYSTEM_RESET)


@symbol
async def panic(pe: Pe, message: str) -> None:
    """Say why, and take the machine down, as Xen does with `noreboot` (xen/common/panic)."""
    await printk(pe, f"Panic on CPU {pe.cpu}: {message}")
    pe.trace(PeHalted(message))
    await call_psci_system_off(pe)
    raise Halt("firmware returned from SYSTEM_OFF")


@symbol
async def bug(pe: Pe, condition: str) -> None:
    """BUG(): what cannot be has happened."""
    await panic(pe, f"Xen BUG: {condition}")
