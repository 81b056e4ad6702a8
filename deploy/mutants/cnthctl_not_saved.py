"""CNTHCTL_EL2 is missing in the set of registers that survives the sleep."""

from proto.patch import Mutant, relink_xen
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import EL2_REGISTERS

MUTANT = Mutant(
    id="cnthctl-not-saved",
    title="The resume context lacks CNTHCTL_EL2, so guests run with unknown access to the timers",
    source="Luca Fancellu on Suspend to RAM series v9 10/13 (2026-05-14)",
    section="B",
    confidence="high",
    property="no_panic",
    finding="CNTHCTL_EL2 is UNKNOWN",
    scenario="one-domain",
)


@relink_xen
async def prepare_resume_ctx(pe: Pe) -> int:
    """The saved set of v9."""
    cells = pe.xen.resume_context.registers
    rows = [row for row in zip(cells, EL2_REGISTERS, strict=True) if row[1] != "CNTHCTL_EL2"]
    await pe.store_burst([cell for cell, _ in rows], [pe.register(name) for _, name in rows])
    await pe.clean(*cells)
    return 0


@relink_xen
async def restore_context(pe: Pe) -> None:
    """The same set."""
    values = await pe.load_burst(pe.xen.resume_context.registers)
    for name, value in zip(EL2_REGISTERS, values, strict=True):
        if name != "CNTHCTL_EL2":
            pe.set_register(name, value)
